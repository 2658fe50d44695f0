"""Decoded values as JSON text that both databases take."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson

DEPTH = 32
"""How deep values may nest: no protocol goes past a few levels, and json itself gives up at Python's recursion limit."""

_encode = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode
_STRICT = orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
"""What json does not know is no JSON here either."""


class NotJSONError(ValueError):
    """A value that JSON has no form for."""


def storable(value: Any) -> tuple[str, Any]:
    """The value as JSON text, and as what that text says.

    What a device may send but JSON or PostgreSQL does not take is replaced: NaN and infinity by null, the
    character NUL by U+FFFD, halves of surrogate pairs by a question mark, bytes by their hex.
    Raises: NotJSONError.
    """
    if not value:
        return ("{}", {}) if isinstance(value, dict) else ("[]", [])
    try:
        text = orjson.dumps(value, option=_STRICT).decode()
    except TypeError:
        return _judged(value)
    return _judged(value) if _is_doubtful(text) else (text, value)


def plain_text(text: str) -> str:
    """The text without what PostgreSQL cannot store in one."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _is_doubtful(text: str) -> bool:
    """Whether orjson's text may not be json's: NaN is null in it, and numbers near zero are written otherwise. What is
    escaped may be the character NUL. A dash by itself is found sooner than an exponent's.
    """
    return "\\" in text or "null" in text or "0.0000" in text or ("-" in text and "e-" in text)


def _judged(value: Any) -> tuple[str, Any]:
    try:
        text = _encode(value)
        text.encode()
        if "\\u0000" not in text:
            return text, value
    except (ValueError, TypeError, RecursionError):
        pass
    value = _cleaned(value, DEPTH)
    return _encode(value), value


def _cleaned(value: Any, depth: int) -> Any:
    if depth == 0:
        raise NotJSONError(f"values nest deeper than {DEPTH} levels")
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if isinstance(value, dict):
        return {plain_text(str(key)): _cleaned(item, depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_cleaned(item, depth - 1) for item in value]
    raise NotJSONError(f"{type(value).__name__} is no JSON value")
