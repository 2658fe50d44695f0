"""Writes the loops over items, records and what is repeated up to the end, for parsing and for building."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import construct
from construct import Adapter, Bytes, Subconstruct

from protocols.compiler.conversions import is_clock_time
from protocols.compiler.structure import bare, is_own, uses_context
from protocols.compiler.writer import Place, Scope, Writer
from protocols.fields import Choice, Declaration, Flags
from protocols.items import Items

if TYPE_CHECKING:
    from protocols.compiler.building import Building
    from protocols.compiler.parsing import Parsing

id_of = id
"""Variables here are called as in the standards, ``id`` among them."""


def compiled(declaration: Declaration, method: str) -> Any:
    """``parse`` or ``build`` of what is parsed and built by itself, in no other context."""
    from protocols.compiler.compiled import compile

    return getattr(compile(declaration), method)


def is_flat(part: Declaration) -> bool:
    """Whether a declaration is nothing but fields of fixed size, so that it cannot fail for want of bytes."""
    if part.parsed is not None:
        return False
    part = bare(part)
    if type(part) is construct.Struct:
        return all(is_flat(field) for field in part.subcons)
    if type(part) is construct.FormatField or is_clock_time(part):  # type: ignore[arg-type]
        return True
    if type(part) is Bytes:
        return type(part.length) is int
    if isinstance(part, Adapter):
        is_known = isinstance(part, (Flags, Choice)) or is_own(part, Adapter, "_parse", "_build")
        return is_known and not uses_context(part._decode) and not uses_context(part._encode) and is_flat(part.subcon)
    return is_own(part, Subconstruct, "_parse", "_build") and is_flat(part.subcon)  # type: ignore[attr-defined]


def parse_items(writer: Parsing, part: Any, place: Place) -> str:
    head = struct.Struct(part.head)
    writer.settle()
    data, at, entries = writer.data, writer.at, writer.name(place.name)
    id, length, start, stop = (writer.name(name) for name in ("id", "length", "start", "stop"))
    end, last, padding = (writer.name(name) for name in ("end", "last", "padding"))
    writer.line(f"{entries} = _new_list(_Entries)")
    writer.line(f"{end} = len({data})")
    writer.line(f"{last} = {end} - {head.size}")
    writer.line(f"{padding} = -1")
    with writer.block(f"while {at} <= {last}:"):
        if part.head[1:] == "BB":
            writer.line(f"{id} = {data}[{at}]")
            writer.line(f"{length} = {data}[{at} + 1]")
        else:
            unpack = writer.constant("unpack", head.unpack_from, part.head)
            writer.line(f"{id}, {length} = {unpack}({data}, {at})")
        writer.line(f"{start} = {at} + {head.size}")
        writer.line(f"{stop} = {start} + {length}")
        with writer.block(f"if {stop} > {end}:"):
            writer.line("break")
        with writer.block(f"if not {id}:"):
            with writer.block(f"if {padding} < 0:"):
                writer.line(f'{padding} = len({data}.rstrip(b"\\0"))')
            with writer.block(f"if {at} >= {padding}:"):
                writer.line("break")
        writer.line(f"{at} = {stop}")
        writer.find(id, _leaves(writer, part, length, partial(_parse_item, writer, (id, length, start, entries))))
        writer.line(f"{entries}.append(_new_tuple(_Item, ({id}, {length}, '', {data}[{start}:{at}])))")
    writer.line(f"{entries}.trailing = {data}[{at}:] if {at} < {end} else b''")
    writer.move(f"len({data})")
    return entries


def _leaves(
    writer: Writer, part: Items, length: str, write: Callable[[int | None, Declaration], None]
) -> dict[int, Callable[[], None]]:
    """For each declared id, what writes the code of its declarations, one per length or one for all that are left."""

    def leaf(rows: list[tuple[int | None, Declaration]]) -> None:
        for size, declaration in sorted(rows, key=lambda row: row[0] is None):
            if size is None:
                write(size, declaration)
            else:
                with writer.block(f"if {length} == {size}:"):
                    write(size, declaration)

    rows: dict[int, list[tuple[int | None, Declaration]]] = {}
    for (id, size), declaration in part._declared.items():
        rows.setdefault(id, []).append((size, declaration))
    return {id: partial(leaf, row) for id, row in rows.items()}


def _parse_item(writer: Parsing, names: tuple[str, str, str, str], size: int | None, declaration: Declaration) -> None:
    id, length, start, entries = names
    data, at, name = writer.data, writer.at, declaration.name or ""
    known = f"{id}, {length if size is None else size}"
    is_safe = False
    if size is not None and is_flat(declaration):
        with writer.within(data, start), writer.apart():
            value = writer.value(bare(declaration), Place(Scope(), "value", f"(parsing) -> {name}"))
        is_safe = "(parsing)" not in value
    else:
        parse = writer.constant(f"parse_{name}", compiled(declaration, "parse"), id_of(declaration))
        value = f"{parse}({data}[{start}:{at}])"
    item = f"{entries}.append(_new_tuple(_Item, ({known}, {name!r}, {value})))"
    if is_safe:
        writer.line(item)
        writer.line("continue")
        return
    with writer.block("try:"):
        writer.line(item)
        writer.line("continue")
    with writer.block("except _ConstructError:"):
        # What cannot be decoded stays raw.
        writer.line("pass")


def parse_records(writer: Parsing, part: Any, place: Place) -> str | None:
    writer.settle()
    head = struct.Struct(part.head)
    data, at, entries = writer.data, writer.at, writer.name(place.name)
    length, start, end = writer.name("length"), writer.name("start"), writer.name("end")
    writer.line(f"{entries} = _new_list(_Entries)")
    writer.line(f"{end} = len({data})")
    with writer.block(f"while {at} + {head.size} <= {end}:"):
        writer.line(f"({length},) = {writer.constant('unpack', head.unpack_from, part.head)}({data}, {at})")
        writer.line(f"{start} = {at} + {head.size}")
        with writer.block(f"if {start} + {length} > {end}:"):
            writer.line("break")
        writer.line(f"{at} = {start} + {length}")
        writer.line(f"{entries}.append({data}[{start}:{at}])")
    writer.line(f"{entries}.trailing = {data}[{at}:]")
    writer.move(f"len({data})")
    return entries


def parse_pairs(writer: Parsing, part: Any, place: Place) -> str | None:
    """All pairs of a fixed size by one call; those with a length of their own in a loop."""
    layout = _pair_layout(part)
    if layout is None:
        return None
    pairs, count = writer.name(place.name), writer.value(part.count, place._replace(name=f"{place.name}_count"))
    writer.flush()
    if not part.is_prefixed:
        unpack, start, end = writer.constant("iterate", layout.iter_unpack, part.layout), writer.position, writer.name("end")
        with writer.block(f"if {count}:"):
            writer.line(f"{end} = {writer.position} + {count} * {layout.size}")
            with writer.block(f"if {end} > len({writer.data}):"):
                writer.line("raise _Refused")
            writer.line(f"{pairs} = [*{unpack}({writer.data}[{start}:{end}])]")
            writer.line(f"{writer.at} = {end}")
        with writer.block("else:"):
            writer.line(f"{pairs} = []")
            if start != writer.at:
                writer.line(f"{writer.at} = {start}")
        writer.move()
        return pairs
    writer.settle()
    unpack = writer.constant("unpack", layout.unpack_from, part.layout)
    id, length, start = writer.name("id"), writer.name("length"), writer.name("start")
    writer.line(f"{pairs} = []")
    with writer.block(f"for _ in range({count}):"):
        writer.line(f"{id}, {length} = {unpack}({writer.data}, {writer.at})")
        writer.line(f"{start} = {writer.at} + {layout.size}")
        writer.line(f"{writer.at} = {start} + {length}")
        with writer.block(f"if {writer.at} > len({writer.data}):"):
            writer.line("raise _Refused")
        writer.line(f"{pairs}.append(({id}, {writer.data}[{start}:{writer.at}]))")
    return pairs


def _pair_layout(part: Any) -> struct.Struct | None:
    """A pair's fixed bytes; None where it is made of anything else than whole numbers in one byte order, and bytes."""
    numbers = [part.count, part.id, part.value.lengthfield if part.is_prefixed else part.value]
    if type(part.value) is Bytes and type(part.value.length) is int:
        numbers.pop()
    is_known = all(type(number) is construct.FormatField and number.fmtstr[1] in "BHILQ" for number in numbers)
    orders = {number.fmtstr[0] for number in numbers if is_known and number.length > 1}
    if not is_known or not orders <= {">"} or any(number.parsed is not None for number in (*numbers, part.value)):
        return None
    return struct.Struct(">" + part.layout[1:])


