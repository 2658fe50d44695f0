"""The part of a link that says whether its device is read from, how long it is waited for, and how it ends.

Its device is not read from while any of these is so:

=========  =============================================================================
slow       it does not read its own acks: what waits for it stays bounded
held       the gateway has too much without a receipt, or drains
throttled  a device on it sent more messages than it may: it loses nothing, its bytes wait
crowded    too much of what it brought waits to be let in
=========  =============================================================================
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import structlog
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection
from zope.interface import implementer

from iotgw.patience import Patience

if TYPE_CHECKING:
    from iotgw.gateway import Gateway

log = structlog.get_logger(__name__)

FLUSH_SECONDS = 5.0
"""How long a closing link may take to hand over its last bytes before it is cut."""


@implementer(IPushProducer)
class Intake(Protocol, ABC):
    """A link without what goes over it. It is the producer of its own transport."""

    transport: Connection

    def __init__(self, gateway: Gateway, protocol: str, peer: str) -> None:
        self.peer = peer
        """Its device's address and port, for people."""
        self.is_open = False
        self.cause = "peer"
        """What it is closed for, in a word; the peer does it unless somebody else says so."""
        self.identities: set[str] = set()
        """The devices that have a session on it."""
        self.unsettled = 0
        """Messages that wait to be let in, or were handed over and have no outcome yet."""
        idle_seconds = gateway.settings.idle_timeouts.get(protocol, gateway.settings.idle_timeout_seconds)
        self.patience = Patience(idle_seconds, gateway.settings.identify_timeout_seconds)
        self._gateway = gateway
        self._is_slow = self._is_retiring = False

    def close(self, cause: str) -> None:
        """Close from our side. What was written before still leaves, for a few seconds."""
        if not self.is_open:
            return
        self.is_open = False
        self.cause = cause
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        self.patience.heard_at = self._gateway.now()
        self._gateway.wheel.add(self)

    def retire(self) -> None:
        """Read no more, and close when all that was read is answered."""
        if not self.is_open:
            return
        self._is_retiring = True
        self._hold()
        self._leave_if_settled()

    def deadline(self) -> float:
        if not self.is_open:
            return self.patience.heard_at + FLUSH_SECONDS
        ends, wanted = self._patience_ends(), self._wanted_at
        if self.patience.throttled_until:
            ends = min(ends, self.patience.throttled_until)
        return ends if wanted is None or self._is_held else min(ends, wanted)

    def expire(self) -> None:
        now = self._gateway.now()
        if not self.is_open:
            self.transport.abortConnection()
        elif self._patience_ends() <= now:
            self.close("idle" if self.identities else "unidentified")
        elif self.patience.throttled_until and self.patience.throttled_until <= now:
            self.patience.throttled_until = 0.0
            self._gateway.wheel.add(self)
            self._read_on()
        else:
            self._wake(now)

    def pauseProducing(self) -> None:
        self._is_slow = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self._is_slow = False
        self._read_on()

    def stopProducing(self) -> None:
        """The transport is gone; connectionLost follows."""

    @property
    def is_listened_to(self) -> bool:
        """Whether what its device answers from now on is heard."""
        return self.is_open and not self._is_retiring

    def set_reading(self, is_reading: bool) -> None:
        """Let the gateway hold all links while too much is without a receipt."""
        if not self.is_open:
            return
        if is_reading:
            self._read_on()
        else:
            self._hold()

    @property
    def _is_held(self) -> bool:
        """Whether the device is not read from: what its codec waits for may have come long ago."""
        return self._is_slow or self._is_crowded or self.patience.held_since is not None

    def _hold(self) -> None:
        self.transport.pauseProducing()
        self.patience.hold(self._gateway.now())

    def _read_on(self) -> None:
        """Read from the device again, unless there is a reason left why not."""
        if self.patience.throttled_until or self._gateway.is_paused or self._is_retiring:
            return
        if self.patience.release(self._gateway.now()):
            self._gateway.wheel.hasten(self, self._patience_ends())
        if not self._is_slow and not self._is_crowded:
            self.transport.resumeProducing()
            self._watch()

    def _throttle(self, until: float) -> None:
        """A device on this link is above its rate: read no more before it may send the next message."""
        if until > self.patience.throttled_until:
            if not self.patience.throttled_until:
                self._gateway.statistics.count("links.throttled")
                log.debug("device above its rate, its link waits", peer=self.peer)
            self.patience.throttled_until = until
            self._hold()
            self._gateway.wheel.hasten(self, until)

    def _patience_ends(self) -> float:
        return self.patience.ends(self._gateway.now(), is_identified=bool(self.identities), is_unsettled=self.unsettled > 0)

    def _leave_if_settled(self) -> None:
        if self._is_retiring and self.unsettled <= 0:
            self.close("drained")

    @property
    @abstractmethod
    def _is_crowded(self) -> bool:
        """Whether more of it waits to be let in than is good."""

    @property
    @abstractmethod
    def _wanted_at(self) -> float | None:
        """When its codec wants to be woken."""

    @abstractmethod
    def _wake(self, now: float) -> None:
        """That time has come."""

    @abstractmethod
    def _watch(self) -> None:
        """Have the wheel know of that time."""
