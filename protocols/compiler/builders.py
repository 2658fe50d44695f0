"""How each kind of part is built."""

from __future__ import annotations

from typing import Any

import construct
from construct import Bytes

from protocols.compiler import conversions
from protocols.compiler.building import Builder, Building
from protocols.compiler.expressions import python
from protocols.compiler.lists import build_items, build_pairs, build_records, build_total, build_until_end
from protocols.compiler.parsers import own_index, prefixed_array
from protocols.compiler.parsing import REFUSE, order_of
from protocols.compiler.writer import Place, Scope
from protocols.fields import BcdTime, BinaryTime, Choice, Count, Declaration, Flags
from protocols.items import Items, Pairs, Records, Total, UntilEnd


def _struct(writer: Building, part: Any, value: str, place: Place) -> str:
    with writer.block(f"if not isinstance({value}, dict):"):
        writer.line(REFUSE)
    subcons = writer.constant("subcons", part._subcons, id(part)) if writer.is_contextual else "None"
    scope = Scope(place.scope, subcons, whole=value)
    own_index(writer, scope, place.scope)
    for field in part.subcons:
        found = writer.name(field.name)
        writer.line(f"{found} = {value}.get({field.name!r})" if field.flagbuildnone else f"{found} = {value}[{field.name!r}]")
        if field.name:
            scope.names[field.name] = found
        built = writer.put(field, found, Place(scope, field.name or "unnamed", place.path))
        if field.name and writer.is_contextual:
            scope.names[field.name] = writer.variable(built, f"{field.name}_built")
    if not writer.is_contextual:
        return value
    return f"_Container({{**{value}, {', '.join(f'{name!r}: {variable}' for name, variable in scope.names.items())}}})"


def _renamed(writer: Building, part: Any, value: str, place: Place) -> str:
    return writer.put(part.subcon, value, place.named(part.name))


def _number(writer: Building, part: Any, value: str, place: Place) -> str:
    writer.fixed(order_of(part), part.fmtstr[1], value)
    return value


def _long_number(writer: Building, part: Any, value: str, place: Place) -> str | None:
    if type(part.length) is not int or part.length < 1 or callable(part.swapped):
        return None
    with writer.block(f"if {value}.__class__ is not int:"):
        writer.line(REFUSE)
    order = repr("little" if part.swapped else "big")
    writer.fixed("", f"{part.length}s", f"{value}.to_bytes({part.length}, {order}, signed={bool(part.signed)})")
    return value


def _bytes(writer: Building, part: Any, value: str, place: Place) -> str | None:
    length = python(part.length, place.scope, writer)
    if length is None or (type(part.length) is int and part.length < 0):
        return None
    # Numbers and byte arrays are taken as well; construct deals with those.
    with writer.block(f"if {value}.__class__ is not bytes or len({value}) != {length}:"):
        writer.line(REFUSE)
    if type(part.length) is int:
        writer.fixed("", f"{part.length}s", value)
    else:
        writer.add(value)
    return value


def _greedy_bytes(writer: Building, part: Any, value: str, place: Place) -> str:
    with writer.block(f"if {value}.__class__ is not bytes:"):
        writer.line(REFUSE)
    writer.add(value)
    return value


def _const(writer: Building, part: Any, value: str, place: Place) -> str:
    constant = writer.literal(part.value)
    with writer.block(f"if {value} not in (None, {constant}):"):
        writer.line(REFUSE)
    writer.line(f"{value} = {constant}")
    return writer.put(part.subcon, value, place)


def _nothing(writer: Building, part: Any, value: str, place: Place) -> str:
    return value


def _flags(writer: Building, part: Any, value: str, place: Place) -> str | None:
    if type(part.subcon) is not construct.FormatField:
        return None
    word = conversions.encode(part, value, place, writer)
    if writer.is_contextual:
        word = writer.variable(word, f"{place.name}_word")
    writer.put(part.subcon, word, place)
    return conversions.decode(part, word, place, writer) if writer.is_contextual else value


def _choice(writer: Building, part: Any, value: str, place: Place) -> str | None:
    number = writer.variable(conversions.encode(part, value, place, writer), f"{place.name}_number")
    writer.put(part.subcon, number, place)
    return conversions.decode(part, number, place, writer) if writer.is_contextual else value


def _clock_time(writer: Building, part: Any, value: str, place: Place) -> str | None:
    if not conversions.is_clock_time(part):
        return None
    for byte in conversions.encode_clock_time(part, value, place, writer):
        writer.fixed("", "B", byte)
    return value


def _count(writer: Building, part: Any, value: str, place: Place) -> str | None:
    counted = place.scope.names.get(part.of) or (place.scope.whole and f"{place.scope.whole}[{part.of!r}]")
    if not counted:
        return None
    with writer.block(f"if {value} is None:"):
        writer.line(f"{value} = len({counted})")
    return writer.put(part.subcon, value, place)


