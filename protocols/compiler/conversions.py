"""What adapters do, as Python: arithmetic and table look-ups in place, anything else by a call of the adapter."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from construct import Bytes, FormatField

from protocols.compiler.expressions import context_of
from protocols.compiler.structure import uses_context
from protocols.compiler.writer import Place, Writer
from protocols.fields import BCD, Adapted, BcdTime, BinaryTime, Choice, Flags, Measured, Scaled

YEARS = {kind: tuple(None if number is None else 2000 + number for number in kind.numbers) for kind in (BcdTime, BinaryTime)}
"""By kind of time, the year that a byte stands for; None for one that stands for none."""
BYTES = {kind: {number: byte for byte, number in enumerate(kind.numbers) if number is not None} for kind in YEARS}
"""The byte for a number."""
BYTES_OF_YEARS = {kind: {2000 + number: byte for number, byte in table.items()} for kind, table in BYTES.items()}
_PARTS = ("year", "month", "day", "hour", "minute", "second")


def is_clock_time(declaration: Adapted) -> bool:
    """Whether a declaration is six bytes of time, which are read and written one by one."""
    return type(declaration) in YEARS and type(declaration.subcon) is Bytes


def decode(adapter: Adapted, raw: str, place: Place, writer: Writer) -> str:
    """The expression of an adapter's value, given the one of what is on the wire."""
    inline = _DECODERS.get(type(adapter))
    if inline is not None:
        return inline(adapter, raw, place, writer)
    return _call(adapter._decode, raw, place, writer, is_building=False)


def encode(adapter: Adapted, value: str, place: Place, writer: Writer) -> str:
    """The expression of what goes on the wire, given the variable of an adapter's value."""
    inline = _ENCODERS.get(type(adapter))
    if inline is not None:
        return inline(adapter, value, place, writer)
    return _call(adapter._encode, value, place, writer, is_building=True)


def _call(method: Callable[..., Any], value: str, place: Place, writer: Writer, is_building: bool) -> str:
    function = writer.constant(f"{place.name}_{method.__name__.strip('_')}", method)
    context = context_of(place.scope, "None", is_building) if uses_context(method) else "None"
    return f"{function}({value}, {context}, {place.path!r})"


def _plain(raw: str) -> str:
    return raw if raw.isidentifier() else f"({raw})"


def _decode_scaled(adapter: Any, raw: str, place: Place, writer: Writer) -> str:
    return raw if adapter.divisor == 1 else f"{_plain(raw)} / {adapter.divisor!r}"


def _encode_scaled(adapter: Any, value: str, place: Place, writer: Writer) -> str:
    if adapter.divisor == 1:
        return f"({value} if {value}.__class__ is int else round({value} * 1))"
    return f"round({value} * {adapter.divisor!r})"


def _decode_measured(adapter: Any, raw: str, place: Place, writer: Writer) -> str:
    code = writer.variable(raw, place.name)
    number = f"{code} - {adapter.zero!r}" if adapter.zero else code
    if adapter.divisor != 1:
        number = f"{_plain(number)} / {adapter.divisor!r}"
    words = writer.constant(f"{place.name}_words", adapter.words)
    lowest = min(adapter.words, default=0)
    if len(adapter.words) == (1 << 8 * adapter.subcon.sizeof()) - lowest:
        # The words are the highest codes, as they mostly are: comparing is faster than looking up.
        return f"({number} if {code} < {lowest} else {words}[{code}])"
    return f"({words}[{code}] if {code} in {words} else {number})"


def _decode_choice(adapter: Any, raw: str, place: Place, writer: Writer) -> str:
    number = writer.variable(raw, place.name)
    names = writer.constant(f"{place.name}_names", {number: option.name for number, option in adapter.options.items()})
    return f"{names}.get({number}, {number})"


def _encode_choice(adapter: Any, value: str, place: Place, writer: Writer) -> str:
    numbers = {option.name: number for number, option in adapter.options.items()}
    return f"({value} if isinstance({value}, int) else {writer.constant(f'{place.name}_numbers', numbers)}[{value}])"


def _decode_flags(adapter: Any, raw: str, place: Place, writer: Writer) -> str:
    return f"{writer.constant('FlagWord', adapter.word, id(adapter))}({raw})"


def _encode_flags(adapter: Any, value: str, place: Place, writer: Writer) -> str:
    encoder = _call(adapter._encode, value, place, writer, is_building=True)
    return f"({value} if isinstance({value}, int) else {encoder})" if type(adapter.subcon) is FormatField else encoder


def _decode_bcd(adapter: Any, raw: str, place: Place, writer: Writer) -> str:
    return f"{_plain(raw)}.hex().upper()"


def _encode_bcd(adapter: Any, value: str, place: Place, writer: Writer) -> str:
    with writer.block(f"if len({value}) > {2 * adapter.size}:"):
        writer.line("raise _Refused")
    return f"bytes.fromhex({value}.zfill({2 * adapter.size}))"


def decode_clock_time(adapter: Any, parts: list[str], place: Place, writer: Writer) -> str:
    """The variable of a time, given those of its six bytes."""
    kind, time = type(adapter), writer.name(place.name)
    years = writer.constant("years", YEARS[kind], kind)
    numbers = [f"{years}[{parts[0]}]", *parts[1:]]
    if kind is not BinaryTime:
        # What is no two digits, a plain byte cannot be either and still name a moment.
        table = writer.constant("numbers", kind.numbers, kind)
        numbers[1:] = [f"{table}[{part}]" for part in parts[1:]]
    with writer.block("try:"):
        writer.line(f"{time} = _datetime({', '.join(numbers)}, 0, _UTC){_shift(adapter, '-', writer)}")
    with writer.block("except (TypeError, ValueError):"):
        writer.line(f"{time} = bytes(({', '.join(parts)}))")
    return time


def encode_clock_time(adapter: Any, value: str, place: Place, writer: Writer) -> list[str]:
    """The variables of a time's six bytes."""
    kind, bytes_of_it = type(adapter), [writer.name(f"{place.name}_{part}") for part in _PARTS]
    local = writer.name(f"local_{place.name}")
    table, years = writer.constant("bytes", BYTES[kind], kind), writer.constant("years", BYTES_OF_YEARS[kind], kind)
    with writer.block(f"if {value}.__class__ is _datetime and {value}.tzinfo is _UTC:"):
        writer.line(f"{local} = {value}{_shift(adapter, '+', writer)}")
        for name, part in zip(bytes_of_it, _PARTS, strict=True):
            writer.line(f"{name} = {years if part == 'year' else table}[{local}.{part}]")
    with writer.block("else:"):
        writer.line(f"{', '.join(bytes_of_it)} = {_call(adapter._encode, value, place, writer, is_building=True)}")
    return bytes_of_it


def _shift(adapter: Any, sign: str, writer: Writer) -> str:
    return f" {sign} {writer.constant('offset', adapter._offset, adapter._offset)}" if adapter.hours_east else ""


_Inline = Callable[[Any, str, Place, Writer], str]
_DECODERS: dict[type, _Inline] = {
    Scaled: _decode_scaled,
    Choice: _decode_choice,
    Flags: _decode_flags,
    BCD: _decode_bcd,
    Measured: _decode_measured,
}
_ENCODERS: dict[type, _Inline] = {Scaled: _encode_scaled, Choice: _encode_choice, Flags: _encode_flags, BCD: _encode_bcd}
RUNTIME: dict[str, Any] = {
    "_UTC": UTC,
    "_datetime": datetime,
}
"""What the written code refers to."""