def parse_until_end(writer: Parsing, part: Any, place: Place) -> str:
    """The entry at which it fails is construct's, and so is all behind it: it alone knows which failures end a list."""
    writer.settle()
    data, at, entries = writer.data, writer.at, writer.name(place.name)
    start = writer.name("start")
    writer.line(f"{entries} = _new_list(_Entries)")
    writer.line(f"{entries}.trailing = b''")
    with writer.block("while True:"):
        if _needs_bytes(part.subcon):
            with writer.block(f"if {at} >= len({data}):"):
                writer.line("break")
        writer.line(f"{start} = {at}")
        with writer.block("try:"):
            value = writer.value(part.subcon, place)
            writer.flush()
            value = writer.variable(value, "entry")
            writer.settle()
        with writer.block("except Exception:"):
            writer.line(f"{at} = {start}")
        with writer.block(f"if {at} == {start}:"):
            rest = writer.construct(part, place)
            writer.line(f"{entries}.extend({rest})")
            writer.line(f"{entries}.trailing = {rest}.trailing")
            writer.line("break")
        writer.line(f"{entries}.append({value})")
    writer.move(f"len({data})")
    return entries


def _needs_bytes(part: Declaration) -> bool:
    """Whether reading nothing fails as construct means it to: the first field has a size."""
    part = bare(part)
    if type(part) is construct.Struct:
        return bool(part.subcons) and _needs_bytes(part.subcons[0])
    if type(part) is construct.Prefixed:
        return _needs_bytes(part.lengthfield)
    return type(part) is construct.FormatField or (isinstance(part, Adapter) and _needs_bytes(part.subcon))


