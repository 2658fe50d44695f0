"""What can be set, as rows for people."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic_core import PydanticUndefined

from settings.load import PREFIX
from settings.model import SECRETS, Settings

SUFFIXES = {
    "listen": "__<PROTOCOL>",
    "protocols": "__<PROTOCOL>__<OPTION>",
    "acks": "__<PROTOCOL>",
    "idle_timeouts": "__<PROTOCOL>",
    "close_strangers": "__<PROTOCOL>",
}
"""What stands behind the variable's name for a setting that is a table."""


class Described(NamedTuple):
    """One setting. ``value`` is None where it is the default; a secret's value is never shown."""

    key: str
    variable: str
    default: str
    value: str | None
    meaning: str


def describe(settings: Settings) -> Iterator[Described]:
    for key, field in Settings.model_fields.items():
        if field.default is not PydanticUndefined:
            default = _shown(field.default)
        else:
            default = "the host's name" if field.default_factory is socket.gethostname else ""
        value = None
        if key in settings.model_fields_set:
            value = "(set)" if key in SECRETS else _shown(getattr(settings, key))
        suffix = SUFFIXES.get(key, "")
        yield Described(key, f"{PREFIX}{key.upper()}{suffix}", default, value, field.description or "")


def _shown(value: Any) -> str:
    match value:
        case None:
            return ""
        case dict():
            return ", ".join(f"{key} = {' and '.join(item) if isinstance(item, list) else item}" for key, item in value.items())
        case list():
            return ", ".join(map(str, value))
    return str(value)


def markdown(settings: Settings) -> str:
    """The table of docs/settings.md."""
    rows = [f"| `{row.key}` | `{row.variable}` | {_code(row.default)} | {row.meaning} |" for row in describe(settings)]
    return "\n".join(["| key | variable | default | meaning |", "| --- | --- | --- | --- |", *rows])


def _code(text: str) -> str:
    return f"`{text}`" if text and text != "the host's name" else text
