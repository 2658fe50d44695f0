"""The task that rolls channels up, called as a worker calls it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from kombu.exceptions import OperationalError

from settings import Settings
from store.bulk import write
from store.models import ChannelFiveMinutes, ChannelHour
from tasks.compute import rollups
from tasks.compute.rollups import roll_up
from tests.records import anybody, incoming, report

pytestmark = pytest.mark.usefixtures("database_url")


def stored(age: timedelta, identity: str = "1") -> None:
    at = datetime.now(UTC) - age
    made = report(f"{at}".encode(), at, values={"oil": 1.0})
    assert write([incoming(made, identity=identity, received_at=at)], is_open=anybody) == {}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(roll_up, "apply_async", lambda **options: asked.append(options))
    return asked


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


def test_what_was_stored_since_is_rolled_up(asked: list[dict[str, Any]], caplog: pytest.LogCaptureFixture) -> None:
    stored(timedelta(hours=1))
    roll_up()
    stored(timedelta(hours=3))
    roll_up()
    assert (ChannelFiveMinutes.objects.count(), ChannelHour.objects.count()) == (2, 2)
    assert (asked, warnings(caplog)) == ([], [])


def test_what_takes_long_is_asked_for_again(asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollups, "SECONDS_AT_ONCE", 0.0)
    monkeypatch.setattr(rollups.rollups, "REPORTS_A_STEP", {"postgresql": 1, "sqlite": 1})
    stored(timedelta(hours=1))
    stored(timedelta(hours=3))
    roll_up()
    assert (ChannelFiveMinutes.objects.count(), len(asked)) == (1, 1)
    roll_up()
    assert ChannelFiveMinutes.objects.count() == 2


def test_a_slot_whose_reports_or_neighbours_may_be_deleted_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollups, "settings", Settings(retention_days=40, five_minute_retention_days=20))
    stored(timedelta(days=20))
    stored(timedelta(days=19))
    roll_up()
    assert ChannelFiveMinutes.objects.count() == 1
    monkeypatch.setattr(rollups, "settings", Settings(retention_days=0, five_minute_retention_days=0))
    stored(timedelta(days=400))
    roll_up()
    assert ChannelFiveMinutes.objects.count() == 2


def test_somebody_who_writes_for_long_is_not_overtaken(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    stored(timedelta(hours=1))
    monkeypatch.setattr(rollups, "settled_id", lambda model, patience: None)
    roll_up()
    assert not ChannelFiveMinutes.objects.exists()
    assert warnings(caplog) == ["channels not rolled up, somebody writes reports for long; the next time does"]


def test_a_database_that_does_not_answer_is_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    stored(timedelta(hours=1))
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE store_channelhour")
    roll_up()
    assert warnings(caplog) == ["channels not rolled up, the database does not answer"]


def test_a_broker_that_is_away_costs_a_line(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def away(**_: Any) -> None:
        raise OperationalError("refused")

    monkeypatch.setattr(roll_up, "apply_async", away)
    monkeypatch.setattr(rollups, "SECONDS_AT_ONCE", 0.0)
    monkeypatch.setattr(rollups.rollups, "REPORTS_A_STEP", {"postgresql": 1, "sqlite": 1})
    stored(timedelta(hours=1))
    roll_up()
    assert warnings(caplog) == ["the rest of channels not rolled up, the broker is away"]
