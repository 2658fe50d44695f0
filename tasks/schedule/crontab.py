"""When a crontab's times come, in its own time zone, over changes of the clock too.

local day ── does it match? ──▶ its moments, in UTC ──▶ the first behind the last run

Celery asks the clock on the wall, which has no 02:30 on one day of a year and two on another. Here a time that the clock skips
is the moment at which it would have been without the change (02:30 is 03:30 of summer time), and one that comes twice is its
first. Where every hour is meant the clock's change is nothing: each hour that passes counts, the one that comes again too.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from celery.schedules import ParseException, crontab, crontab_parser, schedstate
from django_celery_beat.tzcrontab import TzAwareCrontab

MOST_DAYS = 41 * 366
"""A Monday that is 29 February comes after 40 years at the latest."""
NEVER_SECONDS = 86_400.0
_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)


class CrontabError(ValueError):
    """It cannot be read, or never comes; the text says what of it."""


class Field(NamedTuple):
    """One of the five, in the order in which people write them."""

    name: str
    words: str
    first: int
    last: int
    length: int
    """Of the text, that a row has room for."""


FIELDS = (
    Field("minute", "minute", 0, 59, 240),
    Field("hour", "hour", 0, 23, 96),
    Field("day_of_month", "day of the month", 1, 31, 124),
    Field("month_of_year", "month", 1, 12, 64),
    Field("day_of_week", "day of the week", 0, 6, 64),
)


class Crontab(TzAwareCrontab):  # type: ignore[misc]
    """A crontab of a time zone. Of day of the month and day of the week both have to match."""

    _cached: tuple[datetime, datetime | None] | None = None

    def next_after(self, moment: datetime) -> datetime | None:
        """Its first time behind a moment, in UTC; None if it never comes."""
        if self._cached is None or self._cached[0] != moment:
            self._cached = moment, next((due for due in self._moments(moment) if due > moment), None)
        return self._cached[1]

    def is_due(self, last_run_at: datetime) -> Any:
        """Whether it is time, and in how many seconds to ask again."""
        now = self.nowfunc().astimezone(UTC)
        due = self.next_after(last_run_at.astimezone(UTC))
        if due is not None and due > now:
            return schedstate(False, (due - now).total_seconds())
        following = None if due is None else next(self._moments(now, now), None)
        wait = NEVER_SECONDS if following is None else (following - now).total_seconds()
        return schedstate(due is not None, wait)

    def _moments(self, since: datetime, behind: datetime | None = None) -> Iterator[datetime]:
        """Of days from the one before a moment on, in their order."""
        first = since.astimezone(self.tz).date() - _DAY
        for number in range(MOST_DAYS):
            day = first + number * _DAY
            if self._is_meant(day):
                yield from (due for due in self._moments_of(day) if behind is None or due > behind)

    def _is_meant(self, day: date) -> bool:
        is_weekday = day.isoweekday() % 7 in self.day_of_week
        return is_weekday and day.day in self.day_of_month and day.month in self.month_of_year

    def _moments_of(self, day: date) -> list[datetime]:
        if len(self.hour) < 24:
            times = (datetime.combine(day, time(hour, minute), self.tz) for hour in self.hour for minute in self.minute)
            return sorted({moment.astimezone(UTC) for moment in times})
        begin, end = (datetime.combine(one, time(), self.tz).astimezone(UTC) for one in (day, day + _DAY))
        minutes = (begin + number * _MINUTE for number in range((end - begin) // _MINUTE))
        return [moment for moment in minutes if moment.astimezone(self.tz).minute in self.minute]


def read_crontab(text: str, zone: ZoneInfo) -> dict[str, Any]:
    """The fields of a row for what somebody has written: ``30 2 * * *``.

    Raises: CrontabError
    """
    given = text.split()
    if len(given) != len(FIELDS):
        raise CrontabError(
            f"a crontab has five fields, minute, hour, day of the month, month and day of the week, and this has {len(given)}: "
            'write for example "30 2 * * *" for every day at 02:30'
        )
    for field, part in zip(FIELDS, given, strict=True):
        _check(field, part)
    fields = {field.name: part for field, part in zip(FIELDS, given, strict=True)}
    crontab_of(fields, zone)
    return {**fields, "timezone": zone}


def crontab_of(fields: dict[str, str], zone: tzinfo) -> Crontab:
    """Raises: CrontabError"""
    try:
        made = Crontab(**fields, tz=zone)
    except (ParseException, ValueError, TypeError, ArithmeticError) as error:
        raise CrontabError(_sentence(error)) from error
    if made.next_after(datetime.now(UTC)) is None:
        raise CrontabError("such a day never comes")
    return made


def _check(field: Field, part: str) -> None:
    """Raises: CrontabError"""
    bounds = f"{field.first} to {field.last}, *, lists such as 1,15, ranges such as 1-5 and steps such as */10"
    if len(part) > field.length:
        raise CrontabError(f"the {field.words} is longer than {field.length} characters: it takes {bounds}")
    try:
        if field.name == "day_of_week":
            crontab(day_of_week=part)
        else:
            crontab_parser(field.last - field.first + 1, field.first).parse(part)
    except (ParseException, ValueError, TypeError, ArithmeticError):
        raise CrontabError(f"the {field.words} {part!r} cannot be read: it takes {bounds}") from None


def _sentence(error: BaseException) -> str:
    return str(error).strip().rstrip(".").removeprefix("Invalid crontab: ") or type(error).__name__
