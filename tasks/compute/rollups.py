"""Channels of devices by five minutes and by hours.

beat, every five minutes -> roll_up()     reports that were stored since, in steps of a transaction each
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta

from django.db import DatabaseError, InterfaceError
from kombu.exceptions import OperationalError

from store import rollups
from store.horizon import settled_id
from store.models import Report
from store.slots import HOUR
from tasks.celery import app, settings
from tasks.contract import ROLL_UP_TASK
from tasks.database import database

log = logging.getLogger(__name__)

SOFT_TIME_LIMIT_SECONDS = 100
"""A step takes seconds."""
TIME_LIMIT_SECONDS = 110
SECONDS_AT_ONCE = 20.0
"""Then others of the queue have their turn."""
PATIENCE_SECONDS = 5.0
"""For transactions that store reports: longer than a batch takes."""


@app.task(name=ROLL_UP_TASK, soft_time_limit=SOFT_TIME_LIMIT_SECONDS, time_limit=TIME_LIMIT_SECONDS)
def roll_up() -> None:
    """Roll up what was stored since.

    Idempotent: of two at once one waits, and finds the rest or nothing. Bounded in memory by a step, in time by
    :data:`SECONDS_AT_ONCE`: what it does not get done it asks for again. What is lost with it the next one does.
    """
    until = time.monotonic() + SECONDS_AT_ONCE
    is_more = False
    try:
        with database():
            settled = settled_id(Report, PATIENCE_SECONDS)
            if settled is None:
                log.warning("channels not rolled up, somebody writes reports for long; the next time does")
                return
            while is_more := rollups.roll_up_next(settled, _oldest()).is_more:
                if time.monotonic() >= until:
                    break
        if is_more:
            roll_up.apply_async(retry=False)
    except (DatabaseError, InterfaceError) as error:
        log.error("channels not rolled up, the database does not answer", extra={"cause": str(error).partition("\n")[0]})
    except (OperationalError, OSError) as error:
        log.warning("the rest of channels not rolled up, the broker is away", extra={"cause": type(error).__name__})


def _oldest() -> datetime | None:
    """Since when all reports are there, and all five minutes, of which hours are made; the night's turn may be at it."""
    days = [days for days in (settings.retention_days, settings.five_minute_retention_days) if days]
    return datetime.now(UTC) - timedelta(days=min(days)) + 2 * HOUR if days else None
