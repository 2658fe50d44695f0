"""What operators do with alarms: the first to do it is the one."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from store.models import Alarm, AlarmReason, AlarmState, Event, EventKind

_WRITTEN = ("state", "settled_at", "handled_at", "handled_by", "note", "reason")


class HandledError(Exception):
    """Somebody has done it already."""


def acknowledge(id: int, by: str, note: str) -> Alarm:
    """Say that somebody looks after an alarm.

    Raises: HandledError if somebody does, or has closed it; Alarm.DoesNotExist.
    """
    with transaction.atomic():
        alarm = _locked(id, AlarmState.OPEN)
        alarm.state, alarm.reason = AlarmState.ACKNOWLEDGED, ""
        alarm.note = note
        return _handled(alarm, by, EventKind.ALARM_ACKNOWLEDGED)


def close(id: int, by: str, reason: AlarmReason, note: str = "") -> Alarm:
    """Say what an alarm was. Only what the device tells of a later time opens it again.

    Raises: HandledError if it is closed; Alarm.DoesNotExist.
    """
    with transaction.atomic():
        alarm = _locked(id, AlarmState.OPEN, AlarmState.ACKNOWLEDGED)
        if note or alarm.state == AlarmState.OPEN:
            alarm.note = note
        alarm.state, alarm.reason = AlarmState.CLOSED, reason
        alarm.settled_at = alarm.last_at
        return _handled(alarm, by, EventKind.ALARM_CLOSED)


def _locked(id: int, *states: AlarmState) -> Alarm:
    """The alarm, which no worker and nobody else changes until the transaction ends."""
    alarm = Alarm.objects.select_for_update(of=("self",)).select_related("device").get(pk=id)
    if alarm.state not in states:
        raise HandledError(f"it was {alarm.state} at {alarm.handled_at:%Y-%m-%d %H:%M:%S} by {alarm.handled_by}")
    return alarm


def _handled(alarm: Alarm, by: str, event: EventKind) -> Alarm:
    now = timezone.now()
    alarm.handled_at, alarm.handled_by = now, by
    alarm.save(update_fields=_WRITTEN)
    told = {"by": by, "note": alarm.note, "reason": alarm.reason}
    detail = {name: text for name, text in told.items() if text}
    Event.objects.create(device=alarm.device, time=now, kind=event, subject=alarm.kind, detail=detail, received_at=now)
    return alarm
