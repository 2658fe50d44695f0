"""Damage as lines, devices and attackers do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random

from protocols.checksum import crc16_x25, xor
from protocols.gb32960.header import FRAME_BYTES, HEAD_BYTES, close_frame
from protocols.gt06.frame import LONG, MIN_BYTES
from protocols.jt808.header import ESCAPING, FLAG
from protocols.modbus.frame import seal as modbus_seal
from protocols.native.frame import CHECK_BYTES, MAX_PAYLOAD_BYTES
from protocols.native.frame import HEAD_BYTES as NATIVE_HEAD_BYTES
from protocols.native.frame import frame as native_frame
from protocols.teltonika import stream as teltonika

Seal = Callable[[bytes], bytes]


def seal_jt808(frame: bytes) -> bytes:
    """The frame with a check byte that fits, so that the damage gets past it to the header and the body."""
    data, _ = ESCAPING.take(frame.strip(FLAG))
    return FLAG + ESCAPING.put(data[:-1] + bytes((xor(data[:-1]),))) + FLAG if data else frame


def seal_gb32960(frame: bytes) -> bytes:
    """The frame with its length and its check made to fit."""
    if len(frame) < FRAME_BYTES:
        return frame
    head = frame[: HEAD_BYTES - 2] + (len(frame) - FRAME_BYTES & 0xFFFF).to_bytes(2, "big")
    return close_frame(head, frame[HEAD_BYTES:-1])


def seal_gt06(frame: bytes) -> bytes:
    """The frame with its length, its check and its stop bits made to fit."""
    if len(frame) < MIN_BYTES[LONG]:
        return frame
    width = 2 if frame[0] == LONG else 1
    length = len(frame) - 4 - width & (0xFFFF if width == 2 else 0xFF)
    checked = length.to_bytes(width, "big") + frame[2 + width : -4]
    return frame[:2] + checked + crc16_x25(checked).to_bytes(2, "big") + b"\r\n"


def seal_native(frame: bytes) -> bytes:
    """The frame with its length and its check made to fit."""
    if len(frame) < NATIVE_HEAD_BYTES + CHECK_BYTES:
        return frame
    payload = frame[NATIVE_HEAD_BYTES:-CHECK_BYTES][:MAX_PAYLOAD_BYTES]
    return native_frame(frame[2], int.from_bytes(frame[5:7], "big"), payload)


def seal_teltonika(data: bytes) -> bytes:
    """The packet with its length and its check made to fit; what is none, as it is."""
    inside = data[teltonika.HEAD_BYTES : -teltonika.CRC_BYTES]
    is_packet = data.startswith(teltonika.PREAMBLE) and len(inside) >= teltonika.MIN_DATA_BYTES
    return teltonika.frame(inside) if is_packet else data


def seal_modbus(frame: bytes) -> bytes:
    """The frame with a CRC that fits."""
    return modbus_seal(frame[:-2]) if len(frame) > 2 else frame


SEALS: dict[str, Seal] = {
    "gt06": seal_gt06,
    "gb32960": seal_gb32960,
    "jt808": seal_jt808,
    "modbus": seal_modbus,
    "native": seal_native,
    "teltonika": seal_teltonika,
}
"""By protocol. One without an entry is fuzzed with frames whose checks mostly fail."""


class Mutator:
    """Makes bytes out of captured frames, the same ones for the same seed."""

    def __init__(self, random: Random, frames: Sequence[bytes], seal: Seal | None) -> None:
        self.random = random
        self.frames = frames
        self.seal = seal
        self._kinds = (self._flip, self._overwrite, self._cut, self._insert, self._duplicate, self._splice)

    def next(self, answer: bytes | None = None) -> bytes:
        """A capture damaged once or a few times, whole at times, or nothing but noise.

        An answer, where there is one to be given, is what is damaged; half of them stay whole, or a conversation
        would not come far.
        """
        choice = self.random.random()
        if choice < 0.05:
            return self.random.randbytes(self.random.randrange(200))
        frame = self.random.choice(self.frames) if answer is None else answer
        if choice < (0.08 if answer is None else 0.5):
            return frame
        for _ in range(self.random.choice((1, 1, 1, 2, 4))):
            frame = self.random.choice(self._kinds)(frame)
        return self.seal(frame) if self.seal and self.random.random() < 0.6 else frame

    def chunks(self, data: bytes) -> list[bytes]:
        """The same bytes as reads of a socket give them: at once, one by one, or cut anywhere."""
        choice = self.random.random()
        if choice < 0.5 or not data:
            return [data]
        if choice < 0.55:
            return [data[at : at + 1] for at in range(len(data))]
        edges = [0, *sorted(self.random.randrange(len(data) + 1) for _ in range(self.random.randrange(1, 5))), len(data)]
        return [data[start:end] for start, end in pairwise(edges)]

    def _place(self, frame: bytes) -> int:
        return self.random.randrange(len(frame) + 1)

    def _flip(self, frame: bytes) -> bytes:
        if not frame:
            return frame
        at = self.random.randrange(8 * len(frame))
        return frame[: at // 8] + bytes((frame[at // 8] ^ 1 << at % 8,)) + frame[at // 8 + 1 :]

    def _overwrite(self, frame: bytes) -> bytes:
        at = self._place(frame)
        new = self.random.choice(
            (b"\x00", b"\xff", b"\x00\x00", b"\xff\xff", b"\x7f", b"\x80", b"~", b"}", self.random.randbytes(4))
        )
        return frame[:at] + new + frame[at + len(new) :]

    def _cut(self, frame: bytes) -> bytes:
        start, end = sorted((self._place(frame), self._place(frame)))
        return self.random.choice((frame[:start], frame[end:], frame[:start] + frame[end:]))

    def _insert(self, frame: bytes) -> bytes:
        at = self._place(frame)
        return frame[:at] + self.random.randbytes(self.random.choice((1, 2, 3, 8, 40, 300))) + frame[at:]

    def _duplicate(self, frame: bytes) -> bytes:
        start, end = sorted((self._place(frame), self._place(frame)))
        return frame[:end] + frame[start:end] * self.random.choice((1, 1, 2, 30)) + frame[end:]

    def _splice(self, frame: bytes) -> bytes:
        other = self.random.choice(self.frames)
        return frame[: self._place(frame)] + other[self._place(other) :]
