"""Making reports of JT/T 808's bodies."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from construct import Container, Struct

from protocols.body import item_values, read, values
from protocols.download import FileResult, FileStatus
from protocols.fields import FlagWord
from protocols.items import Entries
from protocols.jt808.header import is_2019, is_header
from protocols.jt808.location import LOCATION_2013, LOCATION_2019, LOCATION_ITEMS
from protocols.jt808.messages import LOCATION, LOCATION_BATCH, MESSAGES, MULTIMEDIA_DATA
from protocols.jt808.outcomes import answer_of
from protocols.jt808.rows import MessageType
from protocols.jt808.terminal_management import UPGRADE_RESULT
from protocols.message import Message
from protocols.piece import MediaKind, Piece
from protocols.report import Decoded, DecodeError, Report
from protocols.rows import Direction

_MEDIA_KINDS = {"image": MediaKind.PHOTO, "audio": MediaKind.AUDIO, "video": MediaKind.VIDEO}
_HEMISPHERES = ("south", "west")
_SEQUENCE_BYTES = 2
_ENCRYPTION = 0b111 << 10
"""In the word that stands behind the message's id, in headers of every edition."""
_WORDS = 1024
"""Words of status and alarms that are remembered by what they say: a fleet sends few different ones, over and over."""


def decode(message: Message) -> Decoded:
    """Reports of a message, and the error that ended them or took some away."""
    row = MESSAGES.get(message.kind)
    try:
        if row is None:
            raise DecodeError("unknown-kind", "", f"no message 0x{message.kind:04X}")
        if not is_header(message.head):
            raise DecodeError("header", "", f"no header has {len(message.head)} bytes")
        if int.from_bytes(message.head[2:4], "big") & _ENCRYPTION:
            raise DecodeError("encrypted", "", "the body is encrypted")
        layout = row.layout(message.body, is_2019(message.head))
        if message.kind == LOCATION:
            return Decoded([_location(layout, message.body)])
        parsed = read(layout, message.body)
        if message.kind == LOCATION_BATCH:
            return _locations(LOCATION_2019 if is_2019(message.head) else LOCATION_2013, parsed)
        report = _whole(row, layout, message, parsed)
        report.answer = answer_of(message.kind, parsed)
        return Decoded([report], _rest(parsed))
    except DecodeError as error:
        return Decoded([], error)


def _whole(row: MessageType, layout: Struct, message: Message, parsed: Container[Any]) -> Report:
    """The report of a message that makes one."""
    if message.kind == MULTIMEDIA_DATA:
        return _multimedia(row.name, message.body, parsed, values(layout, parsed))
    if row.direction is Direction.UP and "location" in parsed:
        return _answered(message.body, parsed)
    report = Report(row.name, message.body, values=values(layout, parsed))
    if row.direction is Direction.UP:
        _take_time(report, parsed)
    if message.kind == UPGRADE_RESULT:
        report.file_result = _file_result(parsed.result)
    return report


def _answered(body: bytes, parsed: Container[Any]) -> Report:
    """The location in an answer: the report that it would be had it come by itself."""
    at = _SEQUENCE_BYTES if "answered_sequence" in parsed else 0
    report = _position("location", body[at:], parsed.location)
    if at:
        report.values["answered_sequence"] = parsed.answered_sequence
    return report


def _multimedia(kind: str, body: bytes, parsed: Container[Any], shown: dict[str, Any]) -> Report:
    """Where and why a picture was taken; the picture itself stays in the body."""
    report = _position(kind, body, parsed.location) if "location" in parsed else Report(kind, body)
    report.values.update((name, value) for name, value in shown.items() if name not in ("location", "data"))
    report.values["size_bytes"] = size = len(parsed.data)
    report.piece = Piece(
        file="",
        kind=_MEDIA_KINDS.get(parsed.media_type, MediaKind.FILE),
        channel=parsed.channel,
        cause=str(parsed.event),
        data_at=len(body) - size,
        data_size=size,
        size=size,
        is_last=True,
    )
    # How things stood when the picture was taken; how they stand locations say.
    report.is_event = True
    return report


