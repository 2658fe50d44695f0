"""From a database URL to what Django connects with."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from settings.load import SettingsError

BUSY_SECONDS = 20.0
"""How long a writer waits for SQLite's one write lock: hundreds of batches long, and well under a task's time limit."""
CONNECT_SECONDS = 5
"""How long a connection to PostgreSQL may take, so that a host which drops packets is noticed as one that is away."""

PRAGMAS = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL"
"""Readers never wait for the writer (WAL), and a commit is on the disk before it is believed (FULL): a device forgets
what is acked, so "stored" has to outlive a power cut too. NORMAL would survive a killed process only; it is about
1.6 times quicker, which batches of hundreds of rows to one sync make up for."""


def database(url: str) -> dict[str, Any]:
    """The entry of Django's ``DATABASES`` for ``sqlite:///path`` or ``postgresql://user:password@host:port/name?option=value``.

    As elsewhere in the Python world three slashes lead to a path relative to the working folder and four to an
    absolute one. SQLite takes one option, ``timeout`` in seconds; PostgreSQL takes libpq's, and a Unix socket's
    folder as ``?host=/folder`` or percent-encoded in the host's place.
    Raises: SettingsError. No text of the URL is repeated in it, because that may hold a password.
    """
    scheme = url.partition("://")[0]
    if scheme == "sqlite":
        return _sqlite(url)
    if scheme in ("postgresql", "postgres"):
        return _postgresql(url)
    raise SettingsError("database_url: must begin with sqlite:/// or postgresql://")


def _sqlite(url: str) -> dict[str, Any]:
    location, _, query = url.removeprefix("sqlite://").partition("?")
    path = unquote(location.removeprefix("/"))
    if not location.startswith("/") or not path or path == ":memory:":
        raise SettingsError("database_url: names no file: give sqlite:///relative/path or sqlite:////absolute/path")
    options = dict(parse_qsl(query, keep_blank_values=True))
    timeout = options.pop("timeout", str(BUSY_SECONDS))
    if options:
        raise SettingsError(f"database_url: SQLite has no option {sorted(options)[0]}: there is only timeout, in seconds")
    try:
        seconds = float(timeout)
    except ValueError:
        raise SettingsError("database_url: timeout must be a number of seconds, for example ?timeout=20") from None
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(Path(path).absolute()),
        "OPTIONS": {
            "timeout": seconds,
            # A transaction that begins as a reader and wants to write later cannot wait for the lock: SQLite fails
            # it at once, whatever the time-out. Taking the write lock first makes writers queue instead.
            "transaction_mode": "IMMEDIATE",
            "init_command": PRAGMAS,
        },
    }


def _postgresql(url: str) -> dict[str, Any]:
    import psycopg  # hosts that use SQLite need no libpq
    from psycopg.conninfo import conninfo_to_dict

    try:
        options: dict[str, Any] = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise SettingsError(
            "database_url: libpq cannot read it: percent-encode special characters in user and password "
            "and check the options' names, for example postgresql://user:p%40ss@host:5432/name?sslmode=require"
        ) from None
    name = options.pop("dbname", "")
    if not name:
        raise SettingsError("database_url: names no database: give postgresql://user:password@host/name")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": options.pop("user", ""),
        "PASSWORD": options.pop("password", ""),
        "HOST": options.pop("host", ""),
        "PORT": str(options.pop("port", "")),
        "OPTIONS": {"connect_timeout": CONNECT_SECONDS, "application_name": "iotgw", **options},
    }
