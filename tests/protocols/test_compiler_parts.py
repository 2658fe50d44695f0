"""Each part of construct by itself and inside others, compiled and not."""

from __future__ import annotations

import operator
from itertools import product
from types import MappingProxyType
from typing import Any

import construct
import pytest
from construct import (
    Adapter,
    Array,
    Bytes,
    Computed,
    Const,
    Default,
    Enum,
    ExprAdapter,
    Flag,
    Float32b,
    Float64l,
    GreedyBytes,
    If,
    IfThenElse,
    Index,
    Int8sb,
    Int8ub,
    Int16sl,
    Int16ub,
    Int16ul,
    Int24ub,
    Int32ub,
    Optional,
    Padding,
    Pass,
    Peek,
    Prefixed,
    PrefixedArray,
    Rebuild,
    Struct,
    Switch,
    Tell,
    Terminated,
    VarInt,
    len_,
    this,
)
from construct.expr import BinExpr
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.compiler import compile
from protocols.fields import BCD, BcdTime, BinaryTime, Bit, Choice, Count, Declaration, Flags, Option, Scaled, Secret, Text
from protocols.items import Items, Records, UntilEnd
from protocols.jt808.location import EitherSigned
from tests.protocols.declarations import build_differences, differences, outcome

FLAGS = Flags(Int8ub, {0: Bit("one", "One"), 4: Bit("kind", "Kind", 2, ("a", "b", "c", "d"))})
CHOICE = Choice(Int8ub, {0: Option("zero", "Zero"), 1: Option("one", "One")})


class Sum(Adapter):  # type: ignore[type-arg]
    """An adapter that looks at other fields."""

    def _decode(self, obj: int, context: Any, path: str) -> int:
        return obj + context.a

    def _encode(self, obj: int, context: Any, path: str) -> int:
        return obj - context.a


