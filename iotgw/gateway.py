"""The gateway's state: its links and sessions, and the one way that messages take through it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from itertools import count
from typing import Any

import structlog
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from iotgw.admissions import Admissions, Claim, Refusal
from iotgw.batches import Batches, Publish
from iotgw.commanding import Commanding
from iotgw.departures import Departure, Departures
from iotgw.downloads import Downloads
from iotgw.evidence import Evidence
from iotgw.limits import Addresses, Bans, Rates
from iotgw.link import Link
from iotgw.presence import Presence
from iotgw.routes import Routes
from iotgw.sessions import Session, Sessions
from iotgw.statistics import Statistics
from iotgw.taps import Taps
from iotgw.wheel import TimerWheel
from iotgw.wondering import Wondering
from protocols import Message
from settings import Settings
from tasks.contract import IngestMessage

log = structlog.get_logger(__name__)

OFFENCES = ("malformed", "stranger")
"""What links are closed for that no device's would be."""


class Gateway:
    """Everything that links share. It knows no sockets and no threads, only what they bring."""

    def __init__(self, settings: Settings, clock: IReactorTime, publish: Publish) -> None:
        self.settings = settings
        self.statistics = Statistics()
        self.wheel = TimerWheel(clock)
        self.sessions = Sessions()
        self.departures = Departures()
        self.presence = Presence(settings.gateway_id, clock, self.statistics)
        self.routes = Routes(self.sessions, clock, self.statistics, self.presence.begun, self._replaced)
        self.admissions = Admissions(clock, self.statistics)
        self.taps = Taps(self.sessions, clock, self.statistics)
        self.downloads = Downloads(self.sessions, clock, self.statistics, settings.files_cache_bytes)
        self.commanding = Commanding(self.sessions, clock, self.statistics)
        self.wondering = Wondering(
            self.sessions, clock, self.statistics, files=self.downloads.wait_for, commands=self.commanding.wait_for
        )
        self.addresses = Addresses(settings)
        self.banned_devices: Bans[tuple[str, str]] = Bans(settings.max_bans)
        self.batches = Batches(settings, clock, self.statistics, publish, self._set_full)
        self.batches.on_refused = self._refuse
        self.held_bytes = 0
        """Of what devices have said that are not let in yet."""
        self.evidence = Evidence(self, clock)
        self.ports: dict[str, list[int]] = {}
        """TCP ports that it listens on, by protocol."""
        self.is_paused = False
        self._is_draining = False
        self.now = clock.seconds
        self._links: dict[Link, float] = {}
        """Open links, and when each was opened by a clock that nobody sets."""
        self._all_closed: list[Deferred[None]] = []
        self._numbers = count(1)
        self._message_rates: dict[str, Rates[str]] = {}

    def start(self) -> None:
        self.wheel.start()
        self.batches.start()

    def stop(self) -> None:
        self.wheel.stop()
        self.batches.stop()
        self.taps.stop()
        self.wondering.stop()
        self.downloads.stop()
        self.commanding.stop()

    def drain(self) -> Deferred[None]:
        """Read no more from devices; fires when all that was read is answered."""
        self._is_draining = True
        self._set_reading(False)
        self.commanding.rest()
        return self.batches.drain()

    def close_links(self, cause: str) -> Deferred[None]:
        """Close all links; fires when their last bytes have left, or would not in time."""
        closed: Deferred[None] = Deferred()
        self._all_closed.append(closed)
        for link in list(self._links):
            link.close(cause)
        self._tell_if_all_closed()
        return closed

    def open_links(self) -> list[Link]:
        return list(self._links)

    @property
    def links(self) -> int:
        return len(self._links)

    def has_room(self) -> bool:
        return len(self._links) < self.settings.max_links

    def refuses(self, address: str) -> bool:
        """Whether a new link of this address may not come in. One that may is counted as new."""
        refusal = self.addresses.refusal(address, self.now()) if self.has_room() else "all"
        if refusal:
            self.statistics.count(f"links.refused.{refusal}")
        return bool(refusal)

    def message_rates(self, protocol: str) -> Rates[str]:
        """How much the devices of a protocol sent of late."""
        if protocol not in self._message_rates:
            self._message_rates[protocol] = Rates(self.settings.messages_per_second, self.settings.messages_burst)
        return self._message_rates[protocol]

    def next_link_number(self) -> int:
        return next(self._numbers)

    @staticmethod
    def wall_time() -> datetime:
        """What devices are told when they ask for the time."""
        return datetime.now(UTC)

    def link_opened(self, link: Link) -> None:
        self._links[link] = time.monotonic()
        self.addresses.opened(link.address)
        self.wheel.add(link)
        self.statistics.count("links.opened")
        if self.taps:
            self.taps.opened(link)
        if self.is_paused:
            link.set_reading(False)

    def link_closed(self, link: Link, cause: str) -> None:
        if link not in self._links:
            # It was refused, and never open.
            return
        del self._links[link]
        self.sessions.forget(link)
        self.wheel.discard(link)
        self.statistics.count(f"links.closed.{cause}")
        self.evidence.closed(link, cause)
        if cause in OFFENCES and not link.identities and self.addresses.offended(link.address, cause, self.now()):
            self._tell_banned(link, cause)
        for identity in list(link.identities):
            self.end_session(link, identity, cause)
        self.taps.closed(link)
        self.addresses.closed(link.address)
        self._tell_if_all_closed()

    def ban_address(self, host: str, seconds: float, cause: str) -> None:
        """Close an address's links and let none in.

        Raises: TooManyBansError; ValueError for an address that has no bounds.
        """
        address = self.addresses.key(host)
        if not address:
            raise ValueError(f"{host} is among unlimited_addresses, or no address")
        self.addresses.bans.add(address, self.now() + seconds, cause, self.now())
        for link in [link for link in self._links if link.address == address]:
            link.close("banned")

    def ban_device(self, protocol: str, identity: str, seconds: float, cause: str) -> None:
        """Take no more messages of a device, and close its link unless others are on it.

        Raises: TooManyBansError
        """
        self.banned_devices.add((protocol, identity), self.now() + seconds, cause, self.now())
        session = self.sessions.get(protocol, identity)
        if session is not None:
            self._shut_out(session.link, identity, "banned")

    def kick(self, protocol: str, identity: str) -> bool:
        """Close a device's link, unless others are on it; whether it has a session."""
        session = self.sessions.get(protocol, identity)
        if session is not None:
            self._shut_out(session.link, identity, "kicked")
        return session is not None

    def refused(self, link: Link, identity: str, cause: str) -> None:
        """A device that has no session on this link may not come in, for a cause in a word: remember it."""
        self._departed(link, identity, cause)
        self.evidence.refused(link, identity, cause)

    def is_banned(self, link: Link, identity: str) -> bool:
        """Whether a message that came over a link is a banned device's, who then is shut out."""
        if self.banned_devices.get((link.protocol.name, identity), self.now()) is None:
            return False
        self.statistics.count("messages.banned")
        if identity not in link.identities:
            self.refused(link, identity, "banned")
        self._shut_out(link, identity, "banned")
        return True

    def take(self, link: Link, message: Message, is_answered: bool = False) -> None:
        """A link has opened a message: from here it goes to the workers."""
        self.statistics.count("messages")
        received_ms = time.time_ns() // 1_000_000
        payload = IngestMessage(
            link.protocol.name, message.identity, message.kind, message.sequence, message.head, message.body, received_ms
        )
        self.batches.add(None if is_answered else link, message, payload)

    def turned_away(self, claim: Claim, link: Link, refusal: Refusal) -> None:
        """A device may not come in on a link."""
        self.refused(link, claim.device[1], refusal)
        is_guess = refusal is Refusal.CREDENTIAL and claim.shown is not None
        if is_guess and not link.identities and self.addresses.offended(link.address, refusal, self.now()):
            self._tell_banned(link, refusal)
            link.close("banned")

    def refused_by_worker(self, link: Link, identity: str) -> None:
        """A device's message was not stored: by now it may not come in."""
        self.refused(link, identity, "refused")
        self._refuse(link.protocol.name, identity)
        link.end_session(identity, "refused")

    def begin_session(self, session: Session) -> None:
        """A device was let in on a link. On the link it was on before, it is no more, here or on another gateway."""
        if self.sessions.is_kept_out(session.identity, session.link, self.now()):
            return
        session.opened_at = self._links[session.link]
        session.begun_ms = time.time_ns() // 1_000_000
        lost = self.sessions.begin(session)
        if lost is not session:
            if not session.link.identities:
                self.addresses.identified(session.link.address, True)
            session.link.identities.add(session.identity)
            if self.taps:
                self.taps.attach(session.link, session.identity)
            self.statistics.count("sessions.begun")
            log.debug("session begun", protocol=session.protocol, device=session.identity, peer=session.link.peer)
            self.routes.claim(session)
            self.evidence.begun(session)
            self.wondering.begun(session)
        if lost is not None:
            log.debug("newer link wins", protocol=lost.protocol, device=lost.identity, closed=lost.link.peer)
            self._replaced(lost)

    def end_session(self, link: Link, identity: str, cause: str) -> None:
        if identity in link.identities:
            link.identities.discard(identity)
            if not link.identities:
                self.addresses.identified(link.address, False)
        ended = self.sessions.end(link.protocol.name, identity, link)
        if ended is not None:
            self.statistics.count("sessions.ended")
            self._departed(link, identity, cause)
            self.downloads.ended(ended)
            self.commanding.ended(ended)
            self.routes.release(ended)
            self.presence.ended(ended, cause)
            self.evidence.ended(ended, cause)

    def snapshot(self) -> dict[str, Any]:
        """Gauges and counters, for the log."""
        return {
            "links": len(self._links),
            "sessions": len(self.sessions),
            "addresses": len(self.addresses),
            "banned_addresses": len(self.addresses.bans),
            "banned_devices": len(self.banned_devices),
            "taps": len(self.taps),
            "downloads": len(self.downloads),
            "commands": len(self.commanding),
            **self.batches.snapshot(),
            **self.routes.snapshot(),
            "presence_waiting": self.presence.waiting,
            **self.statistics.snapshot(),
        }

    def _departed(self, link: Link, identity: str, cause: str) -> None:
        self.departures.add(link.protocol.name, identity, Departure(time.time(), cause, link.peer, link.ack_seconds))

    def _replaced(self, session: Session) -> None:
        """A device has a session on a newer link. This one's is closed, unless other devices are on it."""
        self.statistics.count("sessions.replaced")
        self._shut_out(session.link, session.identity, "replaced")
        if session.link.is_open and self.sessions.keep_out(session, self.now()) > self.settings.devices_per_link:
            session.link.close("devices")

    def _shut_out(self, link: Link, identity: str, cause: str) -> None:
        self.end_session(link, identity, cause)
        if not link.identities:
            link.close(cause)

    def _tell_banned(self, link: Link, cause: str) -> None:
        self.statistics.count("bans.addresses")
        log.warning("address banned", address=link.address, cause=cause, seconds=self.settings.ban_seconds)

    def _refuse(self, protocol: str, identity: str) -> None:
        """A device whose message has been answered already may not come in any more."""
        self.admissions.doubt((protocol, identity))
        session = self.sessions.get(protocol, identity)
        if session is not None:
            session.link.end_session(identity, "refused")

    def _tell_if_all_closed(self) -> None:
        if not self._links:
            waiting, self._all_closed = self._all_closed, []
            for closed in waiting:
                closed.callback(None)

    def _set_full(self, is_full: bool) -> None:
        if is_full:
            log.warning("too many batches without a receipt, reading paused")
        else:
            log.info("reading goes on")
        self._set_reading(not is_full and not self._is_draining)

    def _set_reading(self, is_reading: bool) -> None:
        self.is_paused = not is_reading
        for link in self._links:
            link.set_reading(is_reading)
