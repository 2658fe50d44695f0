"""Families of devices, and how the properties of each are read.

Which family a device is of, nothing tells that it sends: the operator does, by the first digits of its IMEI.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

from construct import Adapter, ConstructError, FormatField, Renamed

from protocols.body import json_value, shown
from protocols.compiler import compile
from protocols.describe import size_of
from protocols.fields import Declaration, Scaled
from protocols.items import Entries
from protocols.teltonika.properties import AST, COMMON, FM6, FMB, FT, OLD_FM, Table

Reading = Callable[[Any], Any]
_GROUP_OF_SIZE = {1: "io_1", 2: "io_2", 4: "io_4", 8: "io_8"}
_NO_FIX = frozenset((0, 2, 3))
_NO_FIX_FM6 = frozenset((0, 1, 2, 4, 5))


class Property(NamedTuple):
    """What one id in one size means."""

    name: str
    read: Reading
    """From the number, or the bytes where there are 8 or any, to the value as JSON knows it.

    Raises: ConstructError or ValueError when the bytes are not what the declaration says.
    """
    declaration: Declaration

    def value(self, raw: Any) -> Any:
        """What :attr:`read` gives; bytes that it cannot read as they are, in hex."""
        try:
            return self.read(raw)
        except (ConstructError, ValueError):
            return plain(raw)


def plain(raw: int | bytes) -> int | str:
    """A value that nothing is known of."""
    return raw.hex() if isinstance(raw, bytes) else raw


class Family(NamedTuple):
    """Devices in which an id means the same."""

    name: str
    properties: Mapping[str, Mapping[int, Property]]
    """By group and id."""
    no_fix: tuple[int, frozenset[int]]
    """The property that tells of the receiver, and with which values there is no fix."""


@cache
def _reading(declaration: Declaration) -> Reading:
    read = _slow_reading(declaration)
    # Of one byte there are so few values that all of them are read beforehand.
    return tuple(map(read, range(256))).__getitem__ if _group(declaration) == "io_1" else read


def _slow_reading(declaration: Declaration) -> Reading:
    while isinstance(declaration, Renamed):
        declaration = declaration.subcon
    if isinstance(declaration, FormatField):
        return _number(declaration)
    if isinstance(declaration, Scaled) and isinstance(declaration.subcon, FormatField):
        return _scaled(_number(declaration.subcon), declaration.divisor, declaration.subcon.fmtstr[-1].isupper())
    if isinstance(declaration, Adapter) and isinstance(declaration.subcon, FormatField):
        number, decode = _number(declaration.subcon), declaration._decode
        no_context: Any = None
        return lambda raw: json_value(decode(number(raw), no_context, ""))
    return _structured(declaration)


def _structured(declaration: Declaration) -> Reading:
    parse, size = compile(declaration).parse, size_of(declaration) or 0

    def read(raw: int | bytes) -> Any:
        parsed = parse(raw if isinstance(raw, bytes) else raw.to_bytes(size, "big"))
        if not _is_whole(parsed):
            raise ValueError("bytes are left over")
        return shown(declaration, parsed)

    return read


def _is_whole(parsed: Any) -> bool:
    if isinstance(parsed, Entries):
        return not parsed.trailing and all(map(_is_whole, parsed))
    return all(map(_is_whole, parsed.values())) if isinstance(parsed, dict) else True


def _number(field: Any) -> Reading:
    """All numbers are read as if they had no sign."""
    if field.fmtstr[-1].isupper():
        return lambda raw: raw
    half = 1 << 8 * field.length - 1
    return lambda raw: raw - 2 * half if raw >= half else raw


def _scaled(number: Reading, divisor: int, is_plain: bool) -> Reading:
    if divisor == 1:
        return number
    return (lambda raw: raw / divisor) if is_plain else (lambda raw: number(raw) / divisor)


def _group(declaration: Declaration) -> str:
    return _GROUP_OF_SIZE.get(size_of(declaration) or 0, "io_x")


def _family(name: str, table: Table, no_fix: tuple[int, frozenset[int]] = (69, _NO_FIX)) -> Family:
    properties: dict[str, dict[int, Property]] = {group: {} for group in (*_GROUP_OF_SIZE.values(), "io_x")}
    for id, row in table.items():
        for declaration in row:
            properties[_group(declaration)][id] = Property(declaration.name or "", _reading(declaration), declaration)
    return Family(name, properties, no_fix)


FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        _family("common", COMMON),
        _family("fmb", FMB),
        _family("fm6", FM6, (71, _NO_FIX_FM6)),
        _family("ast", AST),
        _family("ft", FT),
        _family("old_fm", OLD_FM),
    )
}
"""By name. ``common`` is for devices that nobody has told of: only what means the same in all."""
