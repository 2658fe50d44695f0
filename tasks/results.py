"""What sums have come to, into the database.

compute.sum_up_day -> store_day(device, day, as of when, sums)
"""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime
from typing import Any

from celery.exceptions import Reject
from django.db import DatabaseError, InterfaceError
from pydantic import ConfigDict, TypeAdapter, ValidationError

from store import summaries
from store.days import FIRST_DAY, LAST_DAY
from store.daysums import DaySums
from tasks.celery import app
from tasks.contract import STORE_DAY_TASK, BadPayloadError
from tasks.database import database

log = logging.getLogger(__name__)

SOFT_TIME_LIMIT_SECONDS = 30
"""It takes milliseconds."""
TIME_LIMIT_SECONDS = 40

_SUMS = TypeAdapter(DaySums, config=ConfigDict(allow_inf_nan=False))


@app.task(name=STORE_DAY_TASK, soft_time_limit=SOFT_TIME_LIMIT_SECONDS, time_limit=TIME_LIMIT_SECONDS)
def store_day(device_id: int, day: str, as_of: str, sums: Any) -> None:
    """Store what a day of a device came to.

    Idempotent, in any order: of two readings the one that began later counts. Bounded by what a day may hold and by the limits
    above. A payload that is none of ours is a dead letter. While the database is away what was summed up is forgotten, and
    the day asked for again.
    """
    try:
        wanted, read_at, checked = _checked(device_id, day, as_of, sums)
    except BadPayloadError as error:
        log.error("dropped a bad payload: %s", error)
        raise Reject(str(error), requeue=False) from error
    try:
        with database():
            summaries.store(device_id, wanted, read_at, checked)
    except (DatabaseError, InterfaceError) as error:
        cause = str(error).partition("\n")[0]
        log.error("a day's sum is not stored, it is asked for again", extra={"device_id": device_id, "day": day, "cause": cause})


def pack_sums(sums: DaySums) -> Any:
    """As lists, numbers and text, which travel."""
    return _SUMS.dump_python(sums, mode="json")


def _checked(device_id: Any, day: Any, as_of: Any, sums: Any) -> tuple[date, datetime, DaySums]:
    """Raises: BadPayloadError"""
    if type(device_id) is not int or not 0 < device_id < 1 << 63 or not isinstance(day, str) or not isinstance(as_of, str):
        raise BadPayloadError("not a device, a day and a time")
    try:
        wanted, read_at = date.fromisoformat(day), datetime.fromisoformat(as_of).astimezone(UTC)
        checked = _SUMS.validate_python(sums)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise BadPayloadError(f"sums.{where}: {first['msg']}") from error
    except (ValueError, OverflowError) as error:
        raise BadPayloadError("not a day and a time") from error
    if not FIRST_DAY <= wanted <= LAST_DAY:
        raise BadPayloadError("not a day that is summed up")
    return wanted, read_at, checked
