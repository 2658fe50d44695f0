"""What operators do with alarms: the first to do it is the one. Each is in the audit, under its :class:`store.audit.Actor`."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from store import audit
from store.audit import Actor, Change
from store.models import Alarm, AlarmReason, AlarmState, Event, EventKind

_WRITTEN = ("state", "settled_at", "handled_at", "handled_by", "note", "reason")
_TOLD = ("state", "handled_by", "note", "reason")


class HandledError(Exception):
    """Somebody has done it already."""


def acknowledge(id: int, by: str, note: str, actor: Actor) -> Alarm:
    """Say that somebody, ``by`` the name that others know, looks after an alarm.

    Raises: HandledError if somebody does, or has closed it; Alarm.DoesNotExist.
    """
    with transaction.atomic():
        alarm = _locked(id, AlarmState.OPEN)
        before = _told(alarm)
        alarm.state, alarm.reason = AlarmState.ACKNOWLEDGED, ""
        alarm.note = note
        change = Change("alarm.acknowledge", id, _name(alarm), before, {})
        return _handled(alarm, by, EventKind.ALARM_ACKNOWLEDGED, change, actor)


def close(id: int, by: str, reason: AlarmReason, note: str, actor: Actor) -> Alarm:
    """Say what an alarm was. Only what the device tells of a later time opens it again.

    Raises: HandledError if it is closed; Alarm.DoesNotExist.
    """
    with transaction.atomic():
        alarm = _locked(id, AlarmState.OPEN, AlarmState.ACKNOWLEDGED)
        before = _told(alarm)
        if note or alarm.state == AlarmState.OPEN:
            alarm.note = note
        alarm.state, alarm.reason = AlarmState.CLOSED, reason
        alarm.settled_at = alarm.last_at
        change = Change("alarm.close", id, _name(alarm), before, {})
        return _handled(alarm, by, EventKind.ALARM_CLOSED, change, actor)


def _locked(id: int, *states: AlarmState) -> Alarm:
    """The alarm, which no worker and nobody else changes until the transaction ends."""
    alarm = Alarm.objects.select_for_update(of=("self",)).select_related("device").get(pk=id)
    if alarm.state not in states:
        raise HandledError(f"it was {alarm.state} at {alarm.handled_at:%Y-%m-%d %H:%M:%S} by {alarm.handled_by}")
    return alarm


def _handled(alarm: Alarm, by: str, event: EventKind, change: Change, actor: Actor) -> Alarm:
    now = timezone.now()
    alarm.handled_at, alarm.handled_by = now, by
    alarm.save(update_fields=_WRITTEN)
    told = {"by": by, "note": alarm.note, "reason": alarm.reason}
    detail = {name: text for name, text in told.items() if text}
    Event.objects.create(device=alarm.device, time=now, kind=event, subject=alarm.kind, detail=detail, received_at=now)
    before, after = audit.differences(change.before, _told(alarm))
    audit.record(actor, [change._replace(before=before, after=after)])
    return alarm


def _told(alarm: Alarm) -> dict[str, str]:
    return {field: str(getattr(alarm, field)) for field in _TOLD}


def _name(alarm: Alarm) -> str:
    return f"{alarm.kind} of {alarm.device}"
