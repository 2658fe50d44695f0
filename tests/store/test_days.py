"""Days of time zones."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from store.days import day_of, days_between, span_of

BERLIN, SHANGHAI = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(
    ("day", "zone", "begin", "hours"),
    [
        (date(2026, 3, 1), ZoneInfo("UTC"), datetime(2026, 3, 1, tzinfo=UTC), 24),
        (date(2026, 3, 1), SHANGHAI, datetime(2026, 2, 28, 16, tzinfo=UTC), 24),
        (date(2026, 3, 29), BERLIN, datetime(2026, 3, 28, 23, tzinfo=UTC), 23),
        (date(2026, 10, 25), BERLIN, datetime(2026, 10, 24, 22, tzinfo=UTC), 25),
        # Its clocks skip midnight.
        (date(2018, 11, 4), ZoneInfo("America/Sao_Paulo"), datetime(2018, 11, 4, 3, tzinfo=UTC), 23),
    ],
)
def test_a_day_has_as_many_hours_as_its_zone_gives_it(day: date, zone: ZoneInfo, begin: datetime, hours: int) -> None:
    span = span_of(day, zone)
    assert (span.begin, span.end - span.begin) == (begin, timedelta(hours=hours))
    assert [day_of(moment, zone) for moment in (span.begin, span.end - timedelta(microseconds=1))] == [day, day]
    assert span.end == span_of(day + timedelta(days=1), zone).begin


def test_days_between_are_all_of_them() -> None:
    assert list(days_between(date(2026, 2, 28), date(2026, 3, 1))) == [date(2026, 2, 28), date(2026, 3, 1)]
    assert list(days_between(date(2026, 3, 2), date(2026, 3, 1))) == []
