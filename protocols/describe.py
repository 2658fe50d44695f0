"""A declaration as rows: what stands where, of which type, and under which condition."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from construct import (
    Array,
    Bytes,
    BytesInteger,
    Const,
    Default,
    FocusedSeq,
    FormatField,
    GreedyBytes,
    IfThenElse,
    Pass,
    Prefixed,
    Rebuild,
    Renamed,
    SizeofError,
    Struct,
    Switch,
)

from protocols.fields import BCD, BcdTime, BinaryTime, Choice, Count, Declaration, Flags, Measured, Scaled, Secret, Text, UnixTime
from protocols.items import Items, Pairs, Records, UntilEnd

_NUMBERS = {"B": "u8", "b": "i8", "H": "u16", "h": "i16", "L": "u32", "l": "i32", "I": "u32", "i": "i32", "Q": "u64", "q": "i64"}
_NUMBERS |= {"e": "f16", "f": "f32", "d": "f64", "?": "bool"}


class Row(NamedTuple):
    """One field."""

    offset: int | None
    """From the beginning of what is declared; None behind a field whose size varies."""
    size: int | None
    """None where it varies."""
    name: str
    """With those around it: ``items[].latitude``."""
    type: str
    unit: str
    text: str
    condition: str
    """When it is there; empty for always."""
    words: Flags | Choice | Items | None
    """What has a table of its own: bits, values, items."""
    is_counted: bool = False
    """Whether it follows from other fields: a length, a number of entries, what is always the same."""


class _Place:
    """Where the next field stands."""

    def __init__(self) -> None:
        self.offset: int | None = 0

    def pass_by(self, size: int | None) -> int | None:
        offset = self.offset
        self.offset = None if offset is None or size is None else offset + size
        return offset


def rows(declaration: Declaration) -> list[Row]:
    """All fields of a declaration, in order."""
    return list(_rows(declaration, "", "", "", _Place()))


def size_of(declaration: Declaration) -> int | None:
    """Bytes that a declaration always takes, None where they vary."""
    try:
        return declaration.sizeof()
    except (SizeofError, KeyError):
        return None


def type_of(declaration: Any) -> str:
    """A field's type in a few words."""
    for kind, word in _WORDS.items():
        if isinstance(declaration, kind):
            return str(word(declaration))
    if declaration is GreedyBytes or type(declaration) is type(GreedyBytes):
        return "bytes to the end"
    if hasattr(declaration, "subcon"):
        return type_of(declaration.subcon)
    return type(declaration).__name__


def bare(declaration: Any) -> Any:
    """A declaration without its name and text, and without what only building and showing need."""
    while isinstance(declaration, (Renamed, Rebuild, Default, Count, Secret)):
        declaration = declaration.subcon
    return declaration


def text_of(declaration: Any) -> str:
    """The text that stands with a declaration."""
    while isinstance(declaration, Renamed):
        if declaration.docs:
            return str(declaration.docs).strip()
        declaration = declaration.subcon
    return ""


def _rows(declaration: Any, name: str, text: str, condition: str, place: _Place) -> Iterator[Row]:
    name, text, inner = name or declaration.name or "", text or text_of(declaration), bare(declaration)
    if isinstance(inner, Struct):
        for part in inner.subcons:
            yield from _rows(part, ".".join(filter(None, (name, part.name or ""))), "", condition, place)
    elif isinstance(inner, FocusedSeq):
        *before, entries = inner.subcons
        for part in before:
            yield from _counted(_rows(part, f"{name}.{part.name}", text_of(part) or "Number of entries 个数", condition, place))
        yield from _rows(entries, name, text, condition, place)
    elif isinstance(inner, IfThenElse):
        yield from _either(inner, name, text, condition, place)
    elif isinstance(inner, Switch):
        key = _words(inner.keyfunc)
        cases = [(f"{key} = {case}", subcon) for case, subcon in inner.cases.items()] + [(f"{key} other", inner.default)]
        yield from _alternatives(cases, name, text, condition, place)
    elif isinstance(inner, (Array, UntilEnd, Records)):
        yield from _list(inner, name, text, condition, place)
    elif isinstance(inner, Pairs):
        yield from _counted(_rows(inner.count, f"{name}.count", "Number of entries 个数", condition, place))
        yield Row(
            place.pass_by(None),
            None,
            name,
            f"pairs of id ({type_of(inner.id)}), value ({type_of(inner.value)})",
            "",
            text,
            condition,
            None,
        )
    elif isinstance(inner, Prefixed) and isinstance(bare(inner.subcon), (Struct, Items, Records, UntilEnd, Switch, IfThenElse)):
        yield from _counted(_rows(inner.lengthfield, f"{name}.length", "Length in bytes 长度", condition, place))
        yield from _rows(inner.subcon, name, text, condition, place)
    elif inner is not Pass:
        size = size_of(inner)
        secret = ", secret" if _is_secret(declaration) else ""
        words = inner if isinstance(inner, (Flags, Choice, Items)) else None
        is_counted = isinstance(inner, Const) or _is_count(declaration)
        unit = getattr(inner, "unit", "")
        yield Row(place.pass_by(size), size, name, type_of(inner) + secret, unit, text, condition, words, is_counted)


