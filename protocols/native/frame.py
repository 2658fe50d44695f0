"""The frame.

    10 A7 | type u8 | length u16 | sequence u16 | payload | CRC-16 over type to payload

All numbers are big-endian. Why it looks like this:

- No escaping: a sender needs no second buffer, and a receiver knows how much to wait for.
- The length stands before the sequence, and the mark begins with 0x10. If bytes are lost within a header, what is
  then taken for the length begins with 0x10 or a larger byte, which is above the limit and so found out at once, or
  is 16: a receiver never waits for long for a frame that is none.
- No payload is longer than 4,080 bytes. Within 4,093 bytes this CRC sees every error of three bits; in longer frames
  there are errors of two that it does not.
- An answer has the sequence of what it answers, so that acks need no field for it.
"""

from __future__ import annotations

import struct

from construct import Bytes, Int8ub, Int16ub, Struct

from protocols.checksum import crc16_x25
from protocols.framing import Marked

MARK = bytes.fromhex("10a7")
MAX_PAYLOAD_BYTES = 4080
HEAD_BYTES = 7
CHECK_BYTES = 2
MAX_FRAME_BYTES = HEAD_BYTES + MAX_PAYLOAD_BYTES + CHECK_BYTES
SHAPE = Marked(MARK, ">H", 3, HEAD_BYTES + CHECK_BYTES)
HEADER = Struct(
    "mark" / Bytes(2) * "Mark, always 10 A7 起始标志",
    "type" / Int8ub * "Type of message 消息类型",
    "length" / Int16ub * "Bytes of the payload 数据长度",
    "sequence" / Int16ub * "The sender's number of the message; an answer has that of what it answers 流水号",
)
_HEADER = struct.Struct(">2sBHH")
_CHECK = struct.Struct(">H")


def frame(type: int, sequence: int, payload: bytes) -> bytes:
    """A message's bytes on the wire.

    Raises: ValueError when the payload is longer than any frame may hold.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"a payload of {len(payload)} bytes does not fit a frame of {MAX_PAYLOAD_BYTES}")
    data = _HEADER.pack(MARK, type, len(payload), sequence) + payload
    return data + _CHECK.pack(crc16_x25(data[len(MARK) :]))


def open_frame(data: bytes) -> tuple[int, int, bytes]:
    """Type, sequence and payload of a whole frame."""
    _, type, _, sequence = _HEADER.unpack_from(data)
    return type, sequence, data[HEAD_BYTES:-CHECK_BYTES]


def fault(data: bytes) -> str:
    """What is wrong with a frame that has the length it tells, in one word; empty for nothing."""
    return "" if crc16_x25(data[len(MARK) : -CHECK_BYTES]) == _CHECK.unpack_from(data, len(data) - CHECK_BYTES)[0] else "checksum"
