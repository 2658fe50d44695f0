"""Which rules hold for which devices, as far as a process has looked.

each batch ── one row: the rule book's figures ──▶ as before? ─ yes ─▶ what is known
                                                     ├─ rules changed ─▶ those are read and compiled anew
                                                     └─ members changed ─▶ devices are looked up anew, when they report

Devices that have the same rules share one :class:`RuleSet`, so that a fleet is a handful of them.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from django.db import connection
from django.db.models import Q

from store import groups
from store.models import Device, Rule, RuleState, Tag
from store.rows import ALARM_PREFIX
from store.rules.declaration import RuleDeclaration
from store.rules.plans import RuleSet
from store.rules.reading import declared
from store.rules.truth import CompiledRule, compiled

log = logging.getLogger(__name__)

MOST_RULES = 1_000
MOST_STANDINGS = 10_000
"""Devices that may stand by one rule, so with an alarm or about to have one. What is true of more is no alarm."""
MOST_DEVICES = 200_000
MOST_SETS = 2_000
"""What is remembered at most. Beyond that it is forgotten, and looked up again as devices report."""
FULL_AGAIN_SECONDS = 600.0

_EMPTY: RuleSet = RuleSet([])


class Facts(NamedTuple):
    """What decides which rules hold for a device."""

    protocol: str
    identity: str
    path: str
    """Of its group."""
    tags: frozenset[str]


class KnownRule(NamedTuple):
    compiled: CompiledRule
    holds_for: Callable[[Facts], bool]
    is_for_all: bool
    has_tag: bool


class KnownRules:
    """The rules, and the devices that this process has seen."""

    def __init__(self) -> None:
        self._full_at: dict[int, float] = {}
        self.forget()

    def forget(self) -> None:
        """Begin anew: what is in the database may have changed."""
        self._figures: tuple[int, int] | None = None
        self._rules: dict[int, KnownRule] = {}
        self.kinds: dict[int, str] = {}
        """Of the alarms of all rules that there are, enabled or not."""
        self.versions: dict[int, int] = {}
        self.forget_devices()

    def refresh(self) -> bool:
        """Know what is committed by now; whether any rules are enabled, or were and left something behind."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT version, members FROM store_rulebook")
            figures = cursor.fetchone() or (0, 0)
        if self._figures is None or figures[0] != self._figures[0]:
            self._read()
            self.forget_devices()
        elif figures[1] != self._figures[1]:
            self.forget_devices()
        self._figures = figures
        return bool(self.kinds)

    @property
    def rules(self) -> dict[int, CompiledRule]:
        """Those that are enabled."""
        return {id: known.compiled for id, known in self._rules.items()}

    def sets(self, devices: Collection[int]) -> Mapping[int, RuleSet]:
        """The rules of each device."""
        if self._for_all is not None:
            return dict.fromkeys(devices, self._for_all)
        if missing := [device for device in devices if device not in self._by_device]:
            if len(self._by_device) + len(missing) > MOST_DEVICES or len(self._sets) > MOST_SETS:
                self.forget_devices()
                missing = list(devices)
            for device, facts in self._facts(missing).items():
                self._by_device[device] = self._set(id for id, known in self._rules.items() if known.holds_for(facts))
        return {device: self._by_device.get(device, _EMPTY) for device in devices}

    def full(self, rule: int) -> None:
        """Say that a rule opens no more alarms; now and then, since each batch might."""
        now = time.monotonic()
        if now - self._full_at.get(rule, -FULL_AGAIN_SECONDS) >= FULL_AGAIN_SECONDS:
            self._full_at[rule] = now
            extra = {"alarm": self.kinds.get(rule, ""), "devices": MOST_STANDINGS}
            log.warning("a rule has as many alarms as it may have, it opens no more", extra=extra)

    def forget_devices(self) -> None:
        """Look again which rules are for which devices: those that a transaction made may not be there after all."""
        self._by_device: dict[int, RuleSet] = {}
        self._sets: dict[frozenset[int], RuleSet] = {}
        is_for_all = all(known.is_for_all for known in self._rules.values())
        self._for_all = self._set(self._rules) if is_for_all else None

    def _set(self, ids: Iterable[int]) -> RuleSet:
        """One object for all devices that have the same rules."""
        wanted = frozenset(ids)
        if wanted not in self._sets:
            self._sets[wanted] = RuleSet(known.compiled for id, known in self._rules.items() if id in wanted)
        return self._sets[wanted]

    def _read(self) -> None:
        rows = list(Rule.objects.select_related("group").order_by("id")[:MOST_RULES])
        self.kinds = {row.pk: kind_of(row) for row in rows}
        self.versions = {row.pk: row.version for row in rows}
        before, self._rules = self._rules, {}
        for row in rows:
            if not row.is_enabled or row.is_removed:
                continue
            known = before.get(row.pk)
            try:
                # Most are as they were, but for what their group's path is.
                rule = known.compiled if known and known.compiled.version == row.version else compile_row(row)
            except ValueError:
                log.exception("a rule cannot be used, it holds for no device", extra={"rule": row.name})
                continue
            self._rules[row.pk] = KnownRule(rule, _holds_for(row), row.group is None and not row.scope, "tag" in row.scope)

    def _facts(self, devices: Collection[int]) -> dict[int, Facts]:
        tags: dict[int, set[str]] = defaultdict(set)
        if any(known.has_tag for known in self._rules.values()):
            for device, word in Tag.objects.filter(device_id__in=devices).values_list("device_id", "word"):
                tags[device].add(word)
        rows = Device.objects.filter(id__in=devices).values_list("id", "protocol", "identity", "group__path")
        return {id: Facts(protocol, identity, path or "", frozenset(tags[id])) for id, protocol, identity, path in rows}


