"""What a good engineer would write by hand for a few bodies: plain values, no declaration."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

Values = dict[str, Any]
_LOCATION = struct.Struct(">IIIIhHH6B")
_LOCATION_HEAD = _LOCATION.size
_WORD, _LONG = struct.Struct(">H").unpack_from, struct.Struct(">I").unpack_from
_ITEM_BYTE, _ITEM_WORD, _ITEM_LONG = (struct.Struct(layout).pack for layout in (">BBB", ">BBH", ">BBI"))
_GMT_8 = timedelta(hours=8)
_BCD = {10 * high + low: 16 * high + low for high in range(10) for low in range(10)}
_OF_BCD = {byte: number for number, byte in _BCD.items()}
_RESPONSE = struct.Struct(">HHB")
_HEADER = struct.Struct(">HH6sH")
_RECORD = struct.Struct(">QBiihHBHBB")
_POSITION = struct.Struct(">6BBIIBHHBH3sBBBI")
_PAIR_LAYOUTS = tuple(
    (name, struct.Struct(layout)) for name, layout in (("io_1", ">BB"), ("io_2", ">BH"), ("io_4", ">BI"), ("io_8", ">B8s"))
)
_PRIORITIES = ("low", "high", "panic", "security")
_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
_UPLOADS = (
    *("interval", "distance", "corner", "ignition_change", "became_still", "network_lost", "ephemeris", "key", "power_on", 9),
    *("still_new_time", "wifi", "commanded", "still", "still_interval", "tracking_ended"),
)
_DELIVERIES = ("live", "stored")
RESULTS = ("success", "failure", "message_wrong", "not_supported", "alarm_confirmed")


def parse_location(body: bytes) -> Values:
    """JT/T 808's location with those items that nearly every terminal sends."""
    (alarms, status, latitude, longitude, altitude, speed, course, year, month, day, hour, minute, second) = _LOCATION.unpack_from(
        body
    )
    time: datetime | bytes
    try:
        time = (
            datetime(2000 + _OF_BCD[year], _OF_BCD[month], _OF_BCD[day], _OF_BCD[hour], _OF_BCD[minute], _OF_BCD[second], 0, UTC)
            - _GMT_8
        )
    except (KeyError, ValueError):
        time = bytes((year, month, day, hour, minute, second))
    items, at, end = [], _LOCATION_HEAD, len(body)
    while at + 2 <= end:
        id, length = body[at], body[at + 1]
        start = at + 2
        if start + length > end or (id == 0 and not body[at:].strip(b"\0")):
            break
        at = start + length
        if id == 0x01 and length == 4:
            items.append((id, length, "odometer_km", _LONG(body, start)[0] / 10))
        elif id == 0x02 and length == 2:
            items.append((id, length, "fuel_l", _WORD(body, start)[0] / 10))
        elif id == 0x03 and length == 2:
            items.append((id, length, "recorder_speed_kmh", _WORD(body, start)[0] / 10))
        elif id == 0x30 and length == 1:
            items.append((id, length, "signal", body[start]))
        elif id == 0x31 and length == 1:
            items.append((id, length, "satellites", body[start]))
        else:
            items.append((id, length, "", body[start:at]))
    return {
        "alarm_flags": alarms,
        "status": status,
        "latitude": latitude / 1_000_000,
        "longitude": longitude / 1_000_000,
        "altitude": altitude,
        "speed": speed / 10,
        "course": course,
        "time": time,
        "items": items,
        "trailing": body[at:],
    }


def build_location(location: Values) -> bytes:
    time = location["time"]
    if isinstance(time, datetime):
        local = time + _GMT_8
        digits: Any = (
            _BCD[local.year - 2000],
            _BCD[local.month],
            _BCD[local.day],
            _BCD[local.hour],
            _BCD[local.minute],
            _BCD[local.second],
        )
    else:
        digits = time
    pieces = [
        _LOCATION.pack(
            location["alarm_flags"],
            location["status"],
            round(location["latitude"] * 1_000_000),
            round(location["longitude"] * 1_000_000),
            location["altitude"],
            round(location["speed"] * 10),
            location["course"],
            *digits,
        )
    ]
    for id, length, name, value in location["items"]:
        if not name:
            pieces.append(bytes((id, length)) + value)
        elif id == 0x01:
            pieces.append(_ITEM_LONG(id, length, round(value * 10)))
        elif id == 0x02 or id == 0x03:
            pieces.append(_ITEM_WORD(id, length, round(value * 10)))
        else:
            pieces.append(_ITEM_BYTE(id, length, value))
    pieces.append(location["trailing"])
    return b"".join(pieces)


