"""Making reports of GT06's bodies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from construct import Container

from protocols.body import read, values
from protocols.command import Answer, AnswerStatus
from protocols.fields import FlagWord
from protocols.gt06.alarms import ROWS as ALARM_ROWS
from protocols.gt06.alarms import alarm_code, alarm_name
from protocols.gt06.codec import has_check_digit, identity_of
from protocols.gt06.frame import BARE, HEAD_BYTES, minutes_east
from protocols.gt06.messages import MESSAGES
from protocols.gt06.rows import MessageType
from protocols.gt06.texts import COMMAND, REPLY, SHORT_REPLY
from protocols.gt06.transfers import FILE, PHOTO_DATA
from protocols.items import Entries
from protocols.message import Message
from protocols.report import Decoded, DecodeError, Report
from protocols.rows import Direction

_NO_CELL = {"mcc": 0, "mnc": 0, "lac": 0, "cell_id": 0}
_NO_TIMING = 0xFF
_ALARMS = frozenset(row.id for row in ALARM_ROWS)
"""Messages that are sent because of an alarm. None tells that it is over."""
_PERCENT_FROM, _PERCENT_TO = 7, 100
_WIDE_MCC = 0x8000
_UNASKED = "<ICCID:"
"""How a text begins that some units send by themselves, in the message of a reply."""


def decode(message: Message) -> Decoded:
    """The report of a message, or the error that there is none for."""
    row = MESSAGES.get(message.kind)
    try:
        if row is None:
            raise DecodeError("unknown-kind", "", f"no message 0x{message.kind:02X}")
        if len(message.head) != HEAD_BYTES:
            raise DecodeError("header", "", f"a head has {HEAD_BYTES} bytes, not {len(message.head)}")
        layout = row.layout(message)
        parsed = read(layout, message.body)
        report = Report(row.name, message.body, values=values(layout, parsed), is_event=message.kind in _ALARMS)
        if row.direction is Direction.UP:
            _take(report, parsed, _shift(row, message))
            _take_special(report, message, parsed)
            report.answer = _answer(message.kind, report.values)
        return Decoded([report], _cut(parsed))
    except DecodeError as error:
        return Decoded([], error)


def _shift(row: MessageType, message: Message) -> timedelta | None:
    """What the message's clock is ahead of UTC; None if it is UTC."""
    is_local = row.is_local or message.head[0] == BARE
    minutes = minutes_east(int.from_bytes(message.head[-2:], "big")) if is_local else None
    return timedelta(minutes=minutes) if minutes else None


def _take(report: Report, parsed: Mapping[str, Any], ahead: timedelta | None) -> None:
    """Move the fields that mean the same in all messages to where all protocols have them."""
    for name, take in _TAKEN.items():
        if name in parsed:
            take(report, parsed)
    if report.time is not None and ahead is not None:
        report.time -= ahead


def _take_time(report: Report, parsed: Mapping[str, Any]) -> None:
    time = parsed["time"]
    del report.values["time"]
    if isinstance(time, datetime):
        report.time = time
    else:
        report.values["device_time"] = time.hex() if isinstance(time, bytes) else f"{time:08x}"


def _take_course(report: Report, parsed: Mapping[str, Any]) -> None:
    """The position: the course word has its signs, and whether there is a fix."""
    word: int = parsed["course"]
    shown = report.values
    for name in ("latitude", "longitude", "speed", "course"):
        del shown[name]
    shown["fix"] = fix = bool(word & 1 << 12)
    shown["differential"] = bool(word & 1 << 13)
    if word & 1 << 14:
        shown["ignition"] = bool(word & 1 << 15)
    latitude, longitude = parsed["latitude"], parsed["longitude"]
    if fix or latitude or longitude:
        report.latitude = latitude if word & 1 << 10 or not latitude else -latitude
        report.longitude = -longitude if word & 1 << 11 and longitude else longitude
    report.speed_kmh = float(parsed["speed"])
    degrees = word & 0x3FF
    report.course_deg = float(degrees % 360) if degrees <= 360 else None


def _take_positioned(report: Report, parsed: Mapping[str, Any]) -> None:
    """Of a photo, which does not tell the signs of its position: that stays among the values."""
    report.values["fix"] = bool(report.values.pop("positioned"))


def _take_gps(report: Report, parsed: Mapping[str, Any]) -> None:
    del report.values["gps"]
    report.values["satellites"] = parsed["gps"] & 0xF


def _take_altitude(report: Report, parsed: Mapping[str, Any]) -> None:
    report.altitude_m = float(report.values.pop("altitude"))


def _take_mcc(report: Report, parsed: Mapping[str, Any]) -> None:
    """A cell, unless all of it is zero: then there is none."""
    shown = report.values
    shown["mcc"] &= ~_WIDE_MCC
    for name in ("narrow", "wide"):
        shown.update(shown.pop(name, {}))
    if all(shown.get(name, 0) == none for name, none in _NO_CELL.items()) and not any(map(_is_any, shown.get("cells", ()))):
        for name in (*_NO_CELL, "cells", "rssi"):
            shown.pop(name, None)


def _take_cells(report: Report, parsed: Mapping[str, Any]) -> None:
    if "cells" in report.values:
        report.values["cells"] = [cell for cell in report.values["cells"] if _is_any(cell)]


def _is_any(cell: Mapping[str, Any]) -> bool:
    return bool(cell["lac"] or cell["cell_id"])


