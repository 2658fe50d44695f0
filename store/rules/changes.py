"""What operators do with rules, each in one transaction with its entry in the audit.

A rule that is changed begins anew: its ongoing alarms end, those that it still finds begin again with the device's next report.
Workers notice with their next batch. What is left of how devices stood by it is taken away in steps, by whoever changed it and
by the minute's turn: a rule may have ten thousand alarms, and no batch is to wait for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from store import audit, groups
from store.audit import Actor, Change
from store.bulk import tables_of
from store.groups import GroupError
from store.members import rules_changed
from store.models import Device, Rule, RuleState, State
from store.rules.declaration import RuleDeclaration
from store.rules.errors import RuleError
from store.rules.evaluation import gone, settle
from store.rules.life import Standing
from store.rules.rulebook import MOST_RULES, KnownRules, declaration_of, devices_of

STANDINGS_A_STEP = 500
KEPT_REMOVED = timedelta(minutes=10)
"""A batch that began with a rule is over by then."""


def find(name: str) -> Rule:
    """Raises: RuleError if there is none."""
    row = Rule.objects.select_related("group").filter(name=name, is_removed=False).first()
    if row is None:
        raise RuleError(f"there is no rule {name}: list them with rules list")
    return row


def add(rule: RuleDeclaration, actor: Actor) -> Rule:
    """A new rule.

    Raises: RuleError if there is one of its name, or there is nothing that it could be for.
    """
    with transaction.atomic():
        row = Rule.objects.select_for_update(of=("self",)).filter(name=rule.name).first()
        if row is not None and not row.is_removed:
            raise RuleError(f"there is a rule {rule.name} already: change it with rules change")
        if row is None and Rule.objects.count() >= MOST_RULES:
            raise RuleError(f"there are {MOST_RULES} rules already: delete one first")
        row = row or Rule(name=rule.name, version=0)
        _take(row, rule)
        _save(row, Change("rule.add", row.pk or 0, rule.name, {}, _picture(row)), actor)
    return row


def made(rule: RuleDeclaration) -> Rule:
    """A rule as it would be, which is not stored.

    Raises: RuleError if there is nothing that it could be for.
    """
    row = Rule(name=rule.name)
    _take(row, rule)
    return row


def change(rule: RuleDeclaration, actor: Actor) -> Rule:
    """Have a rule be as this one, which bears its name.

    Raises: RuleError if there is none, or there is nothing that it could be for.
    """
    with transaction.atomic():
        row = _locked(rule.name)
        before = _picture(row)
        _take(row, rule)
        told_before, told = audit.differences(before, _picture(row))
        if told:
            _save(row, Change("rule.change", row.pk, rule.name, told_before, told), actor)
    return row


def set_enabled(name: str, is_enabled: bool, actor: Actor) -> Rule:
    """Raises: RuleError if there is none."""
    with transaction.atomic():
        row = _locked(name)
        if row.is_enabled != is_enabled:
            row.is_enabled = is_enabled
            action = "rule.enable" if is_enabled else "rule.disable"
            _save(row, Change(action, row.pk, name, {"enabled": not is_enabled}, {"enabled": is_enabled}), actor)
    return row


def remove(name: str, actor: Actor) -> Rule:
    """Raises: RuleError if there is none."""
    with transaction.atomic():
        row = _locked(name)
        change = Change("rule.remove", row.pk, name, _picture(row), {})
        row.is_removed, row.is_enabled = True, False
        # A group may go when no rule that anybody sees is for it.
        row.group, row.scope = None, {}
        _save(row, change, actor)
    return row


def exported() -> Iterator[dict[str, Any]]:
    """All rules as they can be added again, by their names."""
    for row in Rule.objects.filter(is_removed=False).select_related("group").order_by("name"):
        yield declaration_of(row).to_json()


def tidy(known: KnownRules, now: datetime) -> Iterator[int]:
    """End what is left of rules that have changed or gone, or are not for a device any more; of each step how many standings.

    Each step is a transaction of its own. Idempotent, and several at once wait for each other.
    """
    known.refresh()
    standings = RuleState.objects.filter(rule=OuterRef("pk"))
    for rule in Rule.objects.filter(Exists(standings)).select_related("group").order_by("id"):
        while found := _tidied(known, rule, now):
            yield found
    Rule.objects.filter(is_removed=True, changed_at__lt=now - KEPT_REMOVED, states=None).delete()


def _left_behind(rule: Rule) -> QuerySet[RuleState]:
    standings = RuleState.objects.filter(rule=rule)
    if not rule.is_enabled:
        return standings
    # A changed group or tag says nothing to a device that is silent, and one that is disabled says nothing any more.
    members = Device.objects.filter(devices_of(rule), is_enabled=True, pk=OuterRef("device_id"))
    return standings.filter(Q(rule_version__lt=rule.version) | ~Exists(members))


def _tidied(known: KnownRules, rule: Rule, now: datetime) -> int:
    with transaction.atomic(), connection.cursor() as cursor, connection.wrap_database_errors:
        ids = sorted(_left_behind(rule).order_by("device_id").values_list("device_id", flat=True)[:STANDINGS_A_STEP])
        # As workers do, which write no report of these devices meanwhile.
        list(State.objects.select_for_update().filter(device_id__in=ids).order_by("device_id").values_list("device_id"))
        rows = _left_behind(rule).filter(device_id__in=ids).values_list(*Standing._fields)
        settle(tables_of(cursor), known, [gone(Standing(*row), known, now) for row in rows], now)
    return len(ids)


def _locked(name: str) -> Rule:
    """The rule, which nobody else changes until the transaction ends."""
    row = Rule.objects.select_for_update(of=("self",), no_key=True).select_related("group").filter(name=name, is_removed=False)
    found = row.first()
    if found is None:
        raise RuleError(f"there is no rule {name}: list them with rules list")
    return found


def _take(row: Rule, rule: RuleDeclaration) -> None:
    told = rule.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    scope = told.get("scope", {})
    row.group = _group(scope.pop("group")) if "group" in scope else None
    if "tag" in scope:
        scope["tag"] = scope["tag"].lower()
    _check_devices(scope.get("devices", []))
    row.scope, row.condition = scope, told["when"]
    row.severity, row.is_enabled, row.is_removed = rule.severity, rule.enabled, False
    row.for_seconds, row.clear_for_seconds = rule.for_seconds, rule.clear_for_seconds


def _group(title: str) -> Any:
    try:
        return groups.find(title)
    except GroupError as error:
        raise RuleError(f"scope.group: {error}") from error


def _check_devices(names: list[dict[str, str]]) -> None:
    """Raises: RuleError if there is no such device: a rule for nobody says nothing, and looks as if all were well."""
    for number, name in enumerate(names):
        if not Device.objects.filter(**name).exists():
            raise RuleError(
                f"scope.devices[{number}]: there is no device {name['protocol']} {name['identity']}: list them with devices"
            )


def _save(row: Rule, change: Change, actor: Actor) -> None:
    row.version = row.version + 1
    row.changed_at = timezone.now()
    row.save()
    audit.record(actor, [change._replace(subject_id=row.pk)])
    rules_changed()


def _picture(row: Rule) -> dict[str, Any]:
    """What the audit tells of a rule."""
    return {"for_seconds": 0, "clear_for_seconds": 0, **declaration_of(row).to_json()}