def parse_response(body: bytes) -> Values:
    sequence, kind, number = _RESPONSE.unpack_from(body)
    result = RESULTS[number] if number < len(RESULTS) else number
    return {"answered_sequence": sequence, "answered_kind": kind, "result": result, "extra": body[5:]}


def build_response(response: Values) -> bytes:
    result = response["result"]
    number = result if isinstance(result, int) else RESULTS.index(result)
    return _RESPONSE.pack(response["answered_sequence"], response["answered_kind"], number) + bytes(response["extra"])


def parse_header(head: bytes) -> Values:
    id, attributes, phone, sequence = _HEADER.unpack_from(head)
    return {"id": id, "attributes": attributes, "phone": phone.hex().upper(), "sequence": sequence}


def build_header(header: Mapping[str, Any]) -> bytes:
    phone = bytes.fromhex(header["phone"].zfill(12))
    if len(phone) != 6:
        raise ValueError(f"{header['phone']} has more than 12 digits")
    return _HEADER.pack(header["id"], header["attributes"], phone, header["sequence"])


def parse_record(data: bytes) -> Values:
    """Teltonika's record of Codec 8."""
    stamp, priority, longitude, latitude, altitude, course, satellites, speed, event_id, total = _RECORD.unpack_from(data)
    record = {
        "time": _EPOCH + stamp * _MILLISECOND,
        "priority": _PRIORITIES[priority] if priority < 4 else priority,
        "longitude": longitude / 10_000_000,
        "latitude": latitude / 10_000_000,
        "altitude": altitude,
        "course": course,
        "satellites": satellites,
        "speed": speed,
        "event_id": event_id,
        "total": total,
    }
    at = _RECORD.size
    for name, pair in _PAIR_LAYOUTS:
        start, at = at + 1, at + 1 + data[at] * pair.size
        if at > len(data):
            raise ValueError(name)
        record[name] = list(pair.iter_unpack(data[start:at]))
    return record


def build_record(record: Values) -> bytes:
    parts = [
        _RECORD.pack(
            round((record["time"] - _EPOCH) / _MILLISECOND),
            _PRIORITIES.index(record["priority"]),
            round(record["longitude"] * 10_000_000),
            round(record["latitude"] * 10_000_000),
            record["altitude"],
            record["course"],
            record["satellites"],
            record["speed"],
            record["event_id"],
            record["total"],
        )
    ]
    for name, pair in _PAIR_LAYOUTS:
        pairs = record[name]
        parts.append(bytes((len(pairs),)))
        parts += [pair.pack(id, value) for id, value in pairs]
    return b"".join(parts)


def parse_position(body: bytes) -> Values:
    """GT06's position 0x22 with cell, ignition and mileage."""
    if body[18] & 0x80:
        raise ValueError("a network code of two bytes")
    unpacked = _POSITION.unpack_from(body)
    gps, latitude, longitude, speed, course, mcc, mnc, lac, cell, acc, upload, delivery, mileage = unpacked[6:]
    time: datetime | bytes
    try:
        year, month, day, hour, minute, second = unpacked[:6]
        time = datetime(2000 + year, month, day, hour, minute, second, 0, UTC)
    except ValueError:
        time = body[:6]
    return {
        "time": time,
        "gps": gps,
        "latitude": latitude / 1_800_000,
        "longitude": longitude / 1_800_000,
        "speed": speed,
        "course": course,
        "mcc": mcc,
        "mnc": mnc,
        "lac": lac,
        "cell_id": int.from_bytes(cell, "big"),
        "acc": acc,
        "upload": _UPLOADS[upload] if upload < len(_UPLOADS) else upload,
        "delivery": _DELIVERIES[delivery] if delivery < len(_DELIVERIES) else delivery,
        "odometer_km": mileage / 1000,
        "extra": body[_POSITION.size :],
    }


def build_position(position: Values) -> bytes:
    time = position["time"]
    digits = (time.year - 2000, time.month, time.day, time.hour, time.minute, time.second) if isinstance(time, datetime) else time
    return (
        _POSITION.pack(
            *digits,
            position["gps"],
            round(position["latitude"] * 1_800_000),
            round(position["longitude"] * 1_800_000),
            position["speed"],
            position["course"],
            position["mcc"],
            position["mnc"],
            position["lac"],
            position["cell_id"].to_bytes(3, "big"),
            position["acc"],
            _UPLOADS.index(position["upload"]),
            _DELIVERIES.index(position["delivery"]),
            round(position["odometer_km"] * 1000),
        )
        + position["extra"]
    )
