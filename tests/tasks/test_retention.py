"""The daily turn of retention, called as a worker calls it, and in a real worker."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from settings import Settings
from store import partitions
from store.bulk import write
from store.models import Report
from store.partitions import Month
from tasks import retention
from tasks.contract import RETENTION_TASK
from tests.records import anybody, incoming, report
from tests.servers import Child
from tests.tasks.workers import broker_at

DAY = timedelta(days=1)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """How often the task was asked for, with what options, instead of a broker."""
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(retention.keep, "apply_async", lambda **options: asked.append(options))
    monkeypatch.setattr(retention, "settings", Settings(retention_days=30))
    return asked


def received(*ages: timedelta) -> None:
    now = datetime.now(UTC)
    write([incoming(report(f"{age}".encode(), now - age), received_at=now - age) for age in ages], is_open=anybody)


@pytest.mark.usefixtures("database_url")
def test_what_is_past_goes_and_is_told(asked: list[dict[str, Any]], caplog: pytest.LogCaptureFixture) -> None:
    received(DAY, 100 * DAY)
    with caplog.at_level(logging.INFO):
        retention.keep()
        retention.keep()
    assert Report.objects.count() == 1
    (line,) = [record for record in caplog.records if record.name == "tasks.retention"]
    assert (line.message, line.reports) == ("old rows deleted", 1)
    assert asked == []


@pytest.mark.usefixtures("database_url")
def test_what_takes_long_is_asked_for_again(asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    received(100 * DAY)
    monkeypatch.setattr(retention, "SECONDS_AT_ONCE", 0.0)
    retention.keep()
    assert asked == [{"expires": retention.DAY_SECONDS}]
    assert Report.objects.count() == 1


@pytest.mark.usefixtures("database_url", "asked")
def test_a_database_that_does_not_answer_is_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE store_report")
    retention.keep()
    assert [record.message for record in caplog.records] == ["retention not done, the database does not answer as it should"]


@pytest.mark.usefixtures("database_url", "asked")
def test_partitions_that_are_in_use_wait_for_the_next_turn(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: Any) -> None:
        raise partitions.BusyError("somebody reads")

    monkeypatch.setattr(retention.retention, "keep", busy)
    retention.keep()
    assert [record.message for record in caplog.records] == ["retention put off until its next turn"]


def worker(start_child: Callable[..., Child], database_url: str, redis_url: str, broker_url: str) -> Child:
    words = ("-m", "celery", "-A", "tasks", "worker", "--concurrency", "1", "--without-mingle", "--without-gossip")
    urls = {"IOTGW_DATABASE_URL": database_url, "IOTGW_REDIS_URL": redis_url, "IOTGW_BROKER_URL": broker_url}
    return start_child(*words, name="worker", **urls)


def test_a_worker_that_is_asked_makes_the_months_that_are_missing(
    start_child: Callable[..., Child], postgresql_url: str, redis_url: str, broker_url: str
) -> None:
    partitions.drop(next_month := Month.of(datetime.now(UTC)).plus(1))
    running = worker(start_child, postgresql_url, redis_url, broker_url)
    with broker_at(broker_url, redis_url) as broker:
        broker.send(RETENTION_TASK)
    running.wait_until(lambda: next_month in partitions.months(), "the month is made")
    running.wait_until(lambda: "months made" in running.output(), "the worker says so")
    assert running.stop() == 0
    assert "Traceback" not in running.output()
