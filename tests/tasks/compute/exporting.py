"""A worker that takes many short steps for an export: ``celery -A tests.tasks.compute.exporting worker``."""

from __future__ import annotations

from datetime import timedelta

from tasks.celery import app

# isort: split
from store.exports import reading, work
from tasks.compute import exports

__all__ = ["app"]

work.STEP_SECONDS = 0.0
reading.ROWS_A_PAGE = 50
exports.SILENCE = timedelta(seconds=1)
