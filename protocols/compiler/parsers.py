"""How each kind of part is parsed."""

from __future__ import annotations

from typing import Any

import construct
from construct import Bytes

from protocols.compiler import conversions
from protocols.compiler.expressions import python
from protocols.compiler.lists import parse_items, parse_pairs, parse_records, parse_until_end
from protocols.compiler.parsing import REFUSE, Parser, Parsing, order_of
from protocols.compiler.structure import bare
from protocols.compiler.writer import Place, Scope, Writer, comment
from protocols.fields import BcdTime, BinaryTime, Declaration
from protocols.items import Items, Pairs, Records, UntilEnd


def _struct(writer: Parsing, part: Any, place: Place) -> str:
    scope = Scope(place.scope, writer.constant("subcons", part._subcons, id(part)) if writer.is_contextual else "None")
    own_index(writer, scope, place.scope)
    entries = []
    for field in part.subcons:
        value = writer.value(field, Place(scope, field.name or "unnamed", place.path))
        if field.name:
            if writer.is_contextual:
                value = writer.variable(value, field.name)
            scope.names[field.name] = value
            entries.append(f"    {field.name!r}: {value},{comment(field)}")
    writer.flush()
    parsed = writer.name(place.name)
    writer.line(f"{parsed} = _Container({{")
    for entry in entries:
        writer.line(entry)
    writer.line("})")
    return parsed


def own_index(writer: Writer, scope: Scope, outer: Scope) -> None:
    """construct copies the loop's index into each struct, and leaves it there after a loop inside of it."""
    scope.index = outer.index
    if writer.is_contextual:
        scope.index = writer.name("index")
        writer.line(f"{scope.index} = {outer.index}")


def _renamed(writer: Parsing, part: Any, place: Place) -> str:
    return writer.value(part.subcon, place.named(part.name))


def _number(writer: Parsing, part: Any, place: Place) -> str:
    return writer.fixed(order_of(part), part.fmtstr[1], place.name)


def _long_number(writer: Parsing, part: Any, place: Place) -> str | None:
    if type(part.length) is not int or part.length < 1 or callable(part.swapped):
        return None
    raw = writer.fixed("", f"{part.length}s", place.name)
    return f"int.from_bytes({raw}, {'little' if part.swapped else 'big'!r}, signed={bool(part.signed)})"


def _bytes(writer: Parsing, part: Any, place: Place) -> str | None:
    if type(part.length) is int and part.length >= 0:
        return writer.fixed("", f"{part.length}s", place.name)
    if type(part.length) is int:
        return None
    writer.flush()
    length = python(part.length, place.scope, writer)
    return None if length is None else writer.cut(place.name, length)


def _greedy_bytes(writer: Parsing, part: Any, place: Place) -> str:
    writer.flush()
    value, data = writer.name(place.name), writer.data
    writer.line(f"{value} = {data}" if writer.position == "0" else f"{value} = {data}[{writer.position}:]")
    writer.move(f"len({data})")
    return value


def _const(writer: Parsing, part: Any, place: Place) -> str:
    value = writer.variable(writer.value(part.subcon, place), place.name)
    with writer.block(f"if not {value} == {writer.literal(part.value)}:"):
        writer.line(REFUSE)
    return value


def _nothing(writer: Parsing, part: Any, place: Place) -> str:
    return "None"


def _terminated(writer: Parsing, part: Any, place: Place) -> str:
    writer.flush()
    with writer.block(f"if {writer.position} < len({writer.data}):"):
        writer.line(REFUSE)
    return "None"


def _clock_time(writer: Parsing, part: Any, place: Place) -> str | None:
    if not conversions.is_clock_time(part):
        return None
    parts = [writer.fixed("", "B", name) for name in ("year", "month", "day", "hour", "minute", "second")]
    return conversions.decode_clock_time(part, parts, place, writer)


