"""The turn of rules: silent devices, and what changed rules leave behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError

from store.bulk import write
from store.models import Alarm
from store.rules import changes, silence
from tasks.compute import rules
from tasks.contract import RULES_TASK, queue_of
from tasks.rulebook import known_rules
from tests.records import anybody, incoming, report
from tests.store.rules.written import ANA, add


@pytest.fixture(autouse=True)
def _afresh() -> Iterator[None]:
    known_rules.forget()
    yield
    known_rules.forget()


def test_it_waits_in_the_queue_of_sums() -> None:
    assert queue_of(RULES_TASK) == "compute"


@pytest.mark.usefixtures("database_url")
def test_a_turn_opens_what_is_silent_and_ends_what_rules_leave_behind() -> None:
    add("silent", {"no_data_minutes": 30})
    received = datetime.now(UTC) - timedelta(hours=1)
    write([incoming(report(time=received), received_at=received)], is_open=anybody)
    for _ in range(2):
        rules.silent()
        assert list(Alarm.objects.values_list("kind", "is_ongoing", "times")) == [("rule:silent", True, 1)]
    changes.set_enabled("silent", False, ANA)
    rules.silent()
    assert not Alarm.objects.get().is_ongoing


def test_a_database_that_is_away_is_said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def away(*_: object) -> None:
        raise OperationalError("connection refused\nmore")

    monkeypatch.setattr(changes, "tidy", away)
    rules.silent()
    assert [(record.message, record.cause) for record in caplog.records] == [  # type: ignore[attr-defined]
        ("silent devices not looked for, the database does not answer", "connection refused")
    ]


@pytest.mark.usefixtures("sqlite_url")
def test_a_turn_ends_when_its_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(_: object, __: object, is_over: Callable[[], bool]) -> int:
        asked.append(is_over())
        return 0

    asked: list[bool] = []
    monkeypatch.setattr(silence, "look", look)
    rules.silent()
    monkeypatch.setattr(rules, "SECONDS_AT_ONCE", 0.0)
    rules.silent()
    assert asked == [False, True]
