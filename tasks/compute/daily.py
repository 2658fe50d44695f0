"""Heavy sums over what is stored: what the days of devices come to.

beat, now and then -> keep_up()                     which days are over, and of which was more stored since; asks for some
                    sum_up_day(device, day)         queue compute: reads reports
                    -> results.store_day(...)       queue result: stores what it came to
"""

from __future__ import annotations

import logging
import time
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from celery.exceptions import Reject, SoftTimeLimitExceeded
from django.db import DatabaseError, InterfaceError
from kombu.exceptions import OperationalError

from store import duedays, summaries
from store.clock import database_now
from store.days import FIRST_DAY, LAST_DAY
from tasks.celery import app, settings
from tasks.contract import COMPUTE_DAY_TASK, KEEP_UP_TASK, STORE_DAY_TASK
from tasks.database import database
from tasks.results import pack_sums

log = logging.getLogger(__name__)

SOFT_TIME_LIMIT_SECONDS = 100
"""A day of a device that reports every second takes some seconds."""
TIME_LIMIT_SECONDS = 110
SECONDS_AT_ONCE = 20.0
"""Then others of the queue have their turn."""
MOST_UNDER_WAY = 20_000
"""Days that workers are asked for and that have not come: more are not asked for, and wait in the database."""
DAYS_AT_ONCE = 1_000
TOO_LONG = "a day of a device takes too long to sum up"

_LIMITS: dict[str, Any] = {"soft_time_limit": SOFT_TIME_LIMIT_SECONDS, "time_limit": TIME_LIMIT_SECONDS}


@app.task(name=KEEP_UP_TASK, **_LIMITS)
def keep_up() -> None:
    """Find the days that are over and not summed up, and those of which more was stored since; ask for them.

    Idempotent, and several at once wait for each other. Bounded in memory by some thousands of rows, in time by
    :data:`SECONDS_AT_ONCE`: what it does not get done it asks for again. While database or broker are away what is due stays so.
    """
    until = time.monotonic() + SECONDS_AT_ONCE
    try:
        with database():
            is_more = True
            while is_more and time.monotonic() < until:
                is_more = duedays.mark_next(zone(), database_now())
            ask(until)
        if is_more:
            keep_up.apply_async(retry=False)
    except (DatabaseError, InterfaceError) as error:
        log.error("days not looked through, the database does not answer", extra={"cause": str(error).partition("\n")[0]})
    except (OperationalError, OSError) as error:
        log.warning("days not asked for, the broker is away", extra={"cause": type(error).__name__})


@app.task(name=COMPUTE_DAY_TASK, **_LIMITS)
def sum_up_day(device_id: int, day: str) -> None:
    """Sum up a day of a device and send it to be stored.

    Idempotent: of two readings the one that began later counts. Bounded in memory by a few thousand reports, 500 channels and the
    trips that a day has room for, in time by the limits above. A payload that is none of ours is a dead letter. What fails
    or is lost is asked for again in an hour.
    """
    wanted = _checked(device_id, day)
    where = {"device_id": device_id, "day": day}
    try:
        with database():
            as_of = database_now()
            sums = summaries.sum_up(device_id, wanted, zone(), as_of)
        app.send_task(STORE_DAY_TASK, [device_id, day, as_of.isoformat(), pack_sums(sums)], retry=False)
    except SoftTimeLimitExceeded:
        log.error(TOO_LONG, extra=where)
    except (DatabaseError, InterfaceError) as error:
        log.error("a day is not summed up, the database does not answer", extra={**where, "cause": str(error).partition("\n")[0]})
    except (OperationalError, OSError) as error:
        log.warning("a day's sum is not sent, the broker is away", extra={**where, "cause": type(error).__name__})


def ask(until: float) -> int:
    """Ask workers for days that are due, until so many are under way or time is up; for how many.

    Raises: django.db.DatabaseError, kombu.exceptions.OperationalError, OSError
    """
    asked = 0
    room = MOST_UNDER_WAY - duedays.under_way(database_now())
    while room > 0 and time.monotonic() < until:
        now = database_now()
        days = duedays.due(now, min(room, DAYS_AT_ONCE))
        for day in days:
            app.send_task(COMPUTE_DAY_TASK, [day.device_id, day.day.isoformat()], retry=False)
        duedays.asked(days, now)
        asked += len(days)
        room -= len(days)
        if len(days) < DAYS_AT_ONCE:
            break
    return asked


def zone() -> ZoneInfo:
    """Whose days are summed up."""
    return ZoneInfo(settings.day_timezone)


def _checked(device_id: Any, day: Any) -> date:
    """Raises: Reject"""
    try:
        if type(device_id) is int and 0 < device_id < 1 << 63 and isinstance(day, str):
            found = date.fromisoformat(day)
            if FIRST_DAY <= found <= LAST_DAY:
                return found
    except ValueError:
        pass
    log.error("dropped a bad payload: not a device and a day")
    raise Reject("not a device and a day", requeue=False)
