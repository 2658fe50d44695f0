"""Cutting a stream of bytes into frames."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

from protocols.message import Malformed

SAMPLE_BYTES = 256
"""How much of what cannot be read is shown: enough to recognise it, too little to fill anybody's memory."""


class DelimitedSplitter:
    """Cuts a stream at flag bytes.

    A flag separates; it does not open or close. Every run of bytes between two flags is a candidate frame, so that
    frames may share a flag, empty runs pass unnoticed, and a lost flag spoils one frame only: pairing flags would
    stay out of phase for ever. The start of the stream counts as a flag.

    A run longer than ``limit`` is reported once and skipped up to the next flag; of what is skipped nothing is held.

    Source: JT/T 808-2019, 4.4.1.
    """

    __slots__ = ("_is_skipping", "_pending", "flag", "limit")

    def __init__(self, flag: bytes, limit: int) -> None:
        self.flag = flag
        self.limit = limit
        self._pending = b""
        self._is_skipping = False

    def feed(self, data: bytes) -> list[bytes | Malformed]:
        """The runs that ``data`` completes, as they came and in order; a read may end anywhere."""
        if self._pending:
            # A copy for each read, of no more than the limit: what waits takes no room of its own when nothing does.
            data, self._pending = self._pending + data, b""
        runs = data.split(self.flag)
        last = runs.pop()
        if runs and self._is_skipping:
            self._is_skipping = False
            del runs[0]
        found: list[bytes | Malformed] = []
        for run in runs:
            if len(run) > self.limit:
                found.append(Malformed("oversized", run[:SAMPLE_BYTES]))
            elif run:
                found.append(run)
        if last and not self._is_skipping:
            if len(last) > self.limit:
                found.append(Malformed("oversized", last[:SAMPLE_BYTES]))
                self._is_skipping = True
            else:
                self._pending = last
        return found

    @property
    def pending(self) -> bytes:
        """What came behind the last flag."""
        return self._pending


class Escaping(NamedTuple):
    """Byte stuffing: what may not occur inside a frame travels as an escape byte and a substitute."""

    escape: bytes
    flag: bytes
    escaped_escape: bytes
    escaped_flag: bytes

    def put(self, data: bytes) -> bytes:
        return data.replace(self.escape, self.escaped_escape).replace(self.flag, self.escaped_flag)

    def take(self, data: bytes) -> tuple[bytes, bool]:
        """The bytes that were meant, and whether every escape byte was followed by a legal substitute.

        One that was not stays as it is: devices exist which send their check byte without escaping it.
        """
        if self.escape not in data:
            return data, True
        is_legal = data.count(self.escape) == data.count(self.escaped_escape) + data.count(self.escaped_flag)
        # The flag's substitute first: an escaped escape may stand before any byte, the substitute included.
        return data.replace(self.escaped_flag, self.flag).replace(self.escaped_escape, self.escape), is_legal


class Marked(NamedTuple):
    """One shape of frame that begins with a mark and tells its length."""

    start: bytes
    length: str
    """The length's field in the notation of :mod:`struct`."""
    length_at: int
    """Where that field is, from the frame's first byte."""
    uncounted: int
    """Bytes of the whole frame that the length does not count."""
    stop: bytes = b""
    """What the frame ends with, if it does; it may occur inside as well."""


class MarkedSplitter:
    """Cuts a stream into frames that begin with a mark and tell their length.

    A mark may occur inside a frame, so frames are walked by their lengths and marks looked for only where one is not
    where it should be. What lies before the next mark is reported once, as ``garbage``. A frame that fails its check
    may have a wrong length: if a mark or nothing follows it, exactly that frame is dropped, else the search goes on
    behind its own mark.

    ``check`` takes a whole frame and gives what is wrong with it in one word, or nothing. After ``MAX_FAULTS`` in one
    read what is left of it is dropped: each fault may cost a check of a whole frame, and a link has been given up by
    then.
    """

    MAX_FAULTS = 16

    def __init__(self, shapes: Sequence[Marked], limit: int, check: Callable[[bytes], str]) -> None:
        self.shapes = tuple(shapes)
        self.limit = limit
        self._check = check
        self._pending = bytearray()
        self._is_lost = False

    @property
    def pending(self) -> bytes:
        """What is held of a frame that has not ended."""
        return bytes(self._pending)

    def feed(self, data: bytes) -> list[bytes | Malformed]:
        """The frames that ``data`` completes, as they came and in order; a read may end anywhere."""
        self._pending += data
        found: list[bytes | Malformed] = []
        at = faults = 0
        while at < len(self._pending):
            shape = self._shape_at(at)
            if shape is None:
                mark = self._next_mark(at)
                if mark > at and not self._is_lost:
                    found.append(self._malformed("garbage", at, mark))
                    self._is_lost = True
                if mark == at or mark == len(self._pending) or self._shape_at(mark) is None:
                    at = mark
                    break
                at = mark
                continue
            size = self._size(shape, at)
            if size is None or (self._is_size_possible(shape, size) and at + size > len(self._pending)):
                break
            fault = self._fault(shape, at, size)
            if not fault:
                found.append(bytes(self._pending[at : at + size]))
                self._is_lost = False
                at += size
                continue
            faults += 1
            found.append(self._malformed(fault, at, at + max(size, 1)))
            at = self._behind_fault(shape, at, size)
            if faults == self.MAX_FAULTS:
                at = len(self._pending)
        del self._pending[:at]
        return found

    def _shape_at(self, at: int) -> Marked | None:
        return next((shape for shape in self.shapes if self._pending.startswith(shape.start, at)), None)

    def _next_mark(self, at: int) -> int:
        """Where the next mark is, or the beginning of one that the read has cut."""
        places = [place for shape in self.shapes if (place := self._pending.find(shape.start, at)) >= 0]
        if places:
            return min(places)
        longest = max(len(shape.start) for shape in self.shapes)
        for place in range(max(at, len(self._pending) - longest + 1), len(self._pending)):
            if any(shape.start.startswith(self._pending[place:]) for shape in self.shapes):
                return place
        return len(self._pending)

    def _size(self, shape: Marked, at: int) -> int | None:
        """The frame's size as it tells it; None while that has not come."""
        ends = at + shape.length_at + struct.calcsize(shape.length)
        if ends > len(self._pending):
            return None
        return int(struct.unpack_from(shape.length, self._pending, at + shape.length_at)[0]) + shape.uncounted

    def _is_size_possible(self, shape: Marked, size: int) -> bool:
        return shape.length_at + struct.calcsize(shape.length) + len(shape.stop) <= size <= self.limit

    def _fault(self, shape: Marked, at: int, size: int) -> str:
        if not self._is_size_possible(shape, size):
            return "oversized" if size > self.limit else "length"
        frame = bytes(self._pending[at : at + size])
        return self._check(frame) if frame.endswith(shape.stop) else "stop"

    def _behind_fault(self, shape: Marked, at: int, size: int) -> int:
        ends = at + size
        if self._is_size_possible(shape, size) and (ends == len(self._pending) or self._shape_at(ends) is not None):
            return ends
        self._is_lost = True
        return at + len(shape.start)

    def _malformed(self, cause: str, start: int, end: int) -> Malformed:
        return Malformed(cause, bytes(self._pending[start : min(end, start + SAMPLE_BYTES)]))
