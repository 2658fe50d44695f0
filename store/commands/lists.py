"""Commands as people and programs are shown them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.db.models import Count, QuerySet

from store.models import Command, CommandRun, CommandStep, Device

_TIMES = ("created_at", "not_before", "expires_at", "sent_at", "answer_by", "ended_at")


def newest(
    limit: int, identity: str | None = None, states: Iterable[str] = (), run: int | None = None, after: int | None = None
) -> QuerySet[Command]:
    """The newest first; with ``after``, those that are older than this one."""
    found = Command.objects.select_related("device").order_by("-id")
    if identity is not None:
        found = found.filter(device_id__in=list(Device.objects.filter(identity=identity).values_list("id", flat=True)))
    if states := list(states):
        found = found.filter(state__in=states)
    if run is not None:
        found = found.filter(run_id=run)
    if after is not None:
        found = found.filter(id__lt=after)
    return found[:limit]


def shown(command: Command) -> dict[str, Any]:
    """Shape: times are datetimes or None."""
    return {
        "id": command.id,
        "protocol": command.device.protocol,
        "identity": command.device.identity,
        "name": command.name,
        "effect": command.effect,
        "fields": command.fields,
        "condition": command.condition,
        "state": command.state,
        "reason": command.reason,
        "by": command.by,
        "run": command.run_id,
        "delivery": command.delivery_id,
        "tries": command.tries,
        "gateway": command.gateway,
        "sequence": command.sequence,
        **{name: getattr(command, name) for name in _TIMES},
    }


def steps(command: Command) -> Iterator[dict[str, Any]]:
    """What has happened to it, the first first.

    Shape: bytes are hex.
    """
    for step in CommandStep.objects.filter(command=command).order_by("id"):
        data = None if step.data is None else bytes(step.data).hex()
        names = ("at", "state", "cause", "text", "gateway", "kind")
        yield {name: getattr(step, name) for name in names} | {"data": data}


def progress(run: CommandRun) -> dict[str, int]:
    """How many of a run's commands are in each state."""
    counted = Command.objects.filter(run=run).order_by().values_list("state").annotate(Count("id"))
    return {**dict.fromkeys(Command.State.values, 0), **dict(counted)}


def newest_runs(limit: int) -> QuerySet[CommandRun]:
    return CommandRun.objects.order_by("-id")[:limit]
