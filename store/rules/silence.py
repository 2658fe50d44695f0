"""Rules that ask for silence: devices from which nothing came for so long, looked for now and then.

states by the minute they were seen in ─▶ silent for long enough ─▶ what else the rule asks for, of the newest values ─▶ alarm

The next message of a device ends it (:mod:`store.rules.evaluation`). One that has never sent anything is not silent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet

from store.bulk import tables_of
from store.models import Device, Phase, Rule, RuleState, State
from store.rules.evaluation import seen_in, settle
from store.rules.life import Deed, Outcome, Standing
from store.rules.rulebook import MOST_STANDINGS, KnownRules, devices_of, standings_of
from store.rules.truth import CompiledRule

DEVICES_A_STEP = 500
MOST_LOOKED_AT = 20_000
"""Of one rule in one turn. Those that fell silent last come first: how the others stand was seen in an earlier turn."""


def look(known: KnownRules, now: datetime, is_over: Callable[[], bool]) -> int:
    """Open alarms of devices that are silent, until time is up; how many.

    Idempotent: each step is a transaction that looks again at what it has locked. Bounded by what a rule may have open and by
    what is looked at. Raises: django.db.DatabaseError or InterfaceError
    """
    known.refresh()
    opened = 0
    rules = {id: rule for id, rule in known.rules.items() if rule.silence is not None}
    for row in Rule.objects.filter(id__in=rules).select_related("group").order_by("id"):
        rule = rules[row.pk]
        # One more than there is room for, so that it is said that there is none.
        most = MOST_LOOKED_AT if rule.node is not None else max(0, MOST_STANDINGS - standings_of(rule.id)) + 1
        ids = list(_silent(row, rule, now)[:most])
        for start in range(0, len(ids), DEVICES_A_STEP):
            if is_over():
                return opened
            opened += _open(known, rule, ids[start : start + DEVICES_A_STEP], now)
    return opened


def _silent(row: Rule, rule: CompiledRule, now: datetime) -> QuerySet[State, Any]:
    """Devices that have been silent for so long and of which that is not known, by the index of the minute they were seen in."""
    assert rule.silence is not None
    since = now - rule.silence
    known = RuleState.objects.filter(rule=row, device_id=OuterRef("device_id"))
    members = Device.objects.filter(devices_of(row), is_enabled=True)
    found = State.objects.filter(seen_minute__lte=since, last_seen__lte=since, device__in=members).exclude(Exists(known))
    return found.order_by("-seen_minute", "-device_id").values_list("device_id", flat=True)


def _open(known: KnownRules, rule: CompiledRule, devices: Sequence[int], now: datetime) -> int:
    assert rule.silence is not None
    with transaction.atomic(), connection.cursor() as cursor, connection.wrap_database_errors:
        ids = sorted(devices)
        list(State.objects.select_for_update().filter(device_id__in=ids).order_by("device_id").values_list("device_id"))
        tables = tables_of(cursor)
        standing = {each.device_id for each in tables.find_standings(ids) if each.rule_id == rule.id}
        outcomes = []
        for state in tables.find_states(ids):
            told = seen_in(state)
            if state.device_id in standing or state.last_seen is None or not rule.opens(told):
                continue
            at = state.last_seen + rule.silence
            if at <= now:
                after = Standing(state.device_id, rule.id, rule.version, Phase.ACTIVE, at, at)
                outcomes.append(Outcome(state.device_id, rule.id, rule.kind, rule.severity, None, after, Deed.OPEN, at, told.place))
        return settle(tables, known, outcomes, now)
