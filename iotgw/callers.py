"""Callers that wait for the end of a command.

caller ── asks ──▶ a task ──▶ worker: a row that names this gateway
  ▲                             ⋮ the row ends ──▶ mailbox: ended
  └── woken, or its time is over ◀────────────────┘

A command may have ended before its caller knows which it is: what ends while one does not know yet is remembered.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from tasks.contract import CommandEnded

MOST_CALLERS = 32
"""Half of the connections that control takes at once: probes and scrapers come in though as many wait as may."""
MOST_EARLY = 1_000
"""Ends that are remembered for callers that do not know their command yet. Who misses one waits until its time is over."""


class TooManyCallersError(Exception):
    """As many callers as may wait do."""


class Callers:
    """All that wait at one gateway."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: dict[int, list[Deferred[None]]] = {}
        self._early: set[int] = set()
        self._unnamed = 0
        """Callers that do not know their command yet."""
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def ended(self, told: CommandEnded) -> None:
        """A command has come to its end."""
        if self._unnamed and len(self._early) < MOST_EARLY:
            self._early.add(told.command)
        for waiting in self._waiting.pop(told.command, []):
            waiting.callback(None)

    def enter(self) -> Caller:
        """Somebody asks for a command, to wait for its end.

        Raises: TooManyCallersError
        """
        if self._count >= MOST_CALLERS:
            raise TooManyCallersError(f"{MOST_CALLERS} callers wait for the ends of commands already")
        self._count += 1
        self._unnamed += 1
        return Caller(self)

    def named(self, command: int | None) -> bool:
        """A caller knows its command, or never will; whether that has ended by now."""
        has_ended = command in self._early
        self._unnamed -= 1
        if not self._unnamed:
            self._early.clear()
        return has_ended

    def wait(self, command: int, seconds: float) -> Deferred[None]:
        """Fires at a command's end, or after so long."""
        ended: Deferred[None] = Deferred()
        self._waiting.setdefault(command, []).append(ended)
        timer = self._clock.callLater(seconds, ended.callback, None)

        def over(result: Any) -> Any:
            if timer.active():
                timer.cancel()
            left = [other for other in self._waiting.pop(command, []) if other is not ended]
            if left:
                self._waiting[command] = left
            return result

        return ended.addBoth(over)

    def stop(self) -> None:
        """Wake all: nobody will tell them of an end."""
        for command in list(self._waiting):
            self.ended(CommandEnded(command))

    def left(self) -> None:
        self._count -= 1


class Caller:
    """One who asks for a command; for use in a ``with`` statement."""

    def __init__(self, callers: Callers) -> None:
        self._callers = callers
        self._is_named = False

    def wait(self, command: int, seconds: float) -> Deferred[None]:
        """Fires when the command has ended, or after so long; once. Cancelling it forgets the caller."""
        self._is_named = True
        has_ended = self._callers.named(command)
        return succeed(None) if has_ended else self._callers.wait(command, seconds)

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_named:
            self._callers.named(None)
        self._callers.left()
