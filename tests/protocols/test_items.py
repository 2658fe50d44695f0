from __future__ import annotations

import pytest
from construct import ConstructError, Int8ub, Int16ub, MappingError, Struct
from hypothesis import given
from hypothesis import strategies as st

from protocols.fields import Scaled, Text
from protocols.items import Entries, Item, Items, Records, UntilEnd

PLACE = "place" / Int8ub
ITEMS = Items(
    {1: ("speed" / Scaled(Int16ub, 10, "km/h"),), 2: ("where" / Struct(PLACE), "where" / Struct(PLACE, "area" / Int16ub))}
)
RECORDS = Records(Int16ub)


def parse(text: str) -> tuple[list[tuple[int, str, object]], str]:
    entries = ITEMS.parse(bytes.fromhex(text))
    shown = [(item.id, item.name, item.value.hex() if isinstance(item.value, bytes) else item.value) for item in entries]
    return shown, entries.trailing.hex()


@pytest.mark.parametrize(
    ("data", "items", "trailing"),
    [
        ("", [], ""),
        ("01020214", [(1, "speed", 53.2)], ""),
        ("010402ffff", [], "010402ffff"),
        ("0101ff 0102000a", [(1, "", "ff"), (1, "speed", 1.0)], ""),
        ("020105 0203050007", [(2, "where", {"place": 5}), (2, "where", {"place": 5, "area": 7})], ""),
        ("e100 e102abcd e100", [(0xE1, "", ""), (0xE1, "", "abcd"), (0xE1, "", "")], ""),
        ("0102000a 01", [(1, "speed", 1.0)], "01"),
        ("0102000a 0104aa", [(1, "speed", 1.0)], "0104aa"),
        ("0102000a 000000", [(1, "speed", 1.0)], "000000"),
        ("0102000a 0000 0102000a", [(1, "speed", 1.0), (0, "", ""), (1, "speed", 1.0)], ""),
        ("01020000", [(1, "speed", 0.0)], ""),
    ],
)
def test_items_are_decoded_if_id_and_length_fit_and_kept_otherwise(data: str, items: list[object], trailing: str) -> None:
    assert parse(data) == (items, trailing)


@given(st.lists(st.one_of(st.binary(max_size=6), st.sampled_from([b"\1\2\0\7", b"\2\1\5", b"\2\3\5\0\7", b"\0\0"]))).map(b"".join))
def test_items_and_records_take_any_bytes_and_give_them_back(raw: bytes) -> None:
    for declaration in (ITEMS, RECORDS):
        assert declaration.build(declaration.parse(raw)) == raw


@pytest.mark.parametrize(("trailing", "is_cut"), [(b"", False), (bytes(5), False), (b"\0\1", True)])
def test_padding_is_no_cut_item(trailing: bytes, is_cut: bool) -> None:
    assert Entries([], trailing).is_cut is is_cut


def test_items_are_built_from_values() -> None:
    assert ITEMS.build([Item(1, 2, "speed", 53.2), Item(0xE1, 1, "", b"x")]).hex() == "01020214e10178"
    with pytest.raises(ConstructError, match="no item 0x01 of 3 bytes"):
        ITEMS.build([Item(1, 3, "speed", 53.2)])


def test_item_heads_may_have_other_widths() -> None:
    entries = Items({0x0102: ("speed" / Int8ub,)}, ">HB").parse(bytes.fromhex("01020105"))
    assert entries == [Item(0x0102, 1, "speed", 5)]


def test_records_are_cut_by_their_lengths() -> None:
    entries = RECORDS.parse(bytes.fromhex("0002abcd 0000 0003ff"))
    assert entries == [b"\xab\xcd", b""]
    assert entries.trailing == bytes.fromhex("0003ff")
    assert RECORDS.build([7, b"xyz"]).hex() == "00020007" + "000378797a"


PAIRS = UntilEnd(Struct("a" / Int8ub, "b" / Int16ub))


@given(st.binary(max_size=40))
def test_until_end_keeps_every_byte(data: bytes) -> None:
    pairs = PAIRS.parse(data)
    assert len(pairs) == len(data) // 3
    assert pairs.trailing == data[len(pairs) * 3 :]
    assert PAIRS.build(pairs) == data


def test_until_end_ends_where_an_entry_takes_nothing() -> None:
    assert UntilEnd(Struct()).parse(b"ab").trailing == b"ab"


NAMED = Items(
    {
        0x10: ("apn" / Text(),),
        0x20: ("speed" / Scaled(Int16ub, 10, "km/h"),),
        0x30: ("where" / Struct(PLACE), "where" / Struct(PLACE, "area" / Int16ub)),
    },
    head=">IB",
)


def test_items_are_built_from_values_by_name() -> None:
    values = {"apn": "net", "speed": 1.5, "where": {"place": 1, "area": 2}, "0xF364": b"\1"}
    data = bytes.fromhex("00000010 03 6e6574 00000020 02 000f 00000030 03 010002 0000f364 01 01")
    assert NAMED.build(values) == data
    assert [(item.id, item.name) for item in NAMED.parse(data)] == [(0x10, "apn"), (0x20, "speed"), (0x30, "where"), (0xF364, "")]
    assert NAMED.build(NAMED.parse(data)) == data
    assert NAMED.build({"where": {"place": 1}}) == bytes.fromhex("00000030 01 01")
    assert NAMED.id_digits == 8


@pytest.mark.parametrize("values", [{"other": 1}, {"speed": "fast"}, {"apn": "x" * 256}, {"0xF364": 7}, {"where": 1}])
def test_items_that_cannot_be_built(values: dict[str, object]) -> None:
    with pytest.raises(MappingError):
        NAMED.build(values)
