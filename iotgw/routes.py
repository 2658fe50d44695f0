"""One session a device in the whole fleet: the newest link wins, and the other one is closed wherever it is.

    sessions ── claim ──▶ waiting ── a chunk at a time ──▶ table (Redis) ── won: the session has its epoch
             ── release ─▶   │                                └──────────── lost: a newer link is elsewhere
                             └─ one entry a device, the last word counts
    mailbox ── kick ──▶ the session that is older than the route that won is lost

Whoever asks Redis last about a device is told who has it; so two gateways never both think that they do, for longer
than a kick takes. While Redis is away every gateway goes on by what it knows itself, and what changed meanwhile waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Protocol

import structlog
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from iotgw.routetable import Answer, Claim
from iotgw.sessions import Session, Sessions
from iotgw.statistics import Statistics
from tasks.contract import Kick, route_field

log = structlog.get_logger(__name__)

CHUNK = 250
"""Devices in one script: a millisecond or two of Redis' time, and less of the event loop's."""
DELAY_SECONDS = 0.02
"""How long a change waits for others to share its round trip. No ack waits for it."""

Device = tuple[str, str]


class Table(Protocol):
    """Where routes are kept."""

    run: str
    on_ready: Callable[[], None]
    on_away: Callable[[], None]

    def change(self, claims: Sequence[Claim], releases: Sequence[str]) -> Deferred[list[Answer]]: ...


class Routes:
    """Keeps the fleet's routes up with the sessions of this gateway."""

    def __init__(
        self,
        sessions: Sessions,
        clock: IReactorTime,
        statistics: Statistics,
        won: Callable[[Session], None],
        lost: Callable[[Session], None],
    ) -> None:
        self._sessions = sessions
        self._clock = clock
        self._statistics = statistics
        self._won = won
        self._lost = lost
        self._table: Table | None = None
        self._is_ready = False
        self._waiting: dict[Device, Session | None] = {}
        """Claims, and releases as None. While Redis is away, as many as there are sessions and were when it left."""
        self._sent: dict[Device, Session | None] = {}
        self._held: set[Device] = set()
        """Devices of which a route of ours may be in Redis."""
        self._timer: IDelayedCall | None = None
        self._drained: list[Deferred[None]] = []

    def keep_in(self, table: Table) -> None:
        """Share the sessions with other gateways."""
        self._table = table
        table.on_ready, table.on_away = self._ready, self._away

    def claim(self, session: Session) -> None:
        """A session began here."""
        self._waiting[session.protocol, session.identity] = session
        self._hasten()

    def release(self, session: Session) -> None:
        """A session ended here, and there is no other one of the device."""
        device = (session.protocol, session.identity)
        if device in self._held:
            self._waiting[device] = None
            self._hasten()
        else:
            self._waiting.pop(device, None)
            self._tell_if_drained()

    def kicked(self, kick: Kick) -> None:
        """Another gateway has a newer link of a device, or had."""
        device = (kick.protocol, kick.identity)
        session = self._sessions.get(*device)
        if session is None or self._table is None or kick.run != self._table.run:
            self._statistics.count("routes.kicks.late")
        elif self._waiting.get(device) is session or self._sent.get(device) is session:
            # Which of the two came first into Redis, the answer to the claim says.
            session.kicked_by = max(session.kicked_by, kick.epoch)
        elif session.epoch < kick.epoch:
            self._statistics.count("routes.kicks")
            self._lose(session)
        else:
            self._statistics.count("routes.kicks.late")

    def drain(self) -> Deferred[None]:
        """Fires when what waits has been done, or at once while Redis is away."""
        drained: Deferred[None] = Deferred()
        self._drained.append(drained)
        self._tell_if_drained()
        return drained

    def snapshot(self) -> dict[str, int | str]:
        """Gauges, for the log."""
        state = "ready" if self._is_ready else "away"
        return {"routes": state, "routes_held": len(self._held), "routes_waiting": len(self._waiting) + len(self._sent)}

    def _ready(self) -> None:
        self._is_ready = True
        for session in self._sessions:
            self._waiting.setdefault((session.protocol, session.identity), session)
        self._hasten()

    def _away(self) -> None:
        self._is_ready = False
        self._statistics.count("routes.away")
        self._tell_if_drained()

    def _hasten(self) -> None:
        if self._is_ready and self._waiting and not self._sent and self._timer is None:
            self._timer = self._clock.callLater(DELAY_SECONDS, self._send)

    def _send(self) -> None:
        self._timer = None
        if self._table is None or not self._is_ready or not self._waiting:
            return
        devices = list(islice(self._waiting, CHUNK))
        claims, releases = [], []
        for device in devices:
            session = self._sent[device] = self._waiting.pop(device)
            if session is None:
                releases.append(route_field(*device))
            else:
                self._held.add(device)
                claims.append(Claim(route_field(*device), session.link.number, session.opened_at, session.opened_us))
        self._table.change(claims, releases).addCallbacks(self._changed, self._not_changed)

    def _changed(self, answers: list[Answer]) -> None:
        sent, self._sent = self._sent, {}
        answered = iter(answers)
        self._statistics.count("routes.claims", len(answers))
        self._statistics.count("routes.releases", len(sent) - len(answers))
        for device, session in sent.items():
            if session is None:
                self._held.discard(device)
            else:
                self._answered(device, session, next(answered))
        # More has been waiting for this answer: it need not wait for company as well.
        if len(self._waiting) >= CHUNK and self._timer is None:
            self._send()
        self._hasten()
        self._tell_if_drained()

    def _answered(self, device: Device, session: Session, answer: Answer) -> None:
        if answer.is_won:
            session.epoch, session.opened_us = answer.epoch, answer.opened_us
        if self._sessions.get(*device) is not session:
            # It ended, or a newer link took it over here: the change that follows from that waits already.
            return
        if not answer.is_won:
            self._statistics.count("routes.lost")
            self._lose(session, answer.kept_by)
        elif session.kicked_by > answer.epoch:
            self._statistics.count("routes.kicks")
            self._lose(session)
        else:
            self._won(session)

    def _not_changed(self, _: Failure) -> None:
        sent, self._sent = self._sent, {}
        # What came meanwhile is the last word: a session that ended has its release there, one that was replaced the new claim.
        self._waiting = {**sent, **self._waiting}
        self._hasten()
        self._tell_if_drained()

    def _lose(self, session: Session, kept_by: str = "") -> None:
        device = (session.protocol, session.identity)
        log.debug("newer link on another gateway wins", protocol=device[0], device=device[1], closed=session.link.peer, by=kept_by)
        # Its route is another gateway's by now.
        self._held.discard(device)
        self._lost(session)

    def _tell_if_drained(self) -> None:
        if not self._is_ready or not (self._waiting or self._sent):
            drained, self._drained = self._drained, []
            for deferred in drained:
                deferred.callback(None)
