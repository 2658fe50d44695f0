"""Database URLs, and what connections made from them are like."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection

from settings.load import SettingsError
from store.database import database
from store.models import Device, Report
from tests.servers import PostgreSQL


def test_sqlite_urls() -> None:
    assert database("sqlite:////var/lib/iotgw/data%201.sqlite3")["NAME"] == "/var/lib/iotgw/data 1.sqlite3"
    assert database("sqlite:///var/iotgw.sqlite3")["NAME"] == str(Path("var/iotgw.sqlite3").absolute())
    assert database("sqlite:///a?timeout=0.5")["OPTIONS"]["timeout"] == 0.5


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://ana:p%40ss%2F@db.example:6543/fleet", ("ana", "p@ss/", "db.example", "6543", "fleet")),
        ("postgres://ana@[::1]/fleet", ("ana", "", "::1", "", "fleet")),
        ("postgresql:///fleet?host=/run/postgresql", ("", "", "/run/postgresql", "", "fleet")),
        ("postgresql://ana@%2Frun%2Fpostgresql/fleet", ("ana", "", "/run/postgresql", "", "fleet")),
    ],
)
def test_postgresql_urls(url: str, expected: tuple[str, ...]) -> None:
    found = database(url)
    assert tuple(found[key] for key in ("USER", "PASSWORD", "HOST", "PORT", "NAME")) == expected


def test_postgresql_options_are_libpqs() -> None:
    options = database("postgresql://db/fleet?sslmode=require&connect_timeout=9")["OPTIONS"]
    assert (options["sslmode"], options["connect_timeout"], options["application_name"]) == ("require", "9", "iotgw")


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("mysql://ana:secret@db/fleet", "sqlite:/// or postgresql://"),
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite://relative/secret", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:///a?mode=ro", "only timeout"),
        ("sqlite:///a?timeout=secret", "number of seconds"),
        ("postgresql://ana:secret@db", "names no database"),
        ("postgresql://ana:secret%zz@db/fleet", "percent-encode"),
        ("postgresql://ana:secret@db/fleet?speed=high", "options' names"),
    ],
)
def test_what_is_wrong_with_a_url_is_said_without_its_secret(url: str, hint: str) -> None:
    with pytest.raises(SettingsError) as error:
        database(url)
    assert hint in str(error.value)
    assert str(error.value).startswith("database_url: ")
    assert "secret" not in str(error.value)


@pytest.mark.usefixtures("sqlite_url")
def test_sqlite_keeps_what_is_committed_and_its_readers_going() -> None:
    def pragma(name: str) -> object:
        with connection.cursor() as cursor:
            return cursor.execute(f"PRAGMA {name}").fetchone()[0]

    assert pragma("journal_mode") == "wal"
    assert pragma("synchronous") == 2  # FULL
    assert pragma("foreign_keys") == 1
    assert pragma("busy_timeout") == 20_000


def test_a_postgresql_url_with_a_sockets_folder_connects(postgresql_server: PostgreSQL, postgresql_url: str) -> None:
    credentials = postgresql_url.split("//")[1].split("@")[0]
    url = f"postgresql://{credentials}@/iotgw?host={postgresql_server.folder}&port={postgresql_server.port}"
    connection.close()
    connection.settings_dict.update(database(url))
    assert not Device.objects.exists()
    with connection.cursor() as cursor:
        cursor.execute("SELECT inet_server_addr()")
        assert cursor.fetchone() == (None,)


@pytest.mark.usefixtures("database_url")
def test_a_devices_newest_reports_come_from_an_index() -> None:
    plan = Report.objects.filter(device=1).order_by("-time")[:50].explain()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # An empty table is quicker to sort than to look up; what is asked is whether there is an index to take.
            cursor.execute("SET enable_sort = off; SET enable_seqscan = off")
        plan = Report.objects.filter(device=1).order_by("-time")[:50].explain()
    # On PostgreSQL of each partition its own.
    assert "device_id_time_digest" in plan or "sqlite_autoindex_store_report" in plan
    assert "TEMP B-TREE" not in plan
    assert "Sort  (" not in plan
