"""Whose turn it is: what may leave to devices now, and of what workers are to tell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

from protocols.command import AnswersName
from store.models import IDENTITY_LENGTH, Command
from store.rows import is_name

AT_ONCE = 8
"""Commands of one device that are told at a time; for the next a gateway asks again."""
_State = Command.State


def next_of(protocol: str, identities: Iterable[str], names: AnswersName, now: datetime) -> dict[str, list[Command]]:
    """By device, the commands that may leave now, in the order in which they were asked for.

    While the answer to one could be taken for that to another, the other waits.
    """
    wanted = [identity for identity in identities if is_name(identity, IDENTITY_LENGTH)]
    # Files go down by a way of their own.
    open = Command.objects.filter(device__protocol=protocol, device__identity__in=wanted, state__in=Command.OPEN, delivery=None)
    by_device: dict[str, list[Command]] = defaultdict(list)
    # What they say is read of those only that are chosen.
    for row in open.select_related("device").defer("fields", "condition").order_by("id"):
        by_device[row.device.identity].append(row)
    chosen = {identity: _turns(rows, names, now) for identity, rows in by_device.items()}
    whole = Command.objects.select_related("device").in_bulk([row.id for rows in chosen.values() for row in rows])
    return {identity: [whole[row.id] for row in rows if row.id in whole] for identity, rows in chosen.items()}


def due(now: datetime, limit: int, ids: Sequence[int] | None = None) -> list[Command]:
    """Commands that workers are to look at, those first that have waited longest; of ``ids`` only, if they are given."""
    found = Command.objects.filter(due_at__lte=now).select_related("device")
    if ids is not None:
        found = found.filter(id__in=ids)
    return list(found.defer("fields", "condition").order_by("due_at", "id")[:limit])


def waiting(devices: Iterable[int]) -> set[int]:
    """Those of the devices for which something is queued that gateways are to ask for."""
    queued = Command.objects.filter(device_id__in=list(devices), state=_State.QUEUED, delivery=None)
    return set(queued.values_list("device_id", flat=True))


def _turns(rows: Sequence[Command], names: AnswersName, now: datetime) -> list[Command]:
    taken = {row.kind for row in rows if row.state == _State.SENT}
    chosen: list[Command] = []
    for row in rows:
        if row.state != _State.QUEUED or not row.not_before <= now < row.expires_at:
            continue
        if names is AnswersName.NOTHING and taken:
            break
        if names is AnswersName.KIND and row.kind in taken:
            continue
        taken.add(row.kind)
        chosen.append(row)
        if len(chosen) == AT_ONCE:
            break
    return chosen
