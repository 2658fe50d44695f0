"""Up to which id a table is all there.

ids drawn     1 2 3 4 5 6 7
committed     ● ● ● – ● ● –      4 and 7 are still being written: who has read up to 6 must not go on behind it

Whoever follows a table by its ids asks here how far it may read. Writers take no part in it: a transaction that has drawn
an id holds a lock on the table from before it did, so those that may still bring a lower one than the highest that can
be seen are the ones that hold such a lock a moment later.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from django.db import connection
from django.db.models import Max, Model

LOOK_SECONDS = 0.02
"""About as long as a batch takes."""


def settled_id(model: type[Model], patience_seconds: float, sleep: Callable[[float], None] = time.sleep) -> int | None:
    """The highest id up to which all rows that will ever be there can be seen from now on; of an empty table 0.

    It waits for the transactions that write to the table, not for those that begin meanwhile. None: one took longer than that.
    Its own transaction, if it is in one, does not count. Raises: django.db.DatabaseError or InterfaceError.
    """
    newest: int = model._default_manager.aggregate(newest=Max("pk"))["newest"] or 0
    until = time.monotonic() + patience_seconds
    writing = _writing(model._meta.db_table)
    while writing:
        if time.monotonic() >= until:
            return None
        sleep(LOOK_SECONDS)
        writing &= _writing(model._meta.db_table)
    return newest


def _writing(table: str) -> set[str]:
    """The transactions that write to a table, or may; on SQLite, which has one writer at a time and ids in their order, none."""
    if connection.vendor != "postgresql":
        return set()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
            "AND relation = %s::regclass AND pid <> pg_backend_pid()",
            [table],
        )
        return {row[0] for row in cursor}
