"""Making reports of what Teltonika devices send."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from construct import Container, GreedyBytes, Struct

from protocols.body import read, values
from protocols.command import Answer, AnswerStatus
from protocols.message import Message
from protocols.report import Decoded, DecodeError, Report
from protocols.teltonika.commands import CODEC_12, CODEC_12_COMMAND, CODEC_14, CODEC_14_COMMAND, NACK, RESPONSE
from protocols.teltonika.families import Family, plain
from protocols.teltonika.messages import LOGIN, MESSAGES
from protocols.teltonika.records import GROUPS, RECORDS

_REST = "rest" / GreedyBytes
_RECORDS = {id: Struct(*record.subcons, _REST) for id, record in RECORDS.items()}
"""A record does not tell its length: it ends where what is left behind it begins."""
_COMMANDS = {CODEC_12: CODEC_12_COMMAND, CODEC_14: CODEC_14_COMMAND}
_UNKNOWN = "unknown command"
_ONE = b"\x01"
_LINE_ENDS = {ord(sign): None for sign in "\r\n\t"}
ALARMS: Mapping[str, Mapping[Any, str]] = {
    "alarm_button": {True: "emergency"},
    "towing": {True: "towing"},
    "crash": dict.fromkeys(
        ("crash", "limited_trace_uncalibrated", "limited_trace", "full_trace_uncalibrated", "full_trace", "crash_uncalibrated"),
        "crash",
    ),
    "jamming": {True: "jamming"},
    "gnss_jamming": {"critical": "gnss_jamming"},
    "unplugged": {True: "power_off"},
    "green_driving": {
        "acceleration": "harsh_acceleration",
        "braking": "harsh_braking",
        "cornering": "harsh_cornering",
    },
}
"""Which values of which properties are alarms."""
_ALARMING = tuple(ALARMS.items())
_OVERSPEED_ID = 255


def decode(message: Message, family: Family) -> Decoded:
    """Reports of a message. The records of a packet all come or none: what follows a strange one cannot be trusted."""
    row = MESSAGES.get(message.kind)
    try:
        if row is None:
            raise DecodeError("unknown-kind", "", f"no codec 0x{message.kind:02X}")
        if message.kind in RECORDS:
            return Decoded(_records(message, row.name, family))
        layout = row.layout(message.body)
        parsed = read(layout, message.body)
        if message.kind == LOGIN:
            return Decoded([Report(row.name, message.body, values=values(layout, parsed))])
        report = _said(row.name, message.body, parsed)
        report.answer = _answer(message.kind, parsed.type, report.values)
        return Decoded([report], _quantity_error(parsed))
    except DecodeError as error:
        return Decoded([], error)


def _answer(kind: int, type: Any, told: Mapping[str, Any]) -> Answer | None:
    """A response is one to the command under way: nothing in it tells to which. That it was none has but words."""
    command = _COMMANDS.get(kind)
    if command is None or type not in (RESPONSE, NACK):
        return None
    if type == NACK:
        return Answer((command,), AnswerStatus.FAILED, None, "imei_mismatch")
    if str(told.get("text", "")).lower().startswith(_UNKNOWN):
        return Answer((command,), AnswerStatus.FAILED, None, "unknown_command")
    return Answer((command,), AnswerStatus.DONE)


def _said(kind: str, body: bytes, parsed: Container[Any]) -> Report:
    """What a device says to a command, or what came over its serial port: ``text``, or ``data`` if it is none."""
    content = parsed.content
    found: dict[str, Any] = {"type": parsed.type}
    if "imei" in content:
        found["imei"] = content.imei[1:] if content.imei.startswith("0") else content.imei
    text = content.text.decode("latin-1")
    is_text = text.isascii() and text.translate(_LINE_ENDS).isprintable()
    found["text" if is_text else "data"] = text if is_text else content.text.hex()
    time = content.get("time")
    if isinstance(time, int):
        found["device_time"] = f"{time:016x}"
        time = None
    return Report(kind, body, time, values=found)


def _quantity_error(parsed: Container[Any]) -> DecodeError | None:
    """Devices do not check the second quantity, and we no more; but what is said is said once."""
    if parsed.quantity == 1:
        return None
    return DecodeError("count", "quantity", f"{parsed.quantity} announced, one there")


def _records(message: Message, kind: str, family: Family) -> list[Report]:
    body = message.body
    if len(body) < 2:
        raise DecodeError("truncated", "count", f"2 > {len(body)} left")
    layout, count, rest = _RECORDS[message.kind], body[0], body[1:]
    reports = []
    for index in range(count):
        try:
            record = read(layout, rest)
        except DecodeError as error:
            path = f"records[{index}].{error.path}".replace(".[", "[")
            raise DecodeError(error.cause, path, error.text) from error
        behind = record["rest"]
        raw, rest = rest[: len(rest) - len(behind)], behind
        reports.append(_report(kind, _ONE + raw + _ONE, record, family))
    if len(rest) != 1:
        raise DecodeError("length", f"records[{count}]", f"{len(rest)} bytes behind {count} records, where there is one")
    if rest[0] != count:
        raise DecodeError("count", "count_again", f"{rest[0]} is not {count}")
    return reports


def _report(kind: str, body: bytes, record: Container[Any], family: Family) -> Report:
    """One record. Its body is a packet of this record alone, by which it is known again in whatever company it comes."""
    # Fields by index: as attributes they would cost more than all the rest.
    time, latitude, longitude, course = record["time"], record["latitude"], record["longitude"], record["course"]
    found: dict[str, Any] = {
        "fix": _has_fix(record, family),
        "satellites": record["satellites"],
        "priority": record["priority"],
    }
    if "generation_type" in record:
        found["generation_type"] = record["generation_type"]
    if record["event_id"]:
        found["event"] = f"io_{record['event_id']}"
    count = _take_properties(record, family, found)
    if record["total"] != count:
        found["announced_properties"] = record["total"]
    if not isinstance(time, datetime):
        found["device_time"] = f"{time:016x}"
        time = None
    # A record because of an event has properties that the others do not: nothing follows from their absence.
    report = Report(kind, body, time, values=found, alarms=_alarms(record, found), is_event=bool(record["event_id"]))
    if latitude or longitude:
        report.latitude, report.longitude, report.altitude_m = latitude, longitude, float(record["altitude"])
    report.speed_kmh = float(record["speed"])
    report.course_deg = float(course % 360) if course <= 360 else None
    return report


def _has_fix(record: Container[Any], family: Family) -> bool:
    if not record["satellites"]:
        return False
    id, no_fix = family.no_fix
    for told, value in record["io_1"]:
        if told == id:
            return value not in no_fix
    return True


def _take_properties(record: Container[Any], family: Family, found: dict[str, Any]) -> int:
    """All properties by name, and how many they are. One that nothing is known of has its id and type for a name.

    One that comes a second time is kept as it is, in order.
    """
    total, event_id = 0, record["event_id"]
    for group, size in GROUPS.items():
        pairs = record.get(group)
        if not pairs:
            continue
        total += len(pairs)
        known = family.properties[group]
        for id, raw in pairs:
            entry = known.get(id)
            if entry is None:
                name, value = f"io_{id}_{_TYPES[size]}", plain(raw)
            elif size in _SAFE_SIZES:
                name, value = entry.name, entry.read(raw)
            else:
                name, value = entry.name, entry.value(raw)
            if id == event_id:
                found["event"] = name
            if name in found:
                found.setdefault("repeated", []).append({"id": id, "name": name, "value": value})
            else:
                found[name] = value
    return total


_SAFE_SIZES = (1, 2, 4)
"""Of numbers, all of which can be read."""
_TYPES = {1: "u8", 2: "u16", 4: "u32", 8: "u64", None: "x"}


def _alarms(record: Container[Any], found: Mapping[str, Any]) -> list[str]:
    alarms = [alarm for name, of_value in _ALARMING if name in found and (alarm := of_value.get(found[name]))]
    if record["event_id"] == _OVERSPEED_ID:
        alarms.append("overspeed")
    return alarms
