"""What rules find without a report: devices that are silent, and what rules that have changed leave behind.

beat, every minute ─▶ silent() ─▶ states of devices that were not seen for so long ─▶ alarms
                              └─▶ standings by rules that have changed or gone ─────▶ their alarms end
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime

from django.db import DatabaseError, InterfaceError

from store.rules import changes, silence
from tasks.celery import app
from tasks.contract import RULES_TASK
from tasks.database import database
from tasks.rulebook import known_rules

log = logging.getLogger(__name__)

SECONDS_AT_ONCE = 20.0
"""Then others of the queue have their turn, and the next one goes on."""
SOFT_TIME_LIMIT_SECONDS = 100
TIME_LIMIT_SECONDS = 110


@app.task(name=RULES_TASK, soft_time_limit=SOFT_TIME_LIMIT_SECONDS, time_limit=TIME_LIMIT_SECONDS)
def silent() -> None:
    """Open alarms of rules that ask for silence, and end those of rules that have changed.

    Idempotent, and several at once wait for each other. Bounded in memory by some thousands of devices, in time by
    :data:`SECONDS_AT_ONCE`. While the database is away nothing is done; the next turn finds the same.
    """
    until = time.monotonic() + SECONDS_AT_ONCE
    try:
        with database():
            for _ in changes.tidy(known_rules, datetime.now(UTC)):
                if time.monotonic() >= until:
                    return
            silence.look(known_rules, datetime.now(UTC), lambda: time.monotonic() >= until)
    except (DatabaseError, InterfaceError) as error:
        log.error("silent devices not looked for, the database does not answer", extra={"cause": str(error).partition("\n")[0]})
