"""What is found of a database: one that is as it should be, and each way in which one is not."""

from __future__ import annotations

import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from settings import Settings
from settings.findings import Finding, State
from store import condition, search
from store.database import BUSY_SECONDS
from store.models import Device, Media
from tests.servers import PostgreSQL


def look(**given: object) -> dict[str, Finding]:
    return {finding.check: finding for finding in condition.examine(Settings(**given))}


def faults(found: dict[str, Finding]) -> list[str]:
    return [name for name, finding in found.items() if finding.state in (State.FAULT, State.WARNING)]


def skipped(found: dict[str, Finding]) -> dict[str, str]:
    return {name: finding.found for name, finding in found.items() if finding.state is State.SKIPPED}


@pytest.mark.usefixtures("database_url")
def test_a_migrated_database_is_as_it_should_be_and_stays_as_it_was() -> None:
    found = look()
    assert faults(found) == ["beat"], "none was ever started"
    assert skipped(found) == {}
    assert {"database", "database version", "database tables", "database rows", "search", "media"} <= set(found)
    assert "database clock" in found or connection.vendor == "sqlite"
    assert not Device.objects.exists()


@pytest.mark.usefixtures("database_url")
def test_an_unmigrated_database_is_a_fault_that_names_the_command() -> None:
    newest = MigrationRecorder.Migration.objects.filter(app="store").latest("id")
    newest.delete()
    found = look()
    assert (found["database tables"].state, found["database tables"].do) == (State.FAULT, "iotgw migrate")
    assert f"1 migrations wait, the first is {newest.name}" in found["database tables"].found
    assert set(skipped(found)) == {"database rows", "search", "media", "beat", "targets"}


@pytest.mark.usefixtures("database_url")
def test_a_database_of_a_newer_release_is_a_fault() -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('store', '9999_later', CURRENT_TIMESTAMP)")
    found = look()["database tables"]
    assert (found.state, "9999_later" in found.found) == (State.FAULT, True)


def test_a_database_that_was_never_made_is_not_made(sqlite_url: str) -> None:
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    connection.close()
    path.unlink()
    found = look()
    assert (found["database"].state, "iotgw migrate" in found["database"].do) == (State.FAULT, True)
    assert not path.exists()
    assert found["database folder"].state is State.OK
    assert skipped(found)["database tables"] == "waits for database"


def test_an_empty_database_waits_for_all_migrations(sqlite_url: str) -> None:
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    connection.close()
    path.unlink()
    path.touch()
    assert "the first is 0001_initial" in look()["database tables"].found


def test_a_server_that_is_away_is_one_fault_and_the_others_wait(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "PORT", "1")
    found = look()
    assert faults(found) == ["database"]
    assert set(skipped(found)) == set(found) - {"database"}
    assert connection.settings_dict["PASSWORD"] not in str(found)


@pytest.mark.usefixtures("postgresql_url")
def test_a_wrong_password_is_told_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "PASSWORD", "not-this-one")
    found = look()
    assert "password authentication failed" in found["database"].found
    assert "not-this-one" not in str(found)


@pytest.mark.usefixtures("postgresql_url")
def test_a_server_that_is_too_old_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection.features, "minimum_database_version", (99,))
    monkeypatch.setattr("django.db.backends.base.base.RAN_DB_VERSION_CHECK", set())  # once in a process
    connection.close()
    found = look()["database"]
    assert (found.state, "PostgreSQL 99 or later is required" in found.found) == (State.FAULT, True)


@pytest.mark.usefixtures("sqlite_url")
def test_an_sqlite_that_is_too_old_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(condition, "sqlite_version_info", (3, 37, 2))
    found = look()["database version"]
    assert (found.state, found.found) == (State.FAULT, "SQLite 3.37.2, 3.38 is needed")


def test_a_database_that_takes_no_rows_is_a_fault(postgresql_url: str, postgresql_server: PostgreSQL) -> None:
    postgresql_server.execute("ALTER DATABASE {} SET default_transaction_read_only = on", "iotgw")
    connection.close()
    found = look()
    assert faults(found) == ["database rows", "beat"]
    assert "read-only transaction" in found["database rows"].found


def test_a_database_that_somebody_has_locked_is_waited_for_a_bounded_time(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(condition, "ANSWER_SECONDS", 0)
    with sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        found = look()
        assert time.monotonic() - began < BUSY_SECONDS / 2
        other.execute("ROLLBACK")
    assert faults(found) == ["database rows", "beat"]
    assert "locked" in found["database rows"].found


@pytest.mark.usefixtures("postgresql_url")
def test_sessions_that_are_not_in_utc_are_a_fault() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET TIME ZONE 'Asia/Shanghai'")
    assert look()["database time zone"].found == "sessions are in Asia/Shanghai and not in UTC"


@pytest.mark.usefixtures("postgresql_url")
def test_a_clock_that_is_another_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    real = condition.time.time
    monkeypatch.setattr(condition.time, "time", lambda: real() + 90)
    found = look()["database clock"]
    assert (found.state, found.found[-18:]) == (State.WARNING, "s behind this host")


@pytest.mark.usefixtures("database_url")
def test_search_without_an_index_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "is_prepared", lambda: False)
    found = look()["search"]
    assert (found.state, found.do.endswith("then iotgw migrate")) == (State.WARNING, True)


@pytest.mark.usefixtures("database_url")
def test_a_media_folder_that_is_nearly_full_and_files_that_wait_are_warnings() -> None:
    device = Device.objects.create(protocol="jt808", identity="1")
    now = datetime.now(UTC)
    options = {"device": device, "kind": "photo", "received_bytes": 95 << 20, "time": now, "received_at": now, "touched_at": now}
    Media.objects.create(file="a", sha256="0" * 64, state=Media.State.COMPLETE, **options)
    assert look(media_quota_bytes=100 << 20)["media"].state is State.WARNING
    assert look(media_quota_bytes=200 << 20)["media"] == Finding("media", State.OK, "95.0 MiB of 200.0 MiB")
    Media.objects.create(file="b", state=Media.State.WAITING, **options)
    waiting = look(media_quota_bytes=200 << 20)["media"]
    assert (waiting.state, "1 files wait" in waiting.found, "iotgw media --state waiting" in waiting.do) == (
        State.WARNING,
        True,
        True,
    )


@pytest.mark.usefixtures("database_url")
def test_a_beat_that_is_silent_is_a_fault() -> None:
    now = timezone.now()
    interval = IntervalSchedule.objects.create(every=30, period="seconds")
    PeriodicTask.objects.create(name="presence", task="tasks.presence.check", interval=interval)
    assert look()["beat"].state is State.OK, "what was just made has not had its time yet"
    PeriodicTask.objects.update(last_run_at=now - timedelta(seconds=110))
    assert look()["beat"].state is State.OK
    PeriodicTask.objects.update(last_run_at=now - timedelta(seconds=130))
    silent = look()["beat"]
    assert (silent.state, "celery -A tasks beat" in silent.do) == (State.FAULT, True)
    interval.every = 60
    interval.save()
    assert look()["beat"].state is State.OK, "as long as three of its shortest intervals are not over"
