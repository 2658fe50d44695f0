"""Frames to test with, and short ways to read them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from protocols import Malformed, Message, Report
from protocols.teltonika import TELTONIKA
from protocols.teltonika.stream import frame

IMEI = "490154203237518"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FMB = TELTONIKA.configure({"family": "fmb"})
FIXED = "0000019570ec9a08 00 e43452b8 f1f67a98 02f8 0113 09 003e"
"""A record's first 24 bytes: 2025-03-07 14:05:09, 23.5505 south, 46.6333 west, nine satellites."""
LOGIN = bytes.fromhex("000f") + IMEI.encode()
EVENT = bytes.fromhex(
    "00000000 00000030 0801 0000019078358db0 01 1941b81a 1941b81a 02db 0106 05 0000"
    "ef 06 03 ef01 f001 0100 03 42314a 431031 09002b 00 00 01 0000c897"
)
TWO_RECORDS = bytes.fromhex(
    "00000000 00000068 0802"
    "0000019570ec9a08 00 e43452b8 f1f67a98 02f8 0113 09 003e 00 0a 04 ef01 f001 1504 4501"
    "04 423617 431006 b5000e b60008 02 100012d687 f100011ad5 00"
    "0000019570ed8e2c 01 e4340c68 f1f65f40 02f6 010c 00 0000 ef 02 01 ef00 00 00 01 4ed10000000a1b2c01"
    "02 00002222"
)
VARIABLE = bytes.fromhex(
    "00000000 00000055 8e01 0000019570ed6140 00 20f1a7a0 0f05f280 000c 005a 0c 0000 0181 0005"
    "0001 00ef01 0001 0019f8c6 0001 001000002260 0000"
    "0002 0181 0017 1121101112131415161718191a1b1c1d1e1f00010002c4 014b 0000 01 00002209"
)
CODEC_16 = bytes.fromhex(
    "00000000 00000030 1001 0000019570ed6140 01 20f1a7a0 0f05f280 000c 005a 0c 0000"
    "027c 05 03 01 00ef01 01 00423156 01 027c0abcdef1 00 01 0000bc35"
)
EMPTY = bytes.fromhex("00000000 00000003 080000 0000c281")
GETVER = bytes.fromhex("00000000 0000000e 0c 01 05 00000006 676574766572 01 0000a4c2")
INPUTS = bytes.fromhex("00000000 00000013 0c 01 06 0000000b 4449313a31204449323a30 01 00005481")
GETVER_14 = bytes.fromhex("00000000 00000016 0e 01 05 0000000e 0490154203237518 676574766572 01 0000848d")
OK_14 = bytes.fromhex("00000000 00000012 0e 01 06 0000000a 0490154203237518 4f4b 01 00002ab5")
NACK_14 = bytes.fromhex("00000000 00000010 0e 01 11 00000008 0490154203237518 01 00004e30")
PING_13 = bytes.fromhex("00000000 00000012 0d 01 06 0000000a 67cafd48 50494e470d0a 01 0000abb4")
ALL = (LOGIN, EVENT, TWO_RECORDS, VARIABLE, CODEC_16, EMPTY, GETVER, INPUTS, GETVER_14, OK_14, NACK_14, PING_13)


def receive(data: bytes, *more: bytes) -> list[Any]:
    codec = TELTONIKA.codec(IMEI)
    return [event for chunk in (data, *more) for event in codec.receive(chunk, 0.0)]


def only(data: bytes) -> Message:
    (event,) = receive(data)
    assert isinstance(event, Message), event
    return event


def causes(data: bytes) -> list[str]:
    return [event.cause if isinstance(event, Malformed) else "message" for event in receive(data)]


def packed(text: str) -> bytes:
    """A packet around data in hex, which begins with the codec id."""
    return frame(bytes.fromhex(text))


def record(io: str, protocol: Any = FMB, fixed: str = FIXED, codec: str = "08") -> Report:
    """The report of a packet of one record with this IO element."""
    decoded = protocol.decode(only(packed(f"{codec} 01 {fixed} {io} 01")))
    assert decoded.error is None, decoded.error
    (report,) = decoded.reports
    return report
