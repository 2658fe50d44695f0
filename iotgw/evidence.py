"""What this gateway tells the fleet of devices and of strangers, and what it is told.

    gateway ── begun, ended, refused, closed ──▶ waiting ── a chunk ten times a second ──▶ table (Redis)
    mailbox ── somebody looks at a device ─────▶   │
                                                   └─ one entry a device, the newest counts

Facts are told when something happens to a device, and when somebody looks at it. What waits is bounded, and so is what
is written a second: a fleet that comes back at once is told within half a minute. While Redis is away what was to be
told is dropped and counted.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from iotgw.sessions import Session
from tasks.contract import CLAIM_LENGTH, Facts, FactsWanted, Stranger, route_field, stranger_field

if TYPE_CHECKING:
    from iotgw.gateway import Gateway
    from iotgw.link import Link

_T = TypeVar("_T", Facts, Stranger)

CHUNK = 50
DELAY_SECONDS = 0.1
"""Together 500 entries a second, for which a busy gateway has the time, and Redis too."""
LAST_CHUNK = 1_000
"""Of a gateway that stops: nobody waits for its event loop any more."""
MOST_FACTS = 20_000
"""More than a gateway has links. Some 15 MB at the most, when all of them close at once."""
MOST_STRANGERS = 1_000
LOOK_SECONDS = 1.0
"""How long another gateway may take to tell what it knows of a device."""
LOOK_AGAIN_SECONDS = 0.05


class Seen(NamedTuple):
    """All that is known of a device."""

    facts: Facts | None
    gateway: str = ""
    """Which gateway has it now, with or without session; empty for none that lives."""
    strangers: Sequence[Stranger] = ()
    """Of the last day, of all protocols."""
    is_complete: bool = True
    """False while Redis is away: then it is what this gateway knows itself."""


class EvidenceAwayError(Exception):
    """Redis cannot be reached, or refuses to write."""


class Table(Protocol):
    """Where the fleet's evidence is kept. Whatever fails does so with :class:`EvidenceAwayError`."""

    def write(self, facts: Sequence[tuple[str, Facts]], strangers: Sequence[Stranger]) -> Deferred[None]: ...
    def find(self, device: FactsWanted) -> Deferred[Seen]: ...
    def facts(self, device: FactsWanted) -> Deferred[Facts | None]: ...
    def strangers(self) -> Deferred[Sequence[Stranger]]: ...
    def ask(self, gateway: str, device: FactsWanted) -> Deferred[None]: ...


