from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from construct import Array, Bytes, GreedyBytes, If, Int8sb, Int8ub, Int16ub, Prefixed, Struct, this

from protocols.fields import BcdTime, Bit, Choice, Count, Flags, Option, Scaled, Secret, Text, UnixTime
from protocols.filling import fill
from protocols.items import Item, Items, UntilEnd

BITS = {0: Bit("on", "On"), 1: Bit("load", "Load", 2, ("empty", "half", "full", "more")), 3: Bit("level", "Level", 2)}
TABLE: dict[int, Any] = {
    1: ("place" / Struct("kind" / Int8ub), "place" / Struct("kind" / Int8ub, "id" / Int16ub)),
    2: ("secret" / Secret(Text()),),
}
BODY = Struct(
    "flags" / Flags(Int8ub, BITS) * "Flags",
    "depth" / If(this.flags & 1, Scaled(Int8sb, 10, "m")) * "Depth",
    "count" / Count(Int8ub, "entries") * "Count",
    "entries" / Array(this.count, Struct("mode" / Choice(Int8ub, {1: Option("go", "Go")}), "raw" / Bytes(2))) * "Entries",
    "name" / Secret(Prefixed(Int8ub, Text())) * "Name",
    "time" / BcdTime(0) * "Time",
    "items" / Prefixed(Int8ub, Items(TABLE)) * "Items",
    "tail" / UntilEnd(Int16ub) * "Tail",
)
GOOD: dict[str, Any] = {
    "flags": {"on": True, "load": "full", "level": 2},
    "depth": -1.5,
    "entries": [{"mode": "go", "raw": "abcd"}, {"mode": 7, "raw": b"\1\2"}],
    "name": "AB",
    "time": "2026-03-01T00:00:00Z",
    "items": {"place": {"kind": 1, "id": 2}, "secret": "x", "0x09": "ff"},
    "tail": [1, 2],
}
BYTES = "15 f1 02 01abcd 070102 02 4142 260301000000 0b 0103010002 020178 0901ff 0001 0002"


def test_everything_is_built_from_plain_values() -> None:
    assert fill(BODY, GOOD).hex() == bytes.fromhex(BYTES).hex()
    assert fill(BODY, GOOD | {"count": 2, "flags": 0x15, "time": "260301000000"}) == fill(BODY, GOOD)
    assert fill(BODY, BODY.parse(fill(BODY, GOOD))) == fill(BODY, GOOD)
    assert fill(BODY, GOOD | {"items": [Item(9, 1, "", b"\xff")]})[-8:].hex() == "03" + "0901ff" + "00010002"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"flags": {"load": "huge"}}, "flags.load: 'huge' is none of empty, half, full, more"),
        ({"flags": {"level": 4}}, "flags.level: 4 is none of 0 to 3"),
        ({"flags": 256}, "flags: 256 is no whole number from 0 to 255"),
        ({"flags": 3.5}, "flags: 3.5 is not made of on, load, level"),
        ({"flags": 0}, "depth: -1.5 has no place, as the other fields say"),
        ({"depth": None}, "depth: missing, as the other fields say (m): Depth"),
        ({"depth": 12.8}, "depth: 12.8 is no number from -12.8 to 12.7 m"),
        ({"depth": True}, "depth: True is no number from -12.8 to 12.7 m"),
        ({"entries": [{"mode": "stop", "raw": "abcd"}]}, "entries[0].mode: 'stop' is none of go"),
        ({"entries": [{"mode": 300, "raw": "abcd"}]}, "entries[0].mode: 300 is no whole number from 0 to 255"),
        ({"entries": [{"mode": "go", "raw": "ab"}]}, "entries[0].raw: 1 bytes, where there are 2"),
        ({"entries": [{"mode": "go"}]}, "entries[0].raw: missing"),
        ({"name": "x" * 256}, "bytes, where there may be 255"),
        ({"name": "\ud800"}, "cannot be written in gb18030"),
        ({"time": "1999-01-01T00:00:00Z"}, "is not from 2000 to 2099"),
        ({"time": 7}, "time: 7 is no time with a time zone"),
        ({"items": {"place": {"kind": 1, "id": "x"}}}, "items.place.id: 'x' is no whole number from 0 to 65535"),
        ({"items": {"other": 1}}, "items.other: there is no such item"),
        ({"tail": [1, 70000]}, "tail[1]: 70000 is no whole number from 0 to 65535"),
        ({"more": 1}, "more: there is no such field, but flags, depth"),
        ({"count": 1}, "expected 1 elements, found 2"),
    ],
)
def test_what_cannot_be_is_told(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        fill(BODY, GOOD | changes)
    assert text in str(caught.value)


def test_bytes_behind_may_be_left_out() -> None:
    body = Struct("kind" / Int8ub * "Kind", "extra" / GreedyBytes * "Extra")
    assert (fill(body, {"kind": 1}), fill(body, {"kind": 1, "extra": "ab"})) == (b"\1", b"\1\xab")


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        ("2026-06-01T12:00:00Z", "6a1d7440"),
        ("2026-06-01T20:00:00+08:00", "6a1d7440"),
        (datetime(2026, 6, 1, 12, tzinfo=UTC), "6a1d7440"),
        (0, "00000000"),
    ],
)
def test_a_count_since_1970_is_filled_in_as_a_time_or_a_number(value: Any, raw: str) -> None:
    assert fill(Struct("time" / UnixTime() * "Time"), {"time": value}).hex() == raw


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("soon", "no time of ISO 8601"),
        ("2026-06-01T12:00:00", "no time with a time zone"),
        ("2107-01-01T00:00:00Z", "does not fit"),
        (-1, "no whole number from 0"),
        (1.5, "no whole number from 0"),
    ],
)
def test_a_count_since_1970_that_cannot_be_is_refused(value: Any, why: str) -> None:
    with pytest.raises(ValueError, match=f"^time: .*{why}"):
        fill(Struct("time" / UnixTime() * "Time"), {"time": value})
