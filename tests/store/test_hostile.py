"""Values from the wire that databases choke on: stored cleaned, quarantined or refused, never in the way of others."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest

from protocols.message import Outcome
from protocols.report import DecodeError
from store.bulk import write, writer
from store.bulk.postgresql import PostgreSQLTables
from store.bulk.sqlite import SQLiteTables
from store.models import Device, Quarantine, Report, State
from tests.records import NOON, anybody, incoming, report

pytestmark = pytest.mark.usefixtures("database_url")

GOOD = incoming(report(b"good"), identity="good")


@pytest.fixture(params=[1, 1000], autouse=True, ids=["in parts", "at once"])
def smallest_part(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bad ones in a part of their own, while the database is at another's, too."""
    monkeypatch.setattr(writer, "SMALLEST_PART", request.param)


def write_beside_good(*messages: object) -> list[Outcome | None]:
    """Store them in the middle of good ones, which must all arrive; what became of them."""
    batch = [GOOD, *messages, incoming(report(b"good too"), identity="good")]
    outcomes = write(batch, is_open=anybody)  # type: ignore[arg-type]
    assert Report.objects.filter(device__identity="good").count() == 2
    assert not {0, len(batch) - 1} & outcomes.keys()
    return [outcomes.get(index + 1) for index in range(len(messages))]


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("values", "stored"),
    [
        ({"text": "a\0b", "key\0": 1}, {"text": "a\ufffdb", "key\ufffd": 1}),
        ({"text": "\\u0000"}, {"text": "\\u0000"}),
        ({"half": "\ud800!"}, {"half": "?!"}),
        ({"nan": math.nan, "inf": [math.inf, -math.inf, 1.5]}, {"nan": None, "inf": [None, None, 1.5]}),
        ({"raw": b"\x00\xff", "pair": (1, 2)}, {"raw": "00ff", "pair": [1, 2]}),
        ({"big": 2**80, "quote": "'; DROP TABLE store_report; --", "中": "文\u202e"},) * 2,
        ({1: "number as name"}, {"1": "number as name"}),
    ],
)
def test_values_are_cleaned(values: dict[str, Any], stored: dict[str, Any]) -> None:
    assert write_beside_good(incoming(report(values=values), identity="1")) == [None]
    assert Report.objects.get(device__identity="1").values == stored
    assert State.objects.get(device__identity="1").values == stored


def test_numbers_that_are_none_are_stored_as_none() -> None:
    sent = report(latitude=math.nan, longitude=math.inf, speed_kmh=-math.inf, altitude_m=1e308)
    assert write_beside_good(incoming(sent, identity="1")) == [None]
    row = Report.objects.get(device__identity="1")
    assert (row.latitude, row.longitude, row.speed_kmh, row.altitude_m) == (None, None, None, 1e308)
    assert State.objects.get(device__identity="1").position_time is None


@pytest.mark.parametrize(
    "fields",
    [
        {"values": {"object": object()}},
        {"values": {"deep": nested(5_000)}},
        {"kind": "k" * 65},
        {"latitude": "north"},
        {"altitude_m": 10**400},
        {"time": "noon"},
    ],
)
def test_a_report_no_column_takes_is_quarantined(fields: dict[str, Any]) -> None:
    sent = incoming(report(b"fine"), report(b"bad", **fields), identity="1", body=b"both")
    assert write_beside_good(sent) == [Outcome.QUARANTINED]
    assert [bytes(row.body) for row in Report.objects.filter(device__identity="1")] == [b"fine"]
    row = Quarantine.objects.get()
    assert (row.error_cause, bytes(row.body)) == ("unstorable", b"both")


@pytest.mark.parametrize("time", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)])
def test_the_ends_of_time_are_stored(time: datetime) -> None:
    assert write_beside_good(incoming(report(time=time), identity="1")) == [None]
    assert Report.objects.get(device__identity="1").time == time


