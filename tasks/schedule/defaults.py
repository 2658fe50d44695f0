"""What runs when, as long as nobody has said otherwise: the one place that says so.

A row is made once, by its name, and is the operators' from then on.
"""

from __future__ import annotations

from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.db import transaction
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from tasks.contract import (
    COMMANDS_SWEEP_TASK,
    EXPORT_SWEEP_TASK,
    FILES_SWEEP_TASK,
    KEEP_UP_TASK,
    MEASURE_TASK,
    MEDIA_SWEEP_TASK,
    PRESENCE_CHECK_TASK,
    QUARANTINE_REPORT_TASK,
    REDECODE_SWEEP_TASK,
    RETENTION_TASK,
    ROLL_UP_TASK,
    RULES_TASK,
    UPKEEP_TASK,
)
from tasks.schedule.crontab import read_crontab


class Default(NamedTuple):
    """A row as it is first."""

    name: str
    task: str
    when: int | str
    """Seconds, or a crontab in the time zone of ``day_timezone``."""
    text: str


DEFAULTS = (
    Default("commands", COMMANDS_SWEEP_TASK, 2, "ends commands that are late, tells gateways what they were not told"),
    Default("files", FILES_SWEEP_TASK, 5, "tells gateways of files that wait for devices"),
    Default("redecodings", REDECODE_SWEEP_TASK, 15, "takes up redecodings whose step was lost"),
    Default("exports", EXPORT_SWEEP_TASK, 15, "takes up exports whose step was lost, removes files whose time is over"),
    Default("presence", PRESENCE_CHECK_TASK, 30, "looks for devices that are told to be online and have no route"),
    Default("media", MEDIA_SWEEP_TASK, 30, "makes files that are due, removes old ones"),
    Default("queues", MEASURE_TASK, 60, "notes how much waits in queues, and says which grow"),
    Default("rules", RULES_TASK, 60, "looks for devices that are silent by a rule, tidies up after rules that were changed"),
    Default("channels", ROLL_UP_TASK, 300, "rolls up channels by five minutes and by hours"),
    Default("days", KEEP_UP_TASK, 600, "finds days of devices that are to be summed up"),
    Default("retention", RETENTION_TASK, "30 2 * * *", "deletes what is too old, makes the months ahead"),
    Default("quarantine", QUARANTINE_REPORT_TASK, "0 6 * * *", "reports what came into quarantine"),
    Default("upkeep", UPKEEP_TASK, "30 3 * * sun", "has the database's statistics and files in order"),
)


def install(zone: ZoneInfo) -> list[str]:
    """Make the rows that are missing; their names. What is there stays as it is, also what is disabled.

    Idempotent, several at once too.
    """
    made = []
    with transaction.atomic():
        there = set(PeriodicTask.objects.values_list("name", flat=True))
        for default in DEFAULTS:
            if default.name not in there:
                when = schedule_fields(default.when, zone)
                _, is_new = PeriodicTask.objects.get_or_create(
                    name=default.name, defaults={"task": default.task, "description": default.text, **when}
                )
                made += [default.name] if is_new else []
    return made


def schedule_fields(when: int | str, zone: ZoneInfo) -> dict[str, IntervalSchedule | CrontabSchedule | None]:
    """What a row refers to, made if it is not there: schedules are shared, and never changed.

    Raises: CrontabError
    """
    if isinstance(when, int):
        found = {"every": when, "period": IntervalSchedule.SECONDS}
        interval = IntervalSchedule.objects.filter(**found).first() or IntervalSchedule.objects.create(**found)
        return {"interval": interval, "crontab": None}
    fields = read_crontab(when, zone)
    crontab = CrontabSchedule.objects.filter(**fields).first() or CrontabSchedule.objects.create(**fields)
    return {"interval": None, "crontab": crontab}
