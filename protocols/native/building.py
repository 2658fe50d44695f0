"""Making the platform's messages from plain values."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from construct import ConstructError

from protocols.filling import fill
from protocols.items import Entries
from protocols.native.messages import COMMAND_BODY, NAMED_VALUES

_WHOLE = (("i8", "b"), ("i16", "h"), ("i32", "i"), ("i64", "q"))


def command(fields: Mapping[str, Any]) -> bytes:
    """A command of ``name`` and ``arguments`` by name, if there are any: yes or no, numbers and texts, or bytes.

    An ``id`` that is left out is given when the command leaves.

    Raises: ValueError, with the field, its value and what it may be.
    """
    arguments = fields.get("arguments", {})
    if not isinstance(arguments, Mapping):
        raise ValueError(f"arguments: {arguments!r} is no values by name")
    head = fill(COMMAND_BODY, {"id": 0, **fields, "arguments": []})
    return head + typed(arguments, "arguments")


def typed(values: Mapping[str, Any], path: str) -> bytes:
    """Values by name, each with the smallest type that holds it.

    Raises: ValueError, with the name, the value and what it may be.
    """
    entries = []
    for name, value in values.items():
        try:
            type = type_of(value)
        except ValueError as error:
            raise ValueError(f"{path}.{name}: {error}") from error
        entries.append({"name": name, "type": type, "value": None if type in ("false", "true") else value})
    try:
        built: bytes = NAMED_VALUES.build(Entries(entries))
    except (ConstructError, UnicodeEncodeError) as error:
        raise ValueError(f"{path}: a name or value is too long, or no text: {str(error).splitlines()[-1]}") from error
    return built


def type_of(value: Any) -> str:
    """The type by which a plain value travels.

    Raises: ValueError when it has none.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        for type, code in _WHOLE:
            bits = 8 * struct.calcsize(f">{code}")
            if -(1 << bits - 1) <= value < 1 << bits - 1:
                return type
        raise ValueError(f"{value} does not fit 64 bits")
    for kind, type in ((float, "f64"), (str, "text"), (bytes, "bytes")):
        if isinstance(value, kind):
            return type
    raise ValueError(f"{value!r} is neither yes or no, nor a number, nor text, nor bytes")
