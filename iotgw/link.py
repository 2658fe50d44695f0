"""One TCP connection of a device.

device                      link                         gateway
  ── bytes ──────────────▶ codec ── message ───────────▶ batches, or the doorway until its device is let in
                             ├── malformed: counted
                             ├── no message yet, but HTTP, TLS, SSH...: a stranger, closed
                             ├── wanted: bytes of a file that goes down ── downloads
                             │◀─ prepare, launch: commands ─────────────── commanding
  ◀── handshakes, polls ─────┴── send: written at once
  ◀─────────────── acks ── codec ◀── (message, outcome) ── receipt
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, cast

import structlog
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from iotgw.doorway import Doorway
from iotgw.facts import LinkFacts
from iotgw.intake import Intake
from iotgw.keepalive import keep_alive, send_at_once
from iotgw.sessions import Session
from iotgw.strangers import LONGEST, recognise
from protocols import Carrier, Codec, DeviceProtocol, Event, Malformed, Message, Offer, Outcome, Send, Wanted
from protocols.command import Prepared
from settings import AckRule

if TYPE_CHECKING:
    from iotgw.gateway import Gateway
    from iotgw.linktap import LinkTap

log = structlog.get_logger(__name__)

CODEC_FAILED = "the codec failed at it, see the gateway's log"
"""What becomes known of a command that meets a fault of ours. It is not tried again: it would end the next link too."""


class Link(Intake):
    """Feeds a device's bytes to its codec and the codec's messages to the gateway, and writes what answers them."""

    def __init__(self, gateway: Gateway, protocol: DeviceProtocol, number: int, address: str, peer: str) -> None:
        super().__init__(gateway, protocol.name, peer)
        self.number = number
        self.address = address
        """Under which name its device's address is counted."""
        self.protocol = protocol
        self.ack_rule = gateway.settings.acks.get(protocol.name, AckRule.COMMIT)
        self._codec = protocol.codec()
        self._doorway: Doorway | None = None
        self.is_vouched = False
        """Whether somebody was let in who speaks for others."""
        self.ack_seconds: float | None = None
        self._malformed_in_a_row = 0
        self._first: bytes | None = b"" if gateway.settings.close_strangers.get(protocol.name, True) else None
        """What it sent first, for as long as it may be a stranger."""
        self.facts = LinkFacts()
        self._rates = gateway.message_rates(protocol.name)
        self.tap: LinkTap | None = None

    def connectionMade(self) -> None:
        self.patience.begin(self._gateway.now())
        send_at_once(self.transport)
        keep_alive(self.transport, self._gateway.settings)
        self.is_open = True
        self.facts.opened(self.transport.getHost())
        self.transport.registerProducer(self, True)
        self._gateway.link_opened(self)

    def dataReceived(self, data: bytes) -> None:
        if not self.is_open:
            return
        now = self.patience.heard_at = self._gateway.now()
        self._gateway.statistics.received_bytes += len(data)
        try:
            events = self._codec.receive(data, now)
        except Exception:
            self.facts.heard(data, (), now, 0)
            self._codec_failed()
            return
        if self.tap is not None:
            events = self.tap.heard(events)
        self.facts.heard(data, events, now, self.unsettled)
        if self._first is not None and not self._is_welcome(data, events):
            return
        self._take(events, now)
        self._watch()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.is_open = False
        try:
            events = self._codec.end()
            if self.tap is not None:
                events = self.tap.heard(events)
            for event in events:
                if isinstance(event, Malformed):
                    self._gateway.statistics.count(f"malformed.{event.cause}")
                    self.facts.count_malformed(event.cause)
        finally:
            self._gateway.link_closed(self, self.cause)

    def settle(self, settled: list[tuple[Message, Outcome]]) -> None:
        """Answer messages that have their receipt, with one write."""
        self.unsettled -= len(settled)
        self.facts.settled(settled[-1][1], self._gateway.now())
        if not self.is_open:
            self._gateway.statistics.count("acks.too_late", len(settled))
            return
        self._answer(settled)
        # Only now is it the device's turn to say something.
        self.patience.heard_at = self._gateway.now()
        if self.is_open:
            self._watch()

    def welcome(self, identity: str, messages: list[Message]) -> None:
        """A device is let in, and what it has said goes on, though the device may have left meanwhile."""
        if not self.is_open:
            for message in messages:
                self._gateway.take(self, message)
            return
        if len(self.identities) >= self._gateway.settings.devices_per_link:
            # Under open admission a stranger may invent identities, and each would be held for as long as it stays.
            log.debug("closing a link with too many devices", peer=self.peer, protocol=self.protocol.name)
            self.close("devices")
            return
        self._gateway.begin_session(Session(self.protocol.name, identity, self, self._gateway.now(), head=messages[0].head))
        if not self.is_open:
            return
        is_answered = self.ack_rule is AckRule.RECEIVE
        for message in messages:
            self._gateway.take(self, message, is_answered)
        if is_answered:
            self.settle([(message, Outcome.STORED) for message in messages])

    def turn_away(self, messages: list[Message]) -> None:
        """A device is not let in, and nothing of what it has said is stored."""
        self._gateway.statistics.count("messages", len(messages))
        self._gateway.statistics.count("messages.refused", len(messages))
        self.unsettled -= len(messages)
        if not self.is_open:
            return
        self._write_acks([(message, Outcome.REFUSED) for message in messages])
        self.patience.heard_at = self._gateway.now()
        self._leave_if_settled()

    def doorway_changed(self, *, is_empty: bool, has_room: bool) -> None:
        """Fewer wait to be let in."""
        if is_empty:
            self._doorway = None
        if has_room and self.is_open:
            self._read_on()

    @property
    def carries_files(self) -> bool:
        """Whether files can go down on it."""
        return _is_carrier(type(self._codec))

    def offer(self, head: bytes, offer: Offer) -> str:
        """Offer a file to the device whose messages have a head like this; why it cannot take it, if so."""
        if not self.carries_files:
            return f"{self.protocol.title} devices take no files"
        faults: list[str] = []

        def begin(carrier: Carrier, now: float) -> Sequence[Event]:
            try:
                return carrier.offer(head, offer, now)
            except ValueError as error:
                faults.append(str(error))
                return []

        self._carry(begin)
        return faults[0] if faults else ""

    def hand_out(self, wanted: Wanted, data: bytes) -> None:
        """Bytes that its codec wanted, or none."""
        if self.is_open:
            self._carry(lambda carrier, now: carrier.hand_out(wanted, data, now))

    def withdraw(self, identity: str) -> None:
        """A file is offered to a device no more."""
        if self.carries_files:
            cast(Carrier, self._codec).withdraw(identity)

    def prepare(self, head: bytes, kind: int, body: bytes, number: int) -> Prepared:
        """A command as it would leave, to the device whose messages have a head like this; ``number`` is the platform's.

        Raises: ValueError when the device cannot take it, with the reason.
        """
        try:
            return self._codec.prepare(head, kind, body, number, self._gateway.wall_time())
        except ValueError:
            raise
        except Exception:
            self._codec_failed()
            raise ValueError(CODEC_FAILED) from None

    def launch(self, prepared: Prepared) -> None:
        """Let leave what was prepared on this link.

        Raises: ValueError when it does not leave, with the reason.
        """
        now = self._gateway.now()
        try:
            events = self._codec.launch(prepared, now)
        except Exception:
            self._codec_failed()
            raise ValueError(CODEC_FAILED) from None
        self._follow(events, now)

    def _carry(self, do: Callable[[Carrier, float], Sequence[Event]]) -> None:
        """Have the codec do something about a file, and what comes of it happen."""
        now = self._gateway.now()
        try:
            events = do(cast(Carrier, self._codec), now)
        except Exception:
            self._codec_failed()
            return
        self._follow(events, now)

    def _follow(self, events: Sequence[Event], now: float) -> None:
        """Have happen what the codec says of its own accord."""
        if self.tap is not None:
            events = self.tap.heard(events)
        self._take(events, now)
        if self.is_open:
            self._watch()

    def _answer(self, settled: list[tuple[Message, Outcome]]) -> None:
        self._write_acks(settled)
        ends_session = self.protocol.ends_session
        for message, outcome in settled:
            if outcome is Outcome.REFUSED:
                self._gateway.refused_by_worker(self, message.identity)
            elif ends_session(message.kind):
                self.end_session(message.identity, "logout")
        self._leave_if_settled()

    def _write_acks(self, settled: list[tuple[Message, Outcome]]) -> None:
        time = self._gateway.wall_time()
        ack = self._codec.ack
        acks = [ack(message, outcome, time) for message, outcome in settled]
        if self.tap is not None:
            self.tap.answered(settled, acks)
        if data := b"".join(acks):
            self.transport.write(data)
            self.facts.acked_at = time
            self._gateway.statistics.count("acks", len(settled))
            self._gateway.statistics.sent_bytes += len(data)

    def watch(self, tap: LinkTap | None) -> None:
        """Have somebody look at what comes and goes, or nobody any more."""
        self.tap = tap
        self._codec.is_watched = tap is not None

    def end_session(self, identity: str, cause: str) -> None:
        """A device has left, or may not come in any more: its next message knocks again."""
        if identity in self.identities:
            self._gateway.end_session(self, identity, cause)
            self.patience.unidentified_since = self._gateway.now()

    def _is_welcome(self, data: bytes, events: Sequence[Event]) -> bool:
        """Whether a link that may be a stranger's may go on."""
        assert self._first is not None
        if any(not isinstance(event, Malformed) for event in events):
            # Whatever it looks like: what the codec takes is right.
            self._first = None
            return True
        self._first += data[:LONGEST]
        stranger = recognise(self._first)
        if stranger is not None:
            self._gateway.statistics.count(f"strangers.{stranger}")
            log.debug("closing a stranger's link", peer=self.peer, protocol=self.protocol.name, kind=stranger)
            self.close("stranger")
            return False
        if len(self._first) >= LONGEST:
            self._first = None
        return True

    def _take(self, events: Sequence[Event], now: float) -> None:
        waits, banned = now, self._gateway.banned_devices.by_name
        answered: list[tuple[Message, Outcome]] = []
        for event in events:
            if isinstance(event, Message):
                self._malformed_in_a_row = 0
                self.facts.messages += 1
                if banned and self._gateway.is_banned(self, event.identity):
                    if not self.is_open:
                        return
                    continue
                if event.identity not in self.identities:
                    self.unsettled += 1
                    self._knock(event)
                    if not self.is_open:
                        return
                elif self.ack_rule is AckRule.RECEIVE:
                    answered.append((event, Outcome.STORED))
                    self._gateway.take(self, event, is_answered=True)
                else:
                    self.unsettled += 1
                    self._gateway.take(self, event)
                room_at = self._rates.spend(event.identity, now)
                if room_at > waits:
                    waits = room_at
            elif isinstance(event, Malformed):
                self._count_malformed(event)
                if not self.is_open:
                    return
            elif isinstance(event, Send):
                self.transport.write(event.data)
                self._gateway.statistics.count("sends")
                self._gateway.statistics.sent_bytes += len(event.data)
            elif isinstance(event, Wanted):
                self._gateway.downloads.wanted(self, event)
                if not self.is_open:
                    return
        if answered:
            self._answer(answered)
        if waits > now:
            self._throttle(waits)
        if self._is_crowded:
            self.transport.pauseProducing()

    def _knock(self, message: Message) -> None:
        if self._doorway is None:
            self._doorway = Doorway(self, self._gateway)
        self._doorway.knock(message)

    @property
    def _is_crowded(self) -> bool:
        """Whether more of it waits to be let in than is good."""
        return self._doorway is not None and self._doorway.is_full

    @property
    def _wanted_at(self) -> float | None:
        return self._codec.deadline

    def _wake(self, now: float) -> None:
        try:
            events = self._codec.wake(now)
            if self.tap is not None:
                events = self.tap.heard(events)
            self._take(events, now)
        except Exception:
            self._codec_failed()
        if self.is_open:
            self._gateway.wheel.add(self)

    def _codec_failed(self) -> None:
        """The link ends, and nobody else's."""
        log.exception("codec failed", protocol=self.protocol.name, peer=self.peer)
        self.close("fault")

    def _watch(self) -> None:
        """Nothing to do for protocols that have no deadline."""
        wanted = self._codec.deadline
        if wanted is not None:
            self._gateway.wheel.hasten(self, wanted)

    def _count_malformed(self, malformed: Malformed) -> None:
        self._gateway.statistics.count(f"malformed.{malformed.cause}")
        self.facts.count_malformed(malformed.cause)
        self._malformed_in_a_row += 1
        if self._malformed_in_a_row >= self._gateway.settings.malformed_in_a_row:
            log.debug("closing a link that sends no messages", peer=self.peer, protocol=self.protocol.name, cause=malformed.cause)
            self.close("malformed")


@cache
def _is_carrier(codec: type[Codec]) -> bool:
    return issubclass(codec, Carrier)
