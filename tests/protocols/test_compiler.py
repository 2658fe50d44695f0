"""Compiled code does what construct does, with every body of every protocol and with what is none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from construct import ConstructError, Container, FlagsEnum, GreedyBytes, GreedyRange, Int8ub, Int16ub, Int16ul, Struct, Switch, this
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.body import read
from protocols.compiler import UnsafeDeclarationError, compile, fixed, source
from protocols.fields import Declaration, Scaled
from protocols.items import Entries, Item, Items, Records
from protocols.jt808.header import HEADERS
from protocols.jt808.location import LOCATION_2013
from protocols.jt808.messages import GENERAL_RESPONSE
from protocols.report import DecodeError
from tests.protocols.declarations import bodies, build_differences, differences, layouts, outcome

LAYOUTS = layouts() | {f"jt808 header {layout}": header for layout, header in HEADERS.items()}
BODIES = bodies()
LOCATION = bytes.fromhex("000000000000000c02618e8006e2c5a0001e02bc005a2401020304050104000186a0020201f4030202bc300119310112")


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A captured body with bits flipped, cut, something put in, or repeated; or no body at all."""
    body = bytearray(draw(st.one_of(st.sampled_from(BODIES), st.binary(max_size=80))))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(0, len(body) - 1)))
        match draw(st.integers(0, 4)):
            case 0 if body:
                body[at] ^= 1 << draw(st.integers(0, 7))
            case 1:
                del body[at:]
            case 2:
                body[at:at] = draw(st.binary(min_size=1, max_size=5))
            case 3:
                body += bytes(body[at:])
            case _:
                body += bytes(draw(st.integers(1, 3)))
    return bytes(body)


@pytest.mark.parametrize("name", LAYOUTS)
def test_captured_bodies_and_all_their_beginnings(name: str) -> None:
    for body in BODIES:
        # Every layout meets every body: a terminal may send any body under any id.
        assert not list(differences(LAYOUTS[name], body))
    for end in range(len(LOCATION)):
        assert not list(differences(LAYOUTS[name], LOCATION[:end]))


@pytest.mark.parametrize("name", LAYOUTS)
@given(st.lists(broken(), min_size=4, max_size=4))
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
def test_broken_bodies(name: str, given_bodies: list[bytes]) -> None:
    for body in given_bodies:
        assert not list(differences(LAYOUTS[name], body))


@given(
    st.binary(min_size=28, max_size=28), st.lists(st.tuples(st.integers(0, 0x32), st.binary(max_size=7)), max_size=8), st.binary()
)
@settings(max_examples=300, deadline=None)
def test_locations_with_any_items(fixed: bytes, items: list[tuple[int, bytes]], trailing: bytes) -> None:
    body = fixed + b"".join(bytes((id, len(value))) + value for id, value in items) + trailing
    assert not list(differences(LOCATION_2013, body))


values = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2**33), st.floats(), st.binary(max_size=8), st.text(max_size=4), st.just(["ignition"])
)


@given(st.sampled_from(["alarm_flags", "status", "latitude", "altitude", "speed", "course", "time", "items"]), values)
@settings(max_examples=300, deadline=None)
def test_building_from_values_that_were_not_parsed(name: str, value: Any) -> None:
    parsed = LOCATION_2013.parse(LOCATION)
    parsed[name] = value
    assert not list(build_differences(LOCATION_2013, parsed))
    del parsed[name]
    assert not list(build_differences(LOCATION_2013, parsed))


@given(st.integers(-1, 300), st.integers(-1, 300), values, st.sampled_from([Item, list, tuple]))
@settings(max_examples=300, deadline=None)
def test_building_items_that_were_not_parsed(id: int, length: int, value: Any, kind: Any) -> None:
    item = Item(id, length, "", value) if kind is Item else kind((id, length, "", value))
    parsed = LOCATION_2013.parse(LOCATION)
    for entries in ([item], Entries([item], b"\0"), {"odometer_km": value, "0x77": value}, (item,)):
        assert not list(build_differences(LOCATION_2013, {**parsed, "items": entries}))


@pytest.mark.parametrize(
    "time",
    [
        datetime(1999, 12, 31, 15, 59, 59, tzinfo=UTC),
        datetime(1999, 12, 31, 16, tzinfo=UTC),
        datetime(2099, 12, 31, 15, 59, 59, tzinfo=UTC),
        datetime(2099, 12, 31, 16, tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
        datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=8))),
        datetime(2024, 1, 1),
        bytes(6),
        b"\x24\x02\x30\x00\x00\x00",
        bytes(5),
        bytes(7),
    ],
)
def test_building_times(time: Any) -> None:
    assert not list(build_differences(LOCATION_2013, {**LOCATION_2013.parse(LOCATION), "time": time}))


@given(st.binary(min_size=6, max_size=6))
@settings(max_examples=300, deadline=None)
def test_any_time(time: bytes) -> None:
    assert not list(differences(LOCATION_2013, LOCATION[:22] + time + LOCATION[28:]))


