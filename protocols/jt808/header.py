"""JT/T 808's frame and its header (消息头).

    7E | header | body | check | 7E

Source: JT/T 808-2013 and JT/T 808-2019, section 4.4.
"""

from __future__ import annotations

from typing import NamedTuple

from construct import Int8ub, Int16ub, Struct

from protocols.checksum import xor
from protocols.compiler import fixed
from protocols.fields import BCD, Bit, Flags
from protocols.framing import SAMPLE_BYTES, Escaping
from protocols.message import Malformed

FLAG = b"\x7e"
ESCAPING = Escaping(b"\x7d", FLAG, b"\x7d\x01", b"\x7d\x02")
MAX_BODY_BYTES = 0x3FF
"""Of one frame: the length has ten bits."""

_MESSAGE_ID = "id" / Int16ub * "Message id 消息ID"
_ATTRIBUTES = (
    "attributes"
    / Flags(
        Int16ub,
        {
            0: Bit("length", "Bytes of this frame's body 消息体长度", 10),
            10: Bit("encryption", "Encryption of the body, 0 none 数据加密方式", 3),
            13: Bit("is_part", "Sub-packet words present 分包", 1),
            14: Bit("is_2019", "Header of 2019 or later 版本标识", 1),
            15: Bit("reserved", "Reserved 保留", 1),
        },
    )
    * "Body attributes 消息体属性"
)
_SEQUENCE = "sequence" / Int16ub * "Message serial number 消息流水号"
_PARTS = (
    "total" / Int16ub * "Sub-packets in all 消息总包数",
    "number" / Int16ub * "Number of this sub-packet, from 1 包序号",
)
PHONE_BYTES = {False: 6, True: 10}
"""By whether the header is of 2019."""
_HEADER_2013 = (_MESSAGE_ID, _ATTRIBUTES, "phone" / BCD(PHONE_BYTES[False]) * "Terminal phone number 终端手机号", _SEQUENCE)
_HEADER_2019 = (
    _MESSAGE_ID,
    _ATTRIBUTES,
    "version" / Int8ub * "Protocol version 协议版本号",
    "phone" / BCD(PHONE_BYTES[True]) * "Terminal phone number 终端手机号",
    _SEQUENCE,
)

HEADERS: dict[tuple[bool, bool], Struct] = {
    (False, False): Struct(*_HEADER_2013),
    (False, True): Struct(*_HEADER_2013, *_PARTS),
    (True, False): Struct(*_HEADER_2019),
    (True, True): Struct(*_HEADER_2019, *_PARTS),
}
"""The layouts by (2019, sub-packet). Each has a size of its own, so that a header's length tells its layout."""
_FIXED = {layout: fixed(header) for layout, header in HEADERS.items()}
_START = fixed(Struct(_MESSAGE_ID, _ATTRIBUTES)).pack
_ATTRIBUTES_END = 4
_SIZES = {layout: header.size for layout, header in _FIXED.items()}
_SIZE_OF_FLAGS = tuple(_SIZES[bool(flags & 2), bool(flags & 1)] for flags in range(4))
"""By the two bits of the attributes that tell the layout."""
_LAYOUT_OF_SIZE = {size: layout for layout, size in _SIZES.items()}
_DAMAGED = (b"\x7c\x01", b"\x7c\x02")
_LOOK_ALIKES = (*_DAMAGED, ESCAPING.escaped_escape, ESCAPING.escaped_flag)
_ENCRYPTION_AT, _FLAGS_AT = 10, 13
"""Of the bits in the attributes."""
_LENGTH_ENDS_WITHIN = 8
"""Bytes from the frame's start, all four up to the length's end escaped."""
MIN_FRAME_BYTES = _SIZES[False, False] + 1


class Header(NamedTuple):
    """An opened header."""

    id: int
    phone: str
    sequence: int
    encryption: int = 0
    version: int | None = None
    """Of a 2019 header; None for the older one."""
    is_part: bool = False
    total: int = 0
    """Sub-packets of the message."""
    number: int = 0
    """Of this sub-packet, from 1."""

    @property
    def identity(self) -> str:
        """The digits without the zeros in front, so that a device stays itself when its firmware moves to 2019."""
        return (self.phone.lstrip("0") or "0") if self.phone.isdecimal() else self.phone


def open_frame(run: bytes) -> tuple[bytes, bytes] | Malformed:
    """Header and body of what stood between two flags."""
    data, is_escaped_well = ESCAPING.take(run)
    if len(data) < MIN_FRAME_BYTES:
        return Malformed("header", run[:SAMPLE_BYTES])
    if xor(data):
        return Malformed("checksum" if is_escaped_well else "escape", run[:SAMPLE_BYTES])
    attributes = data[2] << 8 | data[3]
    claimed = _SIZE_OF_FLAGS[attributes >> _FLAGS_AT & 0b11]
    if len(data) == claimed + (attributes & MAX_BODY_BYTES) + 1:
        # Nearly all frames: flags, length and size agree.
        return data[:claimed], data[claimed:-1]
    size = header_size(data)
    if size is None:
        return Malformed("length", run[:SAMPLE_BYTES])
    surplus = len(data) - size - 1 - told_length(data)
    if surplus and (not is_escaped_well or _has_damaged_escape(run, surplus)):
        return Malformed("escape", run[:SAMPLE_BYTES])
    if surplus < 0:
        # Longer than told happens, with lengths of 0 above all. Shorter is a frame that was cut off, and of those one
        # in 256 has a last byte that checks the ones before it.
        return Malformed("length", run[:SAMPLE_BYTES])
    return data[:size], data[size:-1]


