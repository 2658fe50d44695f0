"""Days of devices in the database: their sums, and what pages ask of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import F, Q, QuerySet

from store.days import Span, span_of
from store.daysums import DayCounter, DaySums, ReportValues
from store.models import (
    ChannelSummary,
    DaySummary,
    Device,
    Event,
    EventKind,
    Presence,
    Report,
    Stop,
    Trip,
)
from store.states import CLOCK_AHEAD
from store.uptime import online_seconds

LOOK_BACK = timedelta(hours=1)
"""Read before a day, to know how the device stood when it began: longer than all that store.trips remembers."""
LOOK_ON = timedelta(days=1)
"""A trip is followed so far into the next day."""
REPORTS_AT_ONCE = 2_000

_ALARMS = (EventKind.ALARM_OPENED, EventKind.ALARM_REOPENED, EventKind.ALARM_RESUMED)
_SESSIONS = (EventKind.ONLINE, EventKind.OFFLINE)
_COLUMNS = ReportValues._fields
_FIGURES = tuple(name for name in DaySums._fields if name not in ("span", "trips", "stops", "channels"))


def sum_up(device_id: int, day: date, zone: ZoneInfo, as_of: datetime) -> DaySums:
    """What a day of a device comes to, by what is stored: it reads a few thousand reports at a time."""
    span = span_of(day, zone)
    counter = DayCounter(span)
    for report in _reports(device_id, Span(span.begin - LOOK_BACK, span.end + LOOK_ON)):
        counter.take(report)
        if not counter.is_wanting:
            break
    alarms = Event.objects.filter(device_id=device_id, time__gte=span.begin, time__lt=span.end, kind__in=_ALARMS)
    return counter.sums(alarms.count(), _online_seconds(device_id, Span(span.begin, min(span.end, as_of))))


def store(device_id: int, day: date, as_of: datetime, sums: DaySums) -> bool:
    """Have these figures replace what is known of the day; whether they do.

    Not if a reading that began later is there, nor if that knew of more reports: then these were deleted for their age.
    Idempotent, in any order.
    """
    with transaction.atomic():
        # Of two results of a device one waits here, and a device that is deleted meanwhile for both.
        if not Device.objects.select_for_update(no_key=True).filter(pk=device_id).exists():
            return False
        row, _ = DaySummary.objects.get_or_create(device_id=device_id, day=day)
        if row.as_of is not None and as_of <= row.as_of:
            return False
        is_less = row.begins_at == sums.span.begin and sums.report_count < row.report_count
        if not is_less:
            _replace(row, sums)
        row.as_of = as_of
        if row.due_at is not None and row.due_at <= as_of:
            row.due_at = row.asked_at = None
        row.save()
        return not is_less


def newest_days(
    limit: int, identity: str | None = None, first: date | None = None, last: date | None = None
) -> QuerySet[DaySummary]:
    """Days that are summed up, the newest first; of all devices or of those of a name, from a day to another."""
    found = DaySummary.objects.select_related("device").filter(as_of__isnull=False)
    if identity is not None:
        found = found.filter(device_id__in=_ids(identity))
    if first is not None:
        found = found.filter(day__gte=first)
    if last is not None:
        found = found.filter(day__lte=last)
    return found.order_by("-day", "device_id")[:limit]


def newest_trips(limit: int, identity: str | None = None, span: Span | None = None) -> QuerySet[Trip]:
    """Trips, the newest first; of all devices or of those of a name, that begin within a span."""
    found = Trip.objects.select_related("device")
    if identity is not None:
        found = found.filter(device_id__in=_ids(identity))
    if span is not None:
        found = found.filter(begins_at__gte=span.begin, begins_at__lt=span.end)
    return found.order_by("-begins_at", "device_id")[:limit]


def newest_stops(limit: int, identity: str, span: Span | None = None) -> QuerySet[Stop]:
    """The same of stops, which are asked for of one device."""
    found = Stop.objects.select_related("device").filter(device_id__in=_ids(identity))
    if span is not None:
        found = found.filter(begins_at__gte=span.begin, begins_at__lt=span.end)
    return found.order_by("-begins_at", "device_id")[:limit]


def _ids(identity: str) -> list[int]:
    return list(Device.objects.filter(identity=identity).values_list("id", flat=True))


def _reports(device_id: int, span: Span) -> Iterator[ReportValues]:
    """Reports of times that are believed, in the order of their times, a few at a time by the index that stores them once."""
    believed = Report.objects.filter(device_id=device_id, time__lte=F("received_at") + CLOCK_AHEAD, time__lt=span.end)
    rows = believed.order_by("time", "digest").values_list(*_COLUMNS, "digest")
    is_next = Q(time__gte=span.begin)
    while page := list(rows.filter(is_next)[:REPORTS_AT_ONCE]):
        for row in page:
            yield ReportValues(*row[:-1])
        if len(page) < REPORTS_AT_ONCE:
            return
        time, digest = page[-1][0], bytes(page[-1][-1])
        # The first condition, beside which the others say it exactly, is one that the index goes by.
        is_next = Q(time__gte=time) & (Q(time__gt=time) | Q(digest__gt=digest))


def _online_seconds(device_id: int, span: Span) -> float:
    if span.end <= span.begin:
        return 0.0
    sessions = Event.objects.filter(device_id=device_id, kind__in=_SESSIONS)
    before = sessions.filter(time__lt=span.begin).order_by("-time", "-id").values_list("kind", flat=True).first()
    if before is None:
        was_online = Presence.objects.filter(device_id=device_id, is_online=True, since__lte=span.begin).exists()
    else:
        was_online = before == EventKind.ONLINE
    within = sessions.filter(time__gte=span.begin, time__lt=span.end).order_by("time", "id").values_list("time", "kind")
    comings = ((time, kind == EventKind.ONLINE) for time, kind in within.iterator(chunk_size=REPORTS_AT_ONCE))
    return online_seconds(comings, was_online, span)


def _replace(row: DaySummary, sums: DaySums) -> None:
    for name in _FIGURES:
        setattr(row, name, getattr(sums, name))
    row.begins_at, row.ends_at = sums.span
    for model in (Trip, Stop):
        there = model._default_manager.filter(device_id=row.device_id)
        there.filter(begins_at__gte=sums.span.begin, begins_at__lt=sums.span.end).delete()
    Trip.objects.bulk_create([Trip(device_id=row.device_id, **trip._asdict()) for trip in sums.trips])
    Stop.objects.bulk_create([Stop(device_id=row.device_id, **stop._asdict()) for stop in sums.stops])
    row.channels.all().delete()
    ChannelSummary.objects.bulk_create([ChannelSummary(summary=row, **channel._asdict()) for channel in sums.channels])
