"""An alarm's life follows from what is told, in whatever order and however often it is stored."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from protocols.message import Outcome
from protocols.report import Report
from store import handling, models
from store.alarms import DeviceAlarm
from store.audit import Actor
from store.bulk import Incoming, write
from store.models import Alarm, AlarmReason, AlarmState, Event, Quarantine
from tests.records import NOON, anybody, incoming, minutes, report

pytestmark = pytest.mark.usefixtures("database_url")
ANA = Actor("ana")


def told(at: float, *alarms: str, identity: str = "1", received: float | None = None, **fields: Any) -> Incoming:
    sent = report(f"{at} {alarms} {fields}".encode(), NOON + minutes(at), alarms=list(alarms), **fields)
    return incoming(sent, identity=identity, received_at=NOON + minutes(at if received is None else received))


def store(*batch: Incoming) -> None:
    assert write(batch, is_open=anybody) == {}


def sos() -> Alarm:
    return Alarm.objects.get(kind="sos")


def life(alarm: Alarm) -> tuple[str, float, float, int, bool]:
    return (alarm.state, _minute(alarm.first_at), _minute(alarm.last_at), alarm.times, alarm.is_ongoing)


def _minute(time: datetime) -> float:
    return (time - NOON) / timedelta(minutes=1)


def close() -> None:
    handling.close(sos().pk, "ana", AlarmReason.FALSE, "", ANA)


def test_an_alarm_is_opened_repeated_and_ended_by_what_the_device_says() -> None:
    store(told(0, "sos", latitude=31.5, longitude=2.0))
    assert life(sos()) == ("open", 0, 0, 1, True)
    store(told(1, "sos", "crash", latitude=32.0, longitude=2.0), told(2, "sos"))
    assert life(sos()) == ("open", 0, 2, 3, True)
    store(told(3, "crash"))
    assert life(sos()) == ("open", 0, 2, 3, False)
    assert (sos().latitude, sos().longitude) == (31.5, 2.0)
    assert life(Alarm.objects.get(kind="crash")) == ("open", 1, 3, 2, True)
    store(told(4, "sos"))
    assert life(sos()) == ("open", 0, 4, 4, True)
    assert sos().reopenings == 0


def events(subject: str = "sos") -> list[tuple[str, float]]:
    """What happened to an alarm, in the order of its time; what operators did at minute -1."""
    rows = Event.objects.filter(subject=subject).order_by("time", "id")
    return [(row.kind.removeprefix("alarm_"), -1 if "by" in row.detail else _minute(row.time)) for row in rows]


@pytest.mark.parametrize("in_one_batch", [True, False])
def test_what_happens_to_an_alarm_is_an_event_and_its_repeats_are_none(in_one_batch: bool) -> None:
    batch = [told(0, "sos", "crash"), told(1, "sos"), told(2), told(3, "sos"), told(4, "sos"), told(5)]
    for _ in range(2):
        for part in [batch] if in_one_batch else [[message] for message in batch]:
            store(*part)
    assert events() == [("opened", 0), ("ended", 2), ("resumed", 3), ("ended", 5)]
    assert events("crash") == [("opened", 0), ("ended", 1)]
    handling.acknowledge(sos().pk, "ana", "driver called", ANA)
    handling.close(sos().pk, "bob", AlarmReason.REAL, "", ANA)
    store(told(6, "sos"), told(7, "sos"))
    assert sorted(events()[4:]) == [("acknowledged", -1), ("closed", -1), ("reopened", 6)]
    details = dict(Event.objects.filter(subject="sos").exclude(detail={}).values_list("kind", "detail"))
    assert details == {
        "alarm_acknowledged": {"by": "ana", "note": "driver called"},
        "alarm_closed": {"by": "bob", "note": "driver called", "reason": "real"},
    }


def test_events_of_alarms_have_the_time_of_what_told_of_them() -> None:
    store(told(5), told(6))
    store(told(0, "sos"))
    assert events() == [("opened", 0), ("ended", 5)], "its end was stored before"
    store(told(60 * 24 * 400, "crash", received=7))
    assert events("crash") == [("opened", 7)], "a clock that is not believed"
    store(told(8, "siren", is_event=True), told(9, "siren"), told(10))
    assert events("siren") == [("opened", 8), ("ended", 10)], "a moment that then stands is not resumed"


def test_an_event_that_cannot_be_noted_takes_its_alarm_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    store(told(0, "sos"))
    monkeypatch.setattr(Event.objects, "create", lambda **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        close()
    assert sos().state == "open"


def test_each_device_has_its_own_alarms() -> None:
    store(told(0, "sos"), told(0, "sos", identity="2"), told(0, identity="3"))
    store(told(1, identity="2"))
    assert {alarm.device.identity: alarm.is_ongoing for alarm in Alarm.objects.all()} == {"1": True, "2": False}


def test_a_batch_written_again_counts_nothing_again() -> None:
    batch = [told(0, "sos", "sos"), told(1, "sos"), told(1, "sos")]
    store(*batch)
    store(*batch)
    assert life(sos()) == ("open", 0, 1, 2, True)
    close()
    store(*batch)
    assert life(sos()) == ("closed", 0, 1, 2, True)


def test_what_comes_late_neither_ends_nor_revives_what_is_newer() -> None:
    store(told(5, "sos"))
    store(told(1), told(2, "crash"), told(3, "sos"))
    assert life(sos()) == ("open", 3, 5, 2, True)
    store(told(10))
    store(told(7, "sos"))
    assert life(sos()) == ("open", 3, 7, 3, False)
    assert life(Alarm.objects.get(kind="crash")) == ("open", 2, 2, 1, False)


def test_only_a_report_of_the_kind_that_told_of_it_ends_an_alarm() -> None:
    store(told(0, "sos"))
    store(told(1, kind="driver_card"), incoming(report(b"heartbeat", None, kind="heartbeat"), identity="1"))
    assert sos().is_ongoing
    store(told(2))
    assert not sos().is_ongoing


def test_an_event_opens_and_repeats_an_alarm_and_is_never_ongoing() -> None:
    store(told(0, "sos", kind="alarm", is_event=True))
    assert life(sos()) == ("open", 0, 0, 1, False)
    store(told(1, "sos"), told(2, "sos", kind="alarm", is_event=True))
    assert life(sos()) == ("open", 0, 2, 3, True)
    store(told(3, kind="alarm", is_event=True))
    assert sos().is_ongoing
    store(told(4))
    assert not sos().is_ongoing


def test_a_report_without_a_date_is_of_the_time_it_was_received() -> None:
    store(incoming(report(time=None, kind="status", alarms=["sos"]), received_at=NOON + minutes(1)))
    assert life(sos()) == ("open", 1, 1, 1, True)
    store(incoming(report(time=None, kind="status"), received_at=NOON + minutes(2)))
    assert not sos().is_ongoing


def test_a_clock_far_ahead_opens_an_alarm_and_neither_holds_nor_ends_one() -> None:
    store(told(60 * 24 * 365 * 73, "sos", received=3))
    assert life(sos()) == ("open", 3, 3, 1, False)
    store(told(4, "sos"))
    store(told(60 * 24 * 365 * 73 + 1, received=5))
    assert life(sos()) == ("open", 3, 4, 2, True)
    store(told(2, "sos"))
    assert life(sos()) == ("open", 2, 4, 3, True)
    store(told(6))
    assert life(sos()) == ("open", 2, 4, 3, False)


def test_a_closed_alarm_is_opened_again_by_what_is_new_alone() -> None:
    store(told(0, "sos"), told(4, "sos"), told(5))
    close()
    store(told(2, "sos"))
    assert life(sos()) == ("closed", 0, 4, 2, False)
    store(told(6, "sos", latitude=33.0, longitude=2.0))
    assert life(sos()) == ("open", 6, 6, 1, True)
    assert (sos().reopenings, sos().latitude, sos().reason, sos().handled_by) == (1, 33.0, "false", "ana")
    store(told(3, "sos"))
    assert life(sos()) == ("open", 6, 6, 1, True)


@pytest.mark.parametrize("in_one_batch", [True, False])
def test_an_alarm_that_is_closed_while_it_stands_stays_so_until_it_has_ended(in_one_batch: bool) -> None:
    store(told(0, "sos"))
    close()
    store(told(1, "sos"))
    assert life(sos()) == ("closed", 0, 1, 2, True)
    batch = [told(2), told(3, "sos")]
    for part in [batch] if in_one_batch else [batch[:1], batch[1:]]:
        store(*part)
    assert life(sos()) == ("open", 3, 3, 1, True)


def test_an_acknowledged_alarm_stays_so_when_it_repeats() -> None:
    store(told(0, "sos"))
    Alarm.objects.update(state=AlarmState.ACKNOWLEDGED, note="called")
    store(told(1), told(2, "sos"))
    assert life(sos()) == ("acknowledged", 0, 2, 2, True)
    assert sos().note == "called"


@pytest.mark.parametrize("name", ["", "a" * 65, 5])
def test_an_alarm_that_has_no_name_puts_its_report_in_quarantine(name: Any) -> None:
    assert write([incoming(report(alarms=["sos", name]))], is_open=anybody) == {0: Outcome.QUARANTINED}
    assert Quarantine.objects.get().error_cause == "unstorable"
    assert not models.Report.objects.exists()
    assert not Alarm.objects.exists()


@pytest.mark.parametrize("seed", range(4))
def test_the_same_comes_of_batches_in_any_order_and_number(seed: int) -> None:
    """Against what the rule says of all reports at once, which no batch has together."""
    chance = random.Random(seed)
    messages = [_some_report(chance, number) for number in range(90)]
    for _ in range(2):
        chance.shuffle(messages)
        sent = [*messages, *chance.sample(messages, 30)]
        while sent:
            size = chance.choice((1, 1, 2, 5, 12))
            store(*sent[:size])
            del sent[:size]
        stored = {(alarm.device.identity, alarm.kind): _row(alarm) for alarm in Alarm.objects.select_related("device")}
        assert stored == _expected(messages)
        models.Report.objects.all().delete()
        Alarm.objects.all().delete()


def _some_report(chance: random.Random, number: int) -> Incoming:
    is_event = chance.random() < 0.2
    at = chance.choice((number, number, number // 2, number + 60 * 24 * 400)) if number % 9 else 40
    alarms = chance.choice(((), (), ("sos",), ("sos", "crash"), ("crash",)))
    place = chance.choice(({}, {"latitude": float(number), "longitude": 1.0}))
    kind = "alarm" if is_event else chance.choice(("location", "location", "status"))
    sent = report(f"{number}".encode(), NOON + minutes(at), kind=kind, alarms=list(alarms), is_event=is_event, **place)
    return incoming(sent, identity=chance.choice("123"), received_at=NOON + minutes(number))


def _expected(messages: Sequence[Incoming]) -> dict[tuple[str, str], tuple[object, ...]]:
    told: dict[str, list[tuple[datetime, Report, bool]]] = {}
    for message in messages:
        (sent,) = message.decoded.reports
        assert sent.time is not None
        is_believed = sent.time <= message.received_at + timedelta(hours=25)
        at = sent.time if is_believed else message.received_at
        told.setdefault(message.message.identity, []).append((at, sent, is_believed))
    found = {(device, alarm): _life(rows, alarm) for device, rows in told.items() for alarm in ("sos", "crash")}
    return {key: row for key, row in found.items() if row}


def _life(rows: list[tuple[datetime, Report, bool]], alarm: str) -> tuple[object, ...] | None:
    has = [row for row in rows if alarm in row[1].alarms]
    if not has:
        return None
    first = min(at for at, _, _ in has)
    places = [(sent.latitude, sent.longitude) for at, sent, _ in has if at == first and sent.latitude is not None]
    stands = max(((at, sent.kind) for at, sent, is_believed in has if is_believed and not sent.is_event), default=None)
    is_ended = any(is_believed and stands and at > stands[0] and sent.kind == stands[1] for at, sent, is_believed in rows)
    is_ongoing = stands is not None and not is_ended
    return first, max(at for at, _, _ in has), len(has), is_ongoing, min(places, default=(None, None))


def _row(alarm: Alarm) -> tuple[object, ...]:
    return (alarm.first_at, alarm.last_at, alarm.times, alarm.is_ongoing, (alarm.latitude, alarm.longitude))


def test_whoever_handles_an_alarm_first_is_the_one() -> None:
    store(told(0, "sos"))
    before = datetime.now(UTC)
    handling.acknowledge(sos().pk, "ana", "driver called", ANA)
    alarm = sos()
    assert (alarm.state, alarm.handled_by, alarm.note) == ("acknowledged", "ana", "driver called")
    assert alarm.handled_at is not None
    assert before <= alarm.handled_at <= datetime.now(UTC)
    with pytest.raises(handling.HandledError, match="by ana"):
        handling.acknowledge(sos().pk, "bob", "", ANA)
    handling.close(sos().pk, "bob", AlarmReason.REAL, "", ANA)
    # Whoever closes it without a word leaves the one that is there.
    assert (sos().state, sos().handled_by, sos().note, sos().reason) == ("closed", "bob", "driver called", "real")
    for handle in (
        lambda: handling.acknowledge(sos().pk, "eve", "", ANA),
        lambda: handling.close(sos().pk, "eve", AlarmReason.TEST, "", ANA),
    ):
        with pytest.raises(handling.HandledError, match="by bob"):
            handle()
    with pytest.raises(Alarm.DoesNotExist):
        handling.acknowledge(sos().pk + 1, "eve", "", ANA)
    assert sos().reason == "real"


def test_what_the_writer_changes_are_columns() -> None:
    assert set(DeviceAlarm.__dataclass_fields__) <= {field.attname for field in Alarm._meta.concrete_fields}
