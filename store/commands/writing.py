"""Commands' rows as they were moved, written all at once.

PostgreSQL takes each column's values as one array, in one statement; SQLite, to which there is no way to go, one statement a row,
whose text is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from django.db import connection

from store.models import Command

MOVED = ("state", "reason", "tries", "sent_at", "gateway", "sequence", "answer_by", "ended_at", "due_at")
"""What moves change."""
_TABLE = Command._meta.db_table
_FIELDS = {field.name: field for field in Command._meta.concrete_fields}


def write(moved: Mapping[str, list[Command]]) -> set[int]:
    """Write rows by the state in which they were read; which of them were in it still.

    A row is in there once, and locked, so that what else is written of it is as it was read.
    """
    rows = [(row, before) for before, some in moved.items() for row in some]
    if not rows:
        return set()
    return _write_at_once(rows) if connection.vendor == "postgresql" else _write_each(rows)


def _write_at_once(rows: list[tuple[Command, str]]) -> set[int]:
    columns = zip(*([row.id, before, *_values(row)] for row, before in rows), strict=True)
    with connection.cursor() as cursor:
        cursor.execute(_statement_for_all(), [list(column) for column in columns])
        return {id for (id,) in cursor.fetchall()}


def _write_each(rows: list[tuple[Command, str]]) -> set[int]:
    assignments = ", ".join(f"{name} = %s" for name in MOVED)
    written = set()
    with connection.cursor() as cursor:
        for row, before in rows:
            cursor.execute(f"UPDATE {_TABLE} SET {assignments} WHERE id = %s AND state = %s", [*_values(row), row.id, before])
            if cursor.rowcount:
                written.add(row.id)
    return written


def _values(row: Command) -> list[Any]:
    return [_FIELDS[name].get_db_prep_save(getattr(row, name), connection) for name in MOVED]


@cache
def _statement_for_all() -> str:
    types = [_FIELDS[name].db_type(connection) for name in ("id", "state", *MOVED)]
    return (
        f"UPDATE {_TABLE} AS command SET {', '.join(f'{name} = moved.{name}' for name in MOVED)} "
        f"FROM unnest({', '.join(f'%s::{type}[]' for type in types)}) AS moved (id, before, {', '.join(MOVED)}) "
        "WHERE command.id = moved.id AND command.state = moved.before RETURNING command.id"
    )
