"""Which days of devices are to be summed up.

all devices with reports of a day that is over ──┐
reports stored since, of days before ────────────┼─▶ mark ─▶ due rows ─▶ asked for ─▶ store.summaries ─▶ not due any more
an operator ─────────────────────────────────────┘            ▲                          │
                                                              └─ no sum within an hour ◀─┘ lost on its way

A row says that a day is due before anybody is asked, so that nothing is missed that a broker loses. What is new is found by
the order in which reports were stored, since a spool brings them long after they were received.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Exists, F, Max, OuterRef, Q
from django.db.models.functions import TruncDate

from store.days import FIRST_DAY, day_of, span_of
from store.horizon import settled_id
from store.models import DaySummary, Device, Report, SummaryProgress
from store.states import CLOCK_AHEAD
from store.summaries import LOOK_BACK

DEVICES_AT_ONCE = 2_000
IDS_AT_ONCE = 200_000
"""Of reports that are looked at in one step: tens of milliseconds on PostgreSQL, where an index has them."""
PATIENCE_SECONDS = 5.0
"""For transactions that store reports. One that takes longer is waited for until the next turn."""
ASKED_AGAIN = timedelta(hours=1)
"""A sum that has not come by then is lost."""


class Due(NamedTuple):
    """A day that is to be summed up."""

    id: int
    device_id: int
    day: date


def mark(days: Iterable[tuple[int, date]], now: datetime) -> None:
    """Have days of devices summed up, or anew."""
    rows = [DaySummary(device_id=device_id, day=day, due_at=now) for device_id, day in sorted(set(days))]
    for at in range(0, len(rows), DEVICES_AT_ONCE):
        DaySummary.objects.bulk_create(
            rows[at : at + DEVICES_AT_ONCE],
            update_conflicts=True,
            unique_fields=["device", "day"],
            update_fields=["due_at", "asked_at"],
        )


def devices_of(day: date, zone: ZoneInfo, after: int, identity: str | None = None) -> tuple[list[int], int | None]:
    """Which of the next devices behind an id have reports of a day, and where to go on; None: there are no more."""
    devices = Device.objects.filter(pk__gt=after)
    if identity is not None:
        devices = devices.filter(identity=identity)
    ids = list(devices.order_by("pk").values_list("pk", flat=True)[:DEVICES_AT_ONCE])
    span = span_of(day, zone)
    reports = Report.objects.filter(device_id=OuterRef("pk"), time__gte=span.begin, time__lt=span.end)
    # The stretch of ids says which of the devices, the list which of a name.
    found = devices.filter(pk__lte=ids[-1]).filter(Exists(reports)).order_by("pk") if ids else Device.objects.none()
    return list(found.values_list("pk", flat=True)), ids[-1] if len(ids) == DEVICES_AT_ONCE else None


def mark_next(zone: ZoneInfo, now: datetime) -> bool:
    """Mark some of what is due: of days that are over, and of days before of which more was stored; whether there may be more.

    Idempotent, and a step is one transaction, of which two at once wait for each other.
    """
    if (settled := settled_id(Report, PATIENCE_SECONDS)) is None:
        return False
    with transaction.atomic():
        progress = _progress(zone, now, settled)
        if progress.day < day_of(now, zone):
            _mark_day(progress, zone, now)
            is_more = True
        else:
            is_more = _mark_late(progress, zone, now, settled)
        progress.save()
        return is_more


def due(now: datetime, limit: int) -> list[Due]:
    """Days for which workers are to be asked now: not for those that they were asked for lately."""
    rows = DaySummary.objects.filter(Q(asked_at=None) | Q(asked_at__lt=now - ASKED_AGAIN), due_at__isnull=False)
    return [Due(*row) for row in rows.order_by("id").values_list("id", "device_id", "day")[:limit]]


def asked(days: Sequence[Due], now: datetime) -> None:
    """Workers are asked for these."""
    DaySummary.objects.filter(pk__in=[day.id for day in days], due_at__isnull=False).update(asked_at=now)


def under_way(now: datetime) -> int:
    """For how many days workers were asked lately that have not come."""
    return DaySummary.objects.filter(due_at__isnull=False, asked_at__gte=now - ASKED_AGAIN).count()


def still_due(first: date, last: date, identity: str | None = None) -> int:
    """How many of some days are to be summed up."""
    rows = DaySummary.objects.filter(day__gte=first, day__lte=last, due_at__isnull=False)
    return (rows if identity is None else rows.filter(device__identity=identity)).count()


def _progress(zone: ZoneInfo, now: datetime, settled: int) -> SummaryProgress:
    """It begins with yesterday, and with what is stored from now on of days before."""
    yesterday = day_of(now, zone) - timedelta(days=1)
    rows = SummaryProgress.objects.select_for_update()
    return rows.get_or_create(pk=1, defaults={"day": yesterday, "read_to": settled})[0]


def _mark_day(progress: SummaryProgress, zone: ZoneInfo, now: datetime) -> None:
    """Some of the devices that have reports of the day, and with them trips that had not ended the day before."""
    after = progress.device_id
    devices, next_after = devices_of(progress.day, zone, after)
    mark(((device_id, progress.day) for device_id in devices), now)
    open_days = DaySummary.objects.filter(day=progress.day - timedelta(days=1), is_open=True, device_id__in=devices)
    open_days.update(due_at=now, asked_at=None)
    if next_after is None:
        progress.day, progress.device_id = progress.day + timedelta(days=1), 0
    else:
        progress.device_id = next_after


def _mark_late(progress: SummaryProgress, zone: ZoneInfo, now: datetime, settled: int) -> bool:
    """Days that were marked before, by what was stored since; whether there may be more of it."""
    to = min(settled, progress.read_to + IDS_AT_ONCE)
    if to <= progress.read_to:
        return False
    stored = Report.objects.filter(id__gt=progress.read_to, id__lte=to, time__lt=span_of(progress.day, zone).begin)
    believed = stored.filter(time__lte=F("received_at") + CLOCK_AHEAD, time__gte=span_of(FIRST_DAY, zone).begin)
    days = believed.annotate(day=TruncDate("time", tzinfo=zone)).values_list("device_id", "day").annotate(Max("time"))
    late = {(device_id, day): time for device_id, day, time in days}
    mark(late, now)
    _mark_neighbours(late, zone, now)
    progress.read_to = to
    return True


def _mark_neighbours(late: dict[tuple[int, date], datetime], zone: ZoneInfo, now: datetime) -> None:
    """A trip that goes on into a day is of the day before, and the end of a day says how the next begins."""
    one = timedelta(days=1)
    before = {(device_id, day - one) for device_id, day in late}
    behind = {(device_id, day + one) for (device_id, day), time in late.items() if time >= span_of(day, zone).end - LOOK_BACK}
    for wanted, is_open in ((before, Q(is_open=True)), (behind, Q())):
        for device_ids in _parts(sorted({device_id for device_id, _ in wanted})):
            days = {day for device_id, day in wanted if device_id in device_ids}
            there = DaySummary.objects.filter(is_open, device_id__in=device_ids, day__gte=min(days), day__lte=max(days))
            mark((row for row in there.values_list("device_id", "day") if row in wanted), now)


def _parts(ids: list[int]) -> Iterator[set[int]]:
    for at in range(0, len(ids), DEVICES_AT_ONCE):
        yield set(ids[at : at + DEVICES_AT_ONCE])
