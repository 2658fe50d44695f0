"""Who may come in: asked when a device first speaks on a link, before anything of it goes on.

    link ── ask ──▶ a round: up to 500 devices ── what Redis remembers ──▶ directory
     ▲                 │                        ── the rest: a task ─────▶ worker ──▶ database
     └── admitted ◀────┴───────────────────────── what is known of each ◀──┘

A few rounds are under way at a time, and who comes meanwhile shares the next: ten thousand devices that come back at
once are a few dozen questions. What Redis remembers is believed for a minute, a refusal only if it was read just now, so
that a device which is added, enabled or given another credential need not wait. While nobody answers, whom Redis
remembers of the last day comes in all the same; others wait, and are asked for again and again for as long as they do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import NamedTuple, Protocol

import structlog
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from iotgw.seldom import Seldom
from iotgw.statistics import Statistics
from protocols import Credential
from protocols.credential import fits
from settings import Admission
from tasks.contract import MOST_DEVICES, Known

log = structlog.get_logger(__name__)

MOST_ROUNDS = 4
"""Enough to have several workers look; what comes meanwhile makes the next rounds larger, and so cheaper."""
BELIEVED_SECONDS = 60.0
REFUSED_SECONDS = 1.0
"""How old an answer may be by which a device is turned away. Who guesses credentials costs one question in so long."""
RETRY_SECONDS = 2.0
AWAY_SECONDS = 10.0
"""For so long after nobody has answered nobody is waited for whom Redis remembers."""
MOST_DOUBTED = 10_000

Device = tuple[str, str]


class Refusal(StrEnum):
    """Why a device may not come in, in a word; the empty one lets it in."""

    NONE = ""
    UNKNOWN = "unknown"
    DISABLED = "disabled"
    CREDENTIAL = "credential"


class Remembered(NamedTuple):
    """What was known of a device some time ago."""

    known: Known | None
    age_seconds: float


class Directory(Protocol):
    """Who knows the devices."""

    def remembered(self, devices: Sequence[Device]) -> Deferred[list[Remembered | None]]:
        """What Redis has of each; None of those that it has nothing of."""

    def looked_up(self, devices: Sequence[Device]) -> Deferred[list[Known | None]]:
        """What the database has of each; None for one that there is not. Fails when there is no answer."""


class Claimant(Protocol):
    """Whoever has somebody at the door: a link's doorway."""

    @property
    def is_vouched(self) -> bool:
        """Whether somebody was let in there who speaks for others."""

    def admitted(self, claim: Claim, refusal: Refusal) -> None:
        """The answer."""

    def still_waits(self, claim: Claim) -> bool:
        """Nobody knows yet; whether it is to be asked again."""


@dataclass(slots=True)
class Claim:
    """A device that wants to come in on a link."""

    claimant: Claimant
    device: Device
    rule: Admission
    shown: Credential | None

    def refusal(self, known: Known | None) -> Refusal:
        """Why it may not come in, by what is known of it."""
        if known is None:
            return Refusal.NONE if self.rule is Admission.OPEN else Refusal.UNKNOWN
        if not known.is_enabled:
            return Refusal.DISABLED
        if self.rule is not Admission.CREDENTIAL or self.claimant.is_vouched:
            return Refusal.NONE
        return Refusal.NONE if self.shown and fits(self.shown.text, known.credential) else Refusal.CREDENTIAL


