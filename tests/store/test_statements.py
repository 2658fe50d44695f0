"""Statements that take longer than they may."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection

from store.statements import bounded

FOR_EVER = {
    "postgresql": "SELECT pg_sleep(3600)",
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
}


def run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.usefixtures("database_url")
def test_one_that_takes_too_long_is_ended_and_the_next_ones_are_not() -> None:
    with pytest.raises(OperationalError), bounded(0.05):
        run(FOR_EVER[connection.vendor])
    with bounded(60):
        run("SELECT 1")
    if connection.vendor == "postgresql":
        run("SELECT pg_sleep(0.1)")
    else:
        run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000) SELECT count(*) FROM n")
