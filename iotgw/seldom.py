"""Log lines of what strangers can make happen: the first at once, then one a minute that says how many there were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

EVERY_SECONDS = 60.0


class Seldom:
    """Bounded by whoever uses it: there is an entry for each cause, and causes are ours to name."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._next_at: dict[str, float] = {}
        self._held_back: dict[str, int] = {}

    def say(self, line: Callable[..., Any], event: str, cause: str, **details: object) -> None:
        """Log it, or count it for the next line of its cause."""
        now = self._now()
        if now < self._next_at.get(cause, now):
            self._held_back[cause] = self._held_back.get(cause, 0) + 1
            return
        self._next_at[cause] = now + EVERY_SECONDS
        line(event, cause=cause, not_logged=self._held_back.pop(cause, 0), **details)
