"""Filling a declaration in from plain values, as a command brings them, and saying which of them cannot be."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from construct import (
    Array,
    Bytes,
    Const,
    ConstructError,
    Container,
    FormatField,
    GreedyBytes,
    IfThenElse,
    Pass,
    Prefixed,
    Renamed,
    Struct,
    Switch,
)

from protocols.fields import Choice, ClockTime, Count, Declaration, Flags, Measured, Scaled, Secret, Text, UnixTime
from protocols.items import Entries, Item, Items, Pairs, UntilEnd

EXTRA = "extra"
"""The field for bytes behind the declared ones: none are sent if none are given."""


def fill(declaration: Struct, fields: Mapping[str, Any]) -> bytes:
    """Build a body of fields by name. JSON's values will do: names or numbers, ISO 8601 for times, hex for bytes.

    Left out may be counts, fields that others switch on, and ``extra``.

    Raises: ValueError, with the field's path, the value, and what it may be.
    """
    filled = _struct(declaration, fields, "")
    try:
        return declaration.build(filled)
    except ConstructError as error:
        raise ValueError(_last_line(error)) from error


def _plain(declaration: Declaration, value: Any, path: str) -> Any:
    """One value, checked and turned into what its declaration builds from."""
    declaration = _unnamed(declaration)
    for kind, check in _CHECKS:
        if isinstance(declaration, kind):
            return check(declaration, value, path)
    if declaration is GreedyBytes:
        return _bytes(declaration, value, path)
    try:
        declaration.build(value)
    except (ConstructError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: {value!r} does not fit: {_last_line(error)}") from error
    return value


def _struct(declaration: Struct, fields: Any, path: str) -> dict[str, Any]:
    if not isinstance(fields, Mapping):
        raise ValueError(f"{path}: {fields!r} is no fields by name")
    declared = {field.name: field for field in declaration.subcons if field.name is not None}
    for name in fields:
        # What was parsed brings construct's own along.
        if name not in declared and name != "_io":
            raise ValueError(f"{_join(path, name)}: there is no such field, but {', '.join(declared)}")
    filled: dict[str, Any] = {}
    meanings: Any = Container()
    for name, field in declared.items():
        inner, value = _unnamed(field), fields.get(name)
        is_wanted = bool(inner.condfunc(meanings)) if _is_conditional(inner) else None
        if value is not None and is_wanted is False:
            raise ValueError(f"{_join(path, name)}: {value!r} has no place, as the other fields say")
        if value is not None:
            filled[name] = _plain(_branch(inner, meanings), value, _join(path, name))
        elif name == EXTRA:
            filled[name] = b""
        elif isinstance(_bare(field), Count) or is_wanted is False:
            filled[name] = None
        elif isinstance(inner, Const):
            filled[name] = inner.value
        else:
            why = ", as the other fields say" if is_wanted else ""
            raise ValueError(f"{_join(path, name)}: missing{why}{_unit(field)}: {field.docs}")
        meanings[name] = _meaning(inner, filled[name])
    for field in declared.values():
        _check_count(field, filled, path)
    return filled


def _meaning(declaration: Declaration, value: Any) -> Any:
    """A value as it would be parsed, for the conditions of fields behind it."""
    if value is not None and isinstance(declaration, (Choice, Flags)):
        return declaration.parse(declaration.build(value))
    return value


def _check_count(field: Declaration, filled: Mapping[str, Any], path: str) -> None:
    counting = _bare(field)
    if not isinstance(counting, Count):
        return
    listed = filled.get(counting.of) or ()
    _, highest = _range(counting.subcon)
    if len(listed) > highest:
        raise ValueError(f"{_join(path, counting.of)}: {len(listed)} entries, where there may be {highest}")


def _branch(declaration: Any, meanings: Any) -> Any:
    """Of a declaration that depends on the fields before it, the one that they choose."""
    if isinstance(declaration, Switch):
        key: Any = declaration.keyfunc
        return declaration.cases.get(key(meanings), declaration.default)
    if not isinstance(declaration, IfThenElse):
        return declaration
    condition: Any = declaration.condfunc
    return declaration.thensubcon if condition(meanings) else declaration.elsesubcon


def _list(declaration: Any, value: Any, path: str) -> Entries:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{path}: {value!r} is no list")
    entries = [_plain(declaration.subcon, entry, f"{path}[{index}]") for index, entry in enumerate(value)]
    return Entries(entries, getattr(value, "trailing", b""))


def _pairs(declaration: Pairs, value: Any, path: str) -> list[tuple[int, Any]]:
    if not isinstance(value, (list, tuple)) or any(not isinstance(pair, (list, tuple)) or len(pair) != 2 for pair in value):
        raise ValueError(f"{path}: {value!r} is no list of ids and values")
    _, highest = _range(declaration.count)
    if len(value) > highest:
        raise ValueError(f"{path}: {len(value)} entries, where there may be {highest}")
    return [
        (_plain(declaration.id, id, f"{path}[{index}].id"), _plain(declaration.value, inner, f"{path}[{index}].value"))
        for index, (id, inner) in enumerate(value)
    ]


def _items(declaration: Items, value: Any, path: str) -> Any:
    if isinstance(value, (list, tuple)) and all(isinstance(item, Item) for item in value):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(f"{path}: {value!r} is no items by name")
    declared = {item.name: row for row in declaration.table.values() for item in row}
    filled = {}
    for name, entry in value.items():
        row = declared.get(name)
        if row is not None:
            filled[name] = _any_of(row, entry, _join(path, name))
        elif name.lower().startswith("0x"):
            filled[name] = _hex(entry, _join(path, name))
        else:
            raise ValueError(f"{_join(path, name)}: there is no such item")
    return filled


def _any_of(row: Sequence[Declaration], value: Any, path: str) -> Any:
    """Of an item that comes in several lengths, by the one that the value fits."""
    for declaration in row[:-1]:
        try:
            return _plain(declaration, value, path)
        except ValueError:
            continue
    return _plain(row[-1], value, path)


def _number(declaration: Any, value: Any, path: str) -> int:
    lowest, highest = _range(declaration)
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise ValueError(f"{path}: {value!r} is no whole number from {lowest} to {highest}")
    return value


def _scaled(declaration: Scaled, value: Any, path: str) -> int | float:
    lowest, highest = (end / declaration.divisor for end in _range(declaration.subcon))
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not lowest <= value <= highest:
        raise ValueError(f"{path}: {value!r} is no number from {lowest:g} to {highest:.10g} {declaration.unit}")
    return value


def _measured(declaration: Measured, value: Any, path: str) -> int | float | str:
    words = declaration.words.values()
    if isinstance(value, str) and value in words:
        return value
    top = min(_range(declaration.subcon)[1] + 1, *declaration.words) - 1
    lowest, highest = ((code - declaration.zero) / declaration.divisor for code in (0, top))
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not lowest <= value <= highest:
        allowed = f"number from {lowest:g} to {highest:.10g} {declaration.unit}".rstrip()
        raise ValueError(f"{path}: {value!r} is no {allowed}, nor {' or '.join(words)}")
    return value


def _choice(declaration: Choice, value: Any, path: str) -> str | int:
    names = [option.name for option in declaration.options.values()]
    if isinstance(value, str) and value not in names:
        raise ValueError(f"{path}: {value!r} is none of {', '.join(names)}")
    return value if isinstance(value, str) else _number(declaration.subcon, value, path)


def _flags(declaration: Flags, value: Any, path: str) -> Any:
    if isinstance(value, int):
        return _number(declaration.subcon, value, path)
    names = [bit.name for bit in declaration.bits.values()]
    if not isinstance(value, (Mapping, list, tuple)) or any(name not in names for name in value):
        raise ValueError(f"{path}: {value!r} is not made of {', '.join(names)}")
    for bit in declaration.bits.values():
        part = value.get(bit.name) if isinstance(value, Mapping) else None
        is_good = part in bit.choices if bit.choices else isinstance(part, int) and 0 <= part < 1 << bit.width
        if part is not None and not is_good:
            allowed = ", ".join(bit.choices) or f"0 to {(1 << bit.width) - 1}"
            raise ValueError(f"{_join(path, bit.name)}: {part!r} is none of {allowed}")
    return value


def _text(declaration: Text, value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{path}: {value!r} is no text")
    try:
        size = len(declaration.build(value)) if declaration.size is None else len(value.encode(declaration.encoding))
    except UnicodeEncodeError as error:
        raise ValueError(f"{path}: {value!r} cannot be written in {declaration.encoding}") from error
    if declaration.size is not None and size > declaration.size:
        raise ValueError(f"{path}: {value!r} takes {size} bytes, where there are {declaration.size}")
    return value


def _prefixed(declaration: Any, value: Any, path: str) -> Any:
    inner = _plain(declaration.subcon, value, path)
    size, (_, highest) = len(declaration.subcon.build(inner)), _range(declaration.lengthfield)
    if size > highest:
        raise ValueError(f"{path}: {value!r} takes {size} bytes, where there may be {highest}")
    return inner


def _time(declaration: ClockTime, value: Any, path: str) -> datetime | bytes:
    """A moment; or six bytes, in hex too, for times that recur and those without a meaning."""
    time = value
    if isinstance(value, str):
        try:
            time = bytes.fromhex(value) if len(value) == 2 * declaration.sizeof() else datetime.fromisoformat(value)
        except ValueError as error:
            raise ValueError(f"{path}: {value!r} is no time of ISO 8601") from error
    if isinstance(time, bytes):
        return _bytes(declaration.subcon, time, path)
    if not isinstance(time, datetime) or time.tzinfo is None:
        raise ValueError(f"{path}: {value!r} is no time with a time zone")
    if not 2000 <= time.year <= 2099:
        raise ValueError(f"{path}: {value!r} is not from 2000 to 2099")
    return time


def _unix_time(declaration: UnixTime, value: Any, path: str) -> datetime | int:
    """A moment, or a count that names none."""
    time = value
    if isinstance(value, str):
        try:
            time = datetime.fromisoformat(value)
        except ValueError as error:
            raise ValueError(f"{path}: {value!r} is no time of ISO 8601") from error
    if not isinstance(time, datetime):
        return _number(declaration.subcon, time, path)
    if time.tzinfo is None:
        raise ValueError(f"{path}: {value!r} is no time with a time zone")
    try:
        declaration.build(time)
    except ConstructError as error:
        raise ValueError(f"{path}: {value!r} does not fit: {_last_line(error)}") from error
    return time


def _bytes(declaration: Declaration, value: Any, path: str) -> bytes:
    raw = _hex(value, path)
    size = getattr(declaration, "length", None)
    if size is not None and len(raw) != size:
        raise ValueError(f"{path}: {len(raw)} bytes, where there are {size}")
    return raw


def _hex(value: Any, path: str) -> bytes:
    try:
        return value if isinstance(value, bytes) else bytes.fromhex(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {value!r} is no bytes in hex") from error


_CHECKS: tuple[tuple[Any, Callable[[Any, Any, str], Any]], ...] = (
    (Struct, _struct),
    ((Array, UntilEnd), _list),
    (Items, _items),
    (Pairs, _pairs),
    (Count, lambda declaration, value, path: _number(declaration.subcon, value, path)),
    (Scaled, _scaled),
    (Measured, _measured),
    (Choice, _choice),
    (Flags, _flags),
    (Text, _text),
    (ClockTime, _time),
    (UnixTime, _unix_time),
    (Prefixed, _prefixed),
    (Bytes, _bytes),
    (FormatField, _number),
)


def _range(number: Any) -> tuple[int, int]:
    """The lowest and the highest that a whole number can be on the wire."""
    bits = 8 * struct.calcsize(number.fmtstr)
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if number.fmtstr[-1].islower() else (0, (1 << bits) - 1)


def _bare(field: Declaration) -> Declaration:
    while isinstance(field, (Renamed, Secret, IfThenElse)):
        field = field.thensubcon if isinstance(field, IfThenElse) else field.subcon
    return field


def _unnamed(field: Any) -> Any:
    while isinstance(field, (Renamed, Secret)):
        field = field.subcon
    return field


def _is_conditional(declaration: Any) -> bool:
    return isinstance(declaration, IfThenElse) and declaration.elsesubcon is Pass


def _last_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[-1]


def _unit(field: Declaration) -> str:
    unit = getattr(_bare(field), "unit", "")
    return f" ({unit})" if unit else ""


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
