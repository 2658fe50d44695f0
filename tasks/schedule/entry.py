"""A row of the schedule, as beat asks it whether it is due."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from celery.schedules import schedule
from django.db import DatabaseError, InterfaceError
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import ModelEntry

from tasks.schedule.crontab import FIELDS, CrontabError, crontab_of

SHORTEST_SECONDS = 1.0
LONGEST_EXPIRY_SECONDS = 86_400.0
SHORTEST_EXPIRY_SECONDS = 60.0
"""So far may a worker's clock be ahead."""


class ScheduleError(Exception):
    """A row that cannot be used; the text says why."""


class Entry(ModelEntry):  # type: ignore[misc]
    """Beat's copy of a row."""

    seen_run: datetime | None
    """When it ran last by the row itself, which a claim goes by."""

    def __init__(self, model: PeriodicTask, app: Any = None) -> None:
        """Raises: ScheduleError"""
        self.seen_run = model.last_run_at
        when = schedule_of(model)
        _check_arguments(model)
        super().__init__(model, app=app)
        self.schedule = when

    def sent_options(self, seconds: float) -> dict[str, Any]:
        """How it is sent: when it is due again before a worker has taken it, one of it is enough."""
        expires = min(max(seconds, SHORTEST_EXPIRY_SECONDS), LONGEST_EXPIRY_SECONDS)
        return {"expires": expires, **self.options}


def schedule_of(model: PeriodicTask) -> schedule:
    """When a row is due.

    Raises: ScheduleError
    """
    try:
        if model.crontab is not None:
            return crontab_of({field.name: getattr(model.crontab, field.name) for field in FIELDS}, model.crontab.timezone)
        found: schedule = model.schedule
        if model.interval is not None and every(model).total_seconds() < SHORTEST_SECONDS:
            raise ScheduleError("its interval is shorter than a second")
    except CrontabError as error:
        raise ScheduleError(f"its crontab cannot be used: {error}") from error
    except (ScheduleError, DatabaseError, InterfaceError):
        raise
    except Exception as error:
        # Whatever somebody has written into the tables by hand.
        raise ScheduleError(f"what it says of its times cannot be used: {type(error).__name__}: {error}") from error
    return found


def every(model: PeriodicTask) -> timedelta:
    """The interval of a row that has one."""
    return timedelta(**{model.interval.period: model.interval.every})


def _check_arguments(model: PeriodicTask) -> None:
    """Raises: ScheduleError"""
    for name, kind in (("args", list), ("kwargs", dict), ("headers", dict)):
        try:
            given = json.loads(getattr(model, name) or json.dumps(kind()))
        except ValueError:
            given = None
        if not isinstance(given, kind):
            raise ScheduleError(f"its {name} are no JSON {'array' if kind is list else 'object'}")
