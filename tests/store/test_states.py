"""A state is the newest that is known of a device, whatever order reports come in."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest

from protocols.report import DecodeError
from store.bulk import Incoming, write
from store.models import Report, State
from store.rows import prepare
from store.states import DeviceState
from tests.records import NOON, anybody, incoming, minutes, report

pytestmark = pytest.mark.usefixtures("database_url")

HOW_VALUES_ARE_KEPT = {"newest", "newest_names", "earlier"}
FOLDED = ["values", *sorted(DeviceState.__dataclass_fields__.keys() - {"device_id"} - HOW_VALUES_ARE_KEPT)]


def store(*reports: object, at: float = 0, identity: str = "1", **fields: object) -> None:
    write([incoming(*reports, identity=identity, received_at=NOON + minutes(at), **fields)], is_open=anybody)  # type: ignore[arg-type]


def position(at: float, latitude: float, **fields: object) -> object:
    return report(f"{at} {latitude}".encode(), NOON + minutes(at), latitude=latitude, longitude=2.0, **fields)


def test_a_state_is_the_newest_report() -> None:
    store(position(0, 10.0, speed_kmh=5.0, course_deg=7.0, values={"a": 1, "b": 1}, alarms=["sos"]))
    store(position(1, 11.0, altitude_m=3.0, values={"b": 2, "c": None}), at=1)
    state = State.objects.get()
    assert (state.time, state.position_time, state.last_seen) == (NOON + minutes(1),) * 3
    assert (state.latitude, state.longitude, state.altitude_m, state.speed_kmh, state.course_deg) == (11.0, 2.0, 3.0, None, None)
    assert state.values == {"a": 1, "b": 2, "c": None}
    assert state.alarms == []


@pytest.mark.parametrize("in_one_batch", [True, False])
def test_an_older_report_leaves_the_state_as_it_is(in_one_batch: bool) -> None:
    newer, older = position(5, 15.0, values={"a": 5}, alarms=["sos"]), position(1, 11.0, values={"a": 1, "b": 1})
    batch = [incoming(newer, received_at=NOON + minutes(6)), incoming(older, received_at=NOON + minutes(7))]
    for part in [batch] if in_one_batch else [batch[:1], batch[1:]]:
        write(part, is_open=anybody)  # type: ignore[arg-type]
    state = State.objects.get()
    assert (state.time, state.latitude, state.values["a"], state.alarms) == (NOON + minutes(5), 15.0, 5, ["sos"])
    assert state.last_seen == NOON + minutes(7)
    # Told together, the older one came first and left what the newer one does not speak of; told late, it is history.
    assert ("b" in state.values) == in_one_batch


def test_last_seen_never_goes_back() -> None:
    store(position(0, 10.0), at=5)
    store(position(1, 11.0), at=3)
    state = State.objects.get()
    assert (state.last_seen, state.latitude) == (NOON + minutes(5), 11.0)


@pytest.mark.parametrize(
    ("ahead", "is_believed"), [(timedelta(hours=24, minutes=59), True), (timedelta(hours=25, seconds=1), False)]
)
def test_a_clock_far_ahead_is_not_believed(ahead: timedelta, is_believed: bool) -> None:
    store(position(0, 10.0))
    write([incoming(report(b"future", NOON + ahead, latitude=20.0, longitude=2.0, values={"a": 1}), identity="1")], is_open=anybody)
    state = State.objects.get()
    assert (state.latitude == 20.0, state.time != NOON, "a" in state.values) == (is_believed,) * 3
    assert Report.objects.count() == 2
    store(position(1, 11.0), at=1)
    assert (State.objects.get().latitude == 11.0) is not is_believed


@pytest.mark.parametrize(
    "place",
    [{"values": {"fix": False}, "latitude": 9.0, "longitude": 9.0}, {"latitude": 91.0, "longitude": 9.0}, {"latitude": 9.0}, {}],
)
def test_only_a_position_moves_the_position(place: dict[str, object]) -> None:
    store(position(0, 10.0, speed_kmh=50.0))
    store(report(b"no fix", NOON + minutes(2), speed_kmh=1.0, alarms=["gnss"], **place), at=2)
    state = State.objects.get()
    assert (state.latitude, state.longitude, state.speed_kmh, state.position_time) == (10.0, 2.0, 50.0, NOON)
    assert (state.time, state.alarms) == (NOON + minutes(2), ["gnss"])
    store(position(1, 11.0, values={"late": 1}, alarms=["sos"]), at=3)
    state = State.objects.get()
    assert (state.latitude, state.position_time) == (11.0, NOON + minutes(1))
    assert (state.time, state.alarms, "late" in state.values) == (NOON + minutes(2), ["gnss"], False)


def test_a_report_without_date_gives_values_and_hides_no_position_of_a_slow_clock() -> None:
    store(position(-30, 10.0, alarms=["sos"]), at=0)
    store(report(b"attributes", None, values={"firmware": "2.1"}), at=1)
    store(position(-29, 11.0, alarms=["sos"]), at=1)
    state = State.objects.get()
    assert (state.latitude, state.time, state.last_seen) == (11.0, NOON - minutes(29), NOON + minutes(1))
    assert (state.values, state.alarms) == ({"firmware": "2.1"}, ["sos"])
    store(report(b"older attributes", None, values={"firmware": "2.0"}), at=0.5)
    assert State.objects.get().values == {"firmware": "2.1"}


def test_a_message_in_quarantine_was_seen() -> None:
    store(error=DecodeError("truncated", "", "cut"), at=4)
    state = State.objects.get()
    assert (state.last_seen, state.time, state.values, state.alarms) == (NOON + minutes(4), None, {}, [])


def test_each_device_has_its_own_state() -> None:
    batch = [incoming(report(b"b", latitude=float(n), longitude=0.0), identity=str(n)) for n in range(20)]
    write(batch, is_open=anybody)
    write(batch[::-1], is_open=anybody)
    found = {state.device.identity: state.latitude for state in State.objects.select_related("device")}
    assert found == {str(n): float(n) for n in range(20)}


def test_of_two_positions_of_one_time_the_later_one_counts() -> None:
    store(position(0, 10.0))
    store(position(0, 11.0))
    assert State.objects.get().latitude == 11.0


def test_a_first_report_without_a_date_says_neither_place_nor_alarms() -> None:
    store(report(time=None, latitude=1.0, longitude=2.0, values={"a": 1}, alarms=["sos"]), at=3)
    state = State.objects.get()
    assert (state.time, state.position_time, state.latitude, state.alarms) == (None, None, None, [])
    assert (state.last_seen, state.values) == (NOON + minutes(3), {"a": 1})


@pytest.mark.parametrize("seed", range(3))
def test_the_database_folds_as_the_rule_says(seed: int) -> None:
    """Batches of one report to a device and of several, late and early, dated or not, against DeviceState alone."""
    chance = random.Random(seed)
    expected = {str(identity): DeviceState(0) for identity in range(6)}
    for turn in range(60):
        batch = [_some_message(chance, turn, chance.choice([*expected])) for _ in range(chance.choice((1, 3, 8)))]
        by_device: dict[str, list[Any]] = {}
        for message in batch:
            by_device.setdefault(message.message.identity, []).append(prepare(message))
        for identity, messages in by_device.items():
            expected[identity].take_all(messages)
        write(batch, is_open=anybody)
        stored = {state.device.identity: state for state in State.objects.select_related("device")}
        for identity, state in stored.items():
            assert {name: getattr(state, name) for name in FOLDED} == {name: getattr(expected[identity], name) for name in FOLDED}
    assert len(stored) == len(expected)


def _some_message(chance: random.Random, turn: int, identity: str) -> Incoming:
    reports = []
    for number in range(chance.choice((0, 1, 1, 1, 1, 1, 2, 3))):
        time = chance.choice(
            [None, NOON + minutes(turn + chance.randrange(-9, 9)), NOON + minutes(turn + chance.choice((0, 9**4)))]
        )
        place = chance.choice([{}, {"latitude": float(turn), "longitude": 1.0, "speed_kmh": chance.choice((None, 2.0))}])
        names = chance.choice(("", "ab", "ab", "bcd", "bcd", chance.sample("abcdef", chance.randrange(5))))
        values = {name: chance.choice((None, turn, 0.5, [turn], {"a": turn})) for name in names}
        fields: dict[str, Any] = {**place, "values": values, "alarms": chance.choice(([], ["sos"], ["crash", "sos"]))}
        reports.append(report(f"{turn} {number} {chance.random()}".encode(), time, **fields))
    error = None if reports else DecodeError("cut", "", "")
    return incoming(*reports, identity=identity, received_at=NOON + minutes(turn + chance.randrange(-2, 2)), error=error)
