"""Frames and links for the tests of GT06."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from protocols import DecodeError, Message, Outcome, Report
from protocols.gt06 import GT06
from protocols.gt06.frame import LONG, SHORT, frame

IMEI = "490154203237518"
NOW = datetime(2025, 3, 7, 14, 6, 30, tzinfo=UTC)
TIME_GPS = "1903070E0600 CC 02B44540 05EE0ED0 00 145A"
"""2025-03-07 14:06:00, 25.2048 N, 55.2708 E, 12 satellites, course 90, a fix."""
CELL = "01A8 02 1A2B 0CDEF1"
WIDE_CELL = "81A8 0002 1A2B 0CDEF1"
CELL_4G = "01A8 02 00001A2B 000000000ABCDEF1"
STATUS = "44 05 03 02 02"


def short(type: int, content: str = "", serial: int = 7) -> bytes:
    return frame(SHORT, type, bytes.fromhex(content), serial)


def long(type: int, content: str = "", serial: int = 7) -> bytes:
    return frame(LONG, type, bytes.fromhex(content), serial)


def message(data: bytes, identity: str = IMEI, protocol: Any = GT06) -> Message:
    (found,) = protocol.codec(identity).receive(data, 0.0)
    assert isinstance(found, Message), found
    return found


def report(data: bytes | Message, identity: str = IMEI) -> Report:
    decoded = GT06.decode(data if isinstance(data, Message) else message(data, identity))
    assert decoded.error is None, decoded.error
    (found,) = decoded.reports
    return found


def error(data: bytes) -> DecodeError:
    found = GT06.decode(message(data)).error
    assert found is not None
    return found


def answer(data: bytes, protocol: Any = GT06, outcome: Outcome = Outcome.STORED) -> str:
    codec = protocol.codec(IMEI)
    (found,) = codec.receive(data, 0.0)
    return codec.ack(found, outcome, NOW).hex()
