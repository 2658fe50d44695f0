"""What a database wants now and then, and does not do by itself.

PostgreSQL's autovacuum sees to each table and each partition, but never to the statistics of a table in partitions as a
whole, by which questions over all months are planned. Tables that are changed in place all the time are gone through once
more, so that the week begins with few dead rows. SQLite does nothing by itself.
"""

from __future__ import annotations

from django.db import OperationalError, connection

from store.models import ChannelFiveMinutes, ChannelHour, DaySummary, Presence, Report, State
from store.partitions import BusyError

CHANGING = (State, Presence, DaySummary, ChannelFiveMinutes, ChannelHour)
STATEMENT_SECONDS = 120
"""What takes longer is left to autovacuum: a worker has other things to do."""
_QUERY_CANCELED = "57014"
_TURN = 0x696F7467770002
"""The advisory lock of whoever does it."""


def tend() -> list[str]:
    """Do it, outside of any transaction; which statements that were, of those there was time for.

    Raises: BusyError when another process is at it.
    """
    return _postgresql() if connection.vendor == "postgresql" else _sqlite()


def _postgresql() -> list[str]:
    statements = [f"ANALYZE {Report._meta.db_table}", *(f"VACUUM (ANALYZE) {model._meta.db_table}" for model in CHANGING)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_TURN])
        if not cursor.fetchone()[0]:
            raise BusyError("another process is at the database's upkeep")
        try:
            cursor.execute(f"SET statement_timeout = '{STATEMENT_SECONDS}s'")
            return [statement for statement in statements if _is_done(statement)]
        finally:
            cursor.execute("RESET statement_timeout")
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_TURN])


def _is_done(statement: str) -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") != _QUERY_CANCELED:
            raise
        return False
    return True


def _sqlite() -> list[str]:
    """Statistics where they are old, and the log of writes into the file: what somebody reads just now stays in the log."""
    statements = ["PRAGMA optimize", "PRAGMA wal_checkpoint(TRUNCATE)"]
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
            cursor.fetchall()
    return statements
