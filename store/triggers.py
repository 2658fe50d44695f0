"""What the database itself holds to, whoever writes: triggers, made when tables have been migrated.

- Each device has a state from the beginning, and its group stands in both: so that lists go by one table, whoever makes a
  device or moves it, and the writer need know nothing of groups.
- What search goes by on SQLite follows the devices.
- Entries of the audit stay as they are.

They are taken away before a migration and made again after it, and not made by one: on SQLite Django alters a table by
copying it, which loses its triggers, and can not while a trigger elsewhere names it.
"""

from __future__ import annotations

from itertools import chain

from django.db import connection, transaction
from django.db.models import Model

from store import search
from store.models import AuditEntry, State
from store.search import WORDS

_ADD_WORDS = f"INSERT INTO {WORDS} (rowid, name, identity) VALUES (NEW.id, NEW.name, NEW.identity)"
_REMOVE_WORDS = f"INSERT INTO {WORDS} ({WORDS}, rowid, name, identity) VALUES ('delete', OLD.id, OLD.name, OLD.identity)"
_POSTGRESQL: dict[tuple[str, str], tuple[str, ...]] = {
    ("store_device", "device_state"): (
        """
        CREATE OR REPLACE FUNCTION store_device_state() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO store_state (device_id, group_id, newest, earlier, alarms) VALUES (NEW.id, NEW.group_id, '{}', '{}', '[]')
            ON CONFLICT (device_id) DO NOTHING;
            RETURN NULL;
        END $$
        """,
        """
        CREATE TRIGGER device_state AFTER INSERT ON store_device
        FOR EACH ROW EXECUTE FUNCTION store_device_state()
        """,
    ),
    ("store_device", "device_group"): (
        """
        CREATE OR REPLACE FUNCTION store_device_group() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE store_state SET group_id = NEW.group_id WHERE device_id = NEW.id;
            RETURN NULL;
        END $$
        """,
        """
        CREATE TRIGGER device_group AFTER UPDATE ON store_device
        FOR EACH ROW WHEN (OLD.group_id IS DISTINCT FROM NEW.group_id) EXECUTE FUNCTION store_device_group()
        """,
    ),
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
_SQLITE: dict[tuple[str, str], tuple[str, ...]] = {
    ("store_device", "device_state"): (
        """
        CREATE TRIGGER device_state AFTER INSERT ON store_device BEGIN
            INSERT OR IGNORE INTO store_state (device_id, group_id, newest, earlier, alarms)
            VALUES (NEW.id, NEW.group_id, '{}', '{}', '[]');
        END
        """,
    ),
    ("store_device", "device_group"): (
        """
        CREATE TRIGGER device_group AFTER UPDATE OF group_id ON store_device WHEN OLD.group_id IS NOT NEW.group_id BEGIN
            UPDATE store_state SET group_id = NEW.group_id WHERE device_id = NEW.id;
        END
        """,
    ),
    ("store_device", "device_words_added"): (
        f"""
        CREATE TRIGGER device_words_added AFTER INSERT ON store_device BEGIN
            {_ADD_WORDS};
        END
        """,
    ),
    ("store_device", "device_words_changed"): (
        f"""
        CREATE TRIGGER device_words_changed AFTER UPDATE OF name, identity ON store_device BEGIN
            {_REMOVE_WORDS};
            {_ADD_WORDS};
        END
        """,
    ),
    ("store_device", "device_words_removed"): (
        f"""
        CREATE TRIGGER device_words_removed AFTER DELETE ON store_device BEGIN
            {_REMOVE_WORDS};
        END
        """,
    ),
    **{
        ("store_auditentry", f"audit_stays_{event.lower()}"): (
            f"""
        CREATE TRIGGER audit_stays_{event.lower()} BEFORE {event} ON store_auditentry BEGIN
            SELECT RAISE(ABORT, 'entries of the audit are never changed or deleted');
        END
        """,
        )
        for event in ("UPDATE", "DELETE")
    },
}


_MISSING_STATES = """
    INSERT INTO store_state (device_id, newest, earlier, alarms)
    SELECT id, '{}', '{}', '[]' FROM store_device d WHERE NOT EXISTS (SELECT 1 FROM store_state s WHERE s.device_id = d.id)
    ON CONFLICT (device_id) DO NOTHING
"""
_OTHER_GROUPS = """
    UPDATE store_state SET group_id = (SELECT d.group_id FROM store_device d WHERE d.id = device_id)
    WHERE coalesce(group_id, 0) <> (SELECT coalesce(d.group_id, 0) FROM store_device d WHERE d.id = device_id)
"""


def drop() -> None:
    """Take them away, until :func:`make`."""
    tables = connection.introspection.table_names()
    with connection.cursor() as cursor:
        for table, name in _triggers():
            if table in tables:
                cursor.execute(f"DROP TRIGGER IF EXISTS {name}" + (f" ON {table}" if connection.vendor == "postgresql" else ""))


def make() -> None:
    """Make those that are not there, if their tables are as these are, and make up for what happened without them."""
    if not all(map(_is_as_declared, (State, AuditEntry))):
        return
    search.prepare()
    there = _there()
    missing = [statements for (_, name), statements in _triggers().items() if name not in there]
    if not missing:
        return
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in (*chain.from_iterable(missing), _MISSING_STATES, _OTHER_GROUPS):
            cursor.execute(statement)
    search.rebuild()


def _is_as_declared(model: type[Model]) -> bool:
    """Whether its table has all its columns: it has not when a migration goes back to before."""
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if table not in connection.introspection.table_names(cursor):
            return False
        cursor.execute(f"SELECT * FROM {table} LIMIT 0")
        there = {column[0] for column in cursor.description}
    return {field.column for field in model._meta.local_concrete_fields} <= there


def _triggers() -> dict[tuple[str, str], tuple[str, ...]]:
    if connection.vendor == "postgresql":
        return _POSTGRESQL
    return (
        _SQLITE if search.is_prepared() else {key: made for key, made in _SQLITE.items() if not key[1].startswith("device_words")}
    )


def _there() -> set[str]:
    catalogue = (
        "SELECT tgname FROM pg_trigger WHERE pg_table_is_visible(tgrelid)"
        if connection.vendor == "postgresql"
        else "SELECT name FROM sqlite_master"
    )
    with connection.cursor() as cursor:
        cursor.execute(catalogue)
        return {name for (name,) in cursor.fetchall()}
