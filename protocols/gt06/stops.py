"""Cutting streams whose lengths cannot be trusted: those of the bare dialect, and of clones that get them wrong.

A frame has the size that it tells, if the stop bits stand there. If not, it ends at the first stop bits that a mark
follows, or the end of what has come.
"""

from __future__ import annotations

from collections.abc import Callable

from protocols.framing import SAMPLE_BYTES
from protocols.gt06.frame import LONG, MARKS, MAX_FRAME_BYTES, SHAPES, SHORT, STOP
from protocols.message import Malformed

SizeOf = Callable[[bytes], "int | None"]
"""The size that a frame tells; 0 where it tells none, and None where more bytes are needed for it."""
_STARTS = (MARKS[SHORT], MARKS[LONG])
_HEAD_BYTES = 4
_BARE_SIZES = {0x01: 15, 0x08: 6}
_BARE_WIFI = (0x17, 0x69)
_TIME_BYTES, _POINT_BYTES, _CELL_BYTES = 6, 7, 5


class StopSplitter:
    """Cuts at marks, told sizes and stop bits. What lies before a mark is reported once, as ``garbage``."""

    def __init__(self, size_of: SizeOf, limit: int = MAX_FRAME_BYTES) -> None:
        self.limit = limit
        self._size_of = size_of
        self._pending = b""
        self._is_lost = False
        self._searched = 0
        """How far there is no end of the frame under way, so that no byte is looked at again and again."""

    @property
    def pending(self) -> bytes:
        """What is held of a frame that has not ended."""
        return self._pending

    def feed(self, data: bytes) -> list[bytes | Malformed]:
        """The frames that ``data`` completes, as they came and in order."""
        found: list[bytes | Malformed] = []
        data, at = self._pending + data, 0
        while at < len(data):
            start = _next_mark(data, at)
            if start > at:
                found += self._lose(Malformed("garbage", data[at : min(start, at + SAMPLE_BYTES)]))
                at = start
                continue
            size = self._frame_size(data[at : at + self.limit + 1])
            if size == 0:
                break
            if size > 0:
                found.append(data[at : at + size])
                self._is_lost = False
            else:
                found += self._lose(Malformed("oversized", data[at : at + SAMPLE_BYTES]))
            at += abs(size)
            self._searched = 0
        self._pending = data[at:]
        return found

    def _lose(self, malformed: Malformed) -> list[Malformed]:
        was_lost, self._is_lost = self._is_lost, True
        return [] if was_lost else [malformed]

    def _frame_size(self, data: bytes) -> int:
        """The bytes of the frame at the start; 0 if more have to come, less than 0 for as many that are none."""
        told = self._size_of(data) if len(data) >= _HEAD_BYTES else None
        is_possible = told is None or _HEAD_BYTES < told <= self.limit
        if told is None or (is_possible and told > len(data)):
            return 0
        if is_possible and data[told - len(STOP) : told] == STOP:
            return told
        at = max(self._searched, _HEAD_BYTES)
        while (stop := data.find(STOP, at)) >= 0:
            end = stop + len(STOP)
            if end == len(data) or data[end : end + 2] in _STARTS:
                return end
            if end + 1 == len(data):
                break
            at = stop + 1
        self._searched = max(_HEAD_BYTES, len(data) - 3)
        return -len(_STARTS[0]) if len(data) > self.limit else 0


def _next_mark(data: bytes, at: int) -> int:
    """Where a mark begins, or the last byte if one may begin there."""
    places = [place for start in _STARTS if (place := data.find(start, at)) >= 0]
    if places:
        return min(places)
    return len(data) - 1 if data[-1:] in (b"\x78", b"\x79") else len(data)


def told_size(data: bytes) -> int | None:
    """What a frame of the standard's tells."""
    shape = SHAPES[data[0] == LONG]
    width = 1 if shape.length == ">B" else 2
    return int.from_bytes(data[2 : 2 + width], "big") + shape.uncounted


def bare_size(data: bytes) -> int | None:
    """What a frame of the bare dialect tells by its type, and by its counts of access points and cells."""
    type = data[3]
    if type not in _BARE_WIFI:
        return _BARE_SIZES.get(type, 0)
    at = _HEAD_BYTES + _TIME_BYTES + _POINT_BYTES * data[2]
    if at >= len(data):
        return None
    return at + 4 + _CELL_BYTES * data[at] + len(STOP)
