"""A channel of a device over a span of time, in as many points as a page has room for.

span, points ─▶ five minutes, hours or days, whichever is just fine enough ─▶ put together to equal parts
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import orjson
from django.db import connection

from store.days import Span
from store.models import ChannelFiveMinutes, ChannelHour, DaySummary, Device
from store.slots import FIVE_MINUTES, HOUR, Sums, add

MOST_POINTS = 2_016
"""Seven days by five minutes."""
DAY = timedelta(days=1)
_COLUMNS = {
    "postgresql": "extract(epoch FROM begins_at)::bigint, (channels -> %s)::text",
    "sqlite": "unixepoch(begins_at), channels",
}


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
    """By statements of its own: to make Django's values of two thousand rows would take longer than to read them."""
    model = ChannelHour if unit == HOUR else ChannelFiveMinutes
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {_COLUMNS[connection.vendor]} FROM {model._meta.db_table} "
            "WHERE device_id = %s AND begins_at >= %s AND begins_at < %s ORDER BY begins_at",
            [
                *([name] if connection.vendor == "postgresql" else []),
                device.pk,
                *map(connection.ops.adapt_datetimefield_value, span),
            ],
        )
        rows = cursor.fetchall()
    for begin, told in rows:
        sums = told and orjson.loads(told)
        if isinstance(sums, dict):
            # The whole row's: there is no path in SQLite's JSON to a name of any characters.
            sums = sums.get(name)
        if sums:
            yield datetime.fromtimestamp(begin, UTC), sums


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