def _list(inner: Any, name: str, text: str, condition: str, place: _Place) -> Iterator[Row]:
    """A list of entries: a row that says how many, and the rows of one of them."""
    count = _words(inner.count) if isinstance(inner, Array) else ""
    kind = f"{count} entries" if count else "entries up to the end"
    size = size_of(inner) if count else None
    if count and not isinstance(bare(inner.subcon), (Struct, Prefixed)):
        words = inner.subcon if isinstance(inner.subcon, (Flags, Choice)) else None
        unit = getattr(bare(inner.subcon), "unit", "")
        yield Row(place.pass_by(size), size, name, f"{count} × {type_of(inner.subcon)}", unit, text, condition, words)
        return
    yield Row(place.pass_by(size), size, name, kind, "", text, condition, None)
    entry = _Place()
    if isinstance(inner, Records):
        width = {"B": 1, "H": 2, "I": 4}[inner.head[-1]]
        number = _NUMBERS[inner.head[-1]]
        yield Row(entry.pass_by(width), width, f"{name}[].length", number, "", "Length in bytes 长度", "", None, is_counted=True)
    yield from _rows(inner.subcon, f"{name}[]", "", "", entry)


def _either(inner: Any, name: str, text: str, condition: str, place: _Place) -> Iterator[Row]:
    met = _words(inner.condfunc)
    yield from _alternatives([(f"if {met}", inner.thensubcon), (f"unless {met}", inner.elsesubcon)], name, text, condition, place)


def _alternatives(cases: list[tuple[str, Any]], name: str, text: str, condition: str, place: _Place) -> Iterator[Row]:
    """Declarations of which one applies. All begin at the same offset; behind them it depends."""
    ends = set()
    start = place.offset
    for met, subcon in cases:
        place.offset = start
        yield from _rows(subcon, name, text, ", ".join(filter(None, (condition, met))), place)
        ends.add(place.offset)
    place.offset = ends.pop() if len(ends) == 1 else None


def _counted(found: Iterator[Row]) -> Iterator[Row]:
    return (row._replace(is_counted=True) for row in found)


def _is_count(declaration: Any) -> bool:
    while isinstance(declaration, (Renamed, Secret)):
        declaration = declaration.subcon
    return isinstance(declaration, Count)


def _is_secret(declaration: Any) -> bool:
    while isinstance(declaration, (Renamed, Rebuild, Default, Count)):
        declaration = declaration.subcon
    return isinstance(declaration, Secret)


def _words(expression: Any) -> str:
    """A condition or count as people write it; of one that is code, that it is a rule."""
    if not callable(expression):
        return str(expression)
    shown = repr(expression)
    if "this" not in shown:
        return (getattr(expression, "__doc__", None) or "its rule is met").strip().splitlines()[0]
    return re.sub(
        r"^\((.*)\)$", r"\1", re.sub(r"this((?:\['\w+'\])+)", lambda found: ".".join(re.findall(r"'(\w+)'", found[1])), shown)
    )


def _number(declaration: Any) -> str:
    return _NUMBERS[declaration.fmtstr[1:]] + (" LE" if declaration.fmtstr[0] == "<" and declaration.sizeof() > 1 else "")


def _text(declaration: Text) -> str:
    return f"text, {declaration.encoding.upper()}" + (" to the end" if declaration.size is None else ", 0x00 behind")


def _scaled(declaration: Scaled) -> str:
    return type_of(declaration.subcon) + (f", value × {declaration.divisor}" if declaration.divisor != 1 else "")


def _measured(declaration: Measured) -> str:
    divisor = f" × {declaration.divisor}" if declaration.divisor != 1 else ""
    zero = f" + {declaration.zero}" if declaration.zero else ""
    words = "".join(f", 0x{code:X} {word}" for code, word in declaration.words.items())
    return type_of(declaration.subcon) + (f", value{divisor}{zero}" if divisor or zero else "") + words


def _item_head(declaration: Items) -> str:
    id, *length = (_NUMBERS[code] for code in declaration.head[1:])
    return f"items of id ({id}), " + (f"length ({length[0]}), value" if length else "value")


def _bytes(declaration: Any) -> str:
    return "bytes" if isinstance(declaration.length, int) else f"bytes, as many as {_words(declaration.length)} says"


def _const(declaration: Any) -> str:
    value = declaration.value
    return f"always {value.hex()}" if isinstance(value, bytes) else f"{type_of(declaration.subcon)}, always {value}"


_WORDS: Mapping[Any, Any] = {
    Renamed: lambda declaration: type_of(declaration.subcon),
    FormatField: _number,
    BCD: lambda _: "BCD digits",
    BcdTime: lambda declaration: f"BCD YYMMDDhhmmss, GMT{declaration.hours_east:+d}",
    BinaryTime: lambda declaration: f"YYMMDDhhmmss in a byte each, GMT{declaration.hours_east:+d}",
    UnixTime: lambda declaration: f"{type_of(declaration.subcon)}, {'m' if declaration.per_second == 1000 else ''}s since 1970 UTC",
    BytesInteger: lambda declaration: f"{'i' if declaration.signed else 'u'}{8 * declaration.sizeof()}",
    Text: _text,
    Scaled: _scaled,
    Measured: _measured,
    Flags: lambda declaration: f"{type_of(declaration.subcon)}, bits",
    Choice: lambda declaration: f"{type_of(declaration.subcon)}, one of",
    Const: _const,
    Items: _item_head,
    Prefixed: lambda declaration: f"length ({type_of(declaration.lengthfield)}), then {type_of(declaration.subcon)}",
    Bytes: _bytes,
    Struct: lambda declaration: " + ".join(type_of(part) for part in declaration.subcons),
}