def _rebuild(writer: Building, part: Any, value: str, place: Place) -> str | None:
    rebuilt = python(part.func, place.scope, writer)
    return None if rebuilt is None else writer.put(part.subcon, writer.variable(rebuilt, place.name), place)


def _array(writer: Building, part: Any, value: str, place: Place) -> str | None:
    count = None if part.discard else python(part.count, place.scope, writer)
    if count is None:
        return None
    with writer.block(f"if len({value}) != {count}:"):
        writer.line(REFUSE)
    pieces, entry = writer.name(f"{place.name}_pieces"), writer.name("entry")
    if place.scope.index == "None":
        place.scope.index = writer.name("index")
    built = writer.name("built") if writer.is_contextual else value
    if writer.is_contextual:
        writer.line(f"{built} = _ListContainer()")
    writer.line(f"{pieces} = []")
    with writer.block(f"for {place.scope.index}, {entry} in enumerate({value}):"):
        kept = writer.start()
        one = writer.put(part.subcon, entry, place)
        writer.line(f"{pieces}.append({writer.end(kept)})")
        if writer.is_contextual:
            writer.line(f"{built}.append({one})")
    writer.add(f'b"".join({pieces})')
    return built


def _prefixed(writer: Building, part: Any, value: str, place: Place) -> str:
    kept = writer.start()
    built = writer.put(part.subcon, value, place)
    inner = writer.name(f"{place.name}_data")
    writer.line(f"{inner} = {writer.end(kept)}")
    length = writer.name(f"{place.name}_length")
    more = f" + {part.lengthfield.sizeof()}" if part.includelength else ""
    writer.line(f"{length} = len({inner}){more}")
    writer.put(part.lengthfield, length, place)
    writer.add(inner)
    return built


def _prefixed_array(writer: Building, part: Any, value: str, place: Place) -> str | None:
    halves = prefixed_array(part)
    if halves is None:
        return None
    counted, repeated = halves
    scope = Scope(place.scope, writer.constant("subcons", part._subcons, id(part)), names={"items": value})
    own_index(writer, scope, place.scope)
    count = writer.name("count")
    writer.line(f"{count} = len({value})")
    scope.names["count"] = count
    writer.put(counted.subcon, count, Place(scope, f"{place.name}_count", f"{place.path} -> count"))
    return writer.put(repeated, value, Place(scope, place.name, f"{place.path} -> items"))


def _condition(writer: Building, part: Any, value: str, place: Place) -> str | None:
    condition = python(part.condfunc, place.scope, writer)
    if condition is None:
        return None
    piece, built = writer.name(f"{place.name}_piece"), writer.name("built")
    for head, branch in ((f"if {condition}:", part.thensubcon), ("else:", part.elsesubcon)):
        with writer.block(head):
            _branch(writer, branch, value, place, (piece, built))
    writer.add(piece)
    return built


def _switch(writer: Building, part: Any, value: str, place: Place) -> str | None:
    key = python(part.keyfunc, place.scope, writer)
    if key is None:
        return None
    piece, built, branch = writer.name(f"{place.name}_piece"), writer.name("built"), writer.name("branch")
    cases = [*part.cases.values(), part.default]
    numbers = writer.constant(f"{place.name}_cases", {case: number for number, case in enumerate(part.cases)})
    writer.line(f"{branch} = {numbers}.get({key}, {len(part.cases)})")
    writer.choose(branch, 0, len(cases), lambda number: _branch(writer, cases[number], value, place, (piece, built)))
    writer.add(piece)
    return built


def _branch(writer: Building, part: Declaration, value: str, place: Place, names: tuple[str, str]) -> None:
    kept = writer.start()
    built = writer.put(part, value, place)
    writer.line(f"{names[0]} = {writer.end(kept)}")
    writer.line(f"{names[1]} = {built}")


BUILDERS: dict[type, Builder] = {
    construct.Struct: _struct,
    construct.Renamed: _renamed,
    construct.FormatField: _number,
    construct.BytesInteger: _long_number,
    Bytes: _bytes,
    type(construct.GreedyBytes): _greedy_bytes,
    construct.Const: _const,
    type(construct.Pass): _nothing,
    type(construct.Terminated): _nothing,
    construct.Rebuild: _rebuild,
    construct.Array: _array,
    construct.Prefixed: _prefixed,
    construct.FocusedSeq: _prefixed_array,
    construct.IfThenElse: _condition,
    construct.Switch: _switch,
    BcdTime: _clock_time,
    BinaryTime: _clock_time,
    Flags: _flags,
    Choice: _choice,
    Count: _count,
    Total: build_total,
    Items: build_items,
    Records: build_records,
    Pairs: build_pairs,
    UntilEnd: build_until_end,
}
