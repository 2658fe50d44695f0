"""Making reports of JT/T 808's bodies."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from construct import Container, Struct

from protocols.body import json_value, read, values
from protocols.fields import FlagWord
from protocols.items import Entries
from protocols.jt808.header import is_2019, is_header, read_header
from protocols.jt808.location import LOCATION_2013, LOCATION_2019, LOCATION_ITEMS
from protocols.jt808.messages import LOCATION, LOCATION_BATCH, MESSAGES
from protocols.message import Message
from protocols.report import Decoded, DecodeError, Report

_HEMISPHERES = ("south", "west")


def decode(message: Message) -> Decoded:
    """Reports of a message, and the error that ended them or took some away."""
    row = MESSAGES.get(message.kind)
    try:
        if row is None:
            raise DecodeError("unknown-kind", "", f"no message 0x{message.kind:04X}")
        if not is_header(message.head):
            raise DecodeError("header", "", f"no header has {len(message.head)} bytes")
        if read_header(message.head).encryption:
            raise DecodeError("encrypted", "", "the body is encrypted")
        layout = row.layout(message.body, is_2019(message.head))
        if message.kind == LOCATION:
            return Decoded([_location(layout, message.body)])
        parsed = read(layout, message.body)
        if message.kind == LOCATION_BATCH:
            return _locations(LOCATION_2019 if is_2019(message.head) else LOCATION_2013, parsed)
        return Decoded([Report(row.name, message.body, values=values(layout, parsed))])
    except DecodeError as error:
        return Decoded([], error)


def _locations(layout: Struct, batch: Container[Any]) -> Decoded:
    """Each location that can be read, as the report it would be had it come alone."""
    count, items = batch.count, batch["items"]
    reports: list[Report] = []
    errors: list[DecodeError] = []
    for index, body in enumerate(items[:count]):
        try:
            reports.append(_location(layout, body))
        except DecodeError as error:
            path = ".".join(filter(None, (f"items[{index}]", error.path)))
            errors.append(DecodeError(error.cause, path, error.text))
    if len(items) < count and items.trailing:
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
    parsed = read(layout, body)
    status: FlagWord = parsed.status
    bits = status.values
    time = parsed.time
    report = Report(
        "location",
        body,
        time if isinstance(time, datetime) else None,
        _signed(parsed.latitude, bits["south"]),
        _signed(parsed.longitude, bits["west"]),
        float(parsed.altitude),
        parsed.speed,
        _course(parsed.course),
        alarms=parsed.alarm_flags.names,
    )
    report.values["alarm_flags"] = int(parsed.alarm_flags)
    report.values["status"] = int(status)
    report.values.update((name, value) for name, value in bits.items() if name not in _HEMISPHERES)
    report.values.update(_item_values(parsed["items"]))
    if report.time is None:
        report.values["device_time"] = time.hex()
    return report


def _item_values(items: Entries) -> dict[str, Any]:
    """Items by name; those without one, and any that come a second time, raw and in order."""
    named: dict[str, Any] = {}
    raw = []
    for item in items:
        if item.name and item.name not in named:
            named[item.name] = json_value(item.value)
        elif item.id or item.length:
            raw.append({"id": f"0x{item.id:02X}", "raw": LOCATION_ITEMS.raw(item).hex()})
    if raw:
        named["items"] = raw
    if items.is_cut:
        named["trailing"] = items.trailing.hex()
    return named


def _signed(degrees: float, is_negative: bool | int | str) -> float:
    # Zero has no sign, not even at the equator's southern side.
    return -degrees if is_negative and degrees else degrees


def _course(degrees: int) -> float | None:
    if degrees > 360:
        return None
    return float(degrees % 360)
