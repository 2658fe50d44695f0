"""From messages to acks: batches leave for the workers, receipts come back, and only then devices are answered.

    links ── message ──▶ collecting ── batch ──▶ publisher ──▶ broker ──▶ worker ──▶ database
      ▲                                │ in flight                          │ commits
      └── ack ◀── settled ◀────────────┴────────── receipt ◀── mailbox ◀────┘

A batch stays in flight until its receipt comes. A publish that fails, a task that the broker lost and a worker
that was killed all look the same from here: no receipt in time. Then the same batch, under the same id, leaves
again; the rows' unique key makes that harmless.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Protocol
from uuid import uuid4

import structlog
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from iotgw.statistics import Statistics
from protocols import Message, Outcome
from tasks.contract import IngestMessage, Receipt

log = structlog.get_logger(__name__)

PUBLISH_RETRY_SECONDS = 1.0
RECEIPT_CHECK_SECONDS = 1.0
LONGEST_RECEIPT_TIMEOUT_FACTOR = 6
"""Each copy of a batch takes room in the broker while workers are away, so the wait doubles up to this many times."""


class Origin(Protocol):
    """Where messages come from and acks go to: a link."""

    def settle(self, settled: list[tuple[Message, Outcome]]) -> None:
        """These messages have their receipt: answer them."""


class BatchSettings(Protocol):
    @property
    def gateway_id(self) -> str: ...
    @property
    def batch_messages(self) -> int: ...
    @property
    def batch_bytes(self) -> int: ...
    @property
    def batch_delay_seconds(self) -> float: ...
    @property
    def batches_in_flight(self) -> int: ...
    @property
    def receipt_timeout_seconds(self) -> float: ...


@dataclass(slots=True)
class Entry:
    """A message on its way."""

    origin: Origin
    message: Message
    payload: IngestMessage


@dataclass(slots=True, eq=False)
class Batch:
    """Messages of many links, offloaded as one task."""

    id: str
    entries: list[Entry]
    attempts: int = 0
    due: float | None = None
    """When to publish it again; None while the publisher has it."""
    connection: int = 0
    """Which of the publisher's connections it last left by; 0 for none yet."""


Publish = Callable[[Batch], "Deferred[None]"]
FullListener = Callable[[bool], None]


