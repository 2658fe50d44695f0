"""The two frames around a request or an answer, and finding one in a stream.

RTU    unit 1 | function and data | CRC 2, low byte first            no length: only the request tells it
MBAP   transaction 2 | protocol 2 | length 2 | unit 1 | function and data

Source: MODBUS over Serial Line V1.02, chapter 2.5; MODBUS Messaging on TCP/IP Implementation Guide V1.0b, chapter 3.1.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar, Protocol

from protocols.checksum import crc16_modbus
from protocols.modbus.pdu import MAX_PDU_BYTES, MORE, Request, request_size, sizes

MAX_FRAME_BYTES = 260
"""Of MBAP; RTU has at most 256."""
LAST_UNIT = 247
_MBAP = struct.Struct(">HHHB")


@dataclass(slots=True)
class Asked:
    """A request on its way, as it went over the wire."""

    request: Request
    frame: bytes
    transaction: int = 0


class Framing(Protocol):
    """How a line's frames are made and found. Sizes are of whole frames; 0 is none, :data:`MORE` wants more bytes."""

    name: ClassVar[str]
    overhead: ClassVar[int]
    """Bytes of a frame beside function and data."""

    def wrap(self, unit: int, pdu: bytes, transaction: int = 0) -> bytes:
        """The frame of a request or an answer."""

    def answer_at(self, data: bytearray, at: int, asked: Asked) -> int:
        """The size of the answer to this request that begins at a place."""

    def frame_at(self, data: bytearray, at: int) -> int:
        """The size of the frame, asked for or not, that begins at a place."""

    def request_at(self, data: bytearray, at: int) -> int:
        """The size of the request that begins at a place."""

    def is_frame(self, data: bytes) -> bool:
        """Whether these bytes are one whole frame, of any function."""

    def unframed(self, frame: bytes) -> bytes:
        """Unit, function and data of a whole frame."""


class Rtu(Framing):
    """Remote terminal unit: what goes over a serial line."""

    name = "rtu"
    overhead = 3

    def wrap(self, unit: int, pdu: bytes, transaction: int = 0) -> bytes:
        return seal(bytes((unit,)) + pdu)

    def answer_at(self, data: bytearray, at: int, asked: Asked) -> int:
        if data[at] != asked.request.unit:
            return 0
        size = asked.request.answer_size(bytes(data[at + 1 : at + 1 + MAX_PDU_BYTES]))
        return _checked(data, at, size) if size > 0 else size

    def frame_at(self, data: bytearray, at: int) -> int:
        if not 1 <= data[at] <= LAST_UNIT:
            return 0
        waiting = 0
        for size in sizes(bytes(data[at + 1 : at + 1 + MAX_PDU_BYTES])):
            found = _checked(data, at, size) if size > 0 else MORE
            if found > 0:
                return found
            waiting = waiting or found
        return waiting

    def request_at(self, data: bytearray, at: int) -> int:
        size = request_size(bytes(data[at + 1 : at + 1 + MAX_PDU_BYTES]))
        return _checked(data, at, size) if size > 0 else size

    def is_frame(self, data: bytes) -> bool:
        return 4 <= len(data) <= MAX_PDU_BYTES + self.overhead and crc16_modbus(data) == 0

    def unframed(self, frame: bytes) -> bytes:
        return frame[:-2]


class Mbap(Framing):
    """Modbus TCP's frame, for DTUs that convert."""

    name = "mbap"
    overhead = 7

    def wrap(self, unit: int, pdu: bytes, transaction: int = 0) -> bytes:
        return _MBAP.pack(transaction, 0, len(pdu) + 1, unit) + pdu

    def answer_at(self, data: bytearray, at: int, asked: Asked) -> int:
        head = _MBAP.pack(asked.transaction, 0, 0, asked.request.unit)
        there = bytes(data[at : at + _MBAP.size])
        if there[:4] != head[: len(there)][:4] or there[6:] != head[6 : len(there)]:
            return 0
        size = asked.request.answer_size(bytes(data[at + 7 : at + 7 + MAX_PDU_BYTES]))
        if size <= 0 or len(there) < _MBAP.size:
            return size
        told = int.from_bytes(there[4:6], "big") + 6
        if told != size + self.overhead:
            return 0
        return told if at + told <= len(data) else MORE

    def frame_at(self, data: bytearray, at: int) -> int:
        if any(data[at + 2 : at + 5]):
            return 0
        if len(data) < at + self.overhead + 1:
            return MORE
        size = data[at + 5] + 6
        if size < self.overhead + 1 or not sizes(bytes(data[at + 7 : at + size])):
            return 0
        return size if at + size <= len(data) else MORE

    def request_at(self, data: bytearray, at: int) -> int:
        return self.frame_at(data, at)

    def is_frame(self, data: bytes) -> bool:
        return 8 <= len(data) <= MAX_FRAME_BYTES and data[2:5] == bytes(3) and data[5] + 6 == len(data)

    def unframed(self, frame: bytes) -> bytes:
        return frame[6:]


def seal(data: bytes) -> bytes:
    """Bytes with their CRC behind them."""
    return data + crc16_modbus(data).to_bytes(2, "little")


def _checked(data: bytearray, at: int, size: int) -> int:
    """The frame's size if it is whole and its CRC fits. The CRC over a frame with its own CRC is 0."""
    end = at + size + Rtu.overhead
    if end > len(data):
        return MORE
    return end - at if crc16_modbus(bytes(data[at:end])) == 0 else 0


FRAMINGS: dict[str, Framing] = {framing.name: framing for framing in (Rtu(), Mbap())}


def is_mbap(data: bytes) -> bool:
    """Whether this is rather a frame of Modbus TCP than one of RTU whose CRC is wrong."""
    return not FRAMINGS["rtu"].is_frame(data) and FRAMINGS["mbap"].is_frame(data) and bool(sizes(data[7:]))