def _array(writer: Parsing, part: Any, place: Place) -> str | None:
    writer.flush()
    count = None if part.discard else python(part.count, place.scope, writer)
    if count is None:
        return None
    count = writer.variable(count, "count") if not count.isdecimal() else count
    writer.settle()
    found = writer.name(place.name)
    if not count.isdecimal():
        with writer.block(f"if {count} < 0:"):
            writer.line(REFUSE)
    if place.scope.index == "None":
        place.scope.index = writer.name("index")
    writer.line(f"{found} = _ListContainer()")
    with writer.block(f"for {place.scope.index} in range({count}):"):
        value = writer.value(part.subcon, place)
        writer.flush()
        writer.line(f"{found}.append({value})")
        writer.settle()
    return found


def _prefixed(writer: Parsing, part: Any, place: Place) -> str:
    length = writer.value(part.lengthfield, place._replace(name=f"{place.name}_length"))
    if part.includelength:
        length = f"{length} - {part.lengthfield.sizeof()}"
    data = writer.cut(f"{place.name}_data", length)
    with writer.within(data):
        value = writer.value(part.subcon, place)
    return value


def _prefixed_array(writer: Parsing, part: Any, place: Place) -> str | None:
    halves = prefixed_array(part)
    if halves is None:
        return None
    counted, repeated = halves
    scope = Scope(place.scope, writer.constant("subcons", part._subcons, id(part)))
    own_index(writer, scope, place.scope)
    count = writer.value(counted.subcon, Place(scope, f"{place.name}_count", f"{place.path} -> count"))
    scope.names["count"] = writer.variable(count, f"{place.name}_count")
    return writer.value(repeated, Place(scope, place.name, f"{place.path} -> items"))


def prefixed_array(part: Any) -> tuple[Any, Any] | None:
    """The two halves of what ``PrefixedArray`` makes: the count and the array; None for another FocusedSeq."""
    if part.parsebuildfrom != "items" or [field.name for field in part.subcons] != ["count", "items"]:
        return None
    counted, repeated = (bare(field) for field in part.subcons)
    is_counted = type(counted) is construct.Rebuild and repr(counted.func) == "len_(this['items'])"
    is_repeated = type(repeated) is construct.Array and repr(repeated.count) == "this['count']"
    return (counted, repeated) if is_counted and is_repeated else None


def _condition(writer: Parsing, part: Any, place: Place) -> str | None:
    writer.flush()
    condition = python(part.condfunc, place.scope, writer)
    if condition is None:
        return None
    writer.settle()
    found = writer.name(place.name)
    for head, branch in ((f"if {condition}:", part.thensubcon), ("else:", part.elsesubcon)):
        with writer.block(head):
            _branch(writer, branch, place, found)
    return found


def _switch(writer: Parsing, part: Any, place: Place) -> str | None:
    writer.flush()
    key = python(part.keyfunc, place.scope, writer)
    if key is None:
        return None
    writer.settle()
    found, branch = writer.name(place.name), writer.name("branch")
    cases = [*part.cases.values(), part.default]
    numbers = writer.constant(f"{place.name}_cases", {case: number for number, case in enumerate(part.cases)})
    writer.line(f"{branch} = {numbers}.get({key}, {len(part.cases)})")
    writer.choose(branch, 0, len(cases), lambda number: _branch(writer, cases[number], place, found))
    return found


def _branch(writer: Parsing, part: Declaration, place: Place, found: str) -> None:
    writer.move()
    value = writer.value(part, place)
    writer.flush()
    writer.line(f"{found} = {value}")
    writer.settle()


PARSERS: dict[type, Parser] = {
    construct.Struct: _struct,
    construct.Renamed: _renamed,
    construct.FormatField: _number,
    construct.BytesInteger: _long_number,
    Bytes: _bytes,
    type(construct.GreedyBytes): _greedy_bytes,
    construct.Const: _const,
    type(construct.Pass): _nothing,
    type(construct.Terminated): _terminated,
    construct.Array: _array,
    construct.Prefixed: _prefixed,
    construct.FocusedSeq: _prefixed_array,
    construct.IfThenElse: _condition,
    construct.Switch: _switch,
    BcdTime: _clock_time,
    BinaryTime: _clock_time,
    Items: parse_items,
    Records: parse_records,
    Pairs: parse_pairs,
    UntilEnd: parse_until_end,
}