PARTS: dict[str, Declaration] = {
    "numbers": Struct("a" / Int8ub, "b" / Int16sl, "c" / Int16ub, "d" / Int24ub, "e" / Int8sb, "f" / Float32b, "g" / Float64l),
    "one number": Int16ul,
    "native": Struct("a" / construct.Int16un, "b" / construct.Int16ul, "c" / construct.Int16ub),
    "24 bits": Struct("a" / construct.Int24sl, "b" / construct.Int24sb, "c" / construct.Int24ul),
    "bytes": Struct("n" / Int8ub, "fixed" / Bytes(3), "counted" / Bytes(this.n - 1), "rest" / GreedyBytes),
    "no bytes": Struct("a" / Bytes(0), "b" / Int8ub),
    "const": Struct(Const(b"\0"), "a" / Const(1, Int8ub), "b" / Int8ub),
    "const in the middle": Struct("a" / Int8ub, "magic" / Const(b"\0\1"), "b" / Bytes(this.a)),
    "array": Struct("pairs" / Array(2, Struct("x" / Int8ub, "y" / Int16ub)), "last" / Int8ub),
    "counted array": Struct("n" / Int8ub, "items" / Array(this.n, Struct("x" / Int8ub, "raw" / Bytes(this._.n - this.x)))),
    "signed count": Struct("n" / Int8sb, "items" / Array(this.n, Int8ub), "after" / Int8ub),
    "arrays of arrays": Struct("n" / Int8ub, "rows" / Array(this.n, Array(2, Int8ub))),
    "prefixed": Struct("a" / Prefixed(Int8ub, Struct("x" / Int8ub, "rest" / GreedyBytes)), "b" / Int8ub),
    "prefixed with its length": Struct("a" / Prefixed(Int8ub, GreedyBytes, includelength=True), "b" / Int8ub),
    "prefixed leftovers": Struct("a" / Prefixed(Int8ub, Struct("x" / Int8ub)), "b" / Int8ub),
    "signed length": Struct("z" / Int16ub, "a" / Prefixed(Int8sb, GreedyBytes), "b" / GreedyBytes),
    "prefixed array": Struct("all" / PrefixedArray(Int8ub, Struct("x" / Int8ub, "y" / Bytes(this._.count))), "b" / Int8ub),
    "if": Struct("a" / FLAGS, "b" / If(this.a & 1, Int16ub), "c" / IfThenElse(this.a >= 2, Int8ub, Bytes(2)), "d" / Int8ub),
    "if a choice": Struct("a" / CHOICE, "b" / If(this.a == "one", Int16ub), "c" / Int8ub),
    "if with parts of their own": Struct("a" / Int8ub, "b" / If(this.a > 1, Struct("x" / Bytes(this._.a))), "c" / GreedyBytes),
    "if inside": Struct("a" / Int8ub, "s" / Struct("x" / Int8ub), "b" / If(this.s.x == 1, Int8ub), "c" / Int8ub),
    "not": Struct("a" / Int8ub, "b" / If(~(this.a & 1), Int8ub), "c" / Int8ub),
    "arithmetic": Struct("a" / Int8ub, "b" / Bytes((this.a * 2 + 1) % 5), "c" / Bytes((this.a >> 2) ^ 1), "d" / Bytes(-this.a + 3)),
    "function of a context": Struct("a" / Int8ub, "b" / If(lambda context: context.a > 1, Int16ub), "c" / Int8ub),
    "function in a loop": Struct("n" / Int8ub, "x" / Array(2, Struct("b" / Bytes(lambda c: c._.n + c._index)))),
    "switch": Struct(
        "a" / Int8ub,
        "b" / Switch(this.a, {0: Int8ub, 1: Int16ub, 2: Struct("n" / Int8ub, "raw" / Bytes(this.n))}, default=GreedyBytes),
        "c" / GreedyBytes,
    ),
    "switch of many": Struct(
        "a" / CHOICE, "b" / Switch(this.a, {"zero": Pass, **{n: Bytes(n) for n in range(2, 9)}}, default=construct.Error)
    ),
    "count": Struct("n" / Count(Int8ub, "items"), "items" / Array(this.n, Int8ub)),
    "rebuild": Struct("n" / Rebuild(Int8ub, len_(this.items)), "items" / Array(this.n, Int8ub)),
    "default": Struct("n" / Default(Int8ub, 7), "items" / Bytes(this.n)),
    "computed": Struct("a" / Int8ub, "b" / Computed(this.a + 1), "c" / Bytes(this.b)),
    "rebuilt by a function": Struct("n" / Rebuild(Int8ub, lambda context: len(context.get("rest", b""))), "rest" / GreedyBytes),
    "one of": Struct("a" / Int8ub, "b" / If(BinExpr(operator.contains, [1, 2], this.a), Int16ub), "c" / Int8ub),
    "index": Struct("x" / Array(3, Struct("i" / Index, "a" / Int8ub)), "after" / Index),
    "terminated": Struct("a" / Int8ub, Terminated),
    "pass and padding": Struct("a" / Int8ub, Pass, Padding(2), "b" / Int8ub),
    "unknown parts": Struct("a" / VarInt, "b" / Optional(Int32ub), "c" / Flag, "d" / Peek(Int8ub), "e" / GreedyBytes),
    "unknown, prefixed": Struct("a" / Int8ub, "b" / Prefixed(Int8ub, Struct("x" / VarInt, "y" / Bytes(this._.a))), "c" / Int8ub),
    "position": Struct("a" / Int8ub, "b" / Prefixed(Int8ub, Struct("x" / Int8ub, "at" / Tell)), "c" / Int8ub),
    "adapters": Struct("a" / Int8ub, "e" / Enum(Int8ub, x=1), "s" / Sum(Int8ub), "f" / ExprAdapter(Int8ub, ~this, ~this)),
    "checked": Struct("a" / Int8ub, "b" / construct.OneOf(Int8ub, [0, 1])),
    "fields": Struct(
        "speed" / Scaled(Int16ub, 10, "km/h") * "Speed",
        "level" / Scaled(Int8ub, 1, "%"),
        "flags" / FLAGS,
        "choice" / CHOICE,
        "digits" / BCD(2),
        "time" / BcdTime(8),
        "text" / Text(4),
        "signed" / EitherSigned(Int16ub, "°C"),
        "secret" / Secret(Prefixed(Int8ub, Text())),
    ),
    "times": Struct("a" / BinaryTime(8), "b" / BcdTime(0), "c" / BinaryTime(0)),
    "wide fields": Struct("flags" / Flags(Int24ub, {0: Bit("one", "One")}), "scaled" / Scaled(Int24ub, 100, "m")),
    "scaled counted": Struct("n" / Scaled(Int8ub, 2, "B"), "raw" / Bytes(this.n)),
    "records": Struct("all" / Records(Struct("x" / Int8ub), ">B")),
    "until the end": Struct("n" / Int8ub, "all" / UntilEnd(Struct("x" / Int8ub, "raw" / Bytes(this._.n)))),
    "until the end, optional": Struct("all" / UntilEnd(Struct("x" / Optional(Int16ub)))),
    "until the end, nothing": Struct("all" / UntilEnd(Struct("x" / Bytes(0)))),
    "until the end, const": Struct("all" / UntilEnd(Struct(Const(b"\0"), "x" / Int8ub)), "left" / GreedyBytes),
    "until the end, within": Struct("all" / Prefixed(Int8ub, UntilEnd(Int16ub)), "left" / GreedyBytes),
    "items": Items(
        {
            0: ("zero" / Int16ub,),
            1: ("fixed" / Struct("a" / Int8ub, "magic" / Const(b"\0")), "checked" / construct.OneOf(Int8ub, [0, 1])),
            2: ("text" / Text(), "flag" / FLAGS),
            3: ("cold" / EitherSigned(Int16ub, "°C"),),
        }
    ),
    "items with a wide head": Struct("n" / Int8ub, "all" / Items({1: ("a" / Int8ub,), 258: ("b" / Int16ub,)}, "<HB")),
    "items with a length first of two": Items({1: ("a" / Int8ub,), 2: ("raw" / GreedyBytes,)}, ">BH"),
    "odd names": Struct("class" / Int8ub, "data" / Int8ub, "at" / Bytes(this["class"]), "1st" / Int8ub, "_x" / Int8ub),
    "same name twice": Struct("a" / Int8ub, "a" / Int16ub, "b" / If(this.a > 1, Int8ub)),
    "outer": Struct("a" / Int8ub, "b" / Struct("c" / Struct("d" / Bytes(this._._.a), "e" / Int8ub)), "f" / Bytes(this.b.c.e)),
    "root": Struct("a" / Int8ub, "b" / Struct("c" / Bytes(this._root.a)), "d" / Int8ub),
    "stop": Struct("a" / Int8ub, construct.StopIf(this.a == 1), "b" / Int8ub),
    "unresolved": Struct("a" / Bytes(this.later), "later" / Int8ub),
}
STRUCTS: dict[str, list[Any]] = {}
BYTES = st.lists(st.one_of(st.integers(0, 4), st.integers(0, 255)), max_size=24).map(bytes)
VALUES = st.one_of(
    st.none(),
    st.integers(-1, 300),
    st.floats(0, 10),
    st.binary(max_size=3),
    st.binary(max_size=3).map(bytearray),
    st.text(max_size=3),
    st.just({}),
    st.just([]),
)


