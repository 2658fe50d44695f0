"""One TCP connection of a device.

device                      link                         gateway
  ── bytes ──────────────▶ codec ── message ───────────▶ batches
                             ├── malformed: counted
  ◀── handshakes, polls ─────┴── send: written at once
  ◀─────────────── acks ── codec ◀── (message, outcome) ── receipt
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog
from twisted.internet.interfaces import IAddress, IPushProducer
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from zope.interface import implementer

from iotgw.sessions import Session
from protocols import DeviceProtocol, Event, Malformed, Message, Outcome

if TYPE_CHECKING:
    from iotgw.gateway import Gateway

log = structlog.get_logger(__name__)

FLUSH_SECONDS = 5.0
"""How long a closing link may take to hand over its last bytes before it is cut."""


@implementer(IPushProducer)
class Link(Protocol):
    """Feeds a device's bytes to its codec and the codec's messages to the gateway.

    It is the producer of its own transport: a device that sends but does not read its acks is not read from
    either, so that what waits for it stays bounded.
    """

    transport: Connection

    def __init__(self, gateway: Gateway, protocol: DeviceProtocol, number: int) -> None:
        self.number = number
        self.protocol = protocol
        self.peer = ""
        self.is_open = False
        self.identities: set[str] = set()
        self._gateway = gateway
        self._codec = protocol.codec()
        self._unsettled = 0
        self._malformed_in_a_row = 0
        self._last_received = 0.0
        self._unidentified_since = 0.0
        self._is_slow = False
        self._cause = "peer"

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        peer = self.transport.getPeer()
        self.peer = f"{getattr(peer, 'host', peer)}:{getattr(peer, 'port', '')}"
        self._last_received = self._unidentified_since = self._gateway.now()
        self.is_open = True
        self.transport.registerProducer(self, True)
        self._gateway.link_opened(self)

    def dataReceived(self, data: bytes) -> None:
        now = self._last_received = self._gateway.now()
        self._take(self._codec.receive(data, now))
        self._watch_codec()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.is_open = False
        for event in self._codec.end():
            if isinstance(event, Malformed):
                self._gateway.statistics.count(f"malformed.{event.cause}")
        self._gateway.link_closed(self, self._cause)

    def settle(self, settled: list[tuple[Message, Outcome]]) -> None:
        """Answer messages that have their receipt, with one write."""
        self._unsettled -= len(settled)
        if not self.is_open:
            self._gateway.statistics.count("acks.too_late", len(settled))
            return
        for message, outcome in settled:
            if outcome is not Outcome.REFUSED and message.identity not in self.identities:
                if len(self.identities) >= self._gateway.settings.devices_per_link:
                    # Under open admission a stranger may invent identities, and each would be held for as long as it stays.
                    log.info("closing a link with too many devices", peer=self.peer, protocol=self.protocol.name)
                    self.close("devices")
                    return
                self._gateway.begin_session(Session(self.protocol.name, message.identity, self, self._gateway.now()))
                if not self.is_open:
                    return
        time = self._gateway.wall_time()
        acks = b"".join([self._codec.ack(message, outcome, time) for message, outcome in settled])
        if acks:
            self.transport.write(acks)
            self._gateway.statistics.count("acks", len(settled))
        for message, outcome in settled:
            if outcome is not Outcome.REFUSED and self.protocol.ends_session(message.kind):
                self._gateway.end_session(self, message.identity)
                self._unidentified_since = self._gateway.now()
        self._watch_codec()

    def close(self, cause: str) -> None:
        """Close from our side. What was written before still leaves, for a few seconds."""
        if not self.is_open:
            return
        self.is_open = False
        self._cause = cause
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        self._last_received = self._gateway.now()
        self._gateway.wheel.add(self)

    def deadline(self) -> float:
        if not self.is_open:
            return self._last_received + FLUSH_SECONDS
        patience, wanted = self._patience_ends(), self._codec.deadline
        return patience if wanted is None or self._is_held else min(patience, wanted)

    def expire(self) -> None:
        now = self._gateway.now()
        if not self.is_open:
            self.transport.abortConnection()
        elif self._patience_ends() <= now:
            self.close("idle" if self.identities else "unidentified")
        else:
            self._wake_codec(now)

    def pauseProducing(self) -> None:
        self._is_slow = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self._is_slow = False
        if not self._gateway.is_paused:
            self.transport.resumeProducing()
            self._watch_codec()

    def stopProducing(self) -> None:
        """The transport is gone; connectionLost follows."""

    def set_reading(self, is_reading: bool) -> None:
        """Let the gateway hold all links while too much is without a receipt."""
        if not self.is_open:
            return
        if not is_reading:
            self.transport.pauseProducing()
        elif not self._is_slow:
            # A device that we did not read from was not idle.
            self._last_received = self._gateway.now()
            self.transport.resumeProducing()
            self._watch_codec()

    @property
    def _is_held(self) -> bool:
        """Whether the device is not read from: what its codec waits for may have come long ago."""
        return self._is_slow or self._gateway.is_paused

    def _patience_ends(self) -> float:
        settings = self._gateway.settings
        idle = self._last_received + settings.idle_timeout_seconds
        # What waits for its receipt is our slowness, not the device's silence about who it is.
        if self.identities or self._unsettled:
            return idle
        return min(idle, self._unidentified_since + settings.identify_timeout_seconds)

    def _take(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Message):
                self._malformed_in_a_row = 0
                self._unsettled += 1
                self._gateway.take(self, event)
            elif isinstance(event, Malformed):
                self._count_malformed(event)
                if not self.is_open:
                    return
            else:
                self.transport.write(event.data)
                self._gateway.statistics.count("sends")

    def _wake_codec(self, now: float) -> None:
        try:
            self._take(self._codec.wake(now))
        except Exception:
            # As when it raises on what was received: the link ends, and nobody else's.
            log.exception("codec failed", protocol=self.protocol.name, peer=self.peer)
            self.close("fault")
        if self.is_open:
            self._gateway.wheel.add(self)

    def _watch_codec(self) -> None:
        """Have the wheel know of the codec's deadline. Nothing to do for protocols that have none."""
        wanted = self._codec.deadline
        if wanted is not None:
            self._gateway.wheel.hasten(self, wanted)

    def _count_malformed(self, malformed: Malformed) -> None:
        self._gateway.statistics.count(f"malformed.{malformed.cause}")
        self._malformed_in_a_row += 1
        if self._malformed_in_a_row >= self._gateway.settings.malformed_in_a_row:
            log.info("closing a link that sends no messages", peer=self.peer, protocol=self.protocol.name, cause=malformed.cause)
            self.close("malformed")


class LinkFactory(ServerFactory):
    """Makes a link for each connection that a listener accepts."""

    noisy = False

    def __init__(self, gateway: Gateway, protocol: DeviceProtocol) -> None:
        self._gateway = gateway
        self._protocol = protocol

    def buildProtocol(self, addr: IAddress | None) -> Link | None:
        if self._gateway.has_room():
            return Link(self._gateway, self._protocol, self._gateway.next_link_number())
        self._gateway.statistics.count("links.refused")
        return None
