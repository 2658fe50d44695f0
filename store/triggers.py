"""What the database itself holds to, whoever writes: triggers, made when tables have been migrated.

They are taken away before a migration and made again after it, and not made by one: on SQLite Django alters a table by
copying it, which loses its triggers, and can not while a trigger elsewhere names it.
"""

from __future__ import annotations

from typing import Any

from django.db import connection, transaction

from store.models import AuditEntry

_POSTGRESQL = {
    ("store_auditentry", "audit_stays"): (
        """
        CREATE OR REPLACE FUNCTION store_audit_stays() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'entries of the audit are never changed or deleted';
        END $$
        """,
        """
        CREATE TRIGGER audit_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON store_auditentry
        FOR EACH STATEMENT EXECUTE FUNCTION store_audit_stays()
        """,
    ),
}
_SQLITE = {
    ("store_auditentry", f"audit_stays_{event.lower()}"): (
        f"""
        CREATE TRIGGER audit_stays_{event.lower()} BEFORE {event} ON store_auditentry BEGIN
            SELECT RAISE(ABORT, 'entries of the audit are never changed or deleted');
        END
        """,
    )
    for event in ("UPDATE", "DELETE")
}


def drop() -> None:
    """Take them away, until :func:`make`."""
    tables = connection.introspection.table_names()
    with connection.cursor() as cursor:
        for table, name in _triggers():
            if table in tables:
                cursor.execute(f"DROP TRIGGER IF EXISTS {name}" + (f" ON {table}" if connection.vendor == "postgresql" else ""))


def make() -> None:
    """Make those that are not there, if their tables are."""
    if AuditEntry._meta.db_table not in connection.introspection.table_names():
        return
    there = _there()
    with transaction.atomic(), connection.cursor() as cursor:
        for (_, name), statements in _triggers().items():
            if name not in there:
                for statement in statements:
                    cursor.execute(statement)


def _triggers() -> dict[tuple[str, str], Any]:
    return _POSTGRESQL if connection.vendor == "postgresql" else _SQLITE


def _there() -> set[str]:
    catalogue = "SELECT tgname FROM pg_trigger" if connection.vendor == "postgresql" else "SELECT name FROM sqlite_master"
    with connection.cursor() as cursor:
        cursor.execute(catalogue)
        return {name for (name,) in cursor.fetchall()}
