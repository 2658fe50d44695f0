"""Making reports of messages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from protocols.body import json_value, read, values
from protocols.command import Answer, AnswerStatus
from protocols.download import FileResult, FileStatus
from protocols.items import Entries
from protocols.message import Message
from protocols.native.channels import CHANNELS, FIRST_OWN_CHANNEL, NO_ALTITUDE, NO_COURSE, NO_SPEED, POSITION, TAKEN_AS
from protocols.native.fields import FIRST_TIME
from protocols.native.messages import (
    COMMAND,
    DATA_HEAD_BYTES,
    DESCRIBE,
    EDITION,
    FILE_BEGIN,
    FILE_DATA,
    FILE_END,
    HEAD,
    HELLO,
    MAX_NAMES_BYTES,
    MESSAGES,
    MOMENT,
    READINGS,
    RESULT,
    TIME,
)
from protocols.piece import MediaKind, Piece
from protocols.report import Decoded, DecodeError, Report

MOMENT_KIND = "reading"
"""Of the report of one moment."""

_NAME = re.compile("[a-z][a-z0-9_]{0,31}")
_RESERVED = {"fix", "number", "device_time"}
"""Names by which a report says something of itself."""
_IDENTITY_AT = 3
"""Where the length of HELLO's identity stands; the token's stands behind the identity."""
_MEDIA_KINDS = {"image": MediaKind.PHOTO, "video": MediaKind.VIDEO, "audio": MediaKind.AUDIO}
_FILE_STATUSES = {"done": FileStatus.DONE, "busy": FileStatus.LATER}
_TRUTHS = {"false": False, "true": True}


def decode(message: Message) -> Decoded:
    """Reports of a message, and the error that ended them or took some away."""
    row = MESSAGES.get(message.kind)
    try:
        if row is None:
            raise DecodeError("unknown-kind", "", f"no message 0x{message.kind:02X}")
        parsed = read(row.layouts[EDITION], message.body)
        if message.kind == READINGS:
            return _moments(parsed.moments, own_channels(message.head))
        report = Report(row.name, message.body, values=values(row.layouts[EDITION], parsed))
        complete = _COMPLETE.get(message.kind)
        return Decoded([report], complete(report, parsed) if complete else None)
    except DecodeError as error:
        return Decoded([], error)


class OwnChannel(NamedTuple):
    """What a device calls a channel of its own, and what it measures it in."""

    name: str
    unit: str = ""


def own_channels(head: bytes) -> dict[int, OwnChannel]:
    """A device's own channels, as the head of its message says."""
    channels: dict[int, OwnChannel] = {}
    for entry in read(HEAD, head).channels:
        if not _naming_fault(entry):
            channels.setdefault(entry.channel, OwnChannel(str(entry.name), str(entry.unit)))
    return channels


def _moments(moments: Entries, own: dict[int, OwnChannel]) -> Decoded:
    """A report of each moment that can be read whole; of one that cannot, none, so that it is not stored in half."""
    reports: list[Report] = []
    errors: list[DecodeError] = []
    for index, body in enumerate(moments):
        try:
            reports.append(_moment(body, own))
        except DecodeError as error:
            path = ".".join(filter(None, (f"moments[{index}]", error.path)))
            errors.append(DecodeError(error.cause, path, error.text))
    if moments.trailing:
        errors.append(_rest("moments", moments))
    return Decoded(reports, errors[0] if errors else None)


def _moment(body: bytes, own: dict[int, OwnChannel]) -> Report:
    parsed = read(MOMENT, body)
    if parsed.readings.trailing:
        raise _rest("readings", parsed.readings)
    report = Report(MOMENT_KIND, body)
    seen: set[int] = set()
    for index, reading in enumerate(parsed.readings):
        if reading.channel in seen:
            raise DecodeError("repeated", f"readings[{index}].channel", f"channel {reading.channel} a second time")
        seen.add(reading.channel)
        _put(report, reading, own, f"readings[{index}]")
    _date(report, parsed.stamp)
    return report


def _put(report: Report, reading: Any, own: dict[int, OwnChannel], path: str) -> None:
    """Put a reading where a report has its place."""
    channel = CHANNELS.get(reading.channel)
    if channel is not None and channel.takes is not TAKEN_AS.get(reading.type):
        raise DecodeError("value", f"{path}.type", f"{channel.name} is {channel.takes.value}, not {reading.type}")
    if reading.channel == POSITION:
        _locate(report, reading.value)
        return
    number = f"channel_{reading.channel}"
    told = channel or own.get(reading.channel) or OwnChannel(number)
    value = _shown(reading)
    if value is None:
        # NaN: the sensor was asked and had no number to give.
        return
    name = number if told.name in report.values else told.name
    report.values[name] = value
    if channel is None and told.unit:
        report.units[name] = told.unit
    if channel is not None and channel.is_alarm and value:
        report.alarms.append(name)


def _locate(report: Report, point: Any) -> None:
    has_fix = abs(point.latitude) <= 90 and abs(point.longitude) <= 180
    report.values["fix"] = has_fix
    if has_fix:
        report.latitude, report.longitude = point.latitude, point.longitude
    report.altitude_m = _known(point.altitude, NO_ALTITUDE)
    report.speed_kmh = _known(point.speed, NO_SPEED)
    report.course_deg = _known(point.course, NO_COURSE)


