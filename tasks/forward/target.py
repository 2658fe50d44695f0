"""What a target is: all that stands between a lane and somebody who wants to be told.

    lane                    target
      ── open() ──────────────▶ connects
      ── send(notices) ───────▶ returns when they are taken, all of them
      ── send(notices) ──✗      TryAgainError: none of them counts as taken; close(), and after a while open() and send() again
      ── close() ─────────────▶

A target is used by one thread at a time. It may block for as long as its own time-outs say: nobody but its lane waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from pydantic import BaseModel


class Notice(NamedTuple):
    """What is told of one row."""

    id: str
    """Of the row, the same each time it is sent: by it a subscriber tells copies."""
    source: str
    """reports, events, alarms or media."""
    protocol: str
    identity: str
    """With the protocol, whose it is. As the device says it: any characters."""
    kind: str
    body: bytes
    """All of it, as a JSON object."""


class TryAgainError(Exception):
    """Not taken, and it may be later. The text says why, in one line, without secrets."""

    def __init__(self, reason: str, after_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.after_seconds = after_seconds
        """Not sooner, as the subscriber asks."""


class RefusedError(Exception):
    """These are refused, and would be again. The others that were sent with them are taken.

    If it names all of several it may be about some: they are sent in smaller parts, to find which. One by itself is tried a few
    times.
    """

    def __init__(self, ids: Sequence[str], reason: str) -> None:
        super().__init__(reason)
        self.ids = frozenset(ids)


class GoneError(Exception):
    """The subscriber says that it wants nothing any more. If it says so a few times the target is paused."""


class Target(Protocol):
    """A subscriber, and how it is told."""

    most_notices: int
    """So many at once."""
    most_bytes: int
    """So many bytes of bodies at once; a longer body comes by itself."""

    def open(self) -> None:
        """Get ready to send. Raises: TryAgainError"""

    def close(self) -> None:
        """Let go of everything, whatever state it is in."""

    def send(self, notices: Sequence[Notice]) -> None:
        """Have these taken, in this order. Raises: TryAgainError, RefusedError, GoneError"""


class TargetKind(NamedTuple):
    """A way to tell subscribers, by its name."""

    name: str
    options: type[BaseModel]
    """What may be set for such a target. Secrets are not options: a ``..._file`` says where one is."""
    check_address: Callable[[str], None]
    """Raises: ValueError that says what is wrong with an address, and what one looks like."""
    make: Callable[[str, Any], Target]
    """Of an address and options. It connects to nothing yet."""
