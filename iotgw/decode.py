"""Decoding a line of hex, for people with a captured frame in hand."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from protocols import DecodeError, DeviceProtocol, Event, Malformed, Message, Outcome, Report
from protocols.body import iso

_CAUSES = {
    "checksum": "the check byte does not fit the bytes before it",
    "escape": "an escape byte is followed by none of its substitutes, and the check byte does not fit either",
    "oversized": "too many bytes without a frame's end",
    "header": "the frame is too short for a header",
    "length": "the frame is shorter than its header says",
    "parts": "the sub-packet's number or total cannot be",
    "cut": "the frame does not end",
    "garbage": "bytes that begin no frame",
    "stop": "the frame does not end with its end mark",
    "unidentified": "the device has not said who it is",
}
_SOMEBODY = "?"
"""Who sends a frame that does not tell it."""
_EXPECTED = "expected: one whole frame in hex, from its start mark to its end mark"


def decode_line(protocol: DeviceProtocol, hex_text: str, identity: str = "") -> dict[str, Any]:
    """Decode one frame, on its own.

    Many protocols tell who the device is at login only: ``identity`` is the one that has logged in.

    Shape: ``{"ok": true, "identity", "kind", "sequence", "reports", "ack"}``, with ``error`` beside it when some of
    the body could not be read, or ``{"ok": false, "error": {"kind", "path", "text"}}``. Bytes are lower-case hex.
    """
    codec = protocol.codec(identity or _SOMEBODY)
    try:
        message = _only_message([*codec.receive(frame_bytes(hex_text), 0.0), *codec.end()])
        decoded = protocol.decode(message)
        if decoded.error and not decoded.reports:
            raise decoded.error
    except DecodeError as error:
        return {"ok": False, "error": _error(error)}
    line: dict[str, Any] = {
        "ok": True,
        "identity": None if message.identity == _SOMEBODY else message.identity,
        "kind": protocol.kind_name(message.kind),
        "sequence": message.sequence,
        "reports": [_report(report) for report in decoded.reports],
        "ack": codec.ack(message, Outcome.STORED, datetime.now(UTC)).hex() or None,
    }
    if decoded.error:
        line["error"] = _error(decoded.error)
    return line


def frame_bytes(hex_text: str) -> bytes:
    """The bytes of hex as people write it.

    Raises: DecodeError when it is none.
    """
    digits = re.sub(r"0[xX]|[\s:,-]", "", hex_text)
    if not digits:
        raise DecodeError("empty", "", f"there are no bytes; {_EXPECTED}")
    stray = re.search(r"[^0-9A-Fa-f]", digits)
    if stray:
        raise DecodeError("hex", "", f"{stray.group()!r} is no hex digit; {_EXPECTED}")
    if len(digits) % 2:
        raise DecodeError("hex", "", f"{len(digits)} hex digits make no whole bytes; {_EXPECTED}")
    return bytes.fromhex(digits)


def _only_message(events: list[Event]) -> Message:
    messages = [event for event in events if isinstance(event, Message)]
    malformed = [event for event in events if isinstance(event, Malformed)]
    if len(messages) > 1:
        raise DecodeError("frames", "", f"{len(messages)} frames in one line; {_EXPECTED}")
    for event in malformed:
        if event.cause == "incomplete":
            raise DecodeError("sub-packet", "", "one part of a longer message: it can be read only together with the others")
        around = "beside a good frame: " if messages else ""
        raise DecodeError(event.cause, "", f"{around}{_CAUSES.get(event.cause, event.cause)} ({event.raw.hex()}); {_EXPECTED}")
    if not messages:
        raise DecodeError("no-frame", "", f"there is no frame in these bytes; {_EXPECTED}")
    return messages[0]


def _report(report: Report) -> dict[str, Any]:
    return {
        "kind": report.kind,
        "time": iso(report.time) if report.time else None,
        "latitude": report.latitude,
        "longitude": report.longitude,
        "altitude_m": report.altitude_m,
        "speed_kmh": report.speed_kmh,
        "course_deg": report.course_deg,
        "values": report.values,
        "alarms": report.alarms,
    }


def _error(error: DecodeError) -> dict[str, str]:
    return {"kind": error.cause, "path": error.path, "text": error.text}
