"""Reading a body by its declaration, and showing what was read as JSON values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache, partial
from itertools import groupby
from typing import Any, NamedTuple

from construct import Array, ConstructError, IfThenElse, Prefixed, Renamed, StreamError, Struct

from protocols.compiler import compile
from protocols.fields import Declaration, FlagWord, Secret
from protocols.items import Entries, Items, UntilEnd
from protocols.report import DecodeError


def read(declaration: Declaration, body: bytes) -> Any:
    """Parse a body.

    Raises: DecodeError, with the field's path, when it is too short or has a value that cannot be.
    """
    try:
        return compile(declaration).parse(body)
    except ConstructError as error:
        raise decode_error(error) from error


def decode_error(error: ConstructError) -> DecodeError:
    """What construct could not parse, in this house's words."""
    if isinstance(error, StreamError):
        counts = re.search(r"expected (\d+), found (\d+)", str(error))
        text = "{} > {} left".format(*counts.groups()) if counts else "the body ends too early"
        return DecodeError("truncated", _path(error), text)
    return DecodeError("value", _path(error), str(error).splitlines()[-1])


def values(declaration: Struct, parsed: Mapping[str, Any]) -> dict[str, Any]:
    """A struct's fields by name as JSON values: bytes in hex, times in ISO 8601, flags as the names that are set.

    Left out are secrets, at any depth, fields that are not there, and ``extra``, the field for bytes behind the
    declared ones, where it is empty. Bytes behind a list, too few for an entry of it, are ``trailing``.
    """
    values_by_name: dict[str, Any] = {}
    for field in _fields(declaration):
        value = parsed[field.name]
        if value is None or (field.name == "extra" and not value):
            continue
        values_by_name[field.name] = value if value.__class__ in _PLAIN else field.show(value)
        if field.may_trail and value.trailing:
            values_by_name["trailing"] = value.trailing.hex()
    return values_by_name


def shown(declaration: Declaration, value: Any) -> Any:
    """One field's value as JSON knows it."""
    return _show(declaration)(value)


def item_values(items: Items, entries: Entries) -> dict[str, Any]:
    """Items by name; those without one, and any that come a second time, raw and in order as ``items``.

    Where there are secrets among the items, of a cut one only the size is shown.
    """
    named: dict[str, Any] = {}
    raw = []
    show = _item_shows(items)
    for item in entries:
        id, length, name, value = item
        show_value = show.get((id, length)) or show.get((id, None))
        if show_value is _hide:
            continue
        if name and show_value is not None and name not in named:
            named[name] = value if value.__class__ in _PLAIN else show_value(value)
        elif id or length:
            raw.append({"id": f"0x{id:0{items.id_digits}X}", "raw": items.raw(item).hex()})
    if raw:
        named["items"] = raw
    if entries.is_cut and items.has_secrets:
        named["trailing_bytes"] = len(entries.trailing)
    elif entries.is_cut:
        named["trailing"] = entries.trailing.hex()
    return named


Show = Callable[[Any], Any]
"""Makes a JSON value of a parsed one. What a declaration needs of these is settled once, not for every body."""


class _Field(NamedTuple):
    """A struct's field that may be shown."""

    name: str
    show: Show
    may_trail: bool
    """Whether it is a list that bytes can be left behind."""


@cache
def _fields(declaration: Struct) -> tuple[_Field, ...]:
    return tuple(
        _Field(field.name, _show(field), isinstance(_bare(field), UntilEnd))
        for field in declaration.subcons
        if field.name is not None and not is_secret(field)
    )


@cache
def _show(declaration: Declaration) -> Show:
    bare = _bare(declaration)
    if isinstance(bare, Struct):
        return partial(values, bare)
    if isinstance(bare, Items):
        return partial(item_values, bare)
    if isinstance(bare, (Array, UntilEnd)):
        show = _show(bare.subcon)
        return lambda entries: [show(entry) for entry in entries]
    return json_value


@cache
def _item_shows(items: Items) -> dict[tuple[int, int | None], Show]:
    """By id and length; None for every length that has no declaration of its own."""
    return {key: _hide if is_secret(declaration) else _show(declaration) for key, declaration in items._declared.items()}


def _hide(value: Any) -> Any:
    """Stands for what nobody may be shown."""
    raise AssertionError("a secret is never shown")


def is_secret(declaration: Declaration) -> bool:
    """Whether nobody may be shown what this declares."""
    return isinstance(_bare(declaration), Secret)


def json_value(value: Any) -> Any:
    """One parsed value as JSON knows it."""
    if value.__class__ in _PLAIN:
        return value
    if isinstance(value, FlagWord):
        return value.names
    for kind in (int, float, str):
        if isinstance(value, kind):
            # A plain one: subclasses carry bytes that only building needs.
            return kind(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Mapping):
        return {str(name): json_value(entry) for name, entry in value.items() if name != "_io"}
    if isinstance(value, (list, tuple, Entries)):
        return [json_value(entry) for entry in value]
    raise TypeError(f"{type(value).__name__} has no JSON form")


_PLAIN = frozenset((int, float, str, bool, type(None)))
"""What is a JSON value as it is. Most are, so that asking first is faster than calling what would show them."""


def iso(time: datetime) -> str:
    """ISO 8601 with a Z, of a time in UTC."""
    return time.isoformat().replace("+00:00", "Z")


def _path(error: ConstructError) -> str:
    # A field with a name and a text is wrapped twice, and construct names it twice.
    return ".".join(name for name, _ in groupby((error.path or "").split(" -> ")[1:]))


def _bare(field: Declaration) -> Declaration:
    """A declaration without the name and text that were given to it, the condition it stands under, and its length."""
    while isinstance(field, (Renamed, IfThenElse, Prefixed)):
        field = field.thensubcon if isinstance(field, IfThenElse) else field.subcon
    return field