def read_header(head: bytes) -> Header:
    """Open the bytes of a header, as :func:`open_frame` gave them."""
    layout = is_2019, is_part = _LAYOUT_OF_SIZE[len(head)]
    id, attributes, *fields = _FIXED[layout].unpack(head)
    version = fields.pop(0) if is_2019 else None
    phone, sequence, *parts = fields
    return Header(id, phone.hex().upper(), sequence, attributes >> _ENCRYPTION_AT & 0b111, version, is_part, *parts)


def header_layout(head: bytes) -> Struct:
    """What a header is declared by, or what the beginning of one claims to be."""
    if is_header(head):
        return HEADERS[_LAYOUT_OF_SIZE[len(head)]]
    claims = int.from_bytes(head[2:4].ljust(2, b"\0"), "big")
    return HEADERS[bool(claims & 0x4000), bool(claims & 0x2000)]


def is_header(head: bytes) -> bool:
    """Whether these bytes have the length of a header. What was stored long ago may have had another owner."""
    return len(head) in _LAYOUT_OF_SIZE


def is_2019(head: bytes) -> bool:
    """Whether a header has the layout of 2019, whatever its version flag claims."""
    return _LAYOUT_OF_SIZE[len(head)][0]


def frame(header: Header, body: bytes) -> bytes:
    """The bytes of a message as they go on the wire.

    Raises: ValueError when the body is longer than a frame may hold.
    """
    if len(body) > MAX_BODY_BYTES:
        raise ValueError(f"a body of {len(body)} bytes does not fit a frame of {MAX_BODY_BYTES}")
    layout = is_2019, is_part = header.version is not None, header.is_part
    attributes = len(body) | header.encryption << _ENCRYPTION_AT | (is_2019 << 1 | is_part) << _FLAGS_AT
    digits = 2 * PHONE_BYTES[is_2019]
    if len(header.phone) > digits:
        raise ValueError(f"a phone number of {len(header.phone)} digits does not fit a header of {digits}")
    version = (header.version,) if is_2019 else ()
    phone = bytes.fromhex(header.phone.zfill(digits))
    parts = (header.total, header.number) if is_part else ()
    return close_frame(_FIXED[layout].pack(header.id, attributes, *version, phone, header.sequence, *parts), body)


def frame_to(head: bytes, id: int, sequence: int, body: bytes) -> bytes:
    """A message of the platform's, in one frame, to the terminal that has sent this header, in its edition.

    What stands between attributes and serial number is taken over as it came: nothing of it needs to be understood.
    """
    is_new = is_2019(head)
    end = _ATTRIBUTES_END + is_new + PHONE_BYTES[is_new]
    start = _START(id, len(body) | is_new << _FLAGS_AT + 1)
    return close_frame(start + head[_ATTRIBUTES_END:end] + sequence.to_bytes(2, "big"), body)


def close_frame(head: bytes, body: bytes) -> bytes:
    """Header and body with their check byte, escaped and between flags."""
    data = head + body
    return FLAG + ESCAPING.put(data + xor(data).to_bytes(1, "big")) + FLAG


def told_length(data: bytes) -> int:
    """What the header says of the body's length."""
    return int.from_bytes(data[2:4], "big") & MAX_BODY_BYTES


def _has_damaged_escape(run: bytes, surplus: int) -> bool:
    """Whether a wrong length can come from one wrong bit in an escape byte, which the check byte cannot see.

    7D 02 for 7E and its damaged form 7C 02 are the same by exclusive or, and so are 7D 01 and 7C 01. The frame is
    then one byte longer than told; damaged the other way round, one byte shorter. If what was damaged is the length
    itself, the frame comes out right with the bit put back.
    """
    if surplus == 1 and any(damaged in run for damaged in _DAMAGED):
        return True
    if surplus == -1 and ESCAPING.escape in run:
        return True
    for at in range(_LENGTH_ENDS_WITHIN):
        if run[at : at + 2] in _LOOK_ALIKES:
            data, _ = ESCAPING.take(run[:at] + bytes((run[at] ^ 1,)) + run[at + 1 :])
            if len(data) - told_length(data) - 1 in _LAYOUT_OF_SIZE:
                return True
    return False


def header_size(data: bytes) -> int | None:
    """The size of an unescaped frame's header, found by which layout makes the frame's length come out right.

    Shape: None where there are too few bytes for one.

    What the flags say comes first. Terminals are known that set the version flag on the old header, or the
    sub-packet bit without sub-packet words. If no layout fits, the length is what is wrong: the flags stand.
    """
    attributes = int.from_bytes(data[2:4], "big")
    is_2019, is_part = bool(attributes & 0x4000), bool(attributes & 0x2000)
    expected = len(data) - told_length(data) - 1
    claimed = _SIZES[is_2019, is_part]
    if expected == claimed:
        return claimed
    for layout in ((not is_2019, is_part), (is_2019, not is_part), (not is_2019, not is_part)):
        size = _SIZES[layout]
        if expected == size and _is_plausible(data[:size], layout[0] and not is_2019, layout[1] and not is_part):
            return size
    return claimed if len(data) > claimed else None


def _is_plausible(head: bytes, is_new_unannounced: bool, is_part_unannounced: bool) -> bool:
    """Whether a header can have the layout that its flags do not claim.

    A body whose length is given five or four bytes too short would pass for one: a phone number of 2019 begins with
    zeros, and sub-packet words count from one.
    """
    if is_new_unannounced and not (head[5:7] == b"\0\0" and head[5:15].hex().isdecimal()):
        return False
    total, number = int.from_bytes(head[-4:-2], "big"), int.from_bytes(head[-2:], "big")
    return not is_part_unannounced or 1 <= number <= total
