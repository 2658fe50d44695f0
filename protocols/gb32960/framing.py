"""Cutting a stream into GB/T 32960.3's frames.

A mark may occur in any data unit, a check of one byte is right by chance once in 256 times, and a header that was cut
may announce what never comes. So a header has to look like one as soon as it is there, and a good frame that begins
inside of what another header claims is taken for what it is: the other was cut.
"""

from __future__ import annotations

from protocols.checksum import xor
from protocols.framing import Marked, MarkedSplitter
from protocols.gb32960.header import EDITIONS, FRAME_BYTES, HEAD_BYTES, identity_of
from protocols.message import Malformed

_SHAPES = tuple(Marked(start, ">H", HEAD_BYTES - 2, FRAME_BYTES) for start in EDITIONS)
MAX_MARKS_INSIDE = 8
"""Of one frame, that are looked into. Hardly any has one; a stranger may fill his with them, and send it byte by byte."""
_NO_HEADER, _CUT = 0, -1
"""Instead of a size that no frame has."""


class FrameSplitter(MarkedSplitter):
    """Whole frames whose check is right, of both editions; and what is none."""

    def __init__(self, limit: int) -> None:
        super().__init__(_SHAPES, limit, _fault_of)
        self._looked = 0
        """Up to here the frame that is waited for has been looked into. It begins what is held."""

    def _size(self, shape: Marked, at: int) -> int | None:
        size = super()._size(shape, at)
        looked, self._looked = self._looked if at == 0 else 0, 0
        if size is None:
            return None
        if not self._has_header(at):
            return _NO_HEADER
        if size > self.limit:
            return size
        end = at + size
        # What a whole frame holds is its own, unless it goes on behind it.
        is_whole = end <= len(self._pending)
        # Without that, whoever sends byte by byte would have all of it checked at each of them.
        beyond = end + 1 if is_whole else looked + 1
        if self._shape_at(end) is None and self._hides_frame(at, end, beyond):
            return _CUT
        self._looked = 0 if is_whole else len(self._pending) - at
        return size

    def _fault(self, shape: Marked, at: int, size: int) -> str:
        return {_NO_HEADER: "header", _CUT: "cut"}.get(size) or super()._fault(shape, at, size)

    def _behind_fault(self, shape: Marked, at: int, size: int) -> int:
        behind = super()._behind_fault(shape, at, size)
        # A mark is one byte twice: of three in a row the last two may be the true one.
        return at + 1 if behind == at + len(shape.start) or self._hides_frame(at, behind) else behind

    def _malformed(self, cause: str, start: int, end: int) -> Malformed:
        return super()._malformed(cause, start, len(self._pending) if cause in ("header", "cut") else end)

    def _has_header(self, at: int) -> bool:
        """Whether flag and encryption are codes, and the id is text."""
        head = bytes(self._pending[at : at + HEAD_BYTES])
        return len(head) == HEAD_BYTES and _is_code(head[3]) and _is_code(head[21]) and identity_of(head) != ""

    def _hides_frame(self, start: int, end: int, beyond: int = 0) -> bool:
        """Whether a good frame begins before the end that another claims, and ends at ``beyond`` or later."""
        for mark in EDITIONS:
            at = start
            for _ in range(MAX_MARKS_INSIDE):
                at = self._pending.find(mark, at + 1, end)
                if at < 0:
                    break
                inner = at + FRAME_BYTES + int.from_bytes(self._pending[at + HEAD_BYTES - 2 : at + HEAD_BYTES], "big")
                if not beyond <= inner <= len(self._pending):
                    continue
                if self._has_header(at) and not _fault_of(bytes(self._pending[at:inner])):
                    return True
        return False


def _is_code(byte: int) -> bool:
    """Whether it may stand for something, in any edition; letters and digits do not."""
    return byte < 0x20 or byte >= 0xFE


def _fault_of(frame: bytes) -> str:
    """What is wrong with a whole frame, in one word. The check covers all but the mark."""
    return "checksum" if xor(frame[2:]) else ""