@pytest.mark.parametrize("name", LAYOUTS)
def test_valid_bodies_need_no_second_attempt(name: str) -> None:
    """Asking construct again is for what it rejects; asked for anything else, the code would be right and slow."""
    declaration = LAYOUTS[name]
    compiled = compile(declaration)
    asked: list[Any] = []
    for function in (compiled.parse, compiled.build):
        function.__globals__["_construct"] = asked.append
    try:
        for body in BODIES:
            kind, parsed, _ = outcome(declaration.parse, body)
            if kind == "result":
                compiled.parse(body)
                if outcome(declaration.build, parsed)[0] == "result":
                    compiled.build(parsed)
                assert not asked, body.hex()
    finally:
        compiled.parse.__globals__["_construct"] = declaration.parse
        compiled.build.__globals__["_construct"] = declaration.build


def test_what_is_parsed_behaves_as_construct_s() -> None:
    parsed = compile(LOCATION_2013).parse(LOCATION)
    assert isinstance(parsed, Container)
    assert parsed.latitude == parsed["latitude"] == 39.947904
    assert parsed.status.names == ["south", "west"]
    assert parsed["items"][0] == Item(1, 4, "odometer_km", 10_000.0)
    assert parsed["items"][0].value == 10_000.0
    assert parsed["items"].trailing == b""
    assert list(parsed) == [name for name in LOCATION_2013.parse(LOCATION) if name != "_io"]


def test_an_error_is_construct_s_own_and_names_the_field() -> None:
    with pytest.raises(ConstructError) as caught:
        compile(GENERAL_RESPONSE).parse(b"\0\1\2")
    assert caught.value.path == "(parsing) -> answered_kind -> answered_kind"
    with pytest.raises(ConstructError) as caught:
        compile(GENERAL_RESPONSE).build({"answered_sequence": 1 << 16, "answered_kind": 0, "result": 0, "extra": b""})
    assert caught.value.path == "(building) -> answered_sequence -> answered_sequence"
    with pytest.raises(DecodeError) as refused:
        read(GENERAL_RESPONSE, b"\0\1\2")
    assert (refused.value.cause, refused.value.path, refused.value.text) == ("truncated", "answered_kind", "2 > 1 left")


@pytest.mark.parametrize(
    ("part", "advice"),
    [
        (Switch(this.kind, {1: Int8ub}), "default=GreedyBytes"),
        (FlagsEnum(Int8ub, one=1), "protocols.fields.Flags"),
        (GreedyRange(Int16ub), "protocols.items.UntilEnd"),
        (Records(Struct("inner" / GreedyRange(Int16ub))), "protocols.items.UntilEnd"),
        (Items({1: ("inner" / FlagsEnum(Int8ub, one=1),)}), "protocols.fields.Flags"),
    ],
)
def test_what_loses_data_is_refused_by_name(part: Declaration, advice: str) -> None:
    with pytest.raises(UnsafeDeclarationError) as caught:
        compile(Struct("kind" / Int8ub, "odd" / part, "rest" / GreedyBytes))
    assert str(caught.value).startswith("odd")
    assert advice in str(caught.value)


def test_source_says_what_the_fields_are() -> None:
    text = source(LOCATION_2013)
    assert "'speed': speed / 10,  # Speed 速度 [km/h]" in text
    assert text.count("_unpack(data)") == 1


def test_a_text_cannot_put_code_into_the_source() -> None:
    nasty = Struct("a'b\n" / Scaled(Int8ub, 1, "u\nraise SystemExit") * "text\nraise SystemExit", "_len" / Int8ub, "len" / Int8ub)
    assert compile(nasty).parse(b"\1\2\3") == nasty.parse(b"\1\2\3")
    assert compile(nasty).build(nasty.parse(b"\1\2\3")) == b"\1\2\3"


def test_a_declaration_is_compiled_once() -> None:
    assert compile(LOCATION_2013) is compile(LOCATION_2013)


@pytest.mark.parametrize("declaration", HEADERS.values())
def test_fixed_fields_are_had_as_they_stand_on_the_wire(declaration: Struct):
    size = declaration.sizeof()
    data = bytes(range(0x10, 0x10 + size))
    fields = fixed(declaration).unpack(data)
    assert fixed(declaration).pack(*fields) == data
    assert len(fields) == len(declaration.subcons)
    parsed = declaration.parse(data)
    assert [int(parsed[field.name]) for field in declaration.subcons if field.name != "phone"] == [
        field for field in fields if isinstance(field, int)
    ]


@pytest.mark.parametrize(
    "declaration", [GENERAL_RESPONSE, Struct("a" / Int8ub, "b" / GreedyBytes), Struct("a" / Int16ub, "b" / Int16ul), Struct()]
)
def test_fields_that_are_not_fixed_are_refused(declaration: Struct):
    with pytest.raises(ValueError, match="fixed fields"):
        fixed(declaration)
