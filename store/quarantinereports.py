"""What came into quarantine since the report before: which groups, how many messages, and what is new."""

from __future__ import annotations

from datetime import date, datetime

from django.db import transaction
from django.db.models import Count, Max

from store.models import Quarantine, QuarantineGroup, QuarantineReport

MOST_GROUPS_TOLD = 100
REPORTS_KEPT = 366


def make(day: date, settled: int, now: datetime) -> QuarantineReport | None:
    """Make a day's report of messages up to an id below which none will come any more; None: it is there.

    Idempotent: of two at once one finds that of the other. Messages that were decoded or discarded meanwhile are not counted.
    """
    with transaction.atomic():
        if QuarantineReport.objects.filter(day__gte=day).exists():
            return None
        before = QuarantineReport.objects.order_by("-day").first()
        news = Quarantine.objects.filter(id__gt=before.read_to if before else 0, id__lte=settled)
        counted = news.values("group").annotate(messages=Count("id"), devices=Count("device", distinct=True))
        rows = list(counted.order_by("-messages", "group")[:MOST_GROUPS_TOLD])
        names = QuarantineGroup.objects.in_bulk([row["group"] for row in rows if row["group"]])
        told = [
            {
                "group": row["group"],
                "name": str(names[row["group"]]) if row["group"] in names else "in no group",
                "is_new": bool(row["group"]) and row["group"] > (before.group_to if before else 0),
                "messages": row["messages"],
                "devices": row["devices"],
            }
            for row in rows
        ]
        totals = news.aggregate(messages=Count("id"), devices=Count("device", distinct=True))
        newest_group = QuarantineGroup.objects.aggregate(newest=Max("id"))["newest"] or 0
        report, is_made = QuarantineReport.objects.get_or_create(
            day=day, defaults={"at": now, "groups": told, "read_to": settled, "group_to": newest_group, **totals}
        )
        old = QuarantineReport.objects.order_by("-day").values_list("pk", flat=True)[REPORTS_KEPT:]
        QuarantineReport.objects.filter(pk__in=list(old)).delete()
        return report if is_made else None


def newest(limit: int) -> list[QuarantineReport]:
    return list(QuarantineReport.objects.order_by("-day")[:limit])
