"""Where batches wait while the way to the workers is not free: on the disk, written and read by a thread of its own.

    reactor                              thread                     disk
      ── write(batch) ─────────────────▶ all that wait ── append ─▶ one fsync
      ◀─ its place: it counts as stored ──┘
      ── read(count) ──────────────────▶ the oldest ◀────────────── records
      ── done(place): it is committed ─▶ segments nobody needs are removed

A disk that is full, read-only or broken is a state: what is to be written waits, and is tried again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NamedTuple

import msgpack
import structlog
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads

from iotgw.batch import Batch, Entry
from iotgw.records import RECORD_HEADER_BYTES
from iotgw.segments import Place, Segments
from iotgw.statistics import Statistics
from tasks.contract import BadPayloadError, ingest_messages

log = structlog.get_logger(__name__)

FIRST_RETRY_SECONDS = 0.5
LONGEST_RETRY_SECONDS = 30.0


class SpoolState(StrEnum):
    READY = "ready"
    FULL = "full"
    """As large as it may be: it takes more when its oldest batches have their receipts."""
    UNAVAILABLE = "unavailable"
    """The disk does not do what it is asked."""


@dataclass(slots=True)
class _Write:
    batch: Batch
    written: Deferred[Place | None]
    payload: bytes = b""


@dataclass(slots=True)
class _Read:
    wanted: int
    read: Deferred[list[Batch]]
    batches: list[Batch] = field(default_factory=list)
    """What the disk has given so far."""


class _Skip(NamedTuple):
    place: Place


class _Done(NamedTuple):
    place: Place


_Job = _Write | _Read | _Skip | _Done | None


class Spool:
    """A bounded queue of batches on the disk. All deferreds fire in the reactor, none of them fails."""

    def __init__(
        self,
        folder: Path,
        limit_bytes: int,
        reactor: IReactorFromThreads,
        statistics: Statistics,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state = SpoolState.READY
        self.on_found: Callable[[int], None] = lambda found: None
        """Told how many batches an earlier run left, when the folder could be opened."""
        self._folder = folder
        self._segments = Segments(folder, limit_bytes)
        self._reactor = reactor
        self._statistics = statistics
        self._now = now
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._writes: deque[_Write] = deque()
        self._reads: deque[_Read] = deque()
        self._marks: deque[_Skip | _Done] = deque()
        self._is_open = self._is_stopping = False
        self._retry_at = 0.0
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._counted = {"spool.torn": 0, "spool.damaged": 0}
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)

    @property
    def size(self) -> int:
        return self._segments.size

    def open(self) -> None:
        """Look at what an earlier run left. It waits for the disk: for before there is anything to keep waiting."""
        self.work([])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the jobs it has. It is not waited for: it may be stuck with a disk that hangs."""
        self._jobs.put(None)

    def write(self, batch: Batch) -> Deferred[Place | None]:
        """Fires when the batch is on the disk; with None when its receipt was quicker."""
        batch.is_spooled = True
        write = _Write(batch, Deferred())
        self._jobs.put(write)
        return write.written

    def read(self, count: int) -> Deferred[list[Batch]]:
        """The oldest batches that were not read or skipped; fewer than asked for when there are no more."""
        read = _Read(count, Deferred())
        self._jobs.put(read)
        return read.read

    def skip(self, place: Place) -> None:
        """This batch need not be read, it is in flight; in another run it would be."""
        self._jobs.put(_Skip(place))

    def done(self, place: Place) -> None:
        """This batch is committed."""
        self._jobs.put(_Done(place))

    def work(self, jobs: list[_Job]) -> None:
        """Take jobs and do what the disk allows."""
        for job in jobs:
            if isinstance(job, _Write):
                self._writes.append(job)
            elif isinstance(job, _Read):
                self._reads.append(job)
            elif job is None:
                self._is_stopping = True
            else:
                self._marks.append(job)
        if self._now() < self._retry_at:
            return
        try:
            is_full = self._use_disk()
        except Exception as error:
            self._failed(error)
        else:
            self._worked(is_full)
        self._count_faults()

    def pending_jobs(self, timeout: float | None = None) -> list[_Job]:
        """What was asked for meanwhile; waits for the first of it."""
        jobs = []
        try:
            jobs.append(self._jobs.get(timeout=timeout))
            while True:
                jobs.append(self._jobs.get_nowait())
        except Empty:
            return jobs

    def _run(self) -> None:
        while not self._is_stopping:
            is_waiting = self.state is SpoolState.UNAVAILABLE
            self.work(self.pending_jobs(max(self._retry_at - self._now(), 0.001) if is_waiting else None))
        self._segments.close()

    def _use_disk(self) -> bool:
        if not self._is_open:
            found = self._segments.open()
            self._is_open = True
            if found:
                log.info("found batches in the spool, publishing them", batches=found, bytes=self.size)
                self._reactor.callFromThread(self.on_found, found)
        while self._marks:
            mark = self._marks.popleft()
            (self._segments.skip if isinstance(mark, _Skip) else self._segments.done)(mark.place)
        while self._writes and self._write_group():
            pass
        while self._reads:
            self._read_batches(self._reads[0])
            done = self._reads.popleft()
            self._reactor.callFromThread(done.read.callback, done.batches)
        return bool(self._writes)

    def _write_group(self) -> bool:
        """Write as many as go into a segment, with one fsync; whether there was room for any."""
        group: list[_Write] = []
        length = 0
        while self._writes:
            write = self._writes[0]
            if write.batch.is_committed:
                self._reactor.callFromThread(self._writes.popleft().written.callback, None)
                continue
            write.payload = write.payload or _packed(write.batch)
            longer = length + len(write.payload) + RECORD_HEADER_BYTES
            if not self._segments.has_room(longer) or (group and longer > self._segments.segment_bytes):
                break
            group.append(self._writes.popleft())
            length = longer
        try:
            places = self._segments.append([write.payload for write in group]) if group else []
        except BaseException:
            self._writes.extendleft(reversed(group))
            raise
        if group:
            self._reactor.callFromThread(
                self._written, [(write.written, place) for write, place in zip(group, places, strict=True)]
            )
        return bool(group)

    def _written(self, written: list[tuple[Deferred[Place | None], Place]]) -> None:
        self._statistics.count("spool.written", len(written))
        self._statistics.count("spool.fsyncs")
        for deferred, place in written:
            deferred.callback(place)

    def _read_batches(self, read: _Read) -> None:
        while len(read.batches) < read.wanted and (stored := self._segments.read()) is not None:
            try:
                read.batches.append(_unpacked(stored.payload, stored.place))
            except (ValueError, TypeError, msgpack.UnpackException) as error:
                log.error("the spool holds what is no batch, passed over", place=stored.place, cause=str(error))
                self._segments.done(stored.place)

    def _worked(self, is_full: bool) -> None:
        self._retry_at, self._retry_seconds = 0.0, FIRST_RETRY_SECONDS
        self._become(SpoolState.FULL if is_full else SpoolState.READY)

    def _failed(self, error: Exception) -> None:
        self._retry_at = self._now() + self._retry_seconds
        self._retry_seconds = min(self._retry_seconds * 2, LONGEST_RETRY_SECONDS)
        unexpected = error if not isinstance(error, OSError) else None
        self._become(SpoolState.UNAVAILABLE, str(error), unexpected)

    def _become(self, state: SpoolState, cause: str = "", unexpected: Exception | None = None) -> None:
        if state is self.state:
            return
        before, self.state = self.state, state
        if state is SpoolState.UNAVAILABLE:
            log.error("spool unavailable, trying again", folder=str(self._folder), cause=cause, exc_info=unexpected)
        elif before is SpoolState.UNAVAILABLE:
            log.info("spool available again")
        if state is SpoolState.FULL:
            log.warning("spool full, its oldest batches wait for their receipts", bytes=self.size)
        elif before is SpoolState.FULL:
            log.info("spool has room again")
        if state is not SpoolState.READY:
            self._reactor.callFromThread(self._statistics.count, f"spool.{state.value}")

    def _count_faults(self) -> None:
        for name, now in (("spool.torn", self._segments.torn), ("spool.damaged", self._segments.damaged)):
            if now > self._counted[name]:
                self._reactor.callFromThread(self._statistics.count, name, now - self._counted[name])
                self._counted[name] = now


def _packed(batch: Batch) -> bytes:
    packed: bytes = msgpack.packb([batch.id, [tuple(entry.payload) for entry in batch.entries]])
    return packed


def _unpacked(payload: bytes, place: Place) -> Batch:
    batch, rows = msgpack.unpackb(payload)
    if not isinstance(batch, str):
        raise BadPayloadError(f"a batch's id is text, not {type(batch).__name__}")
    entries = [Entry(None, message.message, message) for message in ingest_messages(rows)]
    return Batch(batch, entries, is_spooled=True, place=place)
