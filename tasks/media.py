"""Files of devices: what has come in pieces, or in a photo's one message, into the media folder.

ingest ── rows, and with them that a file is due ── commit
ingest ── store_files(ids) ──▶ queue media ──▶ file_media
worker ── sweep, every 30 s ─▶ queue media ──▶ what is due and was not announced, or was lost with who had it
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from celery.exceptions import Reject
from django.db import DatabaseError, InterfaceError
from kombu.exceptions import OperationalError

from store.media.filing import Room, file_media
from store.media.folder import MediaFolder
from store.media.removal import remove_before, remove_unknown
from store.models import Media
from tasks.celery import app, settings
from tasks.contract import MEDIA_SWEEP_TASK, MEDIA_TASK
from tasks.database import database

log = logging.getLogger(__name__)

SOFT_TIME_LIMIT_SECONDS = 300
"""The longest file that is kept takes a minute. What is ended here is due again when its claim is over."""
TIME_LIMIT_SECONDS = 330
SWEEP_SECONDS = 30
FILES_A_SWEEP = 200
PARTS = 256
"""Of the folder, of which each sweep looks at one for files of devices that are deleted: at all of it in two hours."""
MOST_FILES = 10_000
"""In one announcement: as many as a batch has messages."""
SILENCE = timedelta(minutes=10)
"""A file of which nothing has come for so long, nor its end, is looked at as it is."""

_LIMITS: dict[str, Any] = {"soft_time_limit": SOFT_TIME_LIMIT_SECONDS, "time_limit": TIME_LIMIT_SECONDS}


@app.task(name=MEDIA_TASK, **_LIMITS)
def store_files(ids: list[int]) -> None:
    """Put files together that are due.

    Idempotent: what is not due is left alone. Bounded in memory by a few pieces and a picture, in time by the limits
    above. A payload that is none of ours is dropped. While the database is away nothing is done: a sweep finds what is due.
    """
    if not isinstance(ids, list) or len(ids) > MOST_FILES or not all(type(id) is int and 0 < id < 1 << 63 for id in ids):
        log.error("dropped a bad payload: ids are no list of files")
        raise Reject("not a list of files", requeue=False)
    _file_all(ids)


@app.task(name=MEDIA_SWEEP_TASK, **_LIMITS)
def sweep() -> None:
    """See to what is due and nobody has seen to, remove what is older than ``media_days`` and what is nobody's.

    Idempotent, and several may run at once. Bounded by the number of files a sweep and by the limits above.
    """
    try:
        with database():
            now = datetime.now(UTC)
            quiet = Media.objects.filter(state=Media.State.RECEIVING, touched_at__lt=now - SILENCE)
            quiet.filter(due_at=None).update(due_at=now)
            due = Media.objects.filter(due_at__lte=now).order_by("due_at", "id").values_list("id", flat=True)
            _file_all(due[:FILES_A_SWEEP])
            _folder().remove_left_behind()
            if removed := remove_unknown(int(now.timestamp()) // SWEEP_SECONDS % PARTS, _folder()):
                log.info("removed files that belong to nobody", extra={"files": removed})
            if settings.media_days and (removed := remove_before(now - timedelta(days=settings.media_days), _folder())):
                log.info("removed files older than media_days", extra={"files": removed})
    except (DatabaseError, InterfaceError, OSError) as error:
        log.error("media not swept, will try again", extra={"cause": f"{type(error).__name__}: {str(error).splitlines()[:1]}"})


def announce(ids: Iterable[int]) -> None:
    """Have workers put files together now. If the broker does not take it, a sweep finds them."""
    try:
        app.send_task(MEDIA_TASK, [list(ids)], retry=False)
    except (OperationalError, OSError) as error:
        log.warning("files not announced, a sweep will find them", extra={"cause": type(error).__name__})


def _file_all(ids: Iterable[int]) -> None:
    try:
        with database():
            for id in ids:
                file_media(id, _folder(), Room(settings.media_quota_bytes, settings.media_spare_bytes), datetime.now(UTC))
    except (DatabaseError, InterfaceError) as error:
        log.error("database does not take files now, a sweep will try again", extra={"cause": type(error).__name__})


def _folder() -> MediaFolder:
    return MediaFolder(settings.effective_media_folder)
