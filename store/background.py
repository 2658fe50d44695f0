"""Requests that workers see to step by step: what they have in common.

operator ── a command ──▶ a row ┐                step(row, n) ──▶ the work of a step ──▶ row: done, n + 1 ──▶ step(row, n + 1)
                └── audit ──────┴ one commit          ▲
worker ── a sweep ──▶ left_alone: the task was lost ──┘
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeVar

from django.db import transaction
from django.db.models import Q

from store import audit
from store.audit import Actor, Change
from store.models import Background, BackgroundState

B = TypeVar("B", bound=Background)


def cancel(requests: type[B], id: int, now: datetime, actor: Actor, action: str) -> bool:
    """End one that has not ended; whether it had not."""
    with transaction.atomic():
        row = requests._default_manager.select_for_update().filter(id=id, state__in=Background.OPEN).first()
        if row is None:
            return False
        before = {"state": row.state}
        row.state, row.ended_at = BackgroundState.CANCELLED, now
        row.save(update_fields=["state", "ended_at"])
        audit.record(actor, [Change(action, id, str(row), before, {"state": row.state, "done": row.done})])
        return True


def left_alone(requests: type[B], silence: timedelta, now: datetime) -> list[tuple[int, int]]:
    """The open ones that wait for their first step, or of which nothing was heard for so long; with their next steps."""
    is_due = Q(state=BackgroundState.WAITING) | Q(touched_at__lte=now - silence)
    found = requests._default_manager.filter(is_due, state__in=Background.OPEN)
    return list(found.order_by("id").values_list("id", "steps"))
