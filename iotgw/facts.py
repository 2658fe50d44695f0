"""What is known of one link, for whoever asks why a device is not here or has no answer.

It is kept up with each read and each receipt, not with each message, and told when something happens to a device.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime

from twisted.internet.interfaces import IAddress

from protocols import Event, Message, Outcome
from tasks.contract import FIRST_BYTES


class LinkFacts:
    """The facts of a link. Times are by the gateway's clock, 0.0 for never."""

    __slots__ = (
        "_sequence",
        "acked_at",
        "first",
        "had_session",
        "heard_at",
        "identity",
        "is_refused",
        "kind",
        "malformed",
        "message_at",
        "messages",
        "opened_ms",
        "outcome",
        "port",
        "resends",
        "settled_at",
        "waiting_since",
    )

    def __init__(self) -> None:
        self.opened_ms = 0
        """Units: milliseconds since 1970 UTC."""
        self.port = 0
        """Of the listener."""
        self.first = b""
        """What it sent first."""
        self.identity = ""
        """Who the newest message says it is from, let in or not."""
        self.kind: int | None = None
        """Of the newest message."""
        self._sequence = 0
        self.messages = self.resends = 0
        self.malformed: dict[str, int] = {}
        self.heard_at = self.message_at = self.settled_at = 0.0
        self.acked_at: datetime | None = None
        self.waiting_since = 0.0
        """When the oldest message without outcome came, at the latest."""
        self.outcome: Outcome | None = None
        """Of the message that was settled last."""
        self.had_session = self.is_refused = False
        """Whether any device was let in on it, or not let in."""

    def opened(self, listener: IAddress) -> None:
        self.opened_ms = time.time_ns() // 1_000_000
        self.port = getattr(listener, "port", 0)

    def heard(self, data: bytes, events: Sequence[Event], now: float, unsettled: int) -> None:
        """One read, while so many messages had no outcome yet."""
        self.heard_at = now
        if len(self.first) < FIRST_BYTES:
            self.first += data[: FIRST_BYTES - len(self.first)]
        if not events:
            return
        newest = events[-1]
        if not isinstance(newest, Message):
            messages = [event for event in events if isinstance(event, Message)]
            if not messages:
                return
            newest = messages[-1]
        # A device sends one message again and waits; it is by itself in its read, as the one before was.
        sequence = newest.sequence
        if sequence == self._sequence and sequence and newest.kind == self.kind and newest.identity == self.identity:
            self.resends += 1
        self.identity, self.kind, self._sequence = newest.identity, newest.kind, sequence
        self.message_at = now
        if not unsettled:
            self.waiting_since = now

    def count_malformed(self, cause: str) -> None:
        self.malformed[cause] = self.malformed.get(cause, 0) + 1

    def settled(self, outcome: Outcome, now: float) -> None:
        """Messages have their outcomes; this one is the newest's."""
        self.outcome = outcome
        # What waits still came after these had left.
        self.settled_at = self.waiting_since = now
