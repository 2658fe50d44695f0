"""Messages that are not in a batch yet, and when they should leave as one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from iotgw.batch import Entry, Origin
from protocols import Message
from tasks.contract import IngestMessage


class CollectingSettings(Protocol):
    @property
    def batch_messages(self) -> int: ...
    @property
    def batch_bytes(self) -> int: ...


class Collecting:
    """Messages in the order they came.

    ``on_due`` is called when there are as many as a batch may have, and else when the first of them has waited for what
    ``delay_seconds`` gave then. Nothing leaves by itself: they are taken, or stay.
    """

    def __init__(
        self, settings: CollectingSettings, clock: IReactorTime, on_due: Callable[[], None], delay_seconds: Callable[[], float]
    ) -> None:
        self._most_messages = settings.batch_messages
        self._most_bytes = settings.batch_bytes
        self._clock = clock
        self._on_due = on_due
        self._delay_seconds = delay_seconds
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._timer: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, origin: Origin | None, message: Message, payload: IngestMessage) -> None:
        """Take a message in. Its origin, if it waits, is settled once, and never if the process ends before."""
        self._entries.append(Entry(origin, message, payload))
        self._bytes += len(payload.body)
        if len(self._entries) >= self._most_messages or self._bytes >= self._most_bytes:
            self._on_due()
        elif self._timer is None:
            self._timer = self._clock.callLater(self._delay_seconds(), self._on_due)

    def take(self) -> list[Entry]:
        """The next batch's messages, up to the number or the bytes it may have, and one at the least."""
        entries: list[Entry] = []
        size = 0
        while self._entries and len(entries) < self._most_messages and size < self._most_bytes:
            entry = self._entries.popleft()
            entries.append(entry)
            size += len(entry.payload.body)
        self._bytes -= size
        return entries

    def stop_waiting(self) -> None:
        """Until the next message comes."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
