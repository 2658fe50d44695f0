"""How a device stands by a rule, from one report to the next, without a database.

            holds                   for_seconds                     does not hold             clear_for_seconds
  (nothing) ─────▶ pending ────────────────────▶ active ───────────────────────▶ clearing ──────────────────▶ (nothing)
                      └─ does not hold ─▶ (nothing)   ◀──────────── holds ──────────┘

Reaching active opens the rule's alarm, reaching nothing from there ends it; where no seconds are given the phase between is
passed at once. While it is active its alarm counts up, once a minute at most: a rule that holds by every report of a fleet is
not to write a row for each. Of two reports of the same time the first decides. A report that does not say whether the rule
holds changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import NamedTuple

from store.models import Phase
from store.rules.geometry import Point
from store.rules.truth import CompiledRule, Judge, Seen, Truth

REPEAT = timedelta(minutes=1)


class Standing(NamedTuple):
    """The columns of a device's state by a rule."""

    device_id: int
    rule_id: int
    rule_version: int
    phase: str
    since: datetime
    told_at: datetime | None = None

    @property
    def has_alarm(self) -> bool:
        return self.phase != Phase.PENDING


class Deed(Enum):
    """What becomes of an alarm."""

    OPEN = auto()
    REPEAT = auto()
    END = auto()
    LEAVE = auto()
    """End, whatever the device reports: the rule has changed, or is not the device's any more."""


class Outcome(NamedTuple):
    """What a report makes of a rule."""

    device: int
    rule: int
    kind: str
    """Of the rule's alarms."""
    severity: str
    before: Standing | None
    after: Standing | None
    deed: Deed | None
    at: datetime
    place: Point | None = None


class Told(NamedTuple):
    """A report, as rules see it."""

    at: datetime
    seen: Seen
    earlier: Seen | None
    """What was told before, if it is known."""


def course(
    device: int, rules: Iterable[CompiledRule], standings: Mapping[int, Standing], reports: Iterable[Told]
) -> Iterator[Outcome]:
    """What reports, in the order of their time, make of rules, as long as something comes of them."""
    now = dict(standings)
    asked = list(rules)
    for told in reports:
        at, seen, _ = told
        for rule in asked:
            before = now.get(rule.id)
            after, deed = step(device, rule, before, told)
            if after is before and deed is None:
                continue
            if after is None:
                now.pop(rule.id, None)
            else:
                now[rule.id] = after
            yield Outcome(device, rule.id, rule.kind, rule.severity, before, after, deed, at, seen.place)


def step(device: int, rule: CompiledRule, before: Standing | None, told: Told) -> tuple[Standing | None, Deed | None]:
    """How a device stands by a rule after a report, and what becomes of the alarm."""
    at = told.at
    if not rule.is_told_of(told.seen) or (before is not None and at <= before.since):
        return before, None
    if before is None or before.phase == Phase.PENDING:
        return _opening(device, rule, before, told)
    truth = _truth(rule.holds, told)
    if truth:
        is_repeated = before.told_at is None or at - before.told_at >= REPEAT
        if before.phase == Phase.CLEARING or is_repeated:
            since = at if before.phase == Phase.CLEARING else before.since
            after = before._replace(phase=Phase.ACTIVE, since=since, told_at=at if is_repeated else before.told_at)
            return after, Deed.REPEAT if is_repeated else None
    elif truth is False:
        if not rule.clear_wait or (before.phase == Phase.CLEARING and at - before.since >= rule.clear_wait):
            return None, Deed.END
        if before.phase == Phase.ACTIVE:
            return before._replace(phase=Phase.CLEARING, since=at), None
    return before, None


def _opening(device: int, rule: CompiledRule, before: Standing | None, told: Told) -> tuple[Standing | None, Deed | None]:
    truth, at = _truth(rule.opens, told), told.at
    if truth is None:
        return before, None
    if not truth:
        return None, None
    if at - (at if before is None else before.since) >= rule.wait:
        return Standing(device, rule.id, rule.version, Phase.ACTIVE, at, at), Deed.OPEN
    return before or Standing(device, rule.id, rule.version, Phase.PENDING, at), None


def _truth(judge: Judge, told: Told) -> Truth:
    truth = judge(told.seen)
    if truth is None and told.earlier is not None:
        return judge(told.seen.behind(told.earlier))
    return truth


def is_in_doubt(rule: CompiledRule, standing: Standing | None, seen: Seen) -> bool:
    """Whether a report tells something of a rule, and not enough: what was told before may say the rest."""
    if not rule.is_told_of(seen):
        return False
    return (rule.holds if standing is not None and standing.has_alarm else rule.opens)(seen) is None
