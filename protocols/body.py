"""Reading a body by its declaration, and showing what was read as JSON values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from itertools import groupby
from typing import Any

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
    for field in declaration.subcons:
        name = field.name
        if name is None or is_secret(field) or parsed[name] is None or (name == "extra" and not parsed[name]):
            continue
        values_by_name[name] = shown(field, parsed[name])
        if isinstance(_bare(field), UntilEnd) and parsed[name].trailing:
            values_by_name["trailing"] = parsed[name].trailing.hex()
    return values_by_name


def shown(declaration: Declaration, value: Any) -> Any:
    """One field's value as JSON knows it."""
    bare = _bare(declaration)
    if isinstance(bare, Struct):
        return values(bare, value)
    if isinstance(bare, Items):
        return item_values(bare, value)
    if isinstance(bare, (Array, UntilEnd)):
        return [shown(bare.subcon, entry) for entry in value]
    return json_value(value)


def item_values(items: Items, entries: Entries) -> dict[str, Any]:
    """Items by name; those without one, and any that come a second time, raw and in order as ``items``.

    Where there are secrets among the items, of a cut one only the size is shown.
    """
    named: dict[str, Any] = {}
    raw = []
    for item in entries:
        declaration = items.declaration(item.id, item.length)
        if declaration is not None and is_secret(declaration):
            continue
        if item.name and declaration is not None and item.name not in named:
            named[item.name] = shown(declaration, item.value)
        elif item.id or item.length:
            raw.append({"id": f"0x{item.id:0{items.id_digits}X}", "raw": items.raw(item).hex()})
    if raw:
        named["items"] = raw
    if entries.is_cut and items.has_secrets:
        named["trailing_bytes"] = len(entries.trailing)
    elif entries.is_cut:
        named["trailing"] = entries.trailing.hex()
    return named


def is_secret(declaration: Declaration) -> bool:
    """Whether nobody may be shown what this declares."""
    return isinstance(_bare(declaration), Secret)


def json_value(value: Any) -> Any:
    """One parsed value as JSON knows it."""
    if isinstance(value, FlagWord):
        return value.names
    if isinstance(value, bool) or value is None:
        return value
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
