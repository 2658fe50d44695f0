"""Reading a body by its declaration, and showing what was read as JSON values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from itertools import groupby
from typing import Any

from construct import ConstructError, StreamError, Struct

from protocols.fields import Declaration, FlagWord, Secret
from protocols.items import Entries
from protocols.report import DecodeError


def read(declaration: Declaration, body: bytes) -> Any:
    """Parse a body.

    Raises: DecodeError, with the field's path, when it is too short or has a value that cannot be.
    """
    try:
        return declaration.parse(body)
    except StreamError as error:
        counts = re.search(r"expected (\d+), found (\d+)", str(error))
        text = "{} > {} left".format(*counts.groups()) if counts else "the body ends too early"
        raise DecodeError("truncated", _path(error), text) from error
    except ConstructError as error:
        raise DecodeError("value", _path(error), str(error).splitlines()[-1]) from error


def values(declaration: Struct, parsed: Mapping[str, Any]) -> dict[str, Any]:
    """A struct's fields by name as JSON values: bytes in hex, times in ISO 8601, flags as the names that are set.

    Secrets are left out, and so is ``extra``, the field for bytes behind the declared ones, where it is empty.
    """
    shown = {}
    for field in declaration.subcons:
        name = field.name
        if name is None or isinstance(_bare(field), Secret) or (name == "extra" and not parsed[name]):
            continue
        shown[name] = json_value(parsed[name])
    return shown


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
    """A declaration without the name and text that were given to it."""
    while type(field).__name__ == "Renamed":
        field = field.subcon  # type: ignore[attr-defined]
    return field
