"""Messages in quarantine by what is wrong with them: a thousand messages that fail at one place are one thing to mend.

a message that cannot be read ─▶ (protocol, kind, cause, path without indexes) ─▶ its group's row, made once
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple, Self

from django.db import transaction
from django.db.models import Count, F, Max, Min
from django.utils import timezone

from store import audit
from store.audit import Actor, Change
from store.models import PATH_LENGTH, Quarantine, QuarantineGroup

MOST_GROUPS = 10_000
"""Beyond that messages have no group: whoever sends each with another number for its kind fills no table with them."""
ROWS_AT_ONCE = 1_000
MOST_ADOPTED = 100_000
"""Messages that a look at the groups gives theirs, at most."""

_INDEX = re.compile(r"\[\d+\]")


class GroupKey(NamedTuple):
    """What makes messages one group."""

    protocol: str
    kind: str
    cause: str
    path: str

    @classmethod
    def of(cls, protocol: str, kind: str, cause: str, path: str) -> Self:
        return cls(protocol, kind, cause, _INDEX.sub("[]", path)[:PATH_LENGTH])


class GroupCount(NamedTuple):
    """A group with what is in it now."""

    group: QuarantineGroup | None
    """None for messages without one."""
    messages: int
    devices: int
    first_at: datetime
    last_at: datetime
    newest: int
    """The id of the message that was stored last."""


def group_ids(keys: Iterable[GroupKey]) -> dict[GroupKey, int]:
    """The groups' ids, made if they are not there; of those beyond as many as are kept, none. There may be others among them."""
    wanted = set(keys)
    found = _find(wanted)
    missing = sorted(wanted - found.keys())
    room = MOST_GROUPS - QuarantineGroup.objects.count() if missing else 0
    if room > 0:
        # In one order, so that two who make the same ones do not wait for each other.
        rows = [QuarantineGroup(**key._asdict()) for key in missing[:room]]
        QuarantineGroup.objects.bulk_create(rows, ignore_conflicts=True)
        found |= _find(wanted)
    return found


def _find(keys: set[GroupKey]) -> dict[GroupKey, int]:
    # Each column by itself finds a few more than are asked for, by an index.
    columns = {f"{name}__in": {getattr(key, name) for key in keys} for name in GroupKey._fields}
    rows = QuarantineGroup.objects.filter(**columns).values_list(*GroupKey._fields, "id")
    return {GroupKey(*columns): id for *columns, id in rows}


def adopt() -> int:
    """Give messages their groups that workers of an older release have stored without; how many.

    Idempotent, and each thousand is a transaction of its own.
    """
    adopted = last = 0
    for _ in range(MOST_ADOPTED // ROWS_AT_ONCE):
        without = Quarantine.objects.filter(group=None, id__gt=last).select_related("device").order_by("id")
        rows = list(without.only("id", "kind", "error_cause", "error_path", "device__protocol")[:ROWS_AT_ONCE])
        if not rows:
            break
        with transaction.atomic():
            adopted += _adopt(rows)
        last = rows[-1].id
    return adopted


def _adopt(rows: Sequence[Quarantine]) -> int:
    keys = {row.id: GroupKey.of(row.device.protocol, row.kind, row.error_cause, row.error_path) for row in rows}
    found = group_ids(keys.values())
    with_group = [row for row in rows if keys[row.id] in found]
    for row in with_group:
        row.group_id = found[keys[row.id]]
    Quarantine.objects.bulk_update(with_group, ["group"])
    return len(with_group)


def groups(limit: int) -> list[GroupCount]:
    """Groups that have messages, those with the newest first. All of quarantine is counted for it."""
    counted = (
        Quarantine.objects.values_list("group")
        .annotate(
            messages=Count("id"),
            devices=Count("device", distinct=True),
            first_at=Min("received_at"),
            last_at=Max("received_at"),
            newest=Max("id"),
        )
        .order_by("-last_at", "-newest")[:limit]
    )
    rows = list(counted)
    named = QuarantineGroup.objects.in_bulk([group for group, *_ in rows if group is not None])
    return [GroupCount(named.get(group), *counts) for group, *counts in rows]


def messages(group: int | None, limit: int) -> Iterator[Quarantine]:
    """Of a group, or of none, with their devices; those stored last first."""
    found = Quarantine.objects.filter(group=group).select_related("device")
    return found.order_by("-id")[:limit].iterator(chunk_size=ROWS_AT_ONCE)


def discard(id: int, by: str, reason: str, actor: Actor) -> int:
    """Throw away what is in a group now, and note before that who does it and why; how many messages that were.

    What comes later stays, and the group is seen again. Each thousand is a transaction of its own.
    Raises: QuarantineGroup.DoesNotExist.
    """
    group = QuarantineGroup.objects.get(pk=id)
    messages = Quarantine.objects.filter(group=id)
    newest = messages.aggregate(Max("id"))["id__max"]
    if newest is not None:
        with transaction.atomic():
            audit.record(actor, [Change("quarantine.discard", id, str(group), {"messages": messages.count()}, {})], note=reason)
    discarded = 0
    while newest is not None:
        some = messages.filter(id__lte=newest).order_by("id").values_list("id", flat=True)[:ROWS_AT_ONCE]
        with transaction.atomic():
            gone, _ = Quarantine.objects.filter(id__in=list(some)).delete()
            QuarantineGroup.objects.filter(pk=id).update(
                discarded=F("discarded") + gone, discarded_at=timezone.now(), discarded_by=by, reason=reason
            )
        discarded += gone
        if not gone:
            break
    return discarded
