"""A step of an export: some rows more in its file, or the file made of them.

row ──▶ is it open, is this its next step, is nobody at it? ──▶ rows for two seconds, or the last step ──▶ committed
          └── it has ended: what there is of it is removed
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from store.exports import requests, workbook
from store.exports.cells import BOM, csv_lines, json_lines
from store.exports.errors import ExportEndedError, ExportError
from store.exports.folder import ExportFolder, Workplace
from store.exports.reading import headings, pages
from store.models import BackgroundState, Export, ExportFormat

log = logging.getLogger(__name__)

STEP_SECONDS = 2.0
"""Then others of the queue have their turn. So soon it is noticed that somebody has ended it."""
MOST_TRIES = 5


def take_step(id: int, step: int, folder: ExportFolder, days: int, tell: Callable[[Export], None]) -> Export | None:
    """Take an export one step on; as it is then, or None if this is not its next step, or somebody is at it.

    ``tell`` is told how far it is while a spreadsheet is packed. What ends with an error has nothing left on the disk.
    Raises: ExportError once it is noted that it has failed.
    """
    row = Export.objects.filter(id=id).first()
    if row is None:
        return None
    if not row.is_open:
        if row.state != BackgroundState.DONE:
            folder.remove(row.token)
        return row if row.state == BackgroundState.CANCELLED else None
    with folder.workplace(row.token) as place:
        if place is None:
            return None
        # Whoever was at it may have ended just before.
        row.refresh_from_db()
        if row.is_open and row.steps != step:
            return None
        try:
            _work(row, place, folder, days, tell)
        except ExportEndedError:
            place.discard()
            row.refresh_from_db()
        except ExportError as error:
            place.discard()
            _fail(row, error)
            raise
    return row


def sweep(folder: ExportFolder, now: datetime) -> int:
    """Have files go whose time is over, and what nobody has asked for any more; how many have expired."""
    # In this order: what is begun now is not among them.
    tokens = sorted(folder.tokens())
    expired = requests.expire(now)
    kept = requests.with_files(tokens)
    for token in tokens:
        if token not in kept:
            folder.remove(token)
    return expired


def _work(row: Export, place: Workplace, folder: ExportFolder, days: int, tell: Callable[[Export], None]) -> None:
    if row.tries >= MOST_TRIES:
        raise ExportError("workers ended with it again and again: is their memory full? Choose fewer channels, and start it again")
    requests.begun(row, _now())
    if row.is_read:
        _finish(row, place, folder, days, tell)
    else:
        _read(row, place)


def _read(row: Export, place: Workplace) -> None:
    until = time.monotonic() + STEP_SECONDS
    lines = csv_lines if row.format == ExportFormat.CSV else json_lines
    with place.appending(row.bytes) as file:
        if row.bytes == 0:
            file.write(BOM.encode() if row.format == ExportFormat.CSV else b"")
            file.write(lines([headings(row)]))
        row.is_read = True
        for page in pages(row):
            file.write(lines(page.rows))
            row.done += len(page.rows)
            row.place = page.place
            place.check_size(file.tell())
            if time.monotonic() >= until:
                row.is_read = False
                break
        row.bytes = file.tell()
    requests.committed(row, _now())


def _finish(row: Export, place: Workplace, folder: ExportFolder, days: int, tell: Callable[[Export], None]) -> None:
    target = folder.finished(row.token, row.format)
    if row.format == ExportFormat.CSV and not place.rows.exists():
        place.take_back(target)
    made = place.rows
    with place.appending(row.bytes):
        pass  # What is behind its last row is cut, and it is seen that it is here.
    if row.format == ExportFormat.XLSX:

        def look(rows: int) -> None:
            requests.packing(row, rows, _now())
            tell(row)

        workbook.pack(place, look)
        made = place.packed
    row.bytes, row.sha256 = place.put(made, target)
    try:
        requests.finished(row, _now(), days)
    except ExportEndedError:
        target.unlink(missing_ok=True)
        raise
    place.discard()


def _fail(row: Export, error: ExportError) -> None:
    log.error("export failed: %s", error, extra={"export": row.id})
    with suppress(ExportEndedError):
        requests.failed(row, str(error), _now())


def _now() -> datetime:
    return datetime.now(UTC)
