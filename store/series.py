"""A channel of a device over a span of time, in as many points as a page has room for.

span, points ─▶ five minutes, hours or days, whichever is just fine enough ─▶ put together to equal parts
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models.fields.json import KeyTransform

from store.days import Span
from store.models import ChannelFiveMinutes, ChannelHour, DaySummary, Device
from store.slots import FIVE_MINUTES, HOUR, Sums, add

MOST_POINTS = 2_016
"""Seven days by five minutes."""
DAY = timedelta(days=1)


class SeriesError(Exception):
    """It cannot be had; the text says why."""


class Point(NamedTuple):
    """A part of the span in which something was told."""

    begins_at: datetime
    readings: int
    minimum: float
    mean: float
    maximum: float
    last: float


class Series(NamedTuple):
    step: timedelta
    """From one point to the next; days are those of the time zone in which they were summed up, of 23 to 25 hours."""
    points: list[Point]


def series(device: Device, name: str, span: Span, points: int) -> Series:
    """What a channel was within a span, in at most so many points.

    Bounded: it reads at most 24 rows a point. What was reported within the last minutes is not rolled up yet.
    Raises: SeriesError
    """
    if not 1 <= points <= MOST_POINTS:
        raise SeriesError(f"points: from 1 to {MOST_POINTS}")
    if span.end <= span.begin:
        raise SeriesError("it ends before it begins")
    wanted = (span.end - span.begin) / points
    unit = next((unit for unit in (DAY, HOUR) if unit <= wanted), FIVE_MINUTES)
    step = unit * -(-wanted // unit)
    # Cut at whole steps from its begin on: of one that begins within a step the first point is the whole step's.
    begin = span.begin - (span.begin - datetime.min.replace(tzinfo=span.begin.tzinfo)) % min(unit, HOUR)
    if begin + step * points < span.end:
        step += unit
    rows = _days(device, name, span) if unit == DAY else _slots(device, name, Span(begin, span.end), unit)
    return Series(step, list(_points(rows, begin, step)))


def _slots(device: Device, name: str, span: Span, unit: timedelta) -> Iterator[tuple[datetime, Sums]]:
    model = ChannelHour if unit == HOUR else ChannelFiveMinutes
    rows = model._default_manager.filter(device=device, begins_at__gte=span.begin, begins_at__lt=span.end)
    ordered = rows.order_by("begins_at")
    told: Iterable[tuple[datetime, Sums | None]]
    if name.isidentifier():
        told = ordered.annotate(sums=KeyTransform(name, "channels")).values_list("begins_at", "sums")
    else:
        # In the database a number would be a place in a list, and marks a path.
        told = ((begin, channels.get(name)) for begin, channels in ordered.values_list("begins_at", "channels"))
    return ((begin, sums) for begin, sums in told if sums)


def _days(device: Device, name: str, span: Span) -> Iterator[tuple[datetime, Sums]]:
    days = DaySummary.objects.filter(device=device, begins_at__gte=span.begin, begins_at__lt=span.end, channels__name=name)
    figures = (f"channels__{figure}" for figure in ("readings", "minimum", "maximum", "mean", "last"))
    for begin, readings, minimum, maximum, mean, last in days.order_by("begins_at").values_list("begins_at", *figures):
        yield begin, [readings, minimum, maximum, mean * readings, last]


def _points(rows: Iterable[tuple[datetime, Sums]], begin: datetime, step: timedelta) -> Iterator[Point]:
    at, together = begin, None
    for moment, sums in rows:
        if moment >= at + step:
            if together is not None:
                yield _point(at, together)
            at, together = begin + (moment - begin) // step * step, None
        together = sums if together is None else add(together, sums)
    if together is not None:
        yield _point(at, together)


def _point(begin: datetime, sums: Sums) -> Point:
    readings, minimum, maximum, total, last = sums
    # Rounding must not take the mean out of its bounds.
    return Point(begin, int(readings), minimum, min(max(total / readings, minimum), maximum), maximum, last)
