"""What came into quarantine since yesterday: told in the log, and kept for ``iotgw quarantine report``."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from django.db import DatabaseError, InterfaceError

from store import quarantinereports
from store.days import day_of
from store.horizon import settled_id
from store.models import Quarantine
from tasks.celery import app, settings
from tasks.contract import QUARANTINE_REPORT_TASK
from tasks.database import database

log = logging.getLogger(__name__)

SOFT_TIME_LIMIT_SECONDS = 110
"""A day's messages are counted, not read."""
TIME_LIMIT_SECONDS = 120
PATIENCE_SECONDS = 30.0


@app.task(name=QUARANTINE_REPORT_TASK, soft_time_limit=SOFT_TIME_LIMIT_SECONDS, time_limit=TIME_LIMIT_SECONDS)
def report() -> None:
    """Report what came into quarantine since the report before.

    Idempotent: of a day there is one, and whoever comes second leaves. Bounded by the groups that are told, and by the limits
    above. What is lost with it is in the next one.
    """
    now = datetime.now(UTC)
    try:
        with database():
            settled = settled_id(Quarantine, PATIENCE_SECONDS)
            made = None if settled is None else quarantinereports.make(day_of(now, ZoneInfo(settings.day_timezone)), settled, now)
    except (DatabaseError, InterfaceError) as error:
        log.error("quarantine not reported, the database does not answer", extra={"cause": str(error).partition("\n")[0]})
        return
    if made is None:
        return
    new = [group["name"] for group in made.groups if group["is_new"]]
    if new:
        counts = {"messages": made.messages, "devices": made.devices}
        log.warning("quarantine has new groups", extra={**counts, "groups": "; ".join(new[:10]), "new": len(new)})
    elif made.messages:
        log.info("more came into quarantine", extra={"messages": made.messages, "devices": made.devices})