class Admissions:
    """Asks for devices in rounds, and tells each link what became of its claims."""

    def __init__(self, clock: IReactorTime, statistics: Statistics) -> None:
        self._clock = clock
        self._statistics = statistics
        self._directory: Directory | None = None
        self._claims: dict[tuple[Claimant, Device], Claim] = {}
        """Those that no round has taken yet, in the order they came."""
        self._rounds = 0
        self._is_due = False
        self._away_until = -AWAY_SECONDS
        self._seldom = Seldom(clock.seconds)
        self._doubted: set[Device] = set()
        """Devices of which a worker has said since that what is remembered is no longer so."""

    def ask_of(self, directory: Directory) -> None:
        """Have somebody who knows."""
        self._directory = directory

    def ask(self, claim: Claim) -> None:
        """A device has spoken on a link that it was not let in on. The answer is not given at once."""
        self._statistics.count("admissions")
        self._claims[claim.claimant, claim.device] = claim
        self._hasten()

    def doubt(self, device: Device) -> None:
        """One that was let in is refused by now: nothing that is remembered of it is believed the next time."""
        if len(self._doubted) < MOST_DOUBTED:
            self._doubted.add(device)

    @property
    def waiting(self) -> int:
        """Claims that no round has taken yet."""
        return len(self._claims)

    def _hasten(self) -> None:
        if self._claims and not self._is_due and self._rounds < MOST_ROUNDS:
            # At the end of this turn of the reactor: whatever was read in it shares the round.
            self._is_due = True
            self._clock.callLater(0, self._begin)

    def _begin(self) -> None:
        self._is_due = False
        if self._directory is None:
            return
        claims = [self._claims.pop(key) for key in list(islice(self._claims, MOST_DEVICES))]
        if claims:
            self._rounds += 1
            remembered = self._directory.remembered([claim.device for claim in claims])
            remembered.addErrback(lambda _: [None] * len(claims))
            remembered.addCallback(self._look_up, claims, self._directory)
        self._hasten()

    def _look_up(self, remembered: list[Remembered | None], claims: list[Claim], directory: Directory) -> None:
        """Tell those of whom Redis knows enough, and ask for the others."""
        is_away = self._clock.seconds() < self._away_until
        left = [
            (claim, memory)
            for claim, memory in zip(claims, remembered, strict=True)
            if not (self._believe(claim, memory) or (is_away and self._believe_old(claim, memory)))
        ]
        if not left:
            self._end_round()
            return
        looked_up = directory.looked_up([claim.device for claim, _ in left])
        looked_up.addCallbacks(self._answered, self._not_answered, callbackArgs=(left,), errbackArgs=(left,))
        looked_up.addCallback(lambda _: self._end_round())

    def _answered(self, known: list[Known | None], left: list[tuple[Claim, Remembered | None]]) -> None:
        self._away_until = -AWAY_SECONDS
        for (claim, _), what in zip(left, known, strict=True):
            self._doubted.discard(claim.device)
            self._tell(claim, what)

    def _not_answered(self, failure: Failure, left: list[tuple[Claim, Remembered | None]]) -> None:
        self._away_until = self._clock.seconds() + AWAY_SECONDS
        self._statistics.count("admissions.not_answered")
        waiting = [claim for claim, memory in left if not self._believe_old(claim, memory)]
        self._seldom.say(
            log.warning,
            "no answer who may come in, whom Redis does not remember waits",
            failure.type.__name__ if failure.type else "",
            error=failure.getErrorMessage(),
            remembered=len(left) - len(waiting),
            waiting=len(waiting),
        )
        if waiting:
            self._clock.callLater(RETRY_SECONDS, self._ask_again, waiting)

    def _ask_again(self, claims: list[Claim]) -> None:
        for claim in claims:
            if claim.claimant.still_waits(claim):
                self._claims.setdefault((claim.claimant, claim.device), claim)
        self._hasten()

    def _end_round(self) -> None:
        self._rounds -= 1
        self._hasten()

    def _believe(self, claim: Claim, memory: Remembered | None) -> bool:
        """Go by what Redis remembers, if it is new enough; whether it was."""
        if memory is None or claim.device in self._doubted:
            return False
        if memory.age_seconds > (REFUSED_SECONDS if claim.refusal(memory.known) else BELIEVED_SECONDS):
            return False
        self._statistics.count("admissions.remembered")
        self._tell(claim, memory.known)
        return True

    def _believe_old(self, claim: Claim, memory: Remembered | None) -> bool:
        """While nobody answers: let in whom Redis remembers, however old that is; whether it does."""
        if memory is None or claim.device in self._doubted or claim.refusal(memory.known):
            return False
        self._statistics.count("admissions.remembered_old")
        self._tell(claim, memory.known)
        return True

    def _tell(self, claim: Claim, known: Known | None) -> None:
        refusal = claim.refusal(known)
        if refusal:
            self._statistics.count(f"admissions.refused.{refusal}")
        try:
            claim.claimant.admitted(claim, refusal)
        except Exception:
            # One link's fault must not keep out all others of the round.
            log.exception("link could not be told who comes in")