@pytest.mark.parametrize("name", PARTS)
@given(st.lists(BYTES, min_size=3, max_size=3))
@settings(max_examples=40, deadline=None)
def test_any_bytes(name: str, data: list[bytes]) -> None:
    for body in data:
        assert not list(differences(PARTS[name], body))


def accepted(part: Declaration) -> list[Any]:
    """Structs that can be parsed from short bodies, without what construct adds for itself."""
    starts = [bytes(start) for length in range(4) for start in product(range(3), repeat=length)]
    found = [outcome(part.parse, start + bytes(rest)) for start in starts for rest in (0, 24)]
    structs = [value for kind, value, _ in found if kind == "result" and isinstance(value, dict)]
    return [{name: entry for name, entry in struct.items() if name != "_io"} for struct in structs]


@pytest.mark.parametrize("name", PARTS)
@given(st.data())
@settings(max_examples=60, deadline=None)
def test_building_from_values_that_were_not_parsed(name: str, data: st.DataObject) -> None:
    structs = STRUCTS.get(name) or STRUCTS.setdefault(name, accepted(PARTS[name]) or [{}])
    changed = dict(data.draw(st.sampled_from(structs)))
    assert not list(build_differences(PARTS[name], changed))
    if changed:
        key = data.draw(st.sampled_from(sorted(changed)))
        changed[key] = data.draw(VALUES)
        assert not list(build_differences(PARTS[name], changed))
        del changed[key]
        assert not list(build_differences(PARTS[name], changed))