def kind_of(row: Rule) -> str:
    return ALARM_PREFIX + row.name


def declaration_of(row: Rule) -> RuleDeclaration:
    """As it could be added again.

    Raises: RuleError
    """
    scope = dict(row.scope) if row.group is None else {"group": groups.titles([row.group])[row.group.pk]}
    return declared({**row.told, "scope": scope})


def compile_row(row: Rule) -> CompiledRule:
    """Raises: RuleError"""
    return compiled(row.pk or 0, row.version, kind_of(row), declared(row.told))


def devices_of(row: Rule) -> Q:
    """Which devices a rule is for, for a question to their table."""
    if row.group is not None:
        return Q(group__path__startswith=row.group.path)
    if "tag" in row.scope:
        return Q(id__in=Tag.objects.filter(word=row.scope["tag"]).values("device_id"))
    if "protocol" in row.scope:
        return Q(protocol=row.scope["protocol"])
    if "devices" in row.scope:
        by_protocol: dict[str, list[str]] = defaultdict(list)
        for name in row.scope["devices"]:
            by_protocol[name["protocol"]].append(name["identity"])
        found = Q(pk__in=[])
        for protocol, identities in by_protocol.items():
            found |= Q(protocol=protocol, identity__in=identities)
        return found
    return Q()


def standings_of(rule: int) -> int:
    return RuleState.objects.filter(rule_id=rule).count()


def _holds_for(row: Rule) -> Callable[[Facts], bool]:
    """The same as :func:`devices_of`, for what is known already."""
    if row.group is not None:
        path = row.group.path
        return lambda facts: facts.path.startswith(path)
    if "tag" in row.scope:
        word = row.scope["tag"]
        return lambda facts: word in facts.tags
    if "protocol" in row.scope:
        protocol = row.scope["protocol"]
        return lambda facts: facts.protocol == protocol
    if "devices" in row.scope:
        names = {(name["protocol"], name["identity"]) for name in row.scope["devices"]}
        return lambda facts: (facts.protocol, facts.identity) in names
    return lambda facts: True
