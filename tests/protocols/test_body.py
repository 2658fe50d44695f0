from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from construct import Array, Bytes, Const, GreedyBytes, If, Int8ub, Int16ub, Prefixed, Struct, this

from protocols.body import json_value, read, values
from protocols.fields import BcdTime, Bit, Flags, Secret, Text
from protocols.items import Items, UntilEnd
from protocols.report import DecodeError

BODY = Struct(
    "flags" / Flags(Int8ub, {0: Bit("on", "On")}) * "Flags",
    "name" / Text(4) * "Name",
    "code" / Secret(Text(2)) * "Code",
    "inner" / Struct("raw" / Bytes(2), "time" / BcdTime(0)) * "Inner",
    "extra" / GreedyBytes * "Extra",
)


def test_values_are_json_without_secrets_and_empty_extras() -> None:
    parsed = read(BODY, b"\x81 AB hiXY\x24\x10\x01\x23\x59\x59")
    shown = values(BODY, parsed)
    assert shown == {"flags": ["on"], "name": " AB", "inner": {"raw": "5859", "time": "2024-10-01T23:59:59Z"}}
    assert type(shown["name"]) is str
    assert json.loads(json.dumps(shown)) == shown
    assert values(BODY, read(BODY, b"\x81 AB hiXY\x24\x10\x01\x23\x59\x59\xff"))["extra"] == "ff"


NESTED = Struct(
    "on" / Int8ub * "On",
    "more" / If(this.on, Secret(Text(1))) * "More",
    "depth" / If(this.on, Int8ub) * "Depth",
    "pair" / Array(1, Struct("open" / Int8ub, "code" / Secret(Int8ub))) * "Pair",
    "items" / Prefixed(Int8ub, Items({1: ("speed" / Int8ub,), 2: ("code" / Secret(Text()),)})) * "Items",
    "tail" / UntilEnd(Int16ub) * "Tail",
)


def test_secrets_are_left_out_at_any_depth_and_fields_that_are_not_there() -> None:
    items = bytes.fromhex("010105 010106 02026869 0901aa 02096869")
    shown = values(NESTED, read(NESTED, bytes([1, 0x41, 3, 7, 8, len(items)]) + items + bytes([0, 1, 9])))
    assert shown == {
        "on": 1,
        "depth": 3,
        "pair": [{"open": 7}],
        "items": {"speed": 5, "items": [{"id": "0x01", "raw": "06"}, {"id": "0x09", "raw": "aa"}], "trailing_bytes": 4},
        "tail": [1],
        "trailing": "09",
    }
    assert values(NESTED, read(NESTED, bytes([0, 7, 8, 0]))) == {"on": 0, "pair": [{"open": 7}], "items": {}, "tail": []}


@pytest.mark.parametrize(
    ("body", "path", "text"),
    [(b"", "flags", "1 > 0 left"), (b"\1A", "name", "4 > 1 left"), (b"\1ABCDhiX", "inner.raw", "2 > 1 left")],
)
def test_short_body_is_told_with_the_field_that_lacks_bytes(body: bytes, path: str, text: str) -> None:
    with pytest.raises(DecodeError) as caught:
        read(BODY, body)
    assert (caught.value.cause, caught.value.path, caught.value.text) == ("truncated", path, text)


def test_impossible_value_is_told_with_its_field() -> None:
    with pytest.raises(DecodeError) as caught:
        read(Struct("mark" / Const(0x2323, Int16ub)), b"\0\0")
    assert (caught.value.cause, caught.value.path) == ("value", "mark")


def test_only_what_json_knows_comes_out() -> None:
    assert json_value([True, None, 1.5, b"\xff", (1,), datetime(2024, 1, 1, tzinfo=UTC)]) == [
        True,
        None,
        1.5,
        "ff",
        [1],
        "2024-01-01T00:00:00Z",
    ]
    with pytest.raises(TypeError, match="object has no JSON form"):
        json_value(object())
