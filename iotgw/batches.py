"""From messages to acks: batches leave for the workers, receipts come back, and only then devices are answered.

    links ── message ──▶ collecting ── batch ──▶ publisher ──▶ broker ──▶ worker ──▶ database
      ▲                                │ in flight                          │ commits
      └── ack ◀── settled ◀────────────┴────────── receipt ◀── mailbox ◀────┘

A batch stays in flight until its receipt comes. A publish that fails, a task that the broker lost and a worker
that was killed all look the same from here: no receipt in time. Then the same batch, under the same id, leaves
again; the rows' unique key makes that harmless.

Until the next receipt the way then counts as blocked. What is in flight goes to the spool, in which it counts as
stored, and what comes goes behind it; so does what comes while too many batches are in flight. Without a spool, or
when it takes no more, nothing is read from devices.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from itertools import count
from typing import Protocol
from uuid import uuid4

import structlog
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from iotgw.backlog import Backlog
from iotgw.batch import Batch, answer
from iotgw.collecting import Collecting, CollectingSettings
from iotgw.copies import wait_seconds
from iotgw.spool import Spool
from iotgw.statistics import Statistics
from protocols import Outcome
from settings import AckRule
from tasks.contract import Receipt

log = structlog.get_logger(__name__)

PUBLISH_RETRY_SECONDS = 1.0
RECEIPT_CHECK_SECONDS = 1.0
MOST_HELD = 16
"""Batches that may wait in memory for the disk: a few fsyncs' worth of a busy gateway's."""


class BatchSettings(CollectingSettings, Protocol):
    @property
    def gateway_id(self) -> str: ...
    @property
    def batch_delay_seconds(self) -> float: ...
    @property
    def batches_in_flight(self) -> int: ...
    @property
    def receipt_timeout_seconds(self) -> float: ...
    @property
    def acks(self) -> Mapping[str, AckRule]: ...


Publish = Callable[[Batch], "Deferred[None]"]
FullListener = Callable[[bool], None]
_ON_ACCEPT = frozenset({AckRule.ACCEPT})


class Batches:
    """Makes batches of what is collected, keeps them until their receipt, and settles them."""

    def __init__(
        self, settings: BatchSettings, clock: IReactorTime, statistics: Statistics, publish: Publish, on_full: FullListener
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._statistics = statistics
        self._publish_batch = publish
        self._on_full = on_full
        self.on_refused: Callable[[str, str], None] = lambda protocol, identity: None
        """Told which device of which protocol may not come in any more, when a message of its has been answered already."""
        # Ids of two runs of one gateway must never meet, or a late receipt of the first would settle a batch of the second.
        self._ids = map(f"{uuid4().hex[:16]}-{{}}".format, count(1))
        self._collecting = Collecting(settings, clock, self._leave, self._delay_seconds)
        # Not passed on by a method: every message comes by here.
        self.add = self._collecting.add
        self._in_flight: dict[str, Batch] = {}
        self._newest: str | None = None
        self._is_full = False
        self._is_blocked = self._is_broker_away = False
        self._backlog: Backlog | None = None
        self._drained: list[Deferred[None]] = []
        self.heard_until = 0.0
        """What came up to then is stored, or refused; as it was seen a second ago. Units: seconds since 1970 UTC."""
        self._check = LoopingCall(self._look)
        self._check.clock = clock

    def start(self) -> None:
        self._check.start(RECEIPT_CHECK_SECONDS, now=False)

    def stop(self) -> None:
        if self._check.running:
            self._check.stop()
        self._collecting.stop_waiting()

    def overflow_into(self, spool: Spool) -> None:
        """Have a place for what the workers do not take now."""
        most_waiting = (MOST_HELD * self._settings.batch_messages, MOST_HELD * self._settings.batch_bytes)
        self._backlog = Backlog(spool, self._statistics, most_waiting, self._go_on, self._send_all)

    @property
    def is_full(self) -> bool:
        """Whether so much waits in memory that nothing more should be read from devices."""
        return self._is_full

    @property
    def is_broker_away(self) -> bool:
        """Whether the broker has not taken the batch that was published last."""
        return self._is_broker_away

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    @property
    def oldest_seconds(self) -> float:
        """For how long the batch that waits longest for its receipt has been waiting."""
        oldest = next(iter(self._in_flight.values()), None)
        return 0.0 if oldest is None else self._clock.seconds() - oldest.since

    @property
    def collected(self) -> int:
        return len(self._collecting)

    def snapshot(self) -> dict[str, int | str]:
        """Gauges, for the log."""
        spool = {"spool": "off"} if self._backlog is None else self._backlog.snapshot()
        return {"batches_in_flight": self.in_flight, "messages_collected": self.collected, **spool}

    def receive(self, receipt: Receipt) -> None:
        """A worker's word that a batch is committed. Receipts of unknown batches (second copies) are passed over."""
        batch = self._in_flight.pop(receipt.batch, None)
        if batch is None:
            self._statistics.count("receipts.unknown")
            return
        self._statistics.count("receipts")
        self._is_blocked = False
        if self._backlog is not None:
            self._backlog.committed(batch)
        self._settle(batch, receipt)
        if batch.is_spooled and batch.place is None:
            # The spool is about to write it. A disk that hangs may be so for long, and nobody needs its messages any more.
            batch.entries = []
        self._refill()
        if self._collecting and (batch.id == self._newest or self._is_full):
            self._leave()
        self._tell_if_full()
        self._tell_if_drained()

    def drain(self) -> Deferred[None]:
        """Send what is collected now; fires when nothing is without a receipt any more but what the spool has."""
        drained: Deferred[None] = Deferred()
        self._drained.append(drained)
        self._leave()
        self._tell_if_drained()
        return drained

    def _leave(self) -> None:
        self._collecting.stop_waiting()
        while self._collecting and (self._is_free() or self._may_hold()):
            is_free = self._is_free()
            batch = Batch(next(self._ids), self._collecting.take())
            if is_free:
                self._send_all([batch])
            elif self._backlog is not None:
                self._secure_all()
                self._backlog.put(batch)
        self._tell_if_full()

    def _delay_seconds(self) -> float:
        """How long what comes now collects before it leaves.

        A quiet gateway sends at the end of this turn of the reactor: whatever was read in it shares the batch. The more
        batches wait for their receipts, the longer the next one collects: workers that are behind get fewer and larger
        ones, of which they store more a second. It leaves with the newest one's receipt all the same. What goes to the
        spool is answered from there, and need not wait for workers.
        """
        waiting = 1 if self._is_blocked or self._backlog else len(self._in_flight)
        return waiting * self._settings.batch_delay_seconds

    def _is_free(self) -> bool:
        """Whether a new batch may go in flight: there is room, and nothing that is older waits for it."""
        return len(self._in_flight) < self._settings.batches_in_flight and not self._backlog and not self._is_blocked

    def _may_hold(self) -> bool:
        return self._backlog is not None and self._backlog.held < self._most_held

    @property
    def _most_held(self) -> int:
        return min(MOST_HELD, self._settings.batches_in_flight)

    def _send_all(self, batches: list[Batch]) -> None:
        for batch in batches:
            self._in_flight[batch.id] = batch
            batch.since = self._clock.seconds()
            self._newest = batch.id
            self._publish(batch)

    def _refill(self) -> None:
        """Let in flight what waits for it, the oldest first."""
        if self._backlog is None or self._is_blocked:
            return
        limit = self._settings.batches_in_flight
        while len(self._in_flight) < limit and (batch := self._backlog.take()) is not None:
            self._send_all([batch])
        self._backlog.fetch(limit - len(self._in_flight))

    def _block(self) -> None:
        if self._backlog is not None:
            self._is_blocked = True
            self._secure_all()

    def _secure_all(self) -> None:
        """What is in flight is older than what goes to the spool now, and is to be in it first."""
        if self._backlog is not None:
            for batch in self._in_flight.values():
                self._backlog.secure(batch)

    def _go_on(self) -> None:
        """The spool has taken something, or has something."""
        self._refill()
        if self._is_full:
            self._leave()
        self._tell_if_full()
        self._tell_if_drained()

    def _publish(self, batch: Batch) -> None:
        batch.attempts += 1
        batch.due = None
        batch.given = self._clock.seconds()
        self._publish_batch(batch).addCallbacks(self._published, self._not_published, callbackArgs=(batch,), errbackArgs=(batch,))

    def _published(self, _: None, batch: Batch) -> None:
        if self._is_broker_away:
            log.info("batches are published again")
            self._is_broker_away = False
        self._statistics.count("batches.published" if batch.attempts == 1 else "batches.published_again")
        batch.due = self._clock.seconds() + wait_seconds(batch.attempts, self._settings.receipt_timeout_seconds)
        if AckRule.ACCEPT in self._settings.acks.values():
            answer(batch.let_in(_ON_ACCEPT), self._statistics)

    def _not_published(self, failure: Failure, batch: Batch) -> None:
        self._statistics.count("batches.not_published")
        if not self._is_broker_away:
            # Once, and not for each batch a second.
            log.warning("batch not published, will try again", batch=batch.id, cause=failure.getErrorMessage())
            self._is_broker_away = True
        batch.attempts -= 1
        batch.due = self._clock.seconds() + PUBLISH_RETRY_SECONDS
        self._block()

    def _look(self) -> None:
        self._publish_due()
        oldest = next((batch.entries[0] for batch in self._in_flight.values() if batch.entries), None)
        if oldest is not None:
            self.heard_until = oldest.payload.received_ms / 1000
        elif not (self._backlog or self._collecting):
            self.heard_until = time.time()

    def _publish_due(self) -> None:
        now = self._clock.seconds()
        patience = now - self._settings.receipt_timeout_seconds
        if any(batch.due is None and batch.given <= patience for batch in self._in_flight.values()):
            # A broker that hangs keeps the publisher for longer than devices should wait.
            self._block()
        for batch in [batch for batch in self._in_flight.values() if batch.due is not None and batch.due <= now]:
            if batch.attempts:
                log.warning("no receipt, publishing the batch again", batch=batch.id, attempts=batch.attempts)
                self._block()
            self._publish(batch)
        # A spool that has become unavailable tells nobody, and what waited behind it need not any more.
        self._go_on()

    def _settle(self, batch: Batch, receipt: Receipt) -> None:
        for index, outcome in receipt.outcomes.items():
            if outcome is not Outcome.STORED:
                self._statistics.count(f"messages.{outcome.name.lower()}")
            if outcome is Outcome.REFUSED and index < len(batch.entries) and batch.entries[index].origin is None:
                refused = batch.entries[index].payload
                self.on_refused(refused.protocol, refused.identity)
        outcomes = ((entry, receipt.outcomes.get(index, Outcome.STORED)) for index, entry in enumerate(batch.entries))
        answer(outcomes, self._statistics)

    def _tell_if_full(self) -> None:
        limit, used = self._settings.batches_in_flight, len(self._in_flight)
        if self._backlog is not None:
            limit, used = self._most_held, self._backlog.held
        # Room for half before reading goes on, or every receipt would pause and resume all links.
        is_full = used >= limit if not self._is_full else used > limit // 2
        if is_full is not self._is_full:
            self._is_full = is_full
            self._statistics.count("reading.paused" if is_full else "reading.resumed")
            self._on_full(is_full)

    def _tell_if_drained(self) -> None:
        is_safe = all(batch.place is not None for batch in self._in_flight.values())
        if not self._collecting and is_safe and not (self._backlog and self._backlog.held):
            drained, self._drained = self._drained, []
            for deferred in drained:
                deferred.callback(None)
