"""Publishing what is shown of devices, on a thread of its own: the event loop never waits for Redis.

taps ── a line ──▶ queue of a bounded length ──▶ thread ── what there is of a device, at once ──▶ Redis channel
     ◀── lost ────────────────────────────────────┤ Redis is away
     ◀── unheard ─────────────────────────────────┘ nobody listens
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry
from twisted.internet.interfaces import IReactorFromThreads

from iotgw.taps import TapEntry
from tasks.contract import Tap, Tapped, pack_tapped

log = structlog.get_logger(__name__)

MAX_WAITING = 1000
"""Lines that the thread has not taken yet, of 4 KiB at the most."""


class TapPublisher:
    """Publishes lines in the order they come."""

    def __init__(self, redis_url: str, gateway_id: str, reactor: IReactorFromThreads) -> None:
        self.on_lost: Callable[[Tap, int, int], None] = lambda tap, lines, not_shown: None
        """Told in the reactor how many lines of a device could not be published, and the count that was with them."""
        self.on_unheard: Callable[[Tap, int], None] = lambda tap, asked: None
        """Told in the reactor that nobody listens, and how often the tap had been asked for by then."""
        # One more try, for a connection that has died unnoticed since somebody watched last.
        self._client = redis.Redis.from_url(redis_url, socket_timeout=5, socket_connect_timeout=5, retry=Retry(NoBackoff(), 1))
        self._gateway_id = gateway_id
        self._reactor = reactor
        self._waiting: SimpleQueue[TapEntry | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="taps", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread after what it has."""
        self._waiting.put(None)

    def publish(self, entry: TapEntry) -> bool:
        """Whether there is room for it."""
        if self._waiting.qsize() >= MAX_WAITING:
            return False
        self._waiting.put(entry)
        return True

    def work(self, entries: Sequence[TapEntry]) -> None:
        """Publish what there is, with one message a device."""
        by_tap: dict[Tap, list[TapEntry]] = {}
        for entry in entries:
            by_tap.setdefault(entry.tap, []).append(entry)
        for tap, of_it in by_tap.items():
            lines = [entry.line for entry in of_it if entry.line is not None]
            not_shown = sum(entry.not_shown for entry in of_it)
            try:
                listeners = self._client.publish(tap.channel, pack_tapped(Tapped(self._gateway_id, lines, not_shown)))
            except Exception as error:
                if not isinstance(error, redis.RedisError):
                    log.exception("taps not published")
                self._reactor.callFromThread(self.on_lost, tap, len(lines), not_shown)
                continue
            if not listeners:
                self._reactor.callFromThread(self.on_unheard, tap, of_it[-1].asked)

    def _run(self) -> None:
        is_stopping = False
        while not is_stopping:
            waiting = [self._waiting.get(), *self._at_once()]
            is_stopping = None in waiting
            self.work([entry for entry in waiting if entry is not None])
        self._client.close()

    def _at_once(self) -> Iterator[TapEntry | None]:
        """What waits already."""
        while True:
            try:
                yield self._waiting.get_nowait()
            except Empty:
                return
