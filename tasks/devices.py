"""Questions about devices that only the database can answer.

They change nothing, so that they may run any number of times. Gateways ask them for the people who ask the gateway.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import F

from store import queries
from store.models import Device, Quarantine, State
from tasks.celery import app
from tasks.contract import SUMMARY_TASK
from tasks.database import database

SOFT_TIME_LIMIT_SECONDS = 20
"""A few rows by their keys take milliseconds; a database that is locked or away keeps nobody waiting for longer."""
TIME_LIMIT_SECONDS = 30
CLOCK_OFF = timedelta(days=3)
"""Within so much of its last message the device's newest own time is looked for: few enough rows, and clocks that are further
off are none."""


@app.task(name=SUMMARY_TASK, retry_on_worker_lost=False, soft_time_limit=SOFT_TIME_LIMIT_SECONDS, time_limit=TIME_LIMIT_SECONDS)
def summary(protocol: str, identity: str) -> dict[str, Any]:
    """What the database knows of a device: whether it may come in, when it was seen, what it said last, what was unreadable.

    Idempotent: it only reads. Bounded in memory by a few rows, in time by the limits above.
    Shape: times in ISO 8601 with their zone, ``created_at`` of its row, which its first message made or somebody before;
    ``last_report`` by the device's clock, ``last_dated`` the one that was received last of those that bring a time of their
    own; what there is nothing of is None; ``exists`` alone for a device that was never seen.
    """
    with database():
        device = queries.device(protocol, identity)
        return {"exists": False} if device is None else _summary(device)


def _summary(device: Device) -> dict[str, Any]:
    state = State.objects.filter(device=device).only("last_seen").first()
    report = device.reports.order_by("-time", "-id").only("kind", "time", "received_at").first()
    last_seen = state.last_seen if state else None
    quarantined = Quarantine.objects.filter(device=device)
    newest = quarantined.order_by("-received_at", "-id").first()
    return {
        "exists": True,
        "name": device.name,
        "is_enabled": device.is_enabled,
        "created_at": _text(device.created_at),
        "last_seen": _text(last_seen),
        "last_report": report and {"kind": report.kind, "time": _text(report.time), "received_at": _text(report.received_at)},
        "last_dated": None if last_seen is None else _last_dated(device, last_seen),
        "quarantined": quarantined.count(),
        "last_quarantined": newest
        and {"kind": newest.kind, "received_at": _text(newest.received_at), "cause": newest.error_cause, "path": newest.error_path},
    }


def _last_dated(device: Device, last_seen: datetime) -> dict[str, Any] | None:
    # What brings no time of its own has that of its arrival.
    dated = device.reports.filter(time__gte=last_seen - CLOCK_OFF).exclude(time=F("received_at"))
    # Of a clock that is far ahead, the newest by its own time: it would be long to look through all that it has dated so.
    found = (
        dated.filter(time__lt=last_seen + CLOCK_OFF).order_by("-received_at", "-id").first(),
        dated.filter(time__gte=last_seen + CLOCK_OFF).order_by("-time", "-id").first(),
    )
    report = max(filter(None, found), key=lambda each: each.received_at, default=None)
    if report is None:
        return None
    return {
        "kind": report.kind,
        "time": _text(report.time),
        "received_at": _text(report.received_at),
        "latitude": report.latitude,
        "longitude": report.longitude,
        "fix": report.values.get("fix"),
    }


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
