"""What a database wants once a week, beside what it does by itself."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from django.db import DatabaseError, InterfaceError

from store import partitions, upkeep
from tasks.celery import app
from tasks.contract import UPKEEP_TASK
from tasks.database import database

log = logging.getLogger(__name__)

SOFT_TIME_LIMIT_SECONDS = 780
"""Longer than all statements may take."""
TIME_LIMIT_SECONDS = 800


@app.task(name=UPKEEP_TASK, soft_time_limit=SOFT_TIME_LIMIT_SECONDS, time_limit=TIME_LIMIT_SECONDS)
def tend() -> None:
    """Have the database's statistics and files in order, and the months ahead made.

    Idempotent; of two at once one leaves. Bounded by the limits above; what it does not get done is next week's.
    """
    try:
        with database():
            made = partitions.make_ahead(datetime.now(UTC)) if partitions.is_partitioned() else []
            done = upkeep.tend()
    except partitions.BusyError as error:
        log.warning("upkeep put off until its next turn", extra={"cause": str(error)})
        return
    except (DatabaseError, InterfaceError) as error:
        log.error("upkeep not done, the database does not answer as it should", extra={"cause": str(error).partition("\n")[0]})
        return
    log.info("upkeep done", extra={"did": "; ".join(done), "months": " ".join(map(str, made))})
