"""Frames and messages for tests."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

from protocols import Event, Message, Moment, Offer
from protocols.native import NATIVE
from protocols.native.codec import NativeCodec
from protocols.native.frame import frame
from protocols.native.messages import EDITION, MESSAGES

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOON_MS = 1_772_366_400_000
HERE = Moment(NOON, 31.2304, 121.4737, 12.5, 36.0, 90.0, 1234.567)
IDENTITY = "greenhouse-1"
TOKEN = b"k9-secret"
HELLO_FIELDS = {
    "version": 1,
    "payload": 512,
    "identity": IDENTITY,
    "token": TOKEN,
    "model": "esp32",
    "software": "1.2.0",
    "extra": b"",
}


def body(kind: str, **fields: Any) -> bytes:
    """A payload by its declaration, which takes what no device should send too."""
    row = next(row for row in MESSAGES.values() if row.name == kind)
    layout = row.layouts[EDITION]
    return layout.build({"extra": b"", **fields})


def offer(file: int, data: bytes, version: str, sent: int = 0) -> Offer:
    return Offer(3, file, len(data), crc32(data), "firmware", version, "", sent)


def offered(file: int, data: bytes, version: str) -> bytes:
    """The payload of an offer."""
    return body("offer", file=file, size=len(data), crc32=crc32(data), name="firmware", version=version)


def up(kind: str, payload: bytes, sequence: int = 1) -> bytes:
    return frame(next(row.id for row in MESSAGES.values() if row.name == kind), sequence, payload)


def hello(sequence: int = 0, **changes: Any) -> bytes:
    return up("hello", body("hello", **{**HELLO_FIELDS, **changes}), sequence)


def reading(channel: int, type: str, value: Any = None) -> dict[str, Any]:
    return {"channel": channel, "type": type, "value": value}


def moment(stamp: datetime | int, *readings: Mapping[str, Any]) -> dict[str, Any]:
    return {"stamp": stamp, "readings": list(readings)}


def readings(*moments: Mapping[str, Any], sequence: int = 1) -> bytes:
    return up("readings", body("readings", moments=list(moments)), sequence)


def online(**changes: Any) -> NativeCodec:
    """The platform's end of a link over which a device has said who it is."""
    codec = NATIVE.codec()
    (message,) = codec.receive(hello(**changes), 0.0)
    assert isinstance(message, Message)
    return codec


def receive(data: bytes) -> list[Event]:
    return list(NATIVE.codec(IDENTITY).receive(data, 0.0))


def only(data: bytes) -> Message:
    (message,) = receive(data)
    assert isinstance(message, Message)
    return message
