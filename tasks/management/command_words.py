"""What people write on the command line about commands: fields, spans of time, paces."""

from __future__ import annotations

import json
import re
from argparse import ArgumentTypeError
from collections.abc import Iterable, Sequence
from typing import Any

from protocols.command import CommandField
from store.commands.errors import BadFieldError

_PLAIN_TYPES = ("text", "BCD", "bytes")
"""Of fields whose value stays as it is written, though it may look like a number."""
_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*(s|min|h|d)?")
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, None: 1}
_PACE = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)/(s|min|h)")


def seconds(text: str) -> float:
    """As an argument's type."""
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise ArgumentTypeError(f"{text!r} is no span of time such as 90, 90s, 15min, 2h or 1d")
    return float(found[1]) * _SECONDS[found[2]]


def pace(text: str) -> float:
    """Devices a second, as an argument's type."""
    found = _PACE.fullmatch(text.strip())
    if found is None or not float(found[1]):
        raise ArgumentTypeError(f"{text!r} is no pace such as 5/s, 30/min or 600/h")
    return float(found[1]) / _SECONDS[found[2]]


def read_fields(words: Iterable[str], known: Sequence[CommandField]) -> dict[str, Any]:
    """``limit=5 area.name=North points=[[1,2]]``: numbers, true, false, null and JSON, and else words.

    Raises: BadFieldError
    """
    plain = {field.name for field in known if field.type.startswith(_PLAIN_TYPES)}
    fields: dict[str, Any] = {}
    for word in words:
        path, found, text = word.partition("=")
        *ways, name = path.split(".")
        if not found or not all((*ways, name)):
            raise BadFieldError(f"{word!r} is no field: write name=value, or name.part=value")
        place = fields
        for way in ways:
            place = place.setdefault(way, {})
            if not isinstance(place, dict):
                raise BadFieldError(f"{path}: {way} has a value already")
        if name in place:
            raise BadFieldError(f"{path} is given twice")
        place[name] = text if path in plain else _value(text)
    return fields


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=lambda _: text)
    except (ValueError, RecursionError):
        return text
