"""Slices of files, read once for all devices that ask for them.

downloads ── read(file, offset, length) ──▶ here already? ── bytes
                                            └─ else one task for all who wait for the slice, a few at a time ──▶ worker
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Generator
from typing import Any

from twisted.internet.defer import Deferred, fail, inlineCallbacks, succeed
from twisted.python.failure import Failure

from tasks.contract import SLICE_BYTES

MOST_READS = 8
"""Replies that may lie in the mailbox at once: a megabyte."""
MOST_WAITING = 4_096
"""Slices that wait to be read. Whoever asks for more asks again."""

_Key = tuple[str, int]


class CrowdedError(Exception):
    """As many slices as may wait do."""


class Slices:
    """The slices that were asked for last, so many bytes of them."""

    def __init__(self, most_bytes: int, read: Callable[[str, int], Deferred[bytes | None]]) -> None:
        self._most_bytes = most_bytes
        self._read = read
        self._kept: OrderedDict[_Key, bytes] = OrderedDict()
        self.held_bytes = 0
        self._waiting: dict[_Key, list[Deferred[bytes | None]]] = {}
        self._queue: deque[_Key] = deque()
        self._reads = 0

    def read(self, sha256: str, offset: int, length: int) -> Deferred[bytes | None]:
        """Bytes of a file, at once if they are here; None if the file is gone.

        Fails with CrowdedError, or as whoever reads does.
        """
        start = offset % SLICE_BYTES
        kept = self._kept.get((sha256, offset - start))
        if kept is None or start + length > SLICE_BYTES:
            return self._gather(sha256, offset, length)
        self._kept.move_to_end((sha256, offset - start))
        return succeed(kept[start : start + length] or None)

    @inlineCallbacks
    def _gather(self, sha256: str, offset: int, length: int) -> Generator[Deferred[Any], Any, bytes | None]:
        parts, end = [], offset + length
        while offset < end:
            start = offset % SLICE_BYTES
            whole = yield self._slice((sha256, offset - start))
            if whole is None or start >= len(whole):
                return None
            parts.append(whole[start : start + end - offset])
            offset += len(parts[-1])
        return b"".join(parts)

    def _slice(self, key: _Key) -> Deferred[bytes | None]:
        if key in self._kept:
            self._kept.move_to_end(key)
            return succeed(self._kept[key])
        if key not in self._waiting:
            if len(self._waiting) >= MOST_WAITING:
                return fail(CrowdedError(f"{MOST_WAITING} slices wait already"))
            self._waiting[key] = []
            self._queue.append(key)
        came: Deferred[bytes | None] = Deferred()
        self._waiting[key].append(came)
        self._read_next()
        return came

    def _read_next(self) -> None:
        while self._queue and self._reads < MOST_READS:
            self._reads += 1
            key = self._queue.popleft()
            self._read(*key).addBoth(self._came, key)

    def _came(self, result: bytes | Failure | None, key: _Key) -> None:
        self._reads -= 1
        if isinstance(result, bytes):
            self._keep(key, result)
        for waiting in self._waiting.pop(key):
            # A failure fires the errbacks of each.
            waiting.callback(result)
        self._read_next()

    def _keep(self, key: _Key, data: bytes) -> None:
        self._kept[key] = data
        self.held_bytes += len(data)
        while self.held_bytes > self._most_bytes:
            self.held_bytes -= len(self._kept.popitem(last=False)[1])