def _known(value: float, unknown: float) -> float | None:
    return None if value == unknown else value


def _shown(entry: Any) -> Any:
    """A typed value as JSON knows it; None for a number that is none."""
    if entry.type in _TRUTHS:
        return _TRUTHS[entry.type]
    if entry.type in ("f32", "f64") and isinstance(entry.value, bytes):
        return None
    if entry.type == "point":
        point = Report("", b"")
        _locate(point, entry.value)
        names = ("latitude", "longitude", "altitude_m", "speed_kmh", "course_deg")
        return {name: getattr(point, name) for name in names if getattr(point, name) is not None}
    return json_value(entry.value)


def _hello(report: Report, parsed: Any) -> None:
    """The token stays out of the rows. What has to judge it, has the message."""
    at = _IDENTITY_AT + 1 + report.body[_IDENTITY_AT]
    report.body = report.body[:at] + b"\0" + report.body[at + 1 + report.body[at] :]


def _describe(report: Report, parsed: Any) -> DecodeError | None:
    if parsed.channels.trailing:
        return _rest("channels", parsed.channels)
    if len(report.body) > MAX_NAMES_BYTES:
        return DecodeError("oversized", "channels", f"{len(report.body)} bytes of names, where {MAX_NAMES_BYTES} are the most")
    seen: set[int] = set()
    for index, entry in enumerate(parsed.channels):
        text = f"channel {entry.channel} a second time" if entry.channel in seen else _naming_fault(entry)
        if text:
            return DecodeError("value", f"channels[{index}]", text)
        seen.add(entry.channel)
    return None


def _naming_fault(entry: Any) -> str:
    if entry.channel < FIRST_OWN_CHANNEL:
        return f"channel {entry.channel} means the same on every device"
    if not _NAME.fullmatch(entry.name) or entry.name in _RESERVED:
        return f"{str(entry.name)!r} is no name for a channel"
    return ""


def _file(report: Report, parsed: Any) -> None:
    report.values["file"] = number = _number(parsed.file, report.body)
    _date(report, parsed.file)
    if "data" in parsed:
        del report.values["data"]
        report.values["size"] = size = len(parsed.data)
        report.piece = Piece(str(number), data_at=DATA_HEAD_BYTES, data_size=size, offset=parsed.offset)
    elif "crc32" in parsed:
        report.piece = Piece(str(number), size=parsed.size, crc32=parsed.crc32, is_last=True)
    else:
        kind = _MEDIA_KINDS.get(parsed.content, MediaKind.FILE)
        report.piece = Piece(str(number), kind, str(parsed.name), size=parsed.size or None)


def _result(report: Report, parsed: Any) -> DecodeError | None:
    del report.values["stamp"]
    report.values.pop("trailing", None)
    report.values["returned"] = named_values(parsed.returned)
    _date(report, parsed.stamp)
    if parsed.answered == "command":
        report.answer = _answer(parsed.id, parsed.status)
    if parsed.answered == "offer":
        status = _FILE_STATUSES.get(parsed.status, FileStatus.FAILED)
        report.file_result = FileResult(parsed.id, status, "" if status is FileStatus.DONE else str(parsed.status))
    return _rest("returned", parsed.returned) if parsed.returned.trailing else None


def _answer(id: int, status: Any) -> Answer:
    if status == "done":
        return Answer((COMMAND,), AnswerStatus.DONE, id)
    return Answer((COMMAND,), AnswerStatus.FAILED, id, status if isinstance(status, str) else f"status_{status}")


def _time(report: Report, parsed: Any) -> None:
    del report.values["clock"]
    _date(report, parsed.clock)


_COMPLETE: dict[int, Any] = {
    HELLO: _hello,
    DESCRIBE: _describe,
    **dict.fromkeys((FILE_BEGIN, FILE_DATA, FILE_END), _file),
    RESULT: _result,
    TIME: _time,
}
"""What takes a message's own values to their places in its report, and says what is wrong with them."""


def named_values(entries: Iterable[Any]) -> dict[str, Any]:
    """Arguments or results by name; of two of one name, the first."""
    shown: dict[str, Any] = {}
    for entry in entries:
        shown.setdefault(str(entry.name), _shown(entry))
    return shown


def _date(report: Report, stamp: datetime | int) -> None:
    """A report's time, or the device's number where it had none; what is no time and no number is shown as it came."""
    if isinstance(stamp, datetime):
        report.time = stamp
    elif stamp >= FIRST_TIME:
        report.values["device_time"] = f"{stamp:016x}"
    elif stamp:
        report.values["number"] = stamp


def _number(stamp: datetime | int, body: bytes) -> int:
    return stamp if isinstance(stamp, int) else int.from_bytes(body[:8], "big")


def _rest(name: str, entries: Entries) -> DecodeError:
    return DecodeError("truncated", f"{name}[{len(entries)}]", f"{len(entries.trailing)} bytes left are no whole entry")