def _file_result(result: Any) -> FileResult:
    """Which file it was the message does not say."""
    if result == "success":
        return FileResult(None, FileStatus.DONE)
    return FileResult(None, FileStatus.FAILED, str(result))


def _take_time(report: Report, parsed: Container[Any]) -> None:
    """The message's own time, where its body has one."""
    time = parsed.get("time")
    if isinstance(time, datetime):
        report.time = time
        del report.values["time"]
    elif time is not None:
        report.values["device_time"] = report.values.pop("time")


def _rest(parsed: Container[Any]) -> DecodeError | None:
    """What is wrong with a list: not its count, for the length is trusted, but an entry that is cut."""
    for name, field in parsed.items():
        if isinstance(field, Entries) and field.is_cut:
            return DecodeError("truncated", f"{name}[{len(field)}]", f"{len(field.trailing)} bytes left are no whole entry")
    return None


def _locations(layout: Struct, batch: Container[Any]) -> Decoded:
    """Each location that can be read, as the report it would be had it come alone.

    Terminals are known that announce none and send some: with a count of 0, all that are there are read.
    """
    count, items = batch.count, batch["items"]
    reports: list[Report] = []
    errors: list[DecodeError] = []
    for index, body in enumerate(items[:count] if count else items):
        try:
            reports.append(_location(layout, body))
        except DecodeError as error:
            path = ".".join(filter(None, (f"items[{index}]", error.path)))
            errors.append(DecodeError(error.cause, path, error.text))
    if not count:
        errors.append(DecodeError("count", "count", f"none announced, {len(items)} there"))
    elif len(items) < count and items.trailing:
        errors.append(_cut(len(items), items))
    elif len(items) != count or items.trailing:
        left = sum(2 + len(body) for body in items[count:]) + len(items.trailing)
        text = f"{count} announced, {len(items)} there" if not left else f"{left} bytes behind the {count} announced"
        errors.append(DecodeError("count", "count", text))
    return Decoded(reports, errors[0] if errors else None)


def _cut(index: int, items: Entries) -> DecodeError:
    if len(items.trailing) < 2:
        return DecodeError("truncated", f"items[{index}].length", f"2 > {len(items.trailing)} left")
    length = int.from_bytes(items.trailing[:2], "big")
    return DecodeError("truncated", f"items[{index}].length", f"{length} > {len(items.trailing) - 2} left")


def _location(layout: Struct, body: bytes) -> Report:
    return _position("location", body, read(layout, body))


def _position(kind: str, body: bytes, parsed: Container[Any]) -> Report:
    """A report of what has a location's fields, with or without items."""
    alarms, bits, time = parsed["alarm_flags"], parsed["status"], parsed["time"]
    status = _status(bits)
    found = {"alarm_flags": int(alarms), **status.values}
    if "items" in parsed:
        found.update(item_values(LOCATION_ITEMS, parsed["items"]))
    if not isinstance(time, datetime):
        found["device_time"] = time.hex()
        time = None
    return Report(
        kind,
        body,
        time,
        _signed(parsed["latitude"], status.is_south),
        _signed(parsed["longitude"], status.is_west),
        float(parsed["altitude"]),
        parsed["speed"],
        _course(parsed["course"]),
        found,
        list(_names(alarms)),
    )


class _Status(NamedTuple):
    """What a status word says."""

    is_south: bool
    is_west: bool
    values: Mapping[str, Any]


# By type too: the words of the editions are equal as numbers, and do not say the same.
@lru_cache(_WORDS, typed=True)
def _status(word: FlagWord) -> _Status:
    bits = word.values
    told = {name: value for name, value in bits.items() if name not in _HEMISPHERES}
    return _Status(bool(bits["south"]), bool(bits["west"]), {"status": int(word), **told})


@lru_cache(_WORDS, typed=True)
def _names(word: FlagWord) -> tuple[str, ...]:
    return tuple(word.names)


def _signed(degrees: float, is_negative: bool) -> float:
    # Zero has no sign, not even at the equator's southern side.
    return -degrees if is_negative and degrees else degrees


def _course(degrees: int) -> float | None:
    if degrees > 360:
        return None
    return float(degrees % 360)
