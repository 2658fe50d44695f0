"""What adapters do, as Python: arithmetic and table look-ups in place, anything else by a call of the adapter."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from construct import Bytes, FormatField

from protocols.compiler.expressions import context_of
from protocols.compiler.structure import uses_context
from protocols.compiler.writer import Place, Writer
from protocols.fields import BCD, Adapted, BcdTime, Choice, Flags, Scaled

NUMBERS = tuple(10 * (byte >> 4) + (byte & 15) if byte >> 4 < 10 and byte & 15 < 10 else None for byte in range(256))
"""The number that a byte of packed decimal stands for; None for one that is no decimal."""
YEARS = tuple(None if number is None else 2000 + number for number in NUMBERS)
DECIMALS = {number: byte for byte, number in enumerate(NUMBERS) if number is not None}
"""The byte of packed decimal for a number."""
DECIMAL_YEARS = {2000 + number: byte for number, byte in DECIMALS.items()}
_PARTS = ("year", "month", "day", "hour", "minute", "second")


def is_bcd_time(declaration: Adapted) -> bool:
    """Whether a declaration is six bytes of time, which are read and written one by one."""
    return type(declaration) is BcdTime and type(declaration.subcon) is Bytes


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


def decode_bcd_time(adapter: Any, parts: list[str], place: Place, writer: Writer) -> str:
    """The variable of a time, given those of its six bytes."""
    time = writer.name(place.name)
    numbers = ", ".join(f"{'_YEARS' if part is parts[0] else '_NUMBERS'}[{part}]" for part in parts)
    with writer.block("try:"):
        writer.line(f"{time} = _datetime({numbers}, 0, _UTC) - {writer.constant('offset', adapter._offset, adapter._offset)}")
    with writer.block("except (TypeError, ValueError):"):
        writer.line(f"{time} = bytes(({', '.join(parts)}))")
    return time


def encode_bcd_time(adapter: Any, value: str, place: Place, writer: Writer) -> list[str]:
    """The variables of a time's six bytes."""
    bytes_of_it = [writer.name(f"{place.name}_{part}") for part in _PARTS]
    local = writer.name(f"local_{place.name}")
    numbers = ", ".join(f"{'_DECIMAL_YEARS' if part == 'year' else '_DECIMALS'}[{local}.{part}]" for part in _PARTS)
    with writer.block(f"if {value}.__class__ is _datetime and {value}.tzinfo is _UTC:"):
        writer.line(f"{local} = {value} + {writer.constant('offset', adapter._offset, adapter._offset)}")
        for name, number in zip(bytes_of_it, numbers.split(", "), strict=True):
            writer.line(f"{name} = {number}")
    with writer.block("else:"):
        writer.line(f"{', '.join(bytes_of_it)} = {_call(adapter._encode, value, place, writer, is_building=True)}")
    return bytes_of_it


_Inline = Callable[[Any, str, Place, Writer], str]
_DECODERS: dict[type, _Inline] = {Scaled: _decode_scaled, Choice: _decode_choice, Flags: _decode_flags, BCD: _decode_bcd}
_ENCODERS: dict[type, _Inline] = {Scaled: _encode_scaled, Choice: _encode_choice, Flags: _encode_flags, BCD: _encode_bcd}
RUNTIME: dict[str, Any] = {
    "_UTC": UTC,
    "_datetime": datetime,
    "_NUMBERS": NUMBERS,
    "_YEARS": YEARS,
    "_DECIMALS": DECIMALS,
    "_DECIMAL_YEARS": DECIMAL_YEARS,
}
"""What the written code refers to."""
