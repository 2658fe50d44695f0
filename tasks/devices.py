"""Questions about devices that only the database can answer.

They change nothing, so that they may run any number of times. Gateways ask them for the people who ask the gateway.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import DatabaseError, InterfaceError, connection

from store import queries
from store.models import Device, Quarantine, State
from tasks.celery import app
from tasks.contract import SUMMARY_TASK

SOFT_TIME_LIMIT_SECONDS = 20
"""A few rows by their keys take milliseconds; a database that is locked or away keeps nobody waiting for longer."""
TIME_LIMIT_SECONDS = 30


@app.task(name=SUMMARY_TASK, soft_time_limit=SOFT_TIME_LIMIT_SECONDS, time_limit=TIME_LIMIT_SECONDS)
def summary(protocol: str, identity: str) -> dict[str, Any]:
    """What the database knows of a device: whether it may come in, when it was seen, what it said last, what was unreadable.

    Idempotent: it only reads. Bounded in memory by a few rows, in time by the limits above.
    Shape: times in ISO 8601 with their zone, ``created_at`` of its row, which its first message made or somebody before; what
    there is nothing of is None; ``exists`` alone for a device that was never seen.
    """
    try:
        device = queries.device(protocol, identity)
        return {"exists": False} if device is None else _summary(device)
    except (DatabaseError, InterfaceError):
        # As with batches: after a failover it may lead nowhere.
        connection.close()
        raise


def _summary(device: Device) -> dict[str, Any]:
    state = State.objects.filter(device=device).only("last_seen").first()
    report = device.reports.order_by("-time", "-id").only("kind", "time", "received_at").first()
    quarantined = Quarantine.objects.filter(device=device)
    newest = quarantined.order_by("-received_at", "-id").first()
    return {
        "exists": True,
        "name": device.name,
        "is_enabled": device.is_enabled,
        "created_at": _text(device.created_at),
        "last_seen": _text(state.last_seen if state else None),
        "last_report": report and {"kind": report.kind, "time": _text(report.time), "received_at": _text(report.received_at)},
        "quarantined": quarantined.count(),
        "last_quarantined": newest
        and {"kind": newest.kind, "received_at": _text(newest.received_at), "cause": newest.error_cause, "path": newest.error_path},
    }


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
