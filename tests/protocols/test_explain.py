from __future__ import annotations

from typing import Any

import pytest
from construct import (
    Array,
    Bytes,
    Const,
    GreedyBytes,
    If,
    IfThenElse,
    Int8ub,
    Int16ub,
    Prefixed,
    PrefixedArray,
    Struct,
    Switch,
    this,
)
from hypothesis import given
from hypothesis import strategies as st

from protocols.explain import explain
from protocols.explanation import UNREAD, BitValue, Field, Label
from protocols.fields import BCD, BcdTime, Bit, Choice, Flags, Option, Scaled, Secret, Text
from protocols.items import Items, Records, UntilEnd

PLACE = Struct("kind" / Choice(Int8ub, {1: Option("circle", "Circle 圆形")}) * "Kind", "area" / Int16ub * "Area")
ITEMS = Items({1: ("speed_kmh" / Scaled(Int16ub, 10, "km/h") * "Speed",), 2: ("where" / PLACE * "Where",)})
EVERYTHING = Struct(
    "mark" / Const(b"##") * "Mark",
    "flags" / Flags(Int8ub, {0: Bit("on", "On 开"), 1: Bit("load", "Load", 2, ("empty", "half", "odd", "full"))}) * "Flags",
    "size" / Int8ub * "Size",
    "raw" / Bytes(this.size) * "Raw",
    "phone" / BCD(2) * "Phone",
    "maybe" / If(this.flags & 1, Int8ub) * "There if on",
    "either" / IfThenElse(this.flags & 1, Int16ub, Int8ub) * "Wide if on",
    "kind" / Int8ub * "Kind",
    "inner" / Switch(this.kind, {1: PLACE}, default=Bytes(1)) * "By kind",
    "pair" / Array(2, Int8ub) * "Pair",
    "counted" / PrefixedArray(Int8ub, PLACE) * "Counted",
    "code" / Secret(Prefixed(Int8ub, Text())) * "Code",
    "name" / Prefixed(Int8ub, Text()) * "Name",
    "time" / BcdTime(0) * "Time",
    "items" / ITEMS * "Items",
)
GOOD = bytes.fromhex(
    "2323 0d 02 abcd 1380 05 0007 01 01 0102 0a0b 02 010009 020008 02 5859 03 414243 2603011200000102 0214 0203 010005 e1 01ff 0000"
)


def paths(field: Field, path: str = "") -> dict[str, Any]:
    """Value of each leaf by its path."""
    if not field.children:
        return {path: field.value}
    return {name: value for child in field.children for name, value in paths(child, f"{path}.{child.name}".lstrip(".")).items()}


def check_cover(field: Field, data: bytes, start: int = 0) -> None:
    """Every byte belongs to one leaf, in order, and a field is what its children are."""
    at = start
    for leaf in field.leaves():
        assert leaf.start == at, leaf
        at = leaf.end
    assert b"".join(leaf.raw for leaf in field.leaves()) == data
    for _, found in field.walk():
        assert not found.children or b"".join(child.raw for child in found.children) == found.raw, found


def test_every_kind_of_declaration_is_divided_into_its_fields() -> None:
    tree = explain(EVERYTHING, GOOD, 0, Label("body"))
    check_cover(tree, GOOD)
    assert paths(tree) == {
        "mark": "2323",
        "flags": ["on"],
        "size": 2,
        "raw": "abcd",
        "phone": "1380",
        "maybe": 5,
        "either": 7,
        "kind": 1,
        "inner.kind": "circle",
        "inner.area": 258,
        "pair.[0]": 10,
        "pair.[1]": 11,
        "counted.count": 2,
        "counted.[0].kind": "circle",
        "counted.[0].area": 9,
        "counted.[1].kind": 2,
        "counted.[1].area": 8,
        "code.length": None,
        "code.content": None,
        "name.length": 3,
        "name.content": "ABC",
        "time": "2026-03-01T12:00:00Z",
        "items.speed_kmh.id": "0x01",
        "items.speed_kmh.length": 2,
        "items.speed_kmh.value": 53.2,
        "items.where.id": "0x02",
        "items.where.length": 3,
        "items.where.kind": "circle",
        "items.where.area": 5,
        "items.0xE1.id": "0xE1",
        "items.0xE1.length": 1,
        "items.0xE1.value": "ff",
        "items.padding": "0000",
    }


