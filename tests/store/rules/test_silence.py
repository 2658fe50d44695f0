"""Devices from which nothing came for so long."""

from __future__ import annotations

from datetime import datetime

import pytest

from protocols.report import DecodeError
from store import devices
from store.bulk import write
from store.models import Alarm, Event
from store.rules import silence
from store.rules.rulebook import KnownRules
from tests.records import NOON, anybody, incoming, minutes
from tests.store.rules.written import ANA, HOT, Worker, add, alarm, events, phases, told

pytestmark = pytest.mark.usefixtures("database_url")
SILENT = {"no_data_minutes": 30}


@pytest.fixture
def worker() -> Worker:
    return Worker()


def look(at: float) -> int:
    return silence.look(KnownRules(), NOON + minutes(at), lambda: False)


def test_a_silent_device_s_alarm_opens_once_ends_with_its_next_message_and_begins_again(worker: Worker) -> None:
    add("silent", SILENT, severity="notice")
    devices.add("fake", "never", "", ANA)
    worker.store(told(0, latitude=31.0, longitude=121.0), told(0, "2"))
    worker.store(told(10, "2"))
    assert look(29.9) == 0
    assert look(30) == 1
    assert look(31) == 0
    found = alarm("silent")
    assert (found.latitude, found.severity, found.is_ongoing, found.times) == (31.0, "notice", True, 1)
    assert phases() == [("1", "silent", "active")]
    worker.store(told(35))
    assert events("silent") == [("opened", 30), ("ended", 35)]
    worker.store(told(20, received=34))
    assert look(65) == 2
    assert events("silent") == [("opened", 30), ("ended", 35), ("resumed", 65)]
    assert events("silent", "2") == [("opened", 40)]


def test_any_message_ends_it_also_one_that_nobody_can_read_but_none_that_is_older(worker: Worker) -> None:
    add("silent", SILENT)
    worker.store(told(0), told(0, "2"))
    assert look(60) == 2
    worker.store(told(-1))
    assert events("silent") == [("opened", 30)]
    unread = incoming(identity="1", received_at=NOON + minutes(61), error=DecodeError("cut", "", ""))
    write([unread], is_open=anybody, rules=worker.known)
    worker.store(told(10, "2"))
    assert events("silent") == [("opened", 30), ("ended", 61)]
    assert events("silent", "2") == [("opened", 30), ("ended", 30)], "it was not silent: a message had been under way"


def test_silence_counts_where_the_rest_of_its_rule_holds_by_what_was_told_last(worker: Worker) -> None:
    add("silent", {"all": [SILENT, HOT]})
    worker.store(told(0, temperature_c=9), told(0, "2", temperature_c=1))
    assert look(40) == 1
    assert phases() == [("1", "silent", "active")]
    worker.store(told(41, temperature_c=9))
    assert events("silent") == [("opened", 30), ("ended", 41)]


def test_disabled_devices_and_those_that_a_rule_is_not_for_are_not_looked_for(worker: Worker) -> None:
    worker.store(told(0), told(0, "2"), told(0, "3"))
    devices.set_enabled("fake", "1", False, ANA)
    add("silent", SILENT, scope={"devices": [{"protocol": "fake", "identity": identity} for identity in "12"]})
    assert look(40) == 1
    assert phases() == [("2", "silent", "active")]


def test_what_is_opened_at_once_is_bounded_and_said(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for module in ("silence", "evaluation"):
        monkeypatch.setattr(f"store.rules.{module}.MOST_STANDINGS", 3)
    monkeypatch.setattr(silence, "DEVICES_A_STEP", 2)
    worker.store(*(told(0, f"{number}") for number in range(6)))
    add("silent", SILENT)
    assert look(40) == 3
    assert look(41) == 0
    assert Alarm.objects.count() == Event.objects.count() == 3
    assert {record.message for record in caplog.records} == {"a rule has as many alarms as it may have, it opens no more"}


def test_it_stops_when_its_time_is_up_and_goes_on_the_next_time(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "DEVICES_A_STEP", 2)
    worker.store(*(told(0, f"{number}") for number in range(5)))
    add("silent", SILENT)
    is_over = iter([False, True])
    assert silence.look(KnownRules(), later(), lambda: next(is_over)) == 2
    assert silence.look(KnownRules(), later(), lambda: False) == 3


def later() -> datetime:
    return NOON + minutes(40)
