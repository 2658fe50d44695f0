"""Emptying a gateway for an update, without haste and without loss.

    begun ── ports closed ──▶ closing ── each link at its moment, once it is answered ──▶ flushing ── receipts ──▶ done

Links are closed at moments of chance, so that their devices come back to other gateways one by one and not at once.
What a link has read is answered before it goes. The process stays, and says that it is not ready, until somebody ends it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import structlog
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from iotgw.gateway import Gateway
from iotgw.link import Link

log = structlog.get_logger(__name__)

WAVE_SECONDS = 0.1


class Draining:
    """At most one in the life of a process: its undo is a restart."""

    def __init__(self, gateway: Gateway, clock: IReactorTime, stop_listening: Callable[[], Deferred[Any]]) -> None:
        self.state = "no"
        """no, closing, flushing or done."""
        self._gateway = gateway
        self._clock = clock
        self._stop_listening = stop_listening
        self._moments: list[tuple[float, int, Link]] = []
        self._waves = LoopingCall(self._wave)
        self._waves.clock = clock

    def begin(self, seconds: float) -> bool:
        """Begin, unless it has begun; whether it was this that began it."""
        if self.state != "no":
            return False
        self.state = "closing"
        log.info("draining", links=self._gateway.links, seconds=seconds)
        self._drain(seconds).addErrback(lambda failure: log.error("draining failed", cause=failure.getErrorMessage()))
        return True

    def stop(self) -> None:
        """The process is about to end, and does the rest at once."""
        if self._waves.running:
            self._waves.stop()

    @inlineCallbacks
    def _drain(self, seconds: float) -> Any:
        yield self._stop_listening()
        now = self._clock.seconds()
        # Those that are to go last are at the list's front; a link's number settles who is first of two.
        self._moments = sorted(
            ((now + random.uniform(0, seconds), link.number, link) for link in self._gateway.open_links()), reverse=True
        )
        yield self._waves.start(WAVE_SECONDS)
        self.state = "flushing"
        drained = self._gateway.drain()
        drained.addTimeout(self._gateway.settings.shutdown_timeout_seconds, self._clock)
        try:
            yield drained
        except Exception:
            log.warning("drained with batches without a receipt, their devices send again", batches=self._gateway.batches.in_flight)
        yield self._gateway.close_links("drained")
        self.state = "done"
        log.info("drained, waiting to be stopped")

    def _wave(self) -> None:
        now = self._clock.seconds()
        while self._moments and self._moments[-1][0] <= now:
            self._moments.pop()[2].retire()
        if not self._moments:
            self._waves.stop()