def test_fields_carry_unit_text_meaning_bits_and_secrecy() -> None:
    tree = explain(EVERYTHING, GOOD, 100, Label("body"))
    named = {field.name: field for field in tree.children}
    assert (named["flags"].start, named["flags"].text) == (102, "Flags")
    assert named["flags"].bits == [BitValue("on", "On 开", True), BitValue("load", "Load", "odd")]
    assert named["inner"].children[0].meaning == "Circle 圆形"
    assert all(part.is_secret for _, part in named["code"].walk())
    assert named["name"].value == "ABC"
    speed = named["items"].children[0]
    assert (speed.text, speed.children[2].unit) == ("Speed", "km/h")


def test_unknown_declaration_is_one_leaf() -> None:
    from construct import BitsInteger, Bitwise

    tree = explain(Struct("odd" / Bitwise(BitsInteger(16)) * "Odd"), b"\x01\x02", 0, Label("body"))
    assert paths(tree) == {"odd": 0x0102}


@pytest.mark.parametrize(
    ("data", "name", "error"),
    [
        (b"#", "mark", "2 > 1 left"),
        (b"!!" + GOOD[2:], "mark", "parsing expected b'##' but parsed b'!!'"),
        (GOOD[:5], "raw", "2 > 1 left"),
        (GOOD[:14], "area", "2 > 1 left"),
        (GOOD[:15], "[0]", "1 > 0 left"),
        (GOOD[:26], "content", "2 > 1 left"),
    ],
)
def test_what_cannot_be_read_is_a_leaf_with_the_error(data: bytes, name: str, error: str) -> None:
    tree = explain(EVERYTHING, data, 0, Label("body"))
    check_cover(tree, data)
    last = list(tree.leaves())[-1]
    assert (last.name, last.error) == (name, error)


def test_bytes_behind_the_declared_ones_are_told() -> None:
    tree = explain(PLACE, b"\1\0\2rest", 7, Label("body"))
    check_cover(tree, b"\1\0\2rest", 7)
    assert (tree.children[-1].name, tree.children[-1].error) == (UNREAD, "bytes behind the declared ones")
    check_cover(explain(Int8ub, b"\1\2", 0, Label("body")), b"\1\2")


@pytest.mark.parametrize(("trailing", "error"), [("0009ff", "9 > 1 left"), ("01", "2 > 1 left")])
def test_a_cut_record_is_told_with_what_it_lacks(trailing: str, error: str) -> None:
    data = bytes.fromhex("0003 010009" + trailing)
    tree = explain(Struct("records" / Records(PLACE) * "Records"), data, 0, Label("body"))
    check_cover(tree, data)
    (records,) = tree.children
    assert paths(records.children[0]) == {"length": 3, "kind": "circle", "area": 9}
    assert (records.children[1].name, records.children[1].error) == (UNREAD, error)


def test_a_cut_entry_ends_a_list_and_is_told() -> None:
    data = b"\1\0\2\1\0\3\1\0"
    tree = explain(Struct("places" / UntilEnd(PLACE) * "Places"), data, 0, Label("body"))
    check_cover(tree, data)
    (places,) = tree.children
    assert [child.name for child in places.children] == ["[0]", "[1]", UNREAD]
    assert (places.children[2].raw, places.children[2].error) == (b"\1\0", "2 > 1 left")


@pytest.mark.parametrize(
    "declaration", [EVERYTHING, ITEMS, Records(PLACE), UntilEnd(PLACE), Prefixed(Int8ub, PLACE), Struct("x" / GreedyBytes)]
)
@given(data=st.one_of(st.binary(max_size=60), st.binary(max_size=30).map(lambda tail: GOOD[:20] + tail)))
def test_any_bytes_are_covered_once(declaration: Any, data: bytes) -> None:
    check_cover(explain(declaration, data, 3, Label("body")), data, 3)
