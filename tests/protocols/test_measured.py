"""Numbers of which some codes are words: read, written, described, filled in, and compiled."""

from __future__ import annotations

import pytest
from construct import Array, Int8ub, Int16ub, Int32ub, MappingError, Struct, Switch, this
from hypothesis import given
from hypothesis import strategies as st

from protocols.compiler import compile, source
from protocols.describe import rows, type_of
from protocols.fields import Choice, Measured, Option
from protocols.filling import fill
from tests.protocols.declarations import build_differences, differences

CURRENT = Measured(Int16ub, 10, "A", zero=10000, highest=20000)
BRAKE = Measured(Int8ub, 1, "%", highest=100, words={0x65: "braking", 0xFF: "invalid"})
TORQUE = Measured(Int32ub, 10, "N·m", zero=200_000)
PLAIN = Measured(Int8ub)
ALL = Struct(
    "current" / CURRENT * "Current 电流",
    "brake" / BRAKE * "Brake 制动",
    "torque" / TORQUE * "Torque 转矩",
    "count" / Int8ub * "Count 个数",
    "numbers" / Array(this.count, PLAIN) * "Numbers 序号",
    "currents" / Array(2, CURRENT) * "Currents 电流",
)


@pytest.mark.parametrize(
    ("field", "raw", "value"),
    [
        (CURRENT, "2873", 35.5),
        (CURRENT, "0000", -1000.0),
        (CURRENT, "fffd", 5553.3),
        (CURRENT, "fffe", "abnormal"),
        (CURRENT, "ffff", "invalid"),
        (BRAKE, "64", 100),
        (BRAKE, "65", "braking"),
        (BRAKE, "66", 102),
        (BRAKE, "fe", 254),
        (BRAKE, "ff", "invalid"),
        (TORQUE, "0003131c", 150.0),
        (PLAIN, "fd", 253),
        (PLAIN, "fe", "abnormal"),
    ],
)
def test_codes_and_what_they_stand_for(field: Measured, raw: str, value: object) -> None:
    assert field.parse(bytes.fromhex(raw)) == value
    assert type(field.parse(bytes.fromhex(raw))) is type(value)
    assert field.build(value) == bytes.fromhex(raw)


@given(st.binary(min_size=4, max_size=4))
def test_every_code_comes_back(raw: bytes) -> None:
    assert TORQUE.build(TORQUE.parse(raw)) == raw
    assert CURRENT.build(CURRENT.parse(raw[:2])) == raw[:2]
    assert BRAKE.build(BRAKE.parse(raw[:1])) == raw[:1]


def test_what_would_be_another_thing_is_refused() -> None:
    with pytest.raises(MappingError, match=r"5553\.4 would be written like 'abnormal'"):
        CURRENT.build(5553.4)
    with pytest.raises(MappingError, match="'on' is no number and none of braking, invalid"):
        BRAKE.build("on")


def test_limit_is_a_value() -> None:
    assert (CURRENT.limit, BRAKE.limit, PLAIN.limit) == (1000.0, 100, float("inf"))


@given(st.binary(max_size=30))
def test_compiled_like_interpreted(data: bytes) -> None:
    assert not list(differences(ALL, data))


@given(st.one_of(st.none(), st.integers(-20000, 20000), st.floats(), st.text(max_size=3), st.sampled_from(["invalid", "abnormal"])))
def test_building_from_values_that_were_not_parsed(value: object) -> None:
    parsed = ALL.parse(bytes.fromhex("2873 65 0003131c 02 0102 2873 2873"))
    assert not list(build_differences(ALL, {**parsed, "current": value, "brake": value, "torque": value}))


def test_it_is_arithmetic_and_a_look_up_in_compiled_code() -> None:
    code = source(ALL)
    assert "current - 10000" in code
    assert "< 65534" in code
    assert "_brake_words" in code
    assert compile(ALL).parse(bytes.fromhex("ffff650003131c00 2873 0000")).brake == "braking"


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (CURRENT, "u16, value × 10 + 10000, 0xFFFE abnormal, 0xFFFF invalid"),
        (BRAKE, "u8, 0x65 braking, 0xFF invalid"),
        (Measured(Int8ub, 1, "°C", zero=40), "u8, value + 40, 0xFE abnormal, 0xFF invalid"),
    ],
)
def test_description(field: Measured, words: str) -> None:
    assert type_of(field) == words
    assert next(iter(rows(Struct("x" / field * "X")))).unit == field.unit


@pytest.mark.parametrize("value", [-1000, 5553.3, "abnormal", "invalid", 0])
def test_filled_in(value: object) -> None:
    assert CURRENT.parse(fill(Struct("current" / CURRENT * "Current"), {"current": value})) == value


@pytest.mark.parametrize("value", [-1000.1, 5553.4, True, "none", [1]])
def test_not_filled_in(value: object) -> None:
    with pytest.raises(ValueError, match=r"current: .* is no number from -1000 to 5553.3 A, nor abnormal or invalid"):
        fill(Struct("current" / CURRENT * "Current"), {"current": value})


def test_the_case_of_a_switch_is_filled_in_by_the_fields_before_it() -> None:
    kind = Choice(Int8ub, {1: Option("wide", "Wide 宽")})
    layout = Struct("kind" / kind * "Kind", "value" / Switch(this.kind, {"wide": Int16ub}, default=Int8ub) * "Value")
    assert fill(layout, {"kind": "wide", "value": 258}) == b"\x01\x01\x02"
    assert fill(layout, {"kind": 1, "value": 258}) == b"\x01\x01\x02"
    assert fill(layout, {"kind": 7, "value": 2}) == b"\x07\x02"
    with pytest.raises(ValueError, match="value: 258 is no whole number from 0 to 255"):
        fill(layout, {"kind": 7, "value": 258})
