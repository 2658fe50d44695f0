"""GT06's frames, and what a message keeps of the frame and the login that it came with.

    78 78 | length u8  | type | content | serial u16 | check u16 | 0D 0A
    79 79 | length u16 | type | content | serial u16 | check u16 | 0D 0A
    78 78 | a byte     | type | content | 0D 0A                            the bare dialect

The same type means different things in the two forms, so that a message's kind is its type in the short form and 0x7900
and its type in the long one. Numbers that the platform uses in a meaning of its own have 0x8000 added.

Source: Concox GPS Tracker Communication Protocol (GT06) v1.8.1, chapter 4; JM-VL03 v1.1.2, chapter 4.
"""

from __future__ import annotations

from typing import NamedTuple

from construct import Bytes, Int8ub, Int16ub, Struct

from protocols.checksum import crc16_x25
from protocols.fields import Bit, Choice, Flags, Option
from protocols.framing import Marked

STOP = b"\r\n"
SHORT, LONG, BARE = 0x78, 0x79, 0x00
"""The forms: the short and the long one by a byte of their marks, and the dialect without serial number and check."""
MARKS = {SHORT: b"\x78\x78", LONG: b"\x79\x79", BARE: b"\x78\x78"}
SHAPES = (Marked(MARKS[SHORT], ">B", 2, 5, STOP), Marked(MARKS[LONG], ">H", 2, 6, STOP))
MIN_BYTES = {SHORT: 10, LONG: 11}
MAX_FRAME_BYTES = 8192
"""A photo's part has 1 KiB; what claims to be longer than this is no frame."""
MAX_CONTENT_BYTES = {SHORT: 250, LONG: MAX_FRAME_BYTES - MIN_BYTES[LONG]}
COUNTED_BYTES = 5
"""What the length counts beside the content: type, serial number and check."""
BARE_HEARTBEAT = b"\x78\x78\x01\x08\r\n"
_LONG_KINDS = 0x7900
_DOWN_KINDS = 0x8000

_START = "start" / Bytes(2) * "Start bits 起始位"
_TYPE = "type" / Int8ub * "Protocol number 协议号"
HEADERS: dict[int, Struct] = {
    SHORT: Struct(_START, "length" / Int8ub * "Bytes from the protocol number to the check 包长度", _TYPE),
    LONG: Struct(_START, "length" / Int16ub * "Bytes from the protocol number to the check 包长度", _TYPE),
    BARE: Struct(_START, "reserved" / Int8ub * "Number of WiFi entries, or nothing 保留位", _TYPE),
}
ZONE = Flags(
    Int16ub,
    {
        0: Bit("language", "Language, 1 Chinese, 2 English 语言", 2),
        2: Bit("reserved", "Reserved 保留", 1),
        3: Bit("west", "West of Greenwich 西时区", 1),
        4: Bit("offset", "Hours × 100 + minutes 时区值", 12),
    },
)
HEAD = Struct(
    "form"
    / Choice(
        Int8ub,
        {
            SHORT: Option("short", "Short form 短包"),
            LONG: Option("long", "Long form 长包"),
            BARE: Option("bare", "Bare dialect 简化包"),
        },
    )
    * "Form of the frame 包格式",
    "reserved" / Int8ub * "Third byte of a frame of the bare dialect, 0 else 保留位",
    "zone" / ZONE * "Time zone and language, of the login or the operator 时区语言",
)
"""A message's head: what its body's meaning and its answer depend on."""
HEAD_BYTES = 4


class Opened(NamedTuple):
    """An opened frame."""

    form: int
    type: int
    sequence: int
    body: bytes
    reserved: int = 0

    @property
    def kind(self) -> int:
        return kind_of(self.form, self.type)


def kind_of(form: int, type: int, is_down: bool = False) -> int:
    """A message's kind."""
    return type | (_LONG_KINDS if form == LONG else 0) | (_DOWN_KINDS if is_down else 0)


def form_of(kind: int) -> int:
    """The form that a message of this kind has, the bare dialect aside."""
    return LONG if kind & _LONG_KINDS == _LONG_KINDS else SHORT


def is_crc_right(frame: bytes) -> bool:
    """Whether the check fits the bytes from the length to the serial number."""
    return crc16_x25(frame[2:-4]) == int.from_bytes(frame[-4:-2], "big")


def check_strict(frame: bytes) -> str:
    """What is wrong with a frame whose length and stop fit, in one word."""
    return check_lenient(frame) or ("" if frame == BARE_HEARTBEAT or is_crc_right(frame) else "checksum")


def check_lenient(frame: bytes) -> str:
    """The same for devices that never compute the check."""
    return "" if len(frame) >= MIN_BYTES[frame[0]] or frame == BARE_HEARTBEAT else "length"


def open_frame(frame: bytes) -> Opened:
    """Open a frame that has been found good."""
    if frame == BARE_HEARTBEAT:
        return open_bare(frame)
    at = HEADERS[frame[0]].sizeof()
    return Opened(frame[0], frame[at - 1], int.from_bytes(frame[-6:-4], "big"), frame[at:-6])


def open_bare(frame: bytes) -> Opened:
    """Open a frame of the bare dialect."""
    return Opened(BARE, frame[3], 0, frame[4 : -len(STOP)], frame[2])


def frame(form: int, type: int, body: bytes, sequence: int) -> bytes:
    """The bytes of a message as they go on the wire.

    Raises: ValueError when the body is longer than a frame of this form may hold.
    """
    if len(body) > MAX_CONTENT_BYTES[form]:
        raise ValueError(f"a body of {len(body)} bytes does not fit a frame of {MAX_CONTENT_BYTES[form]}")
    length = (len(body) + COUNTED_BYTES).to_bytes(1 if form == SHORT else 2, "big")
    checked = length + bytes((type,)) + body + (sequence & 0xFFFF).to_bytes(2, "big")
    return MARKS[form] + checked + crc16_x25(checked).to_bytes(2, "big") + STOP


def bare_frame(length: int, type: int, body: bytes) -> bytes:
    """A frame of the bare dialect."""
    return MARKS[BARE] + bytes((length, type)) + body + STOP


def zone_word(minutes_east: int) -> bytes:
    """The word for a time zone, as a login has it."""
    hours, minutes = divmod(abs(minutes_east), 60)
    return ((hours * 100 + minutes) << 4 | (8 if minutes_east < 0 else 0)).to_bytes(2, "big")


def minutes_east(word: int) -> int | None:
    """The time zone that a word tells; None for one that no place on earth has."""
    hours, minutes = divmod(word >> 4, 100)
    if hours > 14 or minutes > 59:
        return None
    return -(60 * hours + minutes) if word & 8 else 60 * hours + minutes
