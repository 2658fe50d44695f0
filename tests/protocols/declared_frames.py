"""Frames of the three samples, and what their platform's ends make of bytes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from construct import Const, Int8ub, Struct

from protocols import Malformed, Message, Moment
from protocols.declared import DeclaredProtocol, Downlink, Frame, Uplink
from protocols.message import Event
from tests.protocols.declared_samples import ALPHA, BETA, GAMMA, SAMPLES

NOW = datetime(2026, 6, 1, 12, 30, 15, tzinfo=UTC)
MOMENT = Moment(NOW, 31.25, -121.5, 12.0, 33.0, 270.0, 812.4)
each_protocol = pytest.mark.parametrize("protocol", SAMPLES, ids=lambda protocol: protocol.name)

# Put together by hand from the declarations; checks by the bitwise definition of CRC-16/MODBUS.
LEVEL = "414c 0a00 20240007 05 6a1d7a07 14 02 fed4 ff 05 81 01 01 27 e5a5 0d0a"
HELLO = "7e 01 01 534e37000000 70773132 38 7e"
WEIGHTS = "7e 02 01 7d01 260601203015 1388 260601203115 138b 00 7e"
POSITION = "0020 a0b1c2d3e4f5 0102 10 6a1d7a07 03 12a05f20 b7949240 000c 21 010e 00001fbc 00"


def hexed(text: str) -> bytes:
    return bytes.fromhex(text)


def crc16_modbus_by_bits(data: bytes) -> int:
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value


def sealed(text: str) -> bytes:
    """A frame of the above with its check made right."""
    frame = bytearray(hexed(text))
    if frame.startswith(b"AL"):
        frame[-4:-2] = crc16_modbus_by_bits(frame[2:-4]).to_bytes(2, "little")
    elif frame.startswith(b"\x7e"):
        inside = frame[1:-2].replace(b"\x7d\x02", b"\x7e").replace(b"\x7d\x01", b"\x7d")
        frame[-2] = 0
        for byte in inside:
            frame[-2] ^= byte
    else:
        frame[-1] = sum(frame[11:-1]) & 0xFF
    return bytes(frame)


FRAMES = [(ALPHA, sealed(LEVEL)), (BETA, sealed(HELLO)), (BETA, sealed(WEIGHTS)), (GAMMA, sealed(POSITION))]
each_frame = pytest.mark.parametrize(("protocol", "frame"), FRAMES, ids=["level", "hello", "weights", "position"])


def receive(protocol: DeclaredProtocol, *reads: bytes, identity: str = "SN7") -> list[Event]:
    codec = protocol.codec(identity)
    return [event for data in reads for event in codec.receive(data, 0.0)]


def causes(events: Iterable[Event]) -> list[str]:
    return [event.cause if isinstance(event, Malformed) else "message" for event in events]


def only(protocol: DeclaredProtocol, frame: bytes) -> Message:
    (message,) = receive(protocol, frame)
    assert isinstance(message, Message)
    return message


def small(frame: Frame, *messages: Uplink | Downlink, **more: Any) -> DeclaredProtocol:
    return DeclaredProtocol("small", "Small", 7105, frame, messages or [Uplink(1, "alive", "Still there")], **more)


SMALL = Struct("mark" / Const(b"S") * "Mark", "length" / Int8ub * "Length", "identity" / Int8ub * "Id", "kind" / Int8ub * "Kind")
