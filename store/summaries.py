"""Days of devices in the database: which are to be summed up, their sums, and what pages ask of them.

all devices with reports of a day that is over ──┐
reports stored since, of days before ────────────┼─▶ mark ─▶ due rows ─▶ asked for ─▶ sum_up ─▶ store ─▶ not due any more
an operator ─────────────────────────────────────┘            ▲                                   │
                                                              └─ no sum within an hour ◀──────────┘ lost on its way

A row says that a day is due before anybody is asked, so that nothing is missed that a broker loses. What is new is found by
the order in which reports were stored, since a spool brings them long after they were received.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.db.models import Exists, F, Max, OuterRef, Q, QuerySet
from django.db.models.functions import TruncDate

from store.days import FIRST_DAY, Span, day_of, span_of
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
    SummaryProgress,
    Trip,
)
from store.states import CLOCK_AHEAD
from store.uptime import online_seconds

LOOK_BACK = timedelta(hours=1)
"""Read before a day, to know how the device stood when it began: longer than all that store.trips remembers."""
LOOK_ON = timedelta(days=1)
"""A trip is followed so far into the next day."""
REPORTS_AT_ONCE = 2_000
DEVICES_AT_ONCE = 2_000
IDS_AT_ONCE = 200_000
"""Of reports that are looked at in one step: tens of milliseconds on PostgreSQL, where an index has them."""
OPEN_TRANSACTIONS = timedelta(minutes=10)
"""Longer than any that stores reports takes: until then it may still bring lower ids than are there."""
ASKED_AGAIN = timedelta(hours=1)
"""A sum that has not come by then is lost."""

_ALARMS = (EventKind.ALARM_OPENED, EventKind.ALARM_REOPENED, EventKind.ALARM_RESUMED)
_SESSIONS = (EventKind.ONLINE, EventKind.OFFLINE)
_COLUMNS = ReportValues._fields
_FIGURES = tuple(name for name in DaySums._fields if name not in ("span", "trips", "stops", "channels"))


class Due(NamedTuple):
    """A day that is to be summed up."""

    id: int
    device_id: int
    day: date


def database_now() -> datetime:
    """By the database's clock, which is the same for all workers."""
    if connection.vendor != "postgresql":
        return datetime.now(UTC)
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
        return now


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
    with transaction.atomic():
        progress = _progress(zone, now)
        if progress.day < day_of(now, zone):
            _mark_day(progress, zone, now)
            is_more = True
        else:
            is_more = _mark_late(progress, zone, now)
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


def _progress(zone: ZoneInfo, now: datetime) -> SummaryProgress:
    """It begins with yesterday, and with what is stored from now on of days before."""
    rows = SummaryProgress.objects.select_for_update()
    if (progress := rows.filter(pk=1).first()) is not None:
        return progress
    newest = _newest_id()
    first = day_of(now, zone) - timedelta(days=1)
    return rows.get_or_create(pk=1, defaults={"day": first, "read_to": newest, "seen_id": newest, "seen_at": now})[0]


def _newest_id() -> int:
    return Report.objects.aggregate(newest=Max("id"))["newest"] or 0


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


def _mark_late(progress: SummaryProgress, zone: ZoneInfo, now: datetime) -> bool:
    """Days that were marked before, by what was stored since; whether there may be more of it."""
    if progress.read_to >= progress.seen_id:
        newest = _newest_id()
        if newest > progress.seen_id:
            progress.seen_id, progress.seen_at = newest, now
        return False
    if now - progress.seen_at < OPEN_TRANSACTIONS:
        return False
    to = min(progress.seen_id, progress.read_to + IDS_AT_ONCE)
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
