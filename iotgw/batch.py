"""A batch: messages of many links that leave as one task, and who still waits for an answer."""

from __future__ import annotations

import time
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

import structlog

from iotgw.segments import Place
from iotgw.statistics import Statistics
from protocols import Message, Outcome
from settings import AckRule
from tasks.contract import IngestMessage

log = structlog.get_logger(__name__)


class Origin(Protocol):
    """Where messages come from and acks go to: a link."""

    @property
    def identities(self) -> AbstractSet[str]:
        """The devices that have a session on this link now."""

    @property
    def ack_rule(self) -> AckRule:
        """When those devices' messages are answered."""

    ack_seconds: float | None
    """How long the newest message took that was answered with others when they were settled."""

    def settle(self, settled: list[tuple[Message, Outcome]]) -> None:
        """These messages are stored, or will never be: answer them."""


@dataclass(slots=True)
class Entry:
    """A message on its way."""

    origin: Origin | None
    """Who waits for the answer; None once it is given, or when it was asked for in an earlier run."""
    message: Message
    payload: IngestMessage


@dataclass(slots=True, eq=False)
class Batch:
    """Messages of many links, offloaded as one task."""

    id: str
    entries: list[Entry]
    attempts: int = 0
    due: float | None = None
    """When to publish it again; None while the publisher has it."""
    given: float = 0.0
    """When the publisher was given it last."""
    since: float = 0.0
    """When the publisher was given it first in this run."""
    is_spooled: bool = False
    """Whether the spool has it or was asked to."""
    place: Place | None = None
    """Where in the spool it is, once it is on the disk."""
    is_committed: bool = False
    """Whether its receipt has come."""

    def let_in(self, rules: AbstractSet[AckRule] = frozenset(AckRule)) -> list[tuple[Entry, Outcome]]:
        """Who waits for an answer but not for the receipt: devices with a session, on links with one of these rules."""
        return [
            (entry, Outcome.STORED)
            for entry in self.entries
            if entry.origin is not None and entry.origin.ack_rule in rules and entry.message.identity in entry.origin.identities
        ]


def answer(entries: Iterable[tuple[Entry, Outcome]], statistics: Statistics) -> None:
    """Settle those entries that nobody has settled yet, each link's together."""
    by_origin: dict[Origin, list[tuple[Message, Outcome]]] = {}
    newest: dict[Origin, int] = {}
    received: list[int] = []
    for entry, outcome in entries:
        origin = entry.origin
        if origin is not None:
            by_origin.setdefault(origin, []).append((entry.message, outcome))
            received.append(entry.payload.received_ms)
            newest[origin] = received[-1]
            entry.origin = None
    now_ms = time.time_ns() // 1_000_000
    statistics.count("messages.settled", len(received))
    statistics.acks.observe_since(received, now_ms)
    for origin, messages in by_origin.items():
        origin.ack_seconds = max(0, now_ms - newest[origin]) / 1000
        try:
            origin.settle(messages)
        except Exception:
            # One link's fault must not keep the acks of all others in the batch.
            log.exception("link could not be answered")