class Batches:
    """Collects messages, keeps batches until their receipt, and settles them."""

    def __init__(
        self, settings: BatchSettings, clock: IReactorTime, statistics: Statistics, publish: Publish, on_full: FullListener
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._statistics = statistics
        self._publish_batch = publish
        self._on_full = on_full
        # Ids of two runs of one gateway must never meet, or a late receipt of the first would settle a batch of the second.
        self._ids = map(f"{uuid4().hex[:16]}-{{}}".format, count(1))
        self._collected: deque[Entry] = deque()
        self._collected_bytes = 0
        self._timer: IDelayedCall | None = None
        self._in_flight: dict[str, Batch] = {}
        self._newest: str | None = None
        self._is_full = False
        self._drained: list[Deferred[None]] = []
        self._check = LoopingCall(self._publish_due)
        self._check.clock = clock

    def start(self) -> None:
        self._check.start(RECEIPT_CHECK_SECONDS, now=False)

    def stop(self) -> None:
        if self._check.running:
            self._check.stop()
        self._cancel_timer()

    @property
    def is_full(self) -> bool:
        """Whether so many batches are in flight that nothing more should be read from devices."""
        return self._is_full

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    @property
    def collected(self) -> int:
        return len(self._collected)

    def add(self, origin: Origin, message: Message, payload: IngestMessage) -> None:
        """Take a message in. Its origin is settled once, after the receipt; never if the process ends before."""
        self._collected.append(Entry(origin, message, payload))
        self._collected_bytes += len(payload.body)
        if len(self._collected) >= self._settings.batch_messages or self._collected_bytes >= self._settings.batch_bytes:
            self._leave()
        elif self._timer is None:
            # A quiet gateway sends at the end of this turn of the reactor: whatever was read in it shares the batch.
            delay = self._settings.batch_delay_seconds if self._in_flight else 0
            self._timer = self._clock.callLater(delay, self._leave)

    def receive(self, receipt: Receipt) -> None:
        """A worker's word that a batch is committed. Receipts of unknown batches (second copies) are passed over."""
        batch = self._in_flight.pop(receipt.batch, None)
        if batch is None:
            self._statistics.count("receipts.unknown")
            return
        self._statistics.count("receipts")
        self._settle(batch, receipt)
        if self._collected and (batch.id == self._newest or self._is_full):
            self._leave()
        self._tell_if_full()
        self._tell_if_drained()

    def drain(self) -> Deferred[None]:
        """Send what is collected now; fires when nothing is without a receipt any more."""
        drained: Deferred[None] = Deferred()
        self._drained.append(drained)
        self._leave()
        self._tell_if_drained()
        return drained

    def _leave(self) -> None:
        self._cancel_timer()
        while self._collected and len(self._in_flight) < self._settings.batches_in_flight:
            batch = Batch(next(self._ids), self._take())
            self._in_flight[batch.id] = batch
            self._newest = batch.id
            self._publish(batch)
        self._tell_if_full()

    def _take(self) -> list[Entry]:
        """The next batch's messages, up to the number or the bytes it may have, and one at the least."""
        entries: list[Entry] = []
        size = 0
        while self._collected and len(entries) < self._settings.batch_messages and size < self._settings.batch_bytes:
            entry = self._collected.popleft()
            entries.append(entry)
            size += len(entry.payload.body)
        self._collected_bytes -= size
        return entries

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _publish(self, batch: Batch) -> None:
        batch.attempts += 1
        batch.due = None
        self._publish_batch(batch).addCallbacks(self._published, self._not_published, callbackArgs=(batch,), errbackArgs=(batch,))

    def _published(self, _: None, batch: Batch) -> None:
        self._statistics.count("batches.published" if batch.attempts == 1 else "batches.published_again")
        factor = min(2 ** (batch.attempts - 1), LONGEST_RECEIPT_TIMEOUT_FACTOR)
        batch.due = self._clock.seconds() + self._settings.receipt_timeout_seconds * factor

    def _not_published(self, failure: Failure, batch: Batch) -> None:
        self._statistics.count("batches.not_published")
        log.warning("batch not published, will try again", batch=batch.id, attempts=batch.attempts, cause=failure.getErrorMessage())
        batch.attempts -= 1
        batch.due = self._clock.seconds() + PUBLISH_RETRY_SECONDS

    def _publish_due(self) -> None:
        now = self._clock.seconds()
        for batch in [batch for batch in self._in_flight.values() if batch.due is not None and batch.due <= now]:
            if batch.attempts:
                log.warning("no receipt, publishing the batch again", batch=batch.id, attempts=batch.attempts)
            self._publish(batch)

    def _settle(self, batch: Batch, receipt: Receipt) -> None:
        by_origin: dict[Origin, list[tuple[Message, Outcome]]] = {}
        for index, entry in enumerate(batch.entries):
            outcome = receipt.outcomes.get(index, Outcome.STORED)
            if outcome is not Outcome.STORED:
                self._statistics.count(f"messages.{outcome.name.lower()}")
            by_origin.setdefault(entry.origin, []).append((entry.message, outcome))
        self._statistics.count("messages.settled", len(batch.entries))
        for origin, settled in by_origin.items():
            try:
                origin.settle(settled)
            except Exception:
                # One link's fault must not keep the acks of all others in the batch.
                log.exception("link could not be answered")

    def _tell_if_full(self) -> None:
        limit = self._settings.batches_in_flight
        # Room for half before reading goes on, or every receipt would pause and resume all links.
        is_full = len(self._in_flight) >= limit if not self._is_full else len(self._in_flight) > limit // 2
        if is_full is not self._is_full:
            self._is_full = is_full
            self._statistics.count("reading.paused" if is_full else "reading.resumed")
            self._on_full(is_full)

    def _tell_if_drained(self) -> None:
        if not self._in_flight and not self._collected:
            drained, self._drained = self._drained, []
            for deferred in drained:
                deferred.callback(None)
