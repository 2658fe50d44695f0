"""The fleet's routes in Redis, changed by a thread of its own.

    reactor                       thread                           Redis
      ── change(claims, releases) ─▶ ages of the links ── script ──▶ routes
      ◀── answers ────────────────────┘                               └─ kick ─▶ mailbox of the gateway that lost
                                     every 5 s: "this run is alive" ▶ key that expires after 15 s
                                     and up to when all is stored ──▶ key that expires after a minute
      ◀── ready: claim all anew ──────┘ after each absence, and now and then
                                     routes of runs that are gone ──▶ removed by one gateway, some hundred at a time

The event loop never waits for Redis. What fails comes back and is not tried again here: who asked knows best what
still is to be changed when Redis is back.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, cast

import redis
import structlog
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.connection import Connection
from redis.retry import Retry
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads

from iotgw.routescripts import BEAT, CLAIM, CLAIM_ANSWERS, RELEASE, SWEEP
from iotgw.statistics import Statistics
from tasks.contract import (
    ALIVE,
    HEARD,
    HEARD_SECONDS,
    LAST_RUN,
    MAILBOX_EXPIRY_SECONDS,
    MAILBOX_LENGTH,
    ROUTES,
    ROUTES_SWEPT,
    mailbox,
)

log = structlog.get_logger(__name__)

BEAT_SECONDS = 5.0
ALIVE_SECONDS = 15
"""Three beats: a gateway whose key has expired does not run or cannot reach Redis, and loses against any link."""
CHECK_SECONDS = 900
"""All is claimed anew after half of this up to the whole, not by all gateways at once, and one of them sweeps. For what no
event tells of: gateways that never come back, kicks that were trimmed from a mailbox nobody read."""
SWEPT_AT_ONCE = 500
RETRY_SECONDS = 0.5


class Claim(NamedTuple):
    """This gateway has a device's session on a link."""

    field: str
    link: int
    opened_at: float
    """When the link was opened, by the monotonic clock."""
    opened_us: int
    """The same by Redis' clock, as an earlier claim was told; else 0."""


class Answer(NamedTuple):
    """What became of a claim."""

    is_won: bool
    epoch: int
    opened_us: int = 0
    kept_by: str = ""
    """Which gateway has a newer link of the device."""


class _Change(NamedTuple):
    claims: Sequence[Claim]
    releases: Sequence[str]
    changed: Deferred[list[Answer]]


