"""Which devices are here: what the gateway tells the workers of its sessions.

    routes ──── begun: the route is answered ──▶ waiting ── up to 1,000 a task, one at a time ──▶ offload ── worker ── database
    sessions ── ended, and why ────────────────▶    ▲                                               │
                                                    └────────── no reply: told again ◀──────────────┘

A session is told with the epoch of its route, by which the last word of the fleet is known from an earlier one; what is
over before it has one is not told. One that another link takes over does not end for the device, and is not told to: the
new one is. What waits is bounded, and the oldest goes first; it is made good by the routes, which are claimed anew every
quarter of an hour and told with each answer, and by workers, who look for devices that no gateway has.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import structlog
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from iotgw.offload import TaskFailedError
from iotgw.seldom import Seldom
from iotgw.sessions import Session
from iotgw.statistics import Statistics
from tasks.contract import MOST_CHANGES, PRESENCE_TASK, BadPayloadError, PresenceChange

log = structlog.get_logger(__name__)

DELAY_SECONDS = 1.0
"""How long a change waits for others to share its task."""
REPLY_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 60.0
PROBE = 50
"""Told at once after a failure, until there is a reply: what nobody takes lies in the broker until it does."""
MOST_WAITING = 50_000
"""Some 25 MB. More sessions than a gateway has in all begin and end in the minutes that a broker may be away."""
TAKEN_OVER = "replaced"

Changes = OrderedDict[tuple[str, str, int], PresenceChange]


class Presence:
    """Collects what is to be told of sessions, and tells it until a worker says that it is stored."""

    def __init__(self, gateway_id: str, clock: IReactorTime, statistics: Statistics) -> None:
        self._gateway_id = gateway_id
        self._clock = clock
        self._statistics = statistics
        self._seldom = Seldom(clock.seconds)
        self._call: Callable[..., Deferred[Any]] | None = None
        self._run = ""
        self._waiting: Changes = OrderedDict()
        self._sent: Changes | None = None
        self._failures = 0
        self._timer: IDelayedCall | None = None
        self._drained: list[Deferred[None]] = []

    def tell_with(self, run: str, call: Callable[..., Deferred[Any]]) -> None:
        """Have workers store what is told. ``run`` is this process, as the routes know it."""
        self._run, self._call = run, call

    def begun(self, session: Session) -> None:
        """A session has its route, for the first time or again."""
        session.told_epoch = session.epoch
        if len(self._waiting) >= MOST_WAITING:
            # It is told again when its route is claimed anew. An end is not.
            self._statistics.count("presence.dropped")
        else:
            self._wait(session, 0, "")

    def ended(self, session: Session, cause: str) -> None:
        """A session is over, and there is no other one of the device here."""
        if session.told_epoch and cause != TAKEN_OVER:
            self._wait(session, time.time_ns() // 1_000_000, cause)
            if len(self._waiting) > MOST_WAITING:
                self._waiting.popitem(last=False)
                self._statistics.count("presence.dropped")

    def drain(self) -> Deferred[None]:
        """Tell what waits, without delay; fires when it is told, or a task of it was not."""
        drained: Deferred[None] = Deferred()
        self._drained.append(drained)
        self._go_on(0)
        return drained

    @property
    def waiting(self) -> int:
        return len(self._waiting) + len(self._sent or ())

    def _wait(self, session: Session, ended_ms: int, cause: str) -> None:
        if self._call is None:
            return
        key = (session.protocol, session.identity, session.told_epoch)
        self._waiting[key] = PresenceChange(*key, session.begun_ms, ended_ms, session.link.peer, cause)
        if self._timer is None and self._sent is None:
            self._timer = self._clock.callLater(DELAY_SECONDS, self._tell)

    def _go_on(self, seconds: float) -> None:
        if self._sent is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            self._timer = self._clock.callLater(seconds, self._tell)
        else:
            self._tell_drained()

    def _tell(self) -> None:
        self._timer = None
        assert self._call is not None
        count = min(PROBE if self._failures else MOST_CHANGES, len(self._waiting))
        self._sent = OrderedDict(self._waiting.popitem(last=False) for _ in range(count))
        changes = [tuple(change) for change in self._sent.values()]
        told = self._call(PRESENCE_TASK, self._gateway_id, self._run, changes, timeout_seconds=REPLY_SECONDS)
        told.addCallbacks(self._told, self._not_told)

    def _told(self, _: None) -> None:
        count, self._sent = len(self._sent or ()), None
        self._failures = 0
        self._statistics.count("presence.told", count)
        # A fleet that comes at once need not wait for company.
        self._go_on(0 if self._drained or len(self._waiting) >= MOST_CHANGES else DELAY_SECONDS)

    def _not_told(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, TaskFailedError) and error.fault.type == BadPayloadError.__name__:
            self._give_up(failure)
            return
        sent, self._sent = self._sent or OrderedDict(), None
        self._failures += 1
        self._statistics.count("presence.not_told")
        self._seldom.say(
            log.warning,
            "presence not told, will try again",
            failure.type.__name__ if failure.type else "",
            error=failure.getErrorMessage(),
            waiting=len(self._waiting) + len(sent),
        )
        for key, change in reversed(sent.items()):
            if key not in self._waiting and len(self._waiting) < MOST_WAITING:
                self._waiting[key] = change
                self._waiting.move_to_end(key, last=False)
        if self._drained:
            self._tell_drained()
        self._go_on(min(DELAY_SECONDS * 2**self._failures, LONGEST_PAUSE_SECONDS))

    def _give_up(self, failure: Failure) -> None:
        """Told again it would be refused again. What routes and workers make good is not lost with it."""
        count, self._sent = len(self._sent or ()), None
        self._failures = 0
        self._statistics.count("presence.dropped", count)
        log.error("presence refused by a worker, given up", error=failure.getErrorMessage(), dropped=count)
        self._go_on(0 if self._drained else DELAY_SECONDS)

    def _tell_drained(self) -> None:
        drained, self._drained = self._drained, []
        for deferred in drained:
            deferred.callback(None)
