"""An app with a task more, which notes each of its runs: ``celery -A tests.tasks.schedule.counting worker``, or ``beat``."""

from __future__ import annotations

import time

from tasks.celery import app
from tasks.connection import redis

__all__ = ["app"]


@app.task(name="tests.count")
def count() -> None:
    redis().rpush("counted", time.time())
