from __future__ import annotations

import struct
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.modbus.model import Point
from protocols.modbus.tables import Label
from protocols.modbus.values import TYPES, Format, bit_at, packed_bits


@pytest.mark.parametrize(
    ("order", "single", "whole"),
    [
        ("ABCD", "42F6E979", "FFFE1DC0"),
        ("CDAB", "E97942F6", "1DC0FFFE"),
        ("BADC", "F64279E9", "FEFFC01D"),
        ("DCBA", "79E9F642", "C01DFEFF"),
    ],
)
def test_the_four_orders(order: str, single: str, whole: str) -> None:
    assert Format("f32", order).read(bytes.fromhex(single)) == 123.456
    assert Format("f32", order).write(123.456) == bytes.fromhex(single)
    assert Format("s32", order).read(bytes.fromhex(whole)) == -123456
    assert Format("s32", order).write(-123456) == bytes.fromhex(whole)


@pytest.mark.parametrize(
    ("order", "data"),
    [
        ("ABCD", "0102030405060708"),
        ("CDAB", "0708050603040102"),
        ("BADC", "0201040306050807"),
        ("DCBA", "0807060504030201"),
    ],
)
def test_64_bits_have_the_same_two_switches(order: str, data: str) -> None:
    assert Format("u64", order).read(bytes.fromhex(data)) == 0x0102030405060708


@pytest.mark.parametrize(
    ("format", "data", "value"),
    [
        (Format("s16"), "FA24", -1500),
        (Format("s16"), "FF83", -125),
        (Format("u16"), "FA24", 64036),
        (Format("u16", "BADC"), "24FA", 64036),
        (Format("s16", sign="magnitude"), "85DC", -1500),
        (Format("s32", "CDAB", "magnitude"), "05DC8000", -1500),
        (Format("u32", "CDAB"), "614E00BC", 12345678),
        (Format("f32", "CDAB"), "00004148", 12.5),
        (Format("f64"), struct.pack(">d", 123.456).hex(), 123.456),
        (Format("bcd16"), "1234", 1234),
        (Format("bcd32"), "12345678", 12345678),
        (Format("bcd32", "CDAB"), "56781234", 12345678),
        (Format("string", length=4), "534E303132333435", "SN012345"),
        (Format("string", "BADC", length=4), "4E53313033323534", "SN012345"),
        (Format("string", length=4), b"AB  \0\0\0\0".hex(), "AB"),
        (Format("string", length=2), "测试".encode("gb18030").hex(), "测试"),
        (Format("bit", bit=0), "0001", 1),
        (Format("bit", bit=15), "8000", 1),
        (Format("bit", bit=14), "8000", 0),
    ],
)
def test_every_type(format: Format, data: str, value: object) -> None:
    raw = bytes.fromhex(data)
    assert format.read(raw) == value
    assert len(raw) == 2 * format.size
    if format.type != "bit" and b" " not in raw:
        assert format.write(value) == raw  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("format", "data"),
    [
        (Format("f32"), "7FC00000"),
        (Format("f32"), "7F800000"),
        (Format("f64"), "FFF0000000000000"),
        (Format("bcd16"), "12A4"),
        (Format("bcd32"), "FFFFFFFF"),
    ],
)
def test_what_is_no_number_has_no_value(format: Format, data: str) -> None:
    assert format.read(bytes.fromhex(data)) is None


@pytest.mark.parametrize(
    ("format", "raw"),
    [
        (Format("u16"), -1),
        (Format("u16"), 65536),
        (Format("s16"), 32768),
        (Format("s16", sign="magnitude"), -32768),
        (Format("bcd16"), 10000),
        (Format("f32"), 1e39),
        (Format("string", length=1), "ABC"),
    ],
)
def test_what_does_not_fit_is_refused(format: Format, raw: object) -> None:
    with pytest.raises(ValueError, match=r"does not fit|takes 3 bytes"):
        format.write(raw)  # type: ignore[arg-type]


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_an_f32_is_shown_with_few_digits_and_stays_itself(number: float) -> None:
    data = struct.pack(">f", number)
    shown = Format("f32").read(data)
    assert isinstance(shown, float)
    assert struct.pack(">f", shown) == data
    assert len(f"{shown!r}".replace(".", "").replace("-", "").split("e")[0].strip("0")) <= 9


