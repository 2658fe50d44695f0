"""The weekly upkeep, on real databases."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import psycopg
import pytest
from django.db import connection

from store import partitions
from store import upkeep as statements
from store.bulk import write
from store.partitions import Month
from tasks.compute import upkeep
from tests.records import anybody, incoming, report


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "tasks.compute.upkeep"]


@pytest.mark.usefixtures("database_url")
def test_it_is_done_and_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        upkeep.tend()
    assert told(caplog) == ["upkeep done"]


@pytest.mark.usefixtures("postgresql_url")
def test_a_table_in_partitions_has_statistics_as_a_whole_and_its_months() -> None:
    partitions.drop(month := Month.of(datetime.now(UTC)).plus(2))
    write([incoming(report())], is_open=anybody)

    def known() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stats WHERE tablename = 'store_report'")
            return int(cursor.fetchone()[0])

    assert known() == 0
    upkeep.tend()
    assert known() > 0
    assert month in partitions.months()
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)


def test_the_log_of_writes_goes_into_the_file(sqlite_url: str) -> None:
    write([incoming(report(bytes([n]) * 50)) for n in range(50)], is_open=anybody)
    upkeep.tend()
    path = sqlite_url.removeprefix("sqlite://")
    with open(f"{path}-wal", "rb") as log:
        assert log.read() == b""


def test_of_two_at_once_one_leaves(postgresql_url: str, caplog: pytest.LogCaptureFixture) -> None:
    with psycopg.connect(postgresql_url) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [statements._TURN])
        upkeep.tend()
    assert told(caplog) == ["upkeep put off until its next turn"]


def test_what_takes_too_long_is_left_to_the_database(
    postgresql_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, "STATEMENT_SECONDS", 1)
    with psycopg.connect(postgresql_url) as other, caplog.at_level(logging.INFO):
        other.execute("LOCK TABLE store_state IN SHARE UPDATE EXCLUSIVE MODE")
        upkeep.tend()
    (line,) = [record for record in caplog.records if record.name == "tasks.compute.upkeep"]
    assert line.message == "upkeep done"
    assert "store_state" not in line.did
    assert "store_presence" in line.did


def test_a_database_that_does_not_answer_is_a_line_in_the_log(postgresql_url: str, caplog: pytest.LogCaptureFixture) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE store_channelhour")
    upkeep.tend()
    assert told(caplog) == ["upkeep not done, the database does not answer as it should"]
