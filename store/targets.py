"""Targets in the database: who they are, how far each is, who sends to it.

operator ── add, change, pause ──▶ target ◀── claimed for a while ── a process that sends (tasks.forward)
                                   cursors ◀── moved: taken up to here
                                   dead notices ◀── refused for good
retention ── rows go ──▶ what a cursor has not passed is counted as lost to it

A claim is by the database's clock and ends by itself, so that what a killed process held goes on elsewhere. Only the owner moves
cursors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import F, Model, Q

from store import audit, forwarding
from store.audit import Actor, Change, differences
from store.clock import database_now
from store.forwarding import Wanted
from store.horizon import settled_id
from store.json_text import plain_text
from store.models import ERROR_TEXT_LENGTH, TARGET_LENGTH, DeadNotice, ForwardSource, Target, TargetCursor

MOST_TARGETS = 50
"""Each has a thread and a connection to the database."""
MOST_DEAD = 10_000
"""Of a target. Then it waits until somebody looks, so that nothing is passed over that is written down nowhere."""
CLAIM = timedelta(seconds=10)
RENEWED = timedelta(seconds=6)
"""A claim is renewed when less than this is left of it."""
CLAIMED_AT_ONCE = 4
"""So that of two processes that begin together each gets some."""
PATIENCE_SECONDS = 5.0


class TargetError(Exception):
    """It cannot be done with this target, and why."""


class Plan(NamedTuple):
    """What a target is to be; its options are checked by its kind."""

    kind: str
    address: str
    options: Mapping[str, Any]
    sources: Sequence[str]
    wanted: Wanted


class Lag(NamedTuple):
    """What a target has not had of a source."""

    behind: int
    """Ids, which are at least as many as rows."""
    oldest: datetime | None
    """When the first of these rows came."""


def find(name: str) -> Target:
    """Raises: TargetError"""
    target = Target.objects.filter(name=name).first()
    if target is None:
        raise TargetError(f"there is no target {name}: list them with targets list")
    return target


def add(name: str, plan: Plan, since: datetime | None, actor: Actor) -> Target:
    """A new target, which gets what comes from now on, or what came from a time on.

    Raises: TargetError
    """
    if not name or len(name) > TARGET_LENGTH or not all(c.isalnum() or c in "._-" for c in name) or not name.isascii():
        raise TargetError(f"{name!r} is no name: give one of 1 to {TARGET_LENGTH} letters, digits, dots and dashes")
    begins = {source: _begin(source, since) for source in plan.sources}
    with transaction.atomic():
        if Target.objects.filter(name=name).exists():
            raise TargetError(f"there is a target {name} already: change it with targets change")
        if Target.objects.count() >= MOST_TARGETS:
            raise TargetError(f"there are {MOST_TARGETS} targets, which is the most: delete one")
        target = Target.objects.create(
            name=name, kind=plan.kind, address=plan.address, options=dict(plan.options), wanted=plan.wanted.kept()
        )
        TargetCursor.objects.bulk_create(
            TargetCursor(target=target, source=source, last_id=begin) for source, begin in begins.items()
        )
        audit.record(actor, [Change("target.add", target.pk, name, {}, picture(target))])
    return target


def change(name: str, plan: Callable[[Target], Plan], actor: Actor) -> Target:
    """Have a target be another one, by how it is. Sources that it gets begin now; those that it has go on where they are.

    Raises: TargetError
    """
    with transaction.atomic():
        target = _locked(name)
        before, new = picture(target), plan(target)
        target.address, target.options, target.wanted = new.address, dict(new.options), new.wanted.kept()
        target.cursors.exclude(source__in=new.sources).delete()
        there = set(target.cursors.values_list("source", flat=True))
        TargetCursor.objects.bulk_create(
            TargetCursor(target=target, source=source, last_id=_begin(source, None))
            for source in new.sources
            if source not in there
        )
        _changed(target)
        target.cursors.update(failures=0, next_try_at=None)
        audit.record(actor, [Change("target.change", target.pk, name, *differences(before, picture(target)))])
    return target


def pause(name: str, reason: str, actor: Actor) -> Target:
    """Send it nothing until it is resumed; what comes meanwhile waits in its tables.

    Raises: TargetError
    """
    with transaction.atomic():
        target = _locked(name)
        if not target.is_paused:
            target.is_paused, target.pause_reason = True, plain_text(reason)[:ERROR_TEXT_LENGTH]
            _changed(target)
            audit.record(actor, [Change("target.pause", target.pk, name, {"paused": False}, {"paused": True})], reason)
    return target


def resume(name: str, actor: Actor) -> Target:
    """Go on where it was, at once, also with one that waits for its next try.

    Raises: TargetError
    """
    with transaction.atomic():
        target = _locked(name)
        was_paused, target.is_paused, target.pause_reason = target.is_paused, False, ""
        _changed(target)
        target.cursors.update(failures=0, next_try_at=None)
        if was_paused:
            audit.record(actor, [Change("target.resume", target.pk, name, {"paused": True}, {"paused": False})])
    return target


def delete(name: str, actor: Actor) -> None:
    """Raises: TargetError"""
    with transaction.atomic():
        target = _locked(name)
        audit.record(actor, [Change("target.delete", target.pk, name, picture(target), {})])
        target.delete()


def skip(name: str, source: str, actor: Actor) -> DeadNotice:
    """Have the notice of a source that is next in turn be a dead one, so that those behind it go on.

    Raises: TargetError
    """
    with transaction.atomic():
        target = _locked(name)
        cursor = target.cursors.filter(source=source).first()
        if cursor is None:
            raise TargetError(f"{target} does not get {source}")
        row = _next(cursor, Wanted.of(target.wanted))
        if row is None:
            raise TargetError(f"{target} has all of {source}: there is nothing to put aside")
        reason = f"put aside by {plain_text(actor.name)}: {cursor.last_error}"[:ERROR_TEXT_LENGTH]
        dead, _ = DeadNotice.objects.get_or_create(
            target=target, source=source, row_id=row, defaults={"reason": reason, "tries": cursor.failures}
        )
        target.cursors.filter(pk=cursor.pk).update(last_id=row, failures=0, next_try_at=None, last_error="")
        _changed(target)
        audit.record(actor, [Change("target.skip", target.pk, name, {source: cursor.last_id}, {source: row})])
    return dead


def discard(name: str, ids: Sequence[int], actor: Actor) -> int:
    """Throw dead notices away, or all of them; how many.

    Raises: TargetError
    """
    with transaction.atomic():
        target = _locked(name)
        dead = target.dead.filter(pk__in=ids) if ids else target.dead.all()
        count, _ = dead.delete()
        if count:
            audit.record(actor, [Change("target.discard", target.pk, name, {"dead": count}, {})])
    return count


def replayed(target: Target, count: int, actor: Actor) -> None:
    """Note that so many dead notices were sent again and taken."""
    if count:
        with transaction.atomic():
            audit.record(actor, [Change("target.replay", target.pk, target.name, {"dead": count}, {})])


def picture(target: Target) -> dict[str, Any]:
    """What the audit tells of a target. There are no secrets in it, only where they are."""
    return {
        **{field: getattr(target, field) for field in ("kind", "address", "options", "wanted")},
        "sources": sorted(target.cursors.values_list("source", flat=True)),
    }


def claim(owner: str) -> list[Target]:
    """The targets that are an owner's from now on, some new ones among them."""
    now = database_now()
    free = Q(owner="") | Q(owned_until__lt=now)
    ids = list(Target.objects.filter(free, is_paused=False).order_by("pk").values_list("pk", flat=True)[:CLAIMED_AT_ONCE])
    if ids:
        Target.objects.filter(free, pk__in=ids, is_paused=False).update(owner=owner, owned_until=now + CLAIM)
    mine = list(Target.objects.filter(owner=owner, owned_until__gte=now).order_by("pk"))
    if ending := [target.pk for target in mine if target.owned_until and target.owned_until < now + RENEWED]:
        Target.objects.filter(owner=owner, pk__in=ending).update(owned_until=now + CLAIM)
    return [target for target in mine if not target.is_paused]


