"""Days of a time zone: of 24 hours, and of 23 and 25 where daylight saving begins and ends."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

FIRST_DAY = date(2000, 1, 1)
LAST_DAY = date(9998, 12, 31)
"""Outside of these no day is summed up: no clock means them, and their ends are beyond what some databases take."""


class Span(NamedTuple):
    """From a moment on, and before another. Both in UTC."""

    begin: datetime
    end: datetime


def day_of(moment: datetime, zone: ZoneInfo) -> date:
    return moment.astimezone(zone).date()


def span_of(day: date, zone: ZoneInfo) -> Span:
    return Span(_midnight(day, zone), _midnight(day + timedelta(days=1), zone))


def days_between(first: date, last: date) -> Iterator[date]:
    """Both of them too."""
    for number in range((last - first).days + 1):
        yield first + timedelta(days=number)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    """A day's first moment; where the clock skips midnight, the one that it skips to."""
    return datetime.combine(day, time(), zone).astimezone(UTC)
