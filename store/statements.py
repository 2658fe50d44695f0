"""Statements that may not take as long as they like."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

_STEPS_A_LOOK = 10_000
"""Of SQLite's machine: a fraction of a millisecond."""


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Have the database end a statement that takes longer.

    Raises: django.db.OperationalError from that statement.
    """
    if connection.vendor == "postgresql":
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{max(1, round(1000 * seconds))}"])
            yield
        return
    until = time.monotonic() + seconds
    connection.ensure_connection()
    connection.connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS_A_LOOK)
    try:
        yield
    finally:
        connection.connection.set_progress_handler(None, 0)
