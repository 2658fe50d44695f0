from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from construct import Array, Bytes, ConstructError, If, Int8ub, Int16ub, Int32ub, Int64ub, StringError, Struct, this
from hypothesis import given
from hypothesis import strategies as st

from protocols.fields import BCD, BcdTime, BinaryTime, Bit, Choice, Count, Flags, KeptText, Option, Scaled, Secret, Text, UnixTime

WORD = Flags(
    Int16ub, {0: Bit("length", "Length", 10), 10: Bit("load", "Load", 2, ("none", "half", "odd", "full")), 13: Bit("part", "Part")}
)
COLOUR = Choice(Int8ub, {1: Option("blue", "Blue 蓝")})
PLATE = "[\u4e00-\u9fff][A-Z][A-Z0-9]{4,7}"


@pytest.mark.parametrize(
    ("field", "size"),
    [
        (Scaled(Int32ub, 1_000_000, "°"), 4),
        (Scaled(Int16ub, 10, "km/h"), 2),
        (BCD(6), 6),
        (BcdTime(8), 6),
        (BinaryTime(8), 6),
        (Text(7), 7),
        (WORD, 2),
        (COLOUR, 1),
        (Secret(Bytes(3)), 3),
    ],
    ids=repr,
)
@given(data=st.data())
def test_field_takes_any_bytes_and_gives_them_back(field, size: int, data: st.DataObject) -> None:
    raw = data.draw(st.binary(min_size=size, max_size=size))
    assert field.build(field.parse(raw)) == raw


@given(st.binary())
def test_text_to_the_end_takes_any_bytes_and_gives_them_back(raw: bytes) -> None:
    text = Text(likely=PLATE).parse(raw)
    assert "\0" not in text
    text.encode("utf-8")
    assert Text(likely=PLATE).build(text) == raw


def test_scaled_is_the_raw_number_over_its_divisor() -> None:
    assert Scaled(Int16ub, 10, "km/h").parse(b"\x02\x14") == 53.2
    assert Scaled(Int16ub, 10, "km/h").build(53.2) == b"\x02\x14"
    assert isinstance(Scaled(Int16ub, 1, "m").parse(b"\0\1"), int)


def test_bcd_is_digits_or_hex_of_what_is_none() -> None:
    assert BCD(6).parse(bytes.fromhex("013800000001")) == "013800000001"
    assert BCD(3).parse(b"\xab\x0c\x12") == "AB0C12"
    assert BCD(6).build("13800000001") == bytes.fromhex("013800000001")
    with pytest.raises(ConstructError, match="more than 4 digits"):
        BCD(2).build("12345")


@pytest.mark.parametrize(
    ("raw", "time"),
    [
        ("241001235959", datetime(2024, 10, 1, 15, 59, 59, tzinfo=UTC)),
        ("000101000000", datetime(1999, 12, 31, 16, tzinfo=UTC)),
        ("000000000000", bytes(6)),
        ("2410012359a9", bytes.fromhex("2410012359a9")),
        ("241301000000", bytes.fromhex("241301000000")),
        ("240230000000", bytes.fromhex("240230000000")),
    ],
)
def test_bcd_time_is_utc_or_the_bytes_that_are_no_time(raw: str, time: datetime | bytes) -> None:
    assert BcdTime(8).parse(bytes.fromhex(raw)) == time


def test_bcd_time_is_built_from_any_zone_and_from_none_refused() -> None:
    tokyo = datetime(2024, 10, 2, 0, 59, 59, tzinfo=timezone(timedelta(hours=9)))
    assert BcdTime(8).build(tokyo).hex() == "241001235959"
    with pytest.raises(ConstructError, match="time zone"):
        BcdTime(8).build(datetime(2024, 10, 1))
    with pytest.raises(ConstructError, match="2099"):
        BcdTime(0).build(datetime(2100, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("raw", "time"),
    [
        ("180a01173b3b", datetime(2024, 10, 1, 15, 59, 59, tzinfo=UTC)),
        ("630c1f080000", datetime(2099, 12, 31, tzinfo=UTC)),
        ("640101080000", bytes.fromhex("640101080000")),
        ("180a01183b3b", bytes.fromhex("180a01183b3b")),
        ("ffffffffffff", b"\xff" * 6),
        ("000000000000", bytes(6)),
    ],
)
def test_binary_time_is_utc_or_the_bytes_that_are_no_time(raw: str, time: datetime | bytes) -> None:
    assert BinaryTime(8).parse(bytes.fromhex(raw)) == time
    assert BinaryTime(8).build(time).hex() == raw


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"ABC\0\0\0", "ABC"),
        (b"\0\0\0ABC", "ABC"),
        (b"ABC   ", "ABC"),
        (b"A\0B\0\0\0", "A\ufffdB"),
        ("测A1".encode("gbk") + b"\0\0", "测A1"),
        (b"\xff\xffAB\0\0", "\ufffd\ufffdAB"),
    ],
)
def test_text_is_read_without_its_padding(raw: bytes, text: str) -> None:
    assert Text(6).parse(raw) == text