def build_items(writer: Building, part: Any, value: str, place: Place) -> str:
    head = struct.Struct(part.head)
    pieces, item, raw = (writer.name(n) for n in (f"{place.name}_pieces", "item", "raw"))
    id, length, name, inner = (writer.name(n) for n in ("id", "length", "name", "value"))
    pack = writer.constant("pack", head.pack, part.head)
    writer.line(f"{pieces} = []")
    with writer.block(f"for {item} in {value}:"):
        with writer.block(f"if {item}.__class__ is not _Item:"):
            # Values by name, and whatever else looks like an item.
            writer.line("raise _Refused")
        writer.line(f"{id}, {length}, {name}, {inner} = {item}")
        with writer.block(f"if isinstance({inner}, bytes):"):
            writer.line(f"{pieces}.append({pack}({id}, len({inner})) + {inner})")
            writer.line("continue")
        names = (id, length, inner, pieces, pack, raw)
        writer.find(id, _leaves(writer, part, length, partial(_build_item, writer, part.head, names)))
        writer.line("raise _Refused")
    writer.add(f'b"".join({pieces}) + getattr({value}, "trailing", b"")')
    return value


def _build_item(writer: Building, head: str, names: tuple[str, ...], size: int | None, declaration: Declaration) -> None:
    id, length, value, pieces, pack, raw = names
    if size is not None and is_flat(declaration):
        kept = writer.start(head[:1], head[1:], (id, length))
        writer.put(declaration, value, Place(Scope(), declaration.name or "value", "(building)"))
        writer.line(f"{pieces}.append({writer.end(kept)})")
    else:
        build = writer.constant(f"build_{declaration.name}", compiled(declaration, "build"), id_of(declaration))
        writer.line(f"{raw} = {build}({value})")
        writer.line(f"{pieces}.append({pack}({id}, len({raw})) + {raw})")
    writer.line("continue")


def build_records(writer: Building, part: Any, value: str, place: Place) -> str:
    pieces, entry, raw = writer.name(f"{place.name}_pieces"), writer.name("entry"), writer.name("raw")
    head = struct.Struct(part.head)
    build = writer.constant(f"build_{place.name}", compiled(part.subcon, "build"), id_of(part.subcon))
    writer.line(f"{pieces} = []")
    with writer.block(f"for {entry} in {value}:"):
        writer.line(f"{raw} = {entry} if isinstance({entry}, bytes) else {build}({entry})")
        writer.line(f"{pieces}.append({writer.constant('pack', head.pack, part.head)}(len({raw})))")
        writer.line(f"{pieces}.append({raw})")
    writer.add(f'b"".join({pieces}) + getattr({value}, "trailing", b"")')
    return value


def build_pairs(writer: Building, part: Any, value: str, place: Place) -> str | None:
    layout = _pair_layout(part)
    if layout is None:
        return None
    pieces, id, inner = (writer.name(name) for name in (f"{place.name}_pieces", "id", "value"))
    pack = writer.constant("pack", layout.pack, part.layout)
    writer.put(part.count, f"len({value})", place._replace(name=f"{place.name}_count"))
    writer.line(f"{pieces} = []")
    with writer.block(f"for {id}, {inner} in {value}:"):
        if type(part.value) is not construct.FormatField:
            size = "" if part.is_prefixed else f" or len({inner}) != {part.value.length}"
            with writer.block(f"if {inner}.__class__ is not bytes{size}:"):
                writer.line("raise _Refused")
        packed = f"{pack}({id}, len({inner})) + {inner}" if part.is_prefixed else f"{pack}({id}, {inner})"
        writer.line(f"{pieces}.append({packed})")
    writer.add(f'b"".join({pieces})')
    return value


def build_total(writer: Building, part: Any, value: str, place: Place) -> str | None:
    lists = [place.scope.names.get(name) or f"{place.scope.whole}[{name!r}]" for name in part.lists]
    if not place.scope.whole:
        return None
    with writer.block(f"if {value} is None:"):
        writer.line(f"{value} = {' + '.join(f'len({found})' for found in lists)}")
    return writer.put(part.subcon, value, place)


def build_until_end(writer: Building, part: Any, value: str, place: Place) -> str:
    pieces, entry = writer.name(f"{place.name}_pieces"), writer.name("entry")
    writer.line(f"{pieces} = []")
    with writer.block(f"for {entry} in {value}:"):
        kept = writer.start()
        writer.put(part.subcon, entry, place)
        writer.line(f"{pieces}.append({writer.end(kept)})")
    writer.add(f'b"".join({pieces}) + getattr({value}, "trailing", b"")')
    return value
