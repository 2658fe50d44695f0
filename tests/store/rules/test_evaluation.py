"""What a batch's reports make of rules, in the transaction that stores them."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from protocols.message import Outcome
from store import devices, groups, handling
from store.bulk import Incoming, write
from store.models import Alarm, AlarmReason, Event, Quarantine, Report, RuleState
from store.rules import changes, rulebook
from store.rules.reading import declared
from tests.records import NOON, anybody, incoming, minutes, report
from tests.store.rules.written import ANA, HOT, Worker, add, alarm, events, phases, told

pytestmark = pytest.mark.usefixtures("database_url")
DEPOT = {"circle": {"center": [31.0, 121.0], "radius_m": 1000}}
SQUARE = {"polygon": [[30.99, 120.99], [30.99, 121.01], [31.01, 121.01], [31.01, 120.99]]}
ROAD = {"corridor": {"line": [[31.0, 120.0], [31.0, 121.0], [31.5, 121.5]], "half_width_m": 500}}
IN, OUT = {"latitude": 31.0, "longitude": 121.0}, {"latitude": 31.2, "longitude": 121.0}


@pytest.fixture
def worker() -> Worker:
    return Worker()


def life(name: str = "hot") -> tuple[str, int, bool]:
    found = alarm(name)
    return found.state, found.times, found.is_ongoing


Store = Callable[[Worker, Sequence[Incoming]], None]


def at_once(worker: Worker, batch: Sequence[Incoming]) -> None:
    worker.store(*batch)


def one_by_one(worker: Worker, batch: Sequence[Incoming]) -> None:
    for message in batch:
        worker.store(message)


def by_others(_: Worker, batch: Sequence[Incoming]) -> None:
    """Each by a process that has just been started."""
    for message in batch:
        Worker().store(message)


CASES: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "above": (HOT, {"temperature_c": 8.5}, {"temperature_c": 8}),
    "at least": (HOT | {"op": ">="}, {"temperature_c": 8}, {"temperature_c": 7.9}),
    "below": (HOT | {"op": "<"}, {"temperature_c": -3}, {"temperature_c": 8}),
    "at most": (HOT | {"op": "<="}, {"temperature_c": 8.0}, {"temperature_c": 9}),
    "is": (HOT | {"op": "=="}, {"temperature_c": 8.0}, {"temperature_c": 8.1}),
    "is not": (HOT | {"op": "!="}, {"temperature_c": 8.1}, {"temperature_c": 8}),
    "between": (HOT | {"op": "between", "value": [2, 8]}, {"temperature_c": 2}, {"temperature_c": 1.9}),
    "outside of a range": (HOT | {"op": "outside", "value": [2, 8]}, {"temperature_c": 9}, {"temperature_c": 8}),
    "yes": ({"channel": "door_open", "op": "==", "value": True}, {"door_open": True}, {"door_open": False}),
    "a word": ({"channel": "mode", "op": "==", "value": "off"}, {"mode": "off"}, {"mode": "on"}),
    "another word": ({"channel": "mode", "op": "!=", "value": "on"}, {"mode": "off"}, {"mode": "on"}),
    "a measure": ({"channel": "speed_kmh", "op": ">", "value": 90}, {"speed_kmh": 91.0}, {"speed_kmh": 90.0}),
    "inside of a circle": ({"fence": "inside", **DEPOT}, IN, OUT),
    "outside of a circle": ({"fence": "outside", **DEPOT}, OUT, IN),
    "inside of a polygon": ({"fence": "inside", **SQUARE}, IN, OUT),
    "outside of a polygon": ({"fence": "outside", **SQUARE}, OUT, IN),
    "inside of a corridor": ({"fence": "inside", **ROAD}, IN, OUT),
    "outside of a corridor": ({"fence": "outside", **ROAD}, OUT, IN),
    "all": ({"all": [HOT, {"fence": "outside", **DEPOT}]}, {"temperature_c": 9, **OUT}, {"temperature_c": 9, **IN}),
    "any": ({"any": [HOT, {"channel": "door_open", "op": "==", "value": True}]}, {"temperature_c": 1, "door_open": True},
            {"temperature_c": 1, "door_open": False}),
    "not": ({"not": {"any": [HOT, {"channel": "door_open", "op": "==", "value": True}]}}, {"temperature_c": 1, "door_open": False},
            {"temperature_c": 1, "door_open": True}),
}  # fmt: skip


@pytest.mark.parametrize("store", [at_once, one_by_one, by_others])
def test_each_kind_of_rule_opens_ends_and_begins_again_once(store: Store, worker: Worker) -> None:
    batches = []
    for case, (when, holds, fails) in CASES.items():
        add(case, when)
        course = ((0, fails), (1, holds), (1.5, holds), (2, fails), (3, holds), (4, fails))
        batches.append([told(at, case, **values) for at, values in course])
    batch = [message for messages in zip(*batches, strict=True) for message in messages]
    happened = [("opened", 1), ("ended", 2), ("resumed", 3), ("ended", 4)]
    store(worker, batch)
    assert {case: events(case, case) for case in CASES} == dict.fromkeys(CASES, happened)
    lives = set(Alarm.objects.values_list("kind", "times", "is_ongoing", "device__identity"))
    assert lives >= {(f"rule:{case}", 2, False, case) for case in CASES}
    count = Event.objects.count()
    worker.store(*batch)
    worker.store(*reversed(batch))
    assert Event.objects.count() == count, "what comes again changes nothing"
    assert set(Alarm.objects.values_list("kind", "times", "is_ongoing", "device__identity")) == lives


def test_a_closed_alarm_is_opened_again_when_its_rule_holds_anew(worker: Worker) -> None:
    add(severity="critical")
    worker.store(told(0, temperature_c=9, **OUT))
    assert (alarm().severity, alarm().latitude, alarm().longitude) == ("critical", 31.2, 121.0)
    handling.close(alarm().pk, "ana", AlarmReason.FALSE, "", ANA)
    worker.store(told(5, temperature_c=9))
    assert life() == ("closed", 2, True), "it has not ended in between"
    worker.store(told(6, temperature_c=1), told(7, temperature_c=9))
    assert life() == ("open", 1, True)
    assert [event for event in events() if event[0] != "closed"] == [("opened", 0), ("ended", 6), ("reopened", 7)]


@pytest.mark.parametrize("store", [at_once, one_by_one])
def test_a_clear_value_keeps_one_that_wavers_one_alarm(store: Store, worker: Worker) -> None:
    add(when=HOT | {"clear": 6})
    add("far", {"fence": "outside", **DEPOT, "clear_m": 200})
    near = {"latitude": 31.0085, "longitude": 121.0}
    beyond = {"latitude": 31.0095, "longitude": 121.0}
    batch = [told(0, temperature_c=9, **beyond), told(1, temperature_c=7, **near), told(2, temperature_c=9, **beyond)]
    store(worker, [*batch, told(3, temperature_c=6, **near), told(4, temperature_c=7, **IN)])
    assert events() == [("opened", 0), ("ended", 3)]
    assert events("far") == [("opened", 0), ("ended", 4)]


@pytest.mark.parametrize("store", [at_once, one_by_one, by_others])
def test_it_has_to_hold_and_to_be_over_for_as_long_as_is_said(store: Store, worker: Worker) -> None:
    add(for_seconds=120, clear_for_seconds=60)
    hot, cold = {"temperature_c": 9}, {"temperature_c": 1}
    store(worker, [told(0, **hot), told(1, **hot), told(1.5, **cold), told(2, **hot), told(3, **hot), told(3.5, door_open=True)])
    assert (events(), phases()) == ([], [("1", "hot", "pending")])
    store(worker, [told(4, **hot), told(5, **cold), told(5.5, **hot), told(6, **cold), told(6.5, **cold)])
    assert (events(), phases()) == ([("opened", 4)], [("1", "hot", "clearing")])
    store(worker, [told(7, **cold)])
    assert (events(), phases()) == ([("opened", 4), ("ended", 7)], [])


def test_a_rule_that_holds_by_every_report_has_one_alarm_that_counts_up_and_no_event_each(worker: Worker) -> None:
    add(when=HOT | {"op": ">", "value": -100})
    for batch in range(10):
        worker.store(*(told(batch + part / 10, temperature_c=9) for part in range(10)))
    assert life() == ("open", 10, True), "once a minute"
    assert events() == [("opened", 0)]
    assert Report.objects.count() == 100


@pytest.mark.parametrize("store", [at_once, one_by_one])
def test_what_comes_late_is_not_held_against_rules(store: Store, worker: Worker) -> None:
    add()
    store(worker, [told(0, temperature_c=1), told(10, temperature_c=1)])
    store(worker, [told(5, temperature_c=9), told(6, temperature_c=9)])
    assert not Alarm.objects.exists()
    store(worker, [told(11, temperature_c=9)])
    store(worker, [told(7, temperature_c=1)])
    assert life() == ("open", 1, True)


@pytest.mark.parametrize("store", [at_once, one_by_one])
def test_of_reports_of_one_time_the_first_decides_however_often_they_come(store: Store, worker: Worker) -> None:
    add()
    batch = [told(1, temperature_c=9), told(1, kind="other", temperature_c=1)]
    for _ in range(2):
        store(worker, batch)
    assert events() == [("opened", 1)]
    batch = [told(2, temperature_c=1), told(2, kind="other", temperature_c=9)]
    for _ in range(2):
        store(worker, batch)
    assert (events(), phases()) == ([("opened", 1), ("ended", 2)], [])


def test_a_clock_that_is_not_believed_opens_nothing(worker: Worker) -> None:
    add()
    worker.store(told(60 * 24 * 400, received=1, temperature_c=9))
    worker.store(told(60 * 24 * 400, "2", received=1, temperature_c=9), told(60 * 24 * 401, "2", received=1, temperature_c=9))
    assert not Alarm.objects.exists()


def test_a_report_without_a_time_counts_when_it_is_received(worker: Worker) -> None:
    add()
    for at, warmth in ((1, 9), (2, 1)):
        sent = report(f"{at}".encode(), None, values={"temperature_c": warmth})
        worker.store(incoming(sent, identity="1", received_at=NOON + minutes(at)))
    assert events() == [("opened", 1), ("ended", 2)]


@pytest.mark.parametrize("store", [at_once, one_by_one])
def test_a_report_that_does_not_tell_of_it_changes_nothing(store: Store, worker: Worker) -> None:
    add()
    store(worker, [told(0, temperature_c=9), told(1, battery_v=3), told(2, temperature_c=None), told(3, temperature_c="broken")])
    assert life()[2]
    store(worker, [told(4, temperature_c=8)])
    assert not life()[2]


@pytest.mark.parametrize("store", [at_once, one_by_one, by_others])
def test_what_a_report_does_not_tell_is_taken_from_those_before(store: Store, worker: Worker) -> None:
    add(when={"all": [HOT, {"channel": "door_open", "op": "==", "value": True}]})
    store(worker, [told(0, door_open=True), told(1, temperature_c=9), told(2, battery_v=3), told(3, door_open=False)])
    assert events() == [("opened", 1), ("ended", 3)]
    store(worker, [told(4, door_open=True), told(5, temperature_c=2)])
    assert events()[2:] == [("resumed", 4), ("ended", 5)]


def test_values_of_a_batch_s_later_reports_say_nothing_of_its_earlier_ones(worker: Worker) -> None:
    add(when={"all": [HOT, {"channel": "door_open", "op": "==", "value": True}]})
    worker.store(told(0, door_open=False))
    worker.store(told(1, temperature_c=9), told(2, temperature_c=1), told(3, door_open=True))
    assert not Alarm.objects.exists()


def test_rules_are_for_those_that_they_are_for(worker: Worker) -> None:
    for identity in "12345":
        devices.add("fake", identity, "", ANA)
    groups.add("North", ANA)
    groups.add("North/Plant", ANA)
    devices.move("fake", "1", "North/Plant", ANA)
    devices.tag("fake", "2", ["reefer"], [], ANA)
    add("group", scope={"group": "North"})
    add("tag", scope={"tag": "Reefer"})
    add("protocol", scope={"protocol": "other"})
    add("devices", scope={"devices": [{"protocol": "fake", "identity": "3"}]})
    worker.store(*(told(0, identity, temperature_c=9) for identity in "1234"))
    assert phases() == [("1", "group", "active"), ("2", "tag", "active"), ("3", "devices", "active")]
    devices.tag("fake", "4", ["reefer"], [], ANA)
    devices.tag("fake", "2", [], ["reefer"], ANA)
    worker.store(*(told(0.5, identity, temperature_c=9) for identity in "1234"))
    assert phases() == [("1", "group", "active"), ("3", "devices", "active"), ("4", "tag", "active")]
    groups.add("South", ANA)
    groups.move("North/Plant", "South", ANA)
    worker.store(*(told(1, identity, temperature_c=9) for identity in "1234"))
    assert phases() == [("3", "devices", "active"), ("4", "tag", "active")]
    assert [Alarm.objects.get(kind=f"rule:{name}", device__identity=id).is_ongoing for name, id in (("group", 1), ("tag", 2))] == [
        False,
        False,
    ]


def test_a_changed_rule_begins_anew(worker: Worker) -> None:
    add()
    worker.store(told(0, "1", temperature_c=9), told(0, "2", temperature_c=25))
    changes.change(declared({"name": "hot", "when": HOT | {"value": 20}}), ANA)
    worker.store(told(1, "1", temperature_c=9), told(1, "2", temperature_c=25))
    assert events() == [("opened", 0), ("ended", 1)]
    assert sorted(events(identity="2")) == [("ended", 1), ("opened", 0), ("resumed", 1)]
    assert phases() == [("2", "hot", "active")]
    Worker().store(told(2, "2", temperature_c=25))
    assert len(events(identity="2")) == 3, "a process that begins knows it as it is"


def test_a_disabled_rule_s_alarm_ends_with_the_next_report(worker: Worker) -> None:
    add()
    worker.store(told(0, temperature_c=9))
    changes.set_enabled("hot", False, ANA)
    worker.store(told(1, temperature_c=9))
    assert events() == [("opened", 0), ("ended", 1)]
    worker.store(told(2, temperature_c=9))
    assert (len(events()), phases()) == (2, [])


def test_a_device_cannot_tell_a_rule_s_alarm(worker: Worker) -> None:
    add()
    worker.store(told(0, temperature_c=9))
    sent = incoming(report(b"forged", NOON + minutes(1), alarms=["rule:hot"]), identity="2", received_at=NOON)
    assert write([sent], is_open=anybody, rules=worker.known) == {0: Outcome.QUARANTINED}
    assert Quarantine.objects.get().device.identity == "2"
    assert Alarm.objects.count() == 1


def test_what_a_device_tells_of_its_own_alarms_leaves_those_of_rules(worker: Worker) -> None:
    add()
    worker.store(told(0, temperature_c=9))
    worker.store(incoming(report(b"sos", NOON + minutes(1), alarms=["sos"]), identity="1", received_at=NOON + minutes(1)))
    worker.store(told(2, door_open=True))
    assert {found.kind: found.is_ongoing for found in Alarm.objects.all()} == {"rule:hot": True, "sos": False}


def test_a_rule_opens_no_more_alarms_than_it_may_have_and_says_so(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("store.rules.evaluation.MOST_STANDINGS", 3)
    add()
    add("other", {"channel": "door_open", "op": "==", "value": True})
    for at in range(2):
        worker.store(*(told(at, f"{number}", temperature_c=9, door_open=number == 4) for number in range(5)))
    assert len(phases()) == 4
    assert Event.objects.count() == 4
    assert [(record.message, record.alarm) for record in caplog.records] == [  # type: ignore[attr-defined]
        ("a rule has as many alarms as it may have, it opens no more", "rule:hot")
    ]
    worker.store(*(told(2, f"{number}", temperature_c=9 if number else 1) for number in range(5)))
    assert [phase for phase in phases() if phase[0] == "0"] == []
    worker.store(*(told(3, f"{number}", temperature_c=9) for number in range(1, 5)))
    assert len([phase for phase in phases() if phase[1] == "hot"]) == 3, "where one has ended another one is opened"


def test_without_rules_nothing_is_asked_for_but_whether_there_are_any(
    worker: Worker,
) -> None:
    worker.store(told(0, temperature_c=9))
    with CaptureQueriesContext(connection) as captured:
        worker.store(told(1, temperature_c=9))
    asked = [query["sql"] for query in captured.captured_queries if "store_rule" in query["sql"]]
    assert asked == ["SELECT version, members FROM store_rulebook"]


def test_two_writers_of_the_same_devices_open_each_alarm_once() -> None:
    add()
    add("open", {"all": [HOT, {"channel": "door_open", "op": "==", "value": True}]}, for_seconds=1)
    fleet = [f"{number}" for number in range(100)]
    start = threading.Barrier(3)

    def run(writer: int) -> None:
        worker = Worker()
        chance = random.Random(writer)
        try:
            for at in range(4):
                batch = [told(at, identity, temperature_c=9 if at < 3 else 1, door_open=True) for identity in fleet]
                if writer == 2:
                    batch += [told(at + 0.5, identity, battery_v=writer) for identity in fleet]
                chance.shuffle(batch)
                start.wait(30)
                worker.store(*batch)
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(run, writer) for writer in range(3)]:
            future.result(60)
    assert not RuleState.objects.exists()
    assert Event.objects.filter(subject="rule:hot").count() == 2 * len(fleet)
    assert {(found.kind, found.is_ongoing) for found in Alarm.objects.all()} == {("rule:hot", False), ("rule:open", False)}
    assert set(events(identity="7")) == {("opened", 0), ("ended", 3)}


def test_what_is_known_of_devices_is_bounded(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rulebook, "MOST_DEVICES", 3)
    add(scope={"protocol": "fake"})
    worker.store(*(told(0, f"{number}", temperature_c=9) for number in range(3)))
    worker.store(*(told(1, f"{number}", temperature_c=1) for number in range(2, 5)))
    assert phases() == [("0", "hot", "active"), ("1", "hot", "active")]