def test_a_time_without_zone_is_utc() -> None:
    write_beside_good(incoming(report(time=NOON.replace(tzinfo=None)), identity="1"))
    assert Report.objects.get(device__identity="1").time == NOON


@pytest.mark.parametrize(
    "fields",
    [
        {"identity": ""},
        {"identity": "i" * 65},
        {"identity": "a\0b"},
        {"identity": "\ud800"},
        {"protocol": "p" * 33},
        {"protocol": "p\0"},
        {"kind": 2**63},
        {"sequence": -(2**63) - 1},
    ],
)
def test_what_can_have_no_row_is_refused(fields: dict[str, Any]) -> None:
    assert write_beside_good(incoming(report(), **fields)) == [Outcome.REFUSED]
    assert Device.objects.get().identity == "good"


def test_the_longest_there_may_be_is_stored() -> None:
    error = DecodeError("c" * 99, "p\0" * 9_999, "t" * 99_999)
    sent = incoming(report(kind="k" * 64), identity="i" * 64, protocol="p" * 32, kind=2**63 - 1, sequence=-(2**63), error=error)
    assert write_beside_good(sent._replace(kind="k" * 99)) == [Outcome.QUARANTINED]
    row = Quarantine.objects.get()
    assert (len(row.kind), row.kind_id, row.sequence) == (64, 2**63 - 1, -(2**63))
    assert (len(row.error_cause), len(row.error_path), len(row.error_text)) == (64, 2_000, 2_000)
    assert Report.objects.get(device=row.device).kind == "k" * 64


def test_an_identity_is_only_ever_text() -> None:
    names = ["'", '"', "%s", "{}", "[1]", "\\", "null", "京A·88213", "\u202eabc", "a,b\n"]
    assert write_beside_good(*(incoming(report(), identity=name, protocol=name) for name in names)) == [None] * len(names)
    assert set(Device.objects.exclude(identity="good").values_list("protocol", "identity")) == {(name, name) for name in names}


def test_a_row_the_database_refuses_is_found_and_quarantined(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if :func:`store.rows.prepare` had missed something: here, a sequence that no database takes."""
    prepare = writer.prepare

    def careless(message: Any) -> Any:
        prepared = prepare(message)
        if message.message.body == b"bad":
            prepared.reports[:] = [each._replace(row=each.row._replace(sequence=2**70)) for each in prepared.reports]
        return prepared

    monkeypatch.setattr(writer, "prepare", careless)
    bad = [incoming(report(b"bad"), identity=str(n)) for n in range(3)]
    fine = [incoming(report(b"fine"), identity=str(n)) for n in range(20)]
    outcomes = write([*fine[:10], *bad, *fine[10:]], is_open=anybody)
    assert outcomes == dict.fromkeys(range(10, 13), Outcome.QUARANTINED)
    assert Report.objects.count() == 20
    assert sorted(Quarantine.objects.values_list("device__identity", "error_cause")) == [(str(n), "unstorable") for n in range(3)]


def test_a_failure_in_the_middle_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("cut off")

    for tables in (PostgreSQLTables, SQLiteTables):
        monkeypatch.setattr(tables, "bring_forward", fail)
    with pytest.raises(RuntimeError):
        write([GOOD, incoming(error=DecodeError("a", "b", "c"))], is_open=anybody)
    assert [model.objects.count() for model in (Device, Report, State, Quarantine)] == [0, 0, 0, 0]
    monkeypatch.undo()
    assert write([GOOD], is_open=anybody) == {}


def test_odd_names_of_devices_are_told_apart_and_found_again() -> None:
    odd = ['"', "'", "\\", "\\u0041", "A", "a\nb", "a\x1fb", "京A·88213", "\U0001f69a", "%s", "{}", "null", " ", "a", "a "]
    for body in (b"first", b"second"):
        write([incoming(report(body), identity=name) for name in odd], is_open=anybody)
    assert sorted(Device.objects.values_list("identity", flat=True)) == sorted(odd)
    assert Report.objects.count() == 2 * len(odd)
