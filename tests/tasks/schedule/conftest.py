"""As with what is computed, each database has a broker of its own."""

from __future__ import annotations

from tests.tasks.compute.conftest import broker_url

__all__ = ["broker_url"]