@given(
    st.sampled_from([type for type in TYPES if type not in ("bit", "string")]),
    st.sampled_from(["ABCD", "CDAB", "BADC", "DCBA"]),
    st.data(),
)
def test_what_is_read_is_written_back(type: str, order: str, data: st.DataObject) -> None:
    format = Format(type, order)
    raw = data.draw(st.binary(min_size=2 * format.size, max_size=2 * format.size))
    value = format.read(raw)
    if value is not None:
        assert format.write(value) == raw


def point(format: Format, scale: str = "1", offset: str = "0", **more: object) -> Point:
    some = {"decimals": None, "invalid": (), "valid": None, "text": {}, "kind": "gauge", "group": "fast", "unit": ""}
    return Point("x", Label("x", "x"), 3, 0, format, Decimal(scale), Decimal(offset), **{**some, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "data", "value"),
    [
        (point(Format("u16"), "0.1"), "0901", (230.5, "")),
        (point(Format("u32"), "0.01"), "00BC614E", (123456.78, "")),
        (point(Format("s16"), "0.1"), "FF83", (-12.5, "")),
        (point(Format("u16"), "1", "-40"), "0041", (25, "")),
        (point(Format("u16"), "0.1", "-40"), "0041", (-33.5, "")),
        (point(Format("u16"), "10"), "0041", (650, "")),
        (point(Format("f32"), decimals=1), "42F6E979", (123.5, "")),
        (point(Format("u16"), invalid=(0xFFFF,)), "FFFF", (None, "invalid")),
        (point(Format("s16"), invalid=(0x8000,)), "8000", (None, "invalid")),
        (point(Format("s16"), invalid=(-1,)), "FFFF", (None, "invalid")),
        (point(Format("s32", "CDAB"), invalid=(0x7FFFFFFF,)), "FFFF7FFF", (None, "invalid")),
        (point(Format("f32")), "7FC00000", (None, "invalid")),
        (point(Format("u16"), "0.1", valid=(Decimal(0), Decimal(500))), "1388", (500.0, "")),
        (point(Format("u16"), "0.1", valid=(Decimal(0), Decimal(500))), "1389", (None, "out_of_range")),
        (point(Format("bit", bit=3)), "0008", (True, "")),
        (point(Format("string", length=2)), "41424344", ("ABCD", "")),
        (point(Format("u64")), "FFFFFFFFFFFFFFFE", (0xFFFFFFFFFFFFFFFE, "")),
    ],
)
def test_a_value_is_raw_times_scale_plus_offset_in_decimal(one: Point, data: str, value: object) -> None:
    found = one.value(bytes.fromhex(data))
    assert found == value
    assert type(found[0]) is type(value[0])  # type: ignore[index]


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_bits_are_packed_from_the_lowest(bits: list[bool]) -> None:
    data = packed_bits(bits)
    assert len(data) == (len(bits) + 7) // 8
    assert [bool(bit_at(data, index)[0]) for index in range(len(bits))] == bits


def test_the_cd_example_of_the_specification() -> None:
    # V1.1b3, 6.1: coils 20 to 27 are CD, 28 to 35 are 6B, 36 to 38 are 05.
    assert bit_at(bytes.fromhex("cd6b05"), 0) == b"\1"
    assert [bit_at(bytes.fromhex("cd6b05"), index)[0] for index in range(8)] == [1, 0, 1, 1, 0, 0, 1, 1]
    assert bit_at(bytes.fromhex("cd6b05"), 18) == b"\1"