class RouteTable:
    """Changes routes in the order it is told to. All deferreds fire in the reactor."""

    def __init__(
        self,
        redis_url: str,
        gateway_id: str,
        run: str,
        reactor: IReactorFromThreads,
        statistics: Statistics,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.run = run
        self.on_ready: Callable[[], None] = lambda: None
        """Told when Redis can be reached and may not know this gateway's sessions."""
        self.on_away: Callable[[], None] = lambda: None
        """Told when Redis cannot be reached; before the changes fail that are on their way."""
        self.heard_until: Callable[[], float] = lambda: 0.0
        """Up to when workers have stored all that this gateway has received, asked by the thread. Units: seconds since 1970 UTC."""
        # Without retries within the client: a claim says how old its link is now, not how old it was a try ago.
        self._client = redis.Redis.from_url(
            redis_url,
            socket_timeout=5,
            socket_connect_timeout=5,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            redis_connect_func=self._connected,
        )
        self._scripts = {text: Script(self._client, text) for text in (CLAIM, RELEASE, BEAT, SWEEP)}
        self._gateway_id = gateway_id
        self._reactor = reactor
        self._statistics = statistics
        self._now = now
        self._jobs: SimpleQueue[_Change | None] = SimpleQueue()
        self._stopped: Deferred[None] = Deferred()
        self._is_ready = self._is_away = self._is_shared = False
        self._beat_at = self._check_at = 0.0
        self._cursor: int | None = None
        self._thread = threading.Thread(target=self._run, name="routes", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> Deferred[None]:
        """End the thread after the changes it has; fires when other gateways know that this run is over."""
        self._jobs.put(None)
        return self._stopped

    def change(self, claims: Sequence[Claim], releases: Sequence[str]) -> Deferred[list[Answer]]:
        """Fires with an answer for each claim; fails when Redis may not have done it."""
        changed: Deferred[list[Answer]] = Deferred()
        self._jobs.put(_Change(claims, releases, changed))
        return changed

    def work(self, change: _Change | None) -> None:
        """Keep the key alive, make a change when there is one, else go on sweeping."""
        try:
            if not self._is_ready or self._now() >= self._beat_at:
                self._beat()
            if change is not None:
                answers = self._change(change)
                self._reactor.callFromThread(change.changed.callback, answers)
            elif self._cursor is not None:
                self._sweep()
        except Exception as error:
            self._failed(error)
            if change is not None:
                self._reactor.callFromThread(change.changed.errback, error)

    def _run(self) -> None:
        self.work(None)
        while True:
            try:
                # Sweeping is for when there is nothing else to do.
                wait = 0.0 if self._cursor is not None else max(self._beat_at - self._now(), 0.0)
                change = self._jobs.get(timeout=wait)
            except Empty:
                self.work(None)
                continue
            if change is None:
                break
            self.work(change)
        self._leave()
        self._reactor.callFromThread(self._stopped.callback, None)

    def _leave(self) -> None:
        try:
            if self._is_ready:
                self._client.delete(ALIVE + self.run)
        except redis.RedisError as error:
            log.debug("this run's key is left to expire", cause=str(error))
        self._client.close()

    def _call(self, script: str, keys: list[str], *arguments: str | int) -> Any:
        return self._scripts[script](keys=keys, args=arguments)

    def _connected(self, connection: Connection) -> None:
        """The client makes a dead connection anew without a word, maybe to a server that has forgotten the last second."""
        connection.on_connect()  # type: ignore[no-untyped-call]
        self._is_ready = False
        self._beat_at = 0.0

    def _beat(self) -> None:
        keys = [ALIVE + self.run, LAST_RUN + self._gateway_id, HEARD + self._gateway_id]
        heard_ago_ms = max(int((time.time() - self.heard_until()) * 1000), 0)
        was_alive, last = self._call(BEAT, keys, self._gateway_id, self.run, ALIVE_SECONDS, HEARD_SECONDS, heard_ago_ms)
        now = self._now()
        self._beat_at = now + BEAT_SECONDS
        # The run before this one may have been there until a moment ago. After our own beat, it is somebody who beats too.
        self._tell_if_shared(bool(was_alive and last and last != self.run.encode()))
        if self._is_away:
            self._is_away = False
            log.info("routes back")
        if not was_alive or not self._is_ready or now >= self._check_at:
            self._is_ready = True
            self._check_at = now + CHECK_SECONDS * random.uniform(0.5, 1)
            if self._client.set(ROUTES_SWEPT, self.run, nx=True, ex=CHECK_SECONDS):
                self._cursor = 0
            self._reactor.callFromThread(self.on_ready)

    def _change(self, change: _Change) -> list[Answer]:
        answers: list[Answer] = []
        if change.claims:
            now = self._now()
            devices: list[str | int] = []
            for field, link, opened_at, opened_us in change.claims:
                devices += (field, link, max(int((now - opened_at) * 1_000_000), 0), opened_us)
            head = (self._gateway_id, self.run, ALIVE, mailbox(""), MAILBOX_LENGTH, MAILBOX_EXPIRY_SECONDS)
            flat = cast("list[Any]", self._call(CLAIM, [ROUTES], *head, *devices))
            for at in range(0, len(flat), CLAIM_ANSWERS):
                is_won, epoch, more = flat[at : at + CLAIM_ANSWERS]
                answers.append(Answer(True, epoch, more) if is_won else Answer(False, epoch, kept_by=more.decode()))
        if change.releases:
            self._call(RELEASE, [ROUTES], self.run, *change.releases)
        return answers

    def _sweep(self) -> None:
        cursor, removed = self._call(SWEEP, [ROUTES], ALIVE, self._cursor or 0, SWEPT_AT_ONCE)
        self._cursor = int(cursor) or None
        if removed:
            self._reactor.callFromThread(self._statistics.count, "routes.swept", removed)

    def _failed(self, error: Exception) -> None:
        self._beat_at = self._now() + RETRY_SECONDS
        self._is_ready = False
        self._cursor = None
        if not self._is_away:
            self._is_away = True
            unexpected = None if isinstance(error, redis.RedisError) else error
            log.warning("routes away, devices keep their links", cause=str(error), exc_info=unexpected)
            self._reactor.callFromThread(self.on_away)

    def _tell_if_shared(self, is_shared: bool) -> None:
        if is_shared and not self._is_shared:
            log.error("another gateway runs under this name: give each its own gateway_id", gateway=self._gateway_id)
            self._reactor.callFromThread(self._statistics.count, "routes.name_shared")
        self._is_shared = is_shared
