"""Deadlines of many links with one timer.

A delayed call per link costs memory and a heap operation for each frame that moves it. Here a link is looked at
when its deadline's tick comes; if it was moved meanwhile, it is put into the tick where it is now. A deadline
that moves away, as with each frame that a link receives, costs the wheel nothing; one that comes nearer is told.
"""

from __future__ import annotations

from typing import Protocol

import structlog
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

log = structlog.get_logger(__name__)

TICK_SECONDS = 0.1
"""As exact as a poll's time-out has to be. A tick in which nothing is due costs a microsecond."""


class HasDeadline(Protocol):
    def deadline(self) -> float:
        """When this wants to be looked at next, by the wheel's clock."""

    def expire(self) -> None:
        """The deadline has passed."""


class TimerWheel:
    """Calls ``expire`` on what passed its deadline, up to a tick late."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._slots: dict[int, set[HasDeadline]] = {}
        self._slot_of: dict[HasDeadline, int] = {}
        self._next = self._slot(clock.seconds())
        self._loop = LoopingCall(self._turn)
        self._loop.clock = clock

    def start(self) -> None:
        self._next = self._slot(self._clock.seconds())
        self._loop.start(TICK_SECONDS, now=False)

    def stop(self) -> None:
        if self._loop.running:
            self._loop.stop()

    def add(self, item: HasDeadline) -> None:
        """Watch it from now on; when it is watched already, look at its deadline anew."""
        self.discard(item)
        slot = max(self._slot(item.deadline()) + 1, self._next)
        self._slots.setdefault(slot, set()).add(item)
        self._slot_of[item] = slot

    def hasten(self, item: HasDeadline, deadline: float) -> None:
        """Look at something watched as early as this. Free unless it would be looked at later."""
        slot = self._slot_of.get(item)
        if slot is not None and slot > max(self._slot(deadline) + 1, self._next):
            self.add(item)

    def discard(self, item: HasDeadline) -> None:
        slot = self._slot_of.pop(item, None)
        if slot is not None and (items := self._slots.get(slot)) is not None:
            items.discard(item)
            if not items:
                del self._slots[slot]

    def __len__(self) -> int:
        return len(self._slot_of)

    @staticmethod
    def _slot(seconds: float) -> int:
        return int(seconds // TICK_SECONDS)

    def _turn(self) -> None:
        now = self._clock.seconds()
        while self._next <= self._slot(now):
            slot, self._next = self._next, self._next + 1
            for item in self._slots.pop(slot, ()):
                # Expiring one item may have discarded another of the same slot.
                if self._slot_of.pop(item, None) is not None:
                    self._look_at(item, now)

    def _look_at(self, item: HasDeadline, now: float) -> None:
        try:
            if item.deadline() > now:
                self.add(item)
            else:
                item.expire()
        except Exception:
            log.exception("deadline failed", item=repr(item))