class Evidence:
    """Collects what is to be told, and finds what is asked for."""

    def __init__(self, gateway: Gateway, clock: IReactorTime) -> None:
        self._gateway = gateway
        self._clock = clock
        self._statistics = gateway.statistics
        self._table: Table | None = None
        self._facts: OrderedDict[str, Facts] = OrderedDict()
        self._strangers: OrderedDict[str, Stranger] = OrderedDict()
        self._timer: IDelayedCall | None = None
        self._is_writing = False
        self._drained: list[Deferred[None]] = []

    def keep_in(self, table: Table) -> None:
        """Tell the fleet."""
        self._table = table

    def begun(self, session: Session) -> None:
        session.link.facts.had_session = True
        self._tell(session.protocol, session.identity, self._facts_of(session.link, session.since))

    def ended(self, session: Session, cause: str) -> None:
        """A session is over; a newer one of the device, on another link, may have begun."""
        facts = self._facts_of(session.link, session.since)
        # It is on the link no more, and was.
        facts = facts._replace(ended_ms=facts.written_ms, cause=cause, devices=facts.devices + 1)
        self._tell(session.protocol, session.identity, facts)

    def refused(self, link: Link, identity: str, cause: str) -> None:
        """A device was not let in. Anybody may claim any name, so that it is told among the strangers, who are bounded."""
        link.facts.is_refused = True
        self._add_stranger(link, identity, f"refused.{cause}")

    def closed(self, link: Link, cause: str) -> None:
        """A link has closed; if nobody ever had a session on it, it was a stranger's."""
        if not (link.facts.had_session or link.facts.is_refused):
            self._add_stranger(link, link.facts.identity, f"closed.{cause}")

    def tell(self, device: FactsWanted) -> None:
        """Somebody looks at a device: tell how it stands, if it is here."""
        session = self._gateway.sessions.get(*device)
        if session is not None:
            self._tell(*device, self._facts_of(session.link, session.since))
            # Somebody waits for it.
            self._facts.move_to_end(route_field(*device), last=False)

    @inlineCallbacks
    def look(self, device: FactsWanted) -> Generator[Deferred[Any], Any, Seen]:
        """All that the fleet knows of a device. Of one that is elsewhere, what that gateway knows now."""
        own = self._gateway.settings.gateway_id
        session = self._gateway.sessions.get(*device)
        if session is not None:
            return Seen(self._facts_of(session.link, session.since), own)
        seen = Seen(None, is_complete=False)
        if self._table is not None:
            try:
                found: Seen = yield self._table.find(device)
                # A route of our own is about to be released: it has just left.
                seen = found._replace(gateway="") if found.gateway == own else found
                if seen.gateway:
                    facts = yield self._ask(self._table, seen, device)
                    # What another one told of an earlier link says nothing of this one.
                    return seen._replace(facts=facts if facts and facts.gateway == seen.gateway else None)
            except EvidenceAwayError:
                seen = Seen(None, is_complete=False)
        # Last, since whoever has a session is not the one that waits.
        waits = self._waits(*device)
        return seen if waits is None else seen._replace(facts=waits, gateway=own)

    def strangers(self) -> Deferred[Sequence[Stranger]]:
        """Of the last day, the newest first; fails while Redis is away."""
        return succeed(()) if self._table is None else self._table.strangers()

    def drain(self) -> Deferred[None]:
        """Fires when all that waits is written, or dropped."""
        drained: Deferred[None] = Deferred()
        self._drained.append(drained)
        self._write()
        return drained

    @property
    def waiting(self) -> int:
        return len(self._facts) + len(self._strangers)

    @inlineCallbacks
    def _ask(self, table: Table, seen: Seen, device: FactsWanted) -> Generator[Deferred[Any], Any, Facts | None]:
        yield table.ask(seen.gateway, device)
        ends_at = self._clock.seconds() + LOOK_SECONDS
        facts = seen.facts
        while facts == seen.facts and self._clock.seconds() < ends_at:
            yield deferLater(self._clock, LOOK_AGAIN_SECONDS)
            facts = yield table.facts(device)
        return facts

    def _waits(self, protocol: str, identity: str) -> Facts | None:
        """Of one that waits to be let in, and so has no session by which it could be found."""
        links = (link for link in self._gateway.open_links() if link.facts.identity == identity and link.unsettled)
        link = next((link for link in links if link.protocol.name == protocol), None)
        return None if link is None else self._facts_of(link, 0.0)

    def _facts_of(self, link: Link, since: float) -> Facts:
        facts, now, now_ms = link.facts, self._gateway.now(), time.time_ns() // 1_000_000

        def ms(at: float) -> int:
            return now_ms - int((now - at) * 1000) if at else 0

        return Facts(
            gateway=self._gateway.settings.gateway_id,
            written_ms=now_ms,
            port=facts.port,
            peer=link.peer,
            devices=len(link.identities),
            opened_ms=facts.opened_ms,
            begun_ms=ms(since),
            messages=facts.messages,
            malformed=dict(facts.malformed),
            heard_ms=ms(facts.heard_at),
            message_ms=ms(facts.message_at),
            kind="" if facts.kind is None else _kind_name(link, facts.kind),
            resends=facts.resends,
            waiting=link.unsettled,
            waiting_ms=ms(facts.waiting_since) if link.unsettled else 0,
            is_broker_away=self._gateway.batches.is_broker_away,
            settled_ms=ms(facts.settled_at),
            outcome="" if facts.outcome is None else facts.outcome.name.lower(),
            acked_ms=int(facts.acked_at.timestamp() * 1000) if facts.acked_at else 0,
            ack_seconds=link.ack_seconds or 0.0,
        )

    def _add_stranger(self, link: Link, identity: str, reason: str) -> None:
        facts = link.facts
        stranger = Stranger(
            protocol=link.protocol.name,
            identity=identity[:CLAIM_LENGTH],
            gateway=self._gateway.settings.gateway_id,
            port=facts.port,
            peer=link.peer,
            reason=reason,
            first=facts.first,
            messages=facts.messages,
            malformed=dict(facts.malformed),
            at_ms=time.time_ns() // 1_000_000,
        )
        field = stranger_field(stranger)
        before = self._strangers.get(field)
        if before is not None:
            stranger = stranger._replace(times=before.times + 1)
        self._wait(self._strangers, field, stranger, MOST_STRANGERS)

    def _tell(self, protocol: str, identity: str, facts: Facts) -> None:
        self._wait(self._facts, route_field(protocol, identity), facts, MOST_FACTS)

    def _wait(self, waiting: OrderedDict[str, _T], field: str, told: _T, most: int) -> None:
        if self._table is None:
            return
        waiting[field] = told
        if len(waiting) > most:
            waiting.popitem(last=False)
            self._statistics.count("evidence.dropped")
        self._hasten()

    def _hasten(self) -> None:
        if self.waiting and self._timer is None and not self._is_writing:
            self._timer = self._clock.callLater(DELAY_SECONDS, self._write)

    def _write(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        if self._is_writing:
            return
        if self._table is None or not self.waiting:
            self._tell_drained()
            return
        room = LAST_CHUNK if self._drained else CHUNK
        facts = [self._facts.popitem(last=False) for _ in range(min(room, len(self._facts)))]
        strangers = [self._strangers.popitem(last=False)[1] for _ in range(min(room, len(self._strangers)))]
        self._is_writing = True
        written = self._table.write(facts, strangers)
        count = len(facts) + len(strangers)
        written.addCallbacks(self._written, self._not_written, callbackArgs=(count,), errbackArgs=(count,))

    def _written(self, _: None, count: int) -> None:
        self._statistics.count("evidence.written", count)
        self._go_on()

    def _not_written(self, _: Failure, count: int) -> None:
        self._statistics.count("evidence.dropped", count)
        self._go_on()

    def _go_on(self) -> None:
        self._is_writing = False
        if self._drained:
            self._write()
        else:
            self._hasten()

    def _tell_drained(self) -> None:
        drained, self._drained = self._drained, []
        for deferred in drained:
            deferred.callback(None)


def _kind_name(link: Link, kind: int) -> str:
    try:
        return link.protocol.kind_name(kind)
    except Exception:
        # A protocol of another package, perhaps. No device is to be kept out for what its message is called.
        return f"0x{kind:X}"
