"""Frames of terminals, made for tests."""

from __future__ import annotations

from datetime import UTC, datetime

from protocols.jt808 import JT808
from protocols.jt808.header import Header, frame
from protocols.message import Event, Message

PHONE = "013800000001"
IDENTITY = "13800000001"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
# Ignition and fix, 31.2 N, 121.5 E, 12 m, 36.0 km/h, 90 degrees, 2026-03-01 20:00:00 GMT+8.
LOCATION_BODY = bytes.fromhex("0000000000000003 01dc1300 073df660 000c 0168 005a 260301200000")


def up(id: int, body: bytes = b"", sequence: int = 7, phone: str = PHONE, **header: int) -> bytes:
    return frame(Header(id, phone, sequence, **header), body)


def piece(id: int, total: int, number: int, sequence: int, body: bytes, phone: str = PHONE) -> bytes:
    return frame(Header(id, phone, sequence, is_part=True, total=total, number=number), body)


def receive(data: bytes) -> list[Event]:
    """What a new link makes of these bytes."""
    return list(JT808.codec().receive(data, 0.0))


def only(data: bytes) -> Message:
    (message,) = receive(data)
    assert isinstance(message, Message)
    return message
