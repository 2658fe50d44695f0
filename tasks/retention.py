"""Making room, once a day: what is older than it is to be kept goes, and the months ahead are made."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime

from django.db import DatabaseError, InterfaceError

from store import partitions, retention
from store.retention import Kept, Retention
from tasks.celery import app, settings
from tasks.contract import RETENTION_TASK
from tasks.database import database

log = logging.getLogger(__name__)

DAY_SECONDS = 86_400
SECONDS_AT_ONCE = 20.0
"""Then others of the queue have their turn."""
SOFT_TIME_LIMIT_SECONDS = 540
"""To make a month is to move what was dated into it before: seconds, unless nobody made months for long."""
TIME_LIMIT_SECONDS = 600


@app.task(name=RETENTION_TASK, soft_time_limit=SOFT_TIME_LIMIT_SECONDS, time_limit=TIME_LIMIT_SECONDS)
def keep() -> None:
    """Delete what is older than it is to be kept, and make the months ahead.

    Idempotent, and of two at once one leaves. Bounded in memory by nothing but counts, in time by the limits above; what
    it does not get done it asks for again. Nothing that is lost with it is missed: the next day's finds the same.
    """
    until = time.monotonic() + SECONDS_AT_ONCE
    try:
        with database():
            kept = retention.keep(Retention.of(settings), datetime.now(UTC), lambda: time.monotonic() >= until)
    except partitions.BusyError as error:
        log.warning("retention put off until its next turn", extra={"cause": str(error)})
        return
    except (DatabaseError, InterfaceError) as error:
        cause = str(error).partition("\n")[0]
        log.error("retention not done, the database does not answer as it should", extra={"cause": cause})
        return
    _tell(kept)
    if not kept.is_finished:
        keep.apply_async(expires=DAY_SECONDS)


def _tell(kept: Kept) -> None:
    if kept.made:
        log.info("months made", extra={"months": " ".join(map(str, kept.made))})
    if kept.dropped:
        log.info("months dropped", extra={"months": " ".join(map(str, kept.dropped))})
    counts = {
        name: getattr(kept, name) for name in ("reports", "quarantine", "events", "five_minutes", "hours", "channels", "commands")
    }
    if any(counts.values()):
        log.info("old rows deleted", extra=counts)
    for target, rows in kept.lost.items():
        log.warning("old rows deleted before a target had them", extra={"target": target, "rows": rows})
