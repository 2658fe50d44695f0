"""Frames of vehicles and platforms, made for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from protocols.gb32960 import GB32960
from protocols.gb32960.header import COMMAND, frame, unique_id
from protocols.message import Event, Message
from protocols.report import Decoded, Report

VIN = "LZZTEST0000000001"
NOON = datetime(2026, 3, 1, 4, tzinfo=UTC)
TIME = bytes.fromhex("1a03050e1e2d")
"""2026-03-05 14:30:45 in Beijing."""
MOMENT = datetime(2026, 3, 5, 6, 30, 45, tzinfo=UTC)
VEHICLE = bytes.fromhex("01 010301020b0001e24017e828734c012e09c42300")
MOTORS = bytes.fromhex("02 01 0101fe5e8853fc5f17e32864")
FUEL_CELL = bytes.fromhex("03 0c8001c2006e0002696a028a01000c02015e0101")
ENGINE = bytes.fromhex("04 020000ffff")
POSITION = bytes.fromhex("05 00073d8aa501dc89d0")
EXTREMES = bytes.fromhex("06 0103100601010fee010244010142")
ALARMS = bytes.fromhex("07 02 00000802 01 00001234 00 00 01 a0000001")
VOLTAGES = bytes.fromhex("08 01 01 17e8 2873 0096 0001 04 0fee0ffa1006ffff")
TEMPERATURES = bytes.fromhex("09 01 01 0002 4244")
CUSTOM = bytes.fromhex("80 0003 010203")
BODIES = (VEHICLE, MOTORS, FUEL_CELL, ENGINE, POSITION, EXTREMES, ALARMS, VOLTAGES, TEMPERATURES, CUSTOM)
REPORT = TIME + b"".join(BODIES)


def up(command: int, body: bytes = b"", vin: str = VIN, flag: int = COMMAND, start: bytes = b"##") -> bytes:
    return frame(start, command, flag, unique_id(vin), body)


def receive(data: bytes) -> list[Event]:
    """What a new link makes of these bytes."""
    return list(GB32960.codec().receive(data, 0.0))


def only(data: bytes) -> Message:
    (message,) = receive(data)
    assert isinstance(message, Message)
    return message


def decoded(*bodies: bytes, time: bytes = TIME, command: int = 0x02, start: bytes = b"##", protocol: Any = GB32960) -> Decoded:
    """What a report of these bodies gives."""
    found: Decoded = protocol.decode(only(up(command, time + b"".join(bodies), start=start)))
    return found


def told(*bodies: bytes, **how: Any) -> Report:
    """The one report of these bodies, of which nothing may be wrong."""
    found = decoded(*bodies, **how)
    assert found.error is None
    (report,) = found.reports
    return report