def _take_points(report: Report, parsed: Mapping[str, Any]) -> None:
    report.values.pop("count", None)
    points = [point for point in report.values["access_points"] if point["mac"].strip("0")]
    report.values["access_points"] = [{**point, "mac": bytes.fromhex(point["mac"]).hex(":")} for point in points]


def _take_timing(report: Report, parsed: Mapping[str, Any]) -> None:
    if parsed["timing_advance"] == _NO_TIMING:
        del report.values["timing_advance"]


def _take_ignition(report: Report, parsed: Mapping[str, Any]) -> None:
    if parsed["acc"] <= 1:
        report.values["ignition"] = bool(report.values.pop("acc"))


def _take_terminal(report: Report, parsed: Mapping[str, Any]) -> None:
    word: FlagWord = parsed["terminal"]
    del report.values["terminal"]
    for name, value in word.values.items():
        if name != "state":
            report.values[name] = value
    report.values["alarm_state"] = word.values["state"]


def _take_level(report: Report, parsed: Mapping[str, Any]) -> None:
    if _PERCENT_FROM <= parsed["voltage_level"] <= _PERCENT_TO:
        report.values["battery_percent"] = report.values.pop("voltage_level")


def _take_alarm(report: Report, parsed: Mapping[str, Any]) -> None:
    """The alarm by its number; the terminal's state too, where that says another one."""
    code = alarm_code(parsed["alarm"]) | (parsed["language"] >> 4) << 8
    report.values["language"] = parsed["language"] & 0xF
    report.values["alarm_code"] = code
    report.values.pop("alarm")
    alarms = [alarm_name(code)] if code else []
    state = parsed["terminal"].values["state"]
    if state != "none" and state not in alarms:
        alarms.append(str(state))
    report.alarms = alarms


def _take_identity(report: Report, parsed: Mapping[str, Any]) -> None:
    name = "terminal_id" if "terminal_id" in parsed else "imei"
    imei = identity_of(bytes.fromhex(report.values.pop(name)))
    report.values["imei"] = imei
    report.values["is_imei_valid"] = has_check_digit(imei)


def _take_ids(report: Report, parsed: Mapping[str, Any]) -> None:
    report.values["imsi"] = report.values["imsi"].removeprefix("0")
    report.values["iccid"] = report.values["iccid"].rstrip("F")


def _take_zone(report: Report, parsed: Mapping[str, Any]) -> None:
    word = parsed["zone"]
    report.values["language"] = word & 0b11
    report.values["zone_minutes"] = minutes_east(word)
    del report.values["zone"]


def _take_nested(report: Report, parsed: Mapping[str, Any]) -> None:
    """The mark and the text of a reply, which stand behind a length of their own."""
    for name in ("reply", "padded"):
        nested = report.values.pop(name, None)
        if isinstance(nested, dict):
            report.values.update({key: value for key, value in nested.items() if key != "padding"})
        elif nested is not None:
            report.values["raw"] = nested


_Take = Callable[[Report, Mapping[str, Any]], None]
_TAKEN: dict[str, _Take] = {
    "time": _take_time,
    "gps": _take_gps,
    "course": _take_course,
    "positioned": _take_positioned,
    "altitude": _take_altitude,
    "mcc": _take_mcc,
    "cells": _take_cells,
    "access_points": _take_points,
    "timing_advance": _take_timing,
    "acc": _take_ignition,
    "terminal": _take_terminal,
    "voltage_level": _take_level,
    "alarm": _take_alarm,
    "terminal_id": _take_identity,
    "imei": _take_identity,
    "iccid": _take_ids,
    "zone": _take_zone,
    "reply": _take_nested,
    "padded": _take_nested,
}
"""What is made of a field; all others keep the names of their declarations."""


def _take_special(report: Report, message: Message, parsed: Container[Any]) -> None:
    """What only some messages have: a position among modules, settings in a text, bytes of a file."""
    report.values.update(report.values.pop("items", {}))
    position = next((item.value for item in parsed.get("items", ()) if item.name == "position"), None)
    if position is not None:
        report.values.update(report.values.pop("position"))
        _take(report, position, None)
    if message.kind == 0x7994 and parsed.get("subtype") == "status" and "text" in parsed:
        report.values["settings"] = _settings(parsed.text)
    if message.kind in (FILE, PHOTO_DATA) and isinstance(parsed.get("data"), bytes):
        del report.values["data"]
        report.values["part_bytes"] = len(parsed.data)


def _answer(kind: int, told: Mapping[str, Any]) -> Answer | None:
    """A reply is one to the command of its mark; of units that leave the mark 0, to the one under way.

    How it went is in its text alone, in words of the model's.
    """
    if kind not in (REPLY, SHORT_REPLY) or str(told.get("text", "")).startswith(_UNASKED):
        return None
    return Answer((COMMAND,), AnswerStatus.DONE, told.get("flag") or None)


def _settings(text: str) -> dict[str, str]:
    """``KEY=VALUE;...`` by key."""
    pairs = (pair.partition("=") for pair in text.split(";") if pair)
    return {key: value for key, _, value in pairs if key}


def _cut(parsed: Container[Any]) -> DecodeError | None:
    """A list whose last entry is cut."""
    for name, field in parsed.items():
        if isinstance(field, Entries) and field.is_cut:
            return DecodeError("truncated", f"{name}[{len(field)}]", f"{len(field.trailing)} bytes left are no whole entry")
    return None