def release(owner: str, target_ids: Iterable[int]) -> None:
    """Let others have these at once."""
    Target.objects.filter(owner=owner, pk__in=list(target_ids)).update(owner="", owned_until=None)


def moved(cursor: TargetCursor, owner: str, last_id: int, sent: int, dead: Sequence[DeadNotice] = ()) -> bool:
    """The target has everything up to an id, but what is dead; False, and nothing is written, if it is somebody else's now."""
    now = database_now()
    with transaction.atomic():
        is_mine = _mine(cursor, owner).update(
            last_id=last_id,
            sent=F("sent") + sent,
            failures=0,
            next_try_at=None,
            last_error="",
            **({"moved_at": now} if sent else {}),
        )
        if is_mine and dead:
            DeadNotice.objects.bulk_create(dead, ignore_conflicts=True)
    return bool(is_mine)


def failed(cursor: TargetCursor, owner: str, failures: int, wait_seconds: float, error: str) -> bool:
    """It was not taken, and is tried again after a while; False as :func:`moved`."""
    return bool(
        _mine(cursor, owner).update(
            failures=failures,
            next_try_at=database_now() + timedelta(seconds=wait_seconds),
            last_error=plain_text(error)[:ERROR_TEXT_LENGTH],
        )
    )


def lose(model: type[Model], table: str, condition: str = "id > 0", parameters: Sequence[Any] = ()) -> Counter[str]:
    """Count rows that are about to go before a target had them, in the transaction in which they go; how many, by target.

    Whether it would have wanted them is not asked. ``table`` may be a part of the model's.
    """
    lost: Counter[str] = Counter()
    sources = {source: forwarding.condition_of(source) for source in ForwardSource if forwarding.model_of(source) is model}
    for cursor in TargetCursor.objects.select_related("target").filter(source__in=sources):
        with connection.cursor() as asking:
            asking.execute(
                f"SELECT count(*) FROM {table} WHERE id > %s AND {condition} AND {sources[ForwardSource(cursor.source)]}",
                [cursor.last_id, *parameters],
            )
            rows = asking.fetchone()[0]
        if rows:
            TargetCursor.objects.filter(pk=cursor.pk).update(lost=F("lost") + rows)
            lost[cursor.target.name] += rows
    return lost