@pytest.mark.parametrize("name", PARTS)
def test_all_short_bodies(name: str) -> None:
    for length in range(5):
        for body in product(range(4), repeat=length):
            assert not list(differences(PARTS[name], bytes(body)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("speed", value) for value in (0.25, 0.35, 0.04, -0.04, -0.06, 6553.54, 6553.55, 6553.56, True, "1")],
        *[("level", value) for value in (0.5, 1.5, 255.4, 255.5, -0.4, -0.6, True, None, [])],
        *[("flags", value) for value in (["one"], {"kind": "c", "one": False}, {"kind": "e"}, ["two"], "one", 256, -1, 1.0)],
        *[("choice", value) for value in ("zero", "two", 7, True, 1.0, None, b"zero", [])],
        *[("digits", value) for value in ("12", "", "12345", "12 45", " 1 2", "12 4", "xy", "AB", "-1", 12, b"12")],
        *[("text", value) for value in ("", "abcd", "abcde", "\u4e2d\u56fd", "\u4e2d\u56fd\u4eba", b"ab", None)],
        *[("signed", value) for value in (-1, -0x8000, 0x8000, 0x10000, 1.0)],
    ],
)
def test_building_fields(name: str, value: Any) -> None:
    parsed = PARTS["fields"].parse(bytes(19) + b"\1x")
    assert not list(build_differences(PARTS["fields"], {**parsed, name: value}))
    # Behind a field with a condition every value is kept in a variable, for others to depend on it.
    contextual = Struct("inner" / PARTS["fields"], "more" / If(this.inner.level == 1, Int8ub))
    assert not list(build_differences(contextual, {"inner": {**parsed, name: value}, "more": 1}))


@pytest.mark.parametrize("value", [None, 1, [], [("a", 1)], "text"])
@pytest.mark.parametrize("name", PARTS)
def test_building_from_what_is_no_struct(name: str, value: Any) -> None:
    assert not list(build_differences(PARTS[name], value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fields", {"level": 12.0}),
        ("fields", {"flags": ["one"], "choice": "one"}),
        ("if", {"a": ["one"], "b": 5, "c": b"ab", "d": 1}),
        ("if", {"a": {"kind": "b"}, "b": 5, "c": 7, "d": 1}),
        ("if a choice", {"a": 1, "b": 5, "c": 6}),
        ("if a choice", {"a": "one", "b": 5, "c": 6}),
        ("count", {"items": [1, 2]}),
        ("adapters", {"a": 1, "e": "x", "s": 5, "f": True}),
    ],
)
def test_plain_values_are_built_without_asking_construct(name: str, value: dict[str, Any]) -> None:
    value = PARTS["fields"].parse(bytes(19) + b"\1x") | value if name == "fields" else value
    build = compile(PARTS[name]).build
    asked: list[Any] = []
    build.__globals__["_construct"] = asked.append
    try:
        assert build(value) == PARTS[name].build(value)
    finally:
        build.__globals__["_construct"] = PARTS[name].build
    assert not asked


@pytest.mark.parametrize("name", ["bytes", "prefixed", "fields", "items", "records", "unknown parts"])
@pytest.mark.parametrize("buffer", [bytearray, memoryview])
def test_what_is_parsed_from_other_buffers_is_bytes_all_the_same(name: str, buffer: Any) -> None:
    for body in (b"\3abcdefg", b"\3\1bcdefg", b"\0\2abc", bytes(24)):
        for given_body in (buffer(body), buffer(body[:-1])):
            assert not list(differences(PARTS[name], given_body))


@pytest.mark.parametrize("name", ["numbers", "if", "until the end"])
def test_building_from_other_mappings(name: str) -> None:
    parsed = PARTS[name].parse(bytes(24))
    assert not list(build_differences(PARTS[name], MappingProxyType(parsed)))
    assert not list(build_differences(PARTS[name], dict(parsed)))


@pytest.mark.parametrize(
    ("name", "is_handed"),
    [("fields", False), ("switch", False), ("if", False), ("counted array", False), ("unknown parts", True), ("root", True)],
)
def test_only_what_is_not_known_is_handed_to_construct(name: str, is_handed: bool) -> None:
    assert ("_parsereport(" in compile(PARTS[name]).source) is is_handed


def test_a_run_of_fixed_fields_is_read_at_once() -> None:
    parse = compile(PARTS["fields"]).source.split("def build")[0]
    assert parse.count("unpack(data)") == 1
    assert parse.count("unpack(") == 1
