"""A worker's connection to the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def database() -> Iterator[None]:
    """What asks the database; after any fault the next that does has a new connection.

    The old one may still work, and lead to a server that only reads, after a failover. And a time limit may strike between
    a statement and its answer, which nobody else must get.
    """
    try:
        yield
    except BaseException:
        connection.close()
        raise
