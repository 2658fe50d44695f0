"""These tests run once on each database, each with a broker of its own; on all four pairs run those of what is stored and acked."""

from __future__ import annotations

import pytest


@pytest.fixture
def broker_url(request: pytest.FixtureRequest, database_url: str) -> str:
    """An empty broker, of the kind that goes with the database."""
    url: str = request.getfixturevalue("redis_broker_url" if database_url.startswith("sqlite") else "rabbitmq_broker_url")
    return url
