"""Exports: tables of what is stored, as files.

iotgw exports ── a row ──▶ database                 write_some(row, step) ──▶ queue compute
worker ── write_some ──▶ some rows ──▶ appended, fsynced ──▶ commit ──▶ PROGRESS ──▶ write_some(row, step + 1)
       └── the last one ──▶ the file ──▶ commit ──▶ SUCCESS                 all under one task id, which the row has
beat ── sweep, every 15 s ────▶ steps that were lost, files whose time is over
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from celery.exceptions import Ignore, SoftTimeLimitExceeded
from django.db import DatabaseError, InterfaceError

from store import background
from store.exports import work
from store.exports.errors import ExportError
from store.exports.folder import ExportFolder, Room
from store.models import BackgroundState, Export
from tasks.background import ask, check_step
from tasks.celery import app, settings
from tasks.contract import EXPORT_SWEEP_TASK, EXPORT_TASK
from tasks.database import database

log = logging.getLogger(__name__)

SOFT_TIME_LIMIT_SECONDS = 1_800
"""Rows are written for two seconds; to pack a spreadsheet of a million takes minutes. A copy that is given out finds it held."""
TIME_LIMIT_SECONDS = 1_860
SWEEP_SECONDS = 15
SWEEP_LIMIT_SECONDS = 60
SILENCE = timedelta(seconds=10)
PROGRESS = "PROGRESS"


@app.task(
    name=EXPORT_TASK,
    bind=True,
    ignore_result=False,
    throws=(ExportError,),
    soft_time_limit=SOFT_TIME_LIMIT_SECONDS,
    time_limit=TIME_LIMIT_SECONDS,
)
def write_some(self: Any, id: int, step: int) -> dict[str, Any]:
    """Take an export one step on, and ask for the next. The last one returns what it has come to.

    Idempotent: a step that is committed, or that another worker is at, is left alone. Bounded in memory by a page of rows, in time
    by a step's, on the disk by export_bytes. A payload that is none of ours is a dead letter. What is lost with the task is found
    by :func:`sweep`.
    """
    check_step(id, step, "an export")
    try:
        with database():
            row = work.take_step(id, step, folder(), settings.export_days, _tell)
    except (DatabaseError, InterfaceError) as error:
        log.error("export put off, the database does not answer as it should", extra={"export": id, "cause": type(error).__name__})
        raise Ignore from error
    except SoftTimeLimitExceeded as error:
        log.error("a step of an export takes too long, it is tried again", extra={"export": id})
        raise Ignore from error
    if row is not None and row.state == BackgroundState.DONE:
        return _outcome(row)
    if row is not None and row.state == BackgroundState.CANCELLED:
        self.backend.mark_as_revoked(str(row.task_id), "cancelled", request=self.request)
    elif row is not None and row.is_open:
        _tell(row)
        send(row.id, row.steps, row.task_id)
    raise Ignore


@app.task(name=EXPORT_SWEEP_TASK, soft_time_limit=SWEEP_LIMIT_SECONDS, time_limit=SWEEP_LIMIT_SECONDS + 10)
def sweep() -> None:
    """Ask for the next step of exports that nobody is at, and remove files whose time is over or whose making was ended.

    Idempotent, and several at once do no harm. Bounded by the exports there are.
    """
    now = datetime.now(UTC)
    try:
        with database():
            left = background.left_alone(Export, SILENCE, now)
            expired = work.sweep(folder(), now)
            ids = dict(Export.objects.filter(id__in=[id for id, _ in left]).values_list("id", "task_id"))
    except (DatabaseError, InterfaceError, ExportError, OSError) as error:
        log.error("exports not looked after, will try again", extra={"cause": type(error).__name__})
        return
    if expired:
        log.info("exports expired", extra={"exports": expired})
    for id, step in left:
        if id in ids:
            send(id, step, ids[id], expires=SWEEP_SECONDS)


def send(id: int, step: int, task_id: UUID, **options: Any) -> bool:
    """Have a worker take a step; whether the broker has it. If not, :func:`sweep` finds it."""
    return ask(write_some, id, step, "an export", task_id=str(task_id), **options)


def folder() -> ExportFolder:
    return ExportFolder(settings.effective_media_folder, Room(settings.export_bytes, settings.media_spare_bytes))


def _tell(row: Export) -> None:
    meta = {"export": row.id, "rows": row.done, "expected": row.expected, "percent": round(row.percent, 1)}
    write_some.update_state(str(row.task_id), PROGRESS, meta)


def _outcome(row: Export) -> dict[str, Any]:
    return {"export": row.id, "rows": row.done, "bytes": row.bytes, "sha256": row.sha256, "name": row.name}
