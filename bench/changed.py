"""The worker of :mod:`bench.redecode`, whose definition is newer than that which its messages were stored by."""

from __future__ import annotations

from tasks.celery import app, protocols
from tests.tasks.compute.editions import Changing

__all__ = ["app"]

protocols["fake"] = Changing()