def test_text_keeps_its_bytes_only_where_they_could_not_be_had_back() -> None:
    assert type(Text(6).parse(b"ABC\0\0\0")) is str
    assert isinstance(Text(6).parse(b"ABC   "), KeptText)


def test_text_is_taken_for_utf8_where_only_so_it_is_what_is_expected() -> None:
    utf8 = "测A12345".encode()
    assert Text(likely=PLATE).parse(utf8) == "测A12345"
    assert Text(likely=PLATE).parse("测A12345".encode("gbk")) == "测A12345"
    assert Text().parse(utf8) != "测A12345"
    assert Text().parse("€".encode()) == "€"


def test_text_too_long_for_its_field_is_refused() -> None:
    assert Text(4).build("测A") == b"\xb2\xe2A\0"
    with pytest.raises(ConstructError, match="takes 5 bytes where there are 4"):
        Text(4).build("测测A")


def test_flags_name_bits_and_keep_those_without_a_name() -> None:
    word = WORD.parse(b"\xec\x05")
    assert word == 0xEC05
    assert word.names == ["part"]
    assert word.values == {"length": 5, "load": "full", "part": True}
    assert WORD.build(word) == b"\xec\x05"


def test_flags_are_built_from_names_and_from_values() -> None:
    assert WORD.build(["part"]) == b"\x20\x00"
    assert WORD.build({"length": 5, "load": "half", "part": False}) == b"\x04\x05"
    with pytest.raises(ConstructError, match="no bit 'nought'"):
        WORD.build(["nought"])
    with pytest.raises(ConstructError, match="10 bits"):
        WORD.build({"length": 1024})


def test_choice_is_a_name_or_the_number_without_one() -> None:
    assert COLOUR.parse(b"\x01") == "blue"
    assert COLOUR.parse(b"\x07") == 7
    assert COLOUR.build("blue") == b"\x01"
    with pytest.raises(ConstructError, match="none of blue"):
        COLOUR.build("red")


COUNTED = Struct(
    "kind" / Choice(Int8ub, {1: Option("listed", "Listed")}),
    "flags" / Flags(Int8ub, {0: Bit("timed", "Timed")}),
    "count" / Count(Int8ub, "entries"),
    "entries" / Array(this.count, Int8ub),
    "time" / If(this.flags & 1, Int8ub),
    "word" / If(this.kind == "listed", Int8ub),
)


def test_count_is_taken_from_the_entries_and_conditions_from_what_was_built() -> None:
    for kind, flags in ((1, 1), ("listed", ["timed"]), ("listed", {"timed": True})):
        fields = {"kind": kind, "flags": flags, "entries": [5, 6], "time": 7, "word": 8}
        assert COUNTED.build(fields) == bytes([1, 1, 2, 5, 6, 7, 8])
    parsed = COUNTED.parse(bytes([2, 0, 1, 5]))
    assert (parsed.count, parsed.time, parsed.word) == (1, None, None)
    assert COUNTED.build(parsed) == bytes([2, 0, 1, 5])


@pytest.mark.parametrize(
    ("field", "raw", "value"),
    [
        (UnixTime(), "6a1d7a07", datetime.fromtimestamp(0x6A1D7A07, UTC)),
        (UnixTime(), "00000000", 0),
        (UnixTime(Int64ub, 1000), "00000000000004e2", datetime(1970, 1, 1, 0, 0, 1, 250_000, UTC)),
        (UnixTime(Int64ub, 1000), "7fffffffffffffff", (1 << 63) - 1),
        (UnixTime(Int64ub, 1000, 1 << 32), "00000000ffffffff", (1 << 32) - 1),
    ],
)
def test_unix_time_is_a_moment_or_the_number_it_came_as(field: UnixTime, raw: str, value: datetime | int) -> None:
    assert field.parse(bytes.fromhex(raw)) == value
    assert field.build(value).hex() == raw
    if isinstance(value, datetime):
        assert field.build(value.astimezone(timezone(timedelta(hours=8)))).hex() == raw


def test_unix_time_needs_a_zone() -> None:
    with pytest.raises(StringError, match="names no moment without a time zone"):
        UnixTime().build(datetime(2026, 1, 1))
