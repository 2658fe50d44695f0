"""Finding devices by a part of their name or identity.

PostgreSQL  a trigram index of both (pg_trgm), which ``icontains`` and ``istartswith`` use as they are
SQLite      an FTS5 table of trigrams beside the devices, kept by triggers (:mod:`store.triggers`)

Both are made when tables have been migrated. Where the database has no trigrams, search works all the same and reads every device.
"""

from __future__ import annotations

import logging

from django.db import DatabaseError, connection, transaction
from django.db.models import Q

from store.models import Device

log = logging.getLogger(__name__)

LEAST_WITHIN = 3
"""Letters: a shorter text is looked for at the beginning of names and identities only, for any has it somewhere."""
WORDS = "store_device_words"
INDEX = "device_words"

_POSTGRESQL = (
    "CREATE EXTENSION IF NOT EXISTS pg_trgm",
    f"CREATE INDEX IF NOT EXISTS {INDEX} ON store_device USING gin (upper(name) gin_trgm_ops, upper(identity) gin_trgm_ops)",
)
_SQLITE = (
    f"CREATE VIRTUAL TABLE IF NOT EXISTS {WORDS} USING fts5(name, identity, content='store_device', content_rowid='id', "
    "tokenize='trigram')",
)


def prepare() -> None:
    """Make what search goes by, as far as the database has it and it is not there; say so if not."""
    if is_prepared():
        return
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            for statement in _POSTGRESQL if connection.vendor == "postgresql" else _SQLITE:
                cursor.execute(statement)
    except DatabaseError as error:
        cause = str(error).partition("\n")[0]
        log.warning("devices are searched without an index, migrate again when the database has trigrams", extra={"cause": cause})


def rebuild() -> None:
    """Have what search goes by follow from the devices as they are. An index does so by itself."""
    if connection.vendor == "sqlite" and is_prepared():
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {WORDS} ({WORDS}) VALUES ('rebuild')")


def is_prepared() -> bool:
    name = INDEX if connection.vendor == "postgresql" else WORDS
    catalogue = (
        "pg_class WHERE pg_table_is_visible(oid) AND relname" if connection.vendor == "postgresql" else "sqlite_master WHERE name"
    )
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {catalogue} = %s", [name])
        return bool(cursor.fetchone()[0])


def matching(text: str, most: int) -> list[int]:
    """Ids of so many devices at most that have the text in their name or identity, in upper or lower case."""
    if len(text) >= LEAST_WITHIN and connection.vendor == "sqlite" and is_prepared():
        quoted = '"' + text.replace('"', '""') + '"'
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT rowid FROM {WORDS} WHERE {WORDS} MATCH %s LIMIT %s", [quoted, most])
            return [id for (id,) in cursor.fetchall()]
    return list(Device.objects.filter(has(text)).values_list("id", flat=True)[:most])


def has(text: str, device: str = "") -> Q:
    """Whether a device, to whose columns ``device`` leads, has the text in its name or identity; begins with it if it is short."""
    how = "icontains" if len(text) >= LEAST_WITHIN else "istartswith"
    return Q(**{f"{device}name__{how}": text}) | Q(**{f"{device}identity__{how}": text})
