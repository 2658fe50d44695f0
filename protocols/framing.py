"""Cutting a stream of bytes into frames."""

from __future__ import annotations

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

    def __init__(self, flag: bytes, limit: int) -> None:
        self.flag = flag
        self.limit = limit
        self._pending = bytearray()
        self._is_skipping = False

    def feed(self, data: bytes) -> list[bytes | Malformed]:
        """The runs that ``data`` completes, as they came and in order; a read may end anywhere."""
        if self.flag not in data:
            return self._hold(data)
        runs = data.split(self.flag)
        found: list[bytes | Malformed] = []
        first, last = runs[0], runs.pop()
        if self._is_skipping:
            self._is_skipping = False
            del runs[0]
        elif self._pending:
            runs[0] = bytes(self._pending) + first
            self._pending.clear()
        for run in runs:
            if len(run) > self.limit:
                found.append(Malformed("oversized", run[:SAMPLE_BYTES]))
            elif run:
                found.append(run)
        return found + self._hold(last)

    @property
    def pending(self) -> bytes:
        """What came behind the last flag."""
        return bytes(self._pending)

    def _hold(self, data: bytes) -> list[bytes | Malformed]:
        if self._is_skipping:
            return []
        self._pending += data
        if len(self._pending) <= self.limit:
            return []
        sample = bytes(self._pending[:SAMPLE_BYTES])
        self._pending = bytearray()
        self._is_skipping = True
        return [Malformed("oversized", sample)]


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
