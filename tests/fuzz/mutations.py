"""Damage as lines, devices and attackers do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random

from protocols.checksum import xor
from protocols.jt808.header import ESCAPING, FLAG

Seal = Callable[[bytes], bytes]


def seal_jt808(frame: bytes) -> bytes:
    """The frame with a check byte that fits, so that the damage gets past it to the header and the body."""
    data, _ = ESCAPING.take(frame.strip(FLAG))
    return FLAG + ESCAPING.put(data[:-1] + bytes((xor(data[:-1]),))) + FLAG if data else frame


SEALS: dict[str, Seal] = {"jt808": seal_jt808}
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
