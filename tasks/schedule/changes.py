"""What operators see of the schedule, and change: each change with its audit entry, seen by beat within seconds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.db import transaction
from django_celery_beat.models import PeriodicTask, PeriodicTasks
from kombu.exceptions import OperationalError

from store import audit
from store.audit import Actor, Change
from tasks.schedule import defaults
from tasks.schedule.crontab import FIELDS, Crontab
from tasks.schedule.entry import Entry, ScheduleError, every, schedule_of


class ChangeError(Exception):
    """It cannot be done; the text says what to do."""


class Line(NamedTuple):
    """A row of the schedule, for people."""

    name: str
    when: str
    enabled: bool
    last_run: datetime | None
    """When beat asked for it last. Of one that was changed since: none."""
    next_run: datetime | None
    runs: int
    what: str
    task: str
    fault: str
    """Why beat leaves it out."""


def lines(zone: ZoneInfo) -> Iterator[Line]:
    """The whole schedule, by name; with what is missing of it made."""
    defaults.install(zone)
    for row in PeriodicTask._base_manager.order_by("name"):
        last_run = row.last_run_at
        when, fault, next_run = "", "", None
        try:
            entry = Entry(row)
            when, next_run = _words(row), _next_run(entry) if row.enabled else None
        except ScheduleError as error:
            fault = str(error)
        yield Line(row.name, when, row.enabled, last_run, next_run, row.total_run_count, row.description, row.task, fault)


def set_when(name: str, when: int | str, zone: ZoneInfo, actor: Actor) -> str:
    """Have an entry run at other times; which these are.

    Raises: ChangeError, tasks.schedule.crontab.CrontabError
    """
    with transaction.atomic():
        row = _find(name)
        before = _picture(row)
        for field, value in defaults.schedule_fields(when, zone).items():
            setattr(row, field, value)
        row.solar = row.clocked = None
        # Of the old times: the new ones count from now on.
        row.last_run_at = None
        row.save()
        after = _picture(row)
        audit.record(actor, [Change("schedule.set", row.pk, name, *audit.differences(before, after))])
        return str(after["when"])


def switch(name: str, is_enabled: bool, actor: Actor) -> bool:
    """Have an entry run, or not; whether that is a change.

    Raises: ChangeError
    """
    with transaction.atomic():
        row = _find(name)
        if row.enabled == is_enabled:
            return False
        if is_enabled:
            try:
                schedule_of(row)
            except ScheduleError as error:
                raise ChangeError(f"{name} cannot run, {error}: give it other times with schedule set {name}") from error
        # By itself, for a row whose times are spoilt can be disabled too.
        PeriodicTask._base_manager.filter(pk=row.pk).update(enabled=is_enabled, last_run_at=None, date_changed=datetime.now(UTC))
        PeriodicTasks.update_changed()
        action = "schedule.enable" if is_enabled else "schedule.disable"
        audit.record(actor, [Change(action, row.pk, name, {"enabled": row.enabled}, {"enabled": is_enabled})])
        return True


def run(name: str, actor: Actor) -> None:
    """Have a worker do it now, beside its times.

    Raises: ChangeError
    """
    from tasks.celery import app  # whoever only looks needs no app

    with transaction.atomic():
        row = _find(name)
        try:
            entry = Entry(row)
        except ScheduleError as error:
            raise ChangeError(f"{name} cannot run: {error}") from error
        audit.record(actor, [Change("schedule.run", row.pk, name, {}, {})])
    try:
        app.send_task(entry.task, entry.args, entry.kwargs, retry=False, **entry.options)
    except (OperationalError, OSError) as error:
        raise ChangeError(f"the broker does not take it ({type(error).__name__}): iotgw doctor --only broker says why") from error


def _find(name: str) -> PeriodicTask:
    """Raises: ChangeError"""
    row = PeriodicTask._base_manager.select_for_update().filter(name=name).first()
    if row is None:
        there = ", ".join(PeriodicTask._base_manager.order_by("name").values_list("name", flat=True)) or "none yet: iotgw schedule"
        raise ChangeError(f"there is nothing called {name!r} in the schedule: it has {there}")
    return row


def _picture(row: PeriodicTask) -> dict[str, Any]:
    try:
        schedule_of(row)
    except ScheduleError as error:
        return {"when": f"none, {error}"}
    return {"when": _words(row)}


def _words(row: PeriodicTask) -> str:
    if row.crontab is not None:
        return f"{' '.join(getattr(row.crontab, field.name) for field in FIELDS)} {row.crontab.timezone}"
    if row.interval is not None:
        return f"every {every(row).total_seconds():g} s"
    return str(row.scheduler)


def _next_run(entry: Entry) -> datetime | None:
    if isinstance(entry.schedule, Crontab):
        return entry.schedule.next_after(entry.last_run_at.astimezone(UTC))
    if entry.model.interval is None:
        return None
    due: datetime = entry.last_run_at + every(entry.model)
    return due
