"""Exports made for tests, step by step as workers do it."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

from store.audit import Actor
from store.bulk import write
from store.exports import requests, work
from store.exports.folder import ExportFolder, Room
from store.exports.requests import Wanted
from store.models import Export, ExportFormat
from tests.records import NOON, anybody, incoming, minutes, report

ME = Actor("me")
LATER = datetime(2026, 3, 5, tzinfo=UTC)
ROOM = Room(1 << 30, 0)
DAYS = 30


def store(*identities: str, reports: int = 3, values: dict[str, Any] | None = None, **fields: Any) -> None:
    """A report a minute of each of some devices, whose speed is the number of the report."""
    values = {"level_m": 0.5} if values is None else values
    write(
        [
            incoming(
                report(
                    f"{identity} {n}".encode(),
                    NOON + minutes(n),
                    latitude=30.5,
                    longitude=120.25,
                    speed_kmh=float(n),
                    values=values,
                ),
                identity=identity,
                **fields,
            )
            for identity in identities
            for n in range(reports)
        ],
        is_open=anybody,
    )


def start(source: str = "reports", format: ExportFormat = ExportFormat.CSV, most_rows: int = 1_000_000, **wanted: Any) -> Export:
    timezone = wanted.pop("timezone", "UTC")
    return requests.start(Wanted(source, format, timezone, **wanted), most_rows, ME, LATER)


def step(row: Export, folder: ExportFolder) -> Export:
    work.take_step(row.id, row.steps, folder, DAYS, lambda row: None)
    row.refresh_from_db()
    return row


def finish(row: Export, folder: ExportFolder) -> Export:
    while row.is_open:
        step(row, folder)
    return row


def lines(row: Export, folder: ExportFolder) -> list[list[str]]:
    """Of a CSV file, with its heading."""
    text = folder.finished(row.token, row.format).read_bytes().decode("utf-8-sig")
    return list(csv.reader(StringIO(text, newline="")))


def left(media: Path) -> list[str]:
    """What there is in the folder of exports."""
    return sorted(path.name for path in (media / "exports").iterdir())