def state_of(target: Target, cursors: Iterable[TargetCursor], now: datetime) -> str:
    """How a target stands, in a word or two."""
    if target.is_paused:
        return "paused"
    if not target.owner or target.owned_until is None or target.owned_until < now:
        return "nobody sends"
    return "failing" if any(cursor.failures for cursor in cursors) else "sending"


def lag(cursor: TargetCursor) -> Lag:
    """How far behind what is stored a target is."""
    oldest = forwarding.oldest(cursor.source, cursor.last_id)
    return Lag(max(0, forwarding.newest_id(cursor.source) - cursor.last_id) if oldest else 0, oldest)


def _begin(source: str, since: datetime | None) -> int:
    if since is not None:
        return forwarding.id_before(source, since)
    newest = settled_id(forwarding.model_of(source), PATIENCE_SECONDS)
    return forwarding.newest_id(source) if newest is None else newest


def _next(cursor: TargetCursor, wanted: Wanted) -> int | None:
    """The row behind a cursor that is wanted."""
    after, newest = cursor.last_id, forwarding.newest_id(cursor.source)
    while after < newest:
        page = forwarding.page(cursor.source, wanted, after, newest, 1)
        if page.rows:
            return page.rows[0].row_id
        after = page.end
    return None


def _locked(name: str) -> Target:
    target = Target.objects.select_for_update(no_key=True).filter(name=name).first()
    if target is None:
        raise TargetError(f"there is no target {name}: list them with targets list")
    return target


def _changed(target: Target) -> None:
    """Whoever sends to it begins anew."""
    target.revision += 1
    target.save(update_fields=["address", "options", "wanted", "is_paused", "pause_reason", "revision"])


def _mine(cursor: TargetCursor, owner: str) -> Any:
    return TargetCursor.objects.filter(pk=cursor.pk, target__owner=owner)
