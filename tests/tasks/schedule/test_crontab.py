"""Crontabs under a virtual clock: when they fire in a zone, over both changes of its clock too, and what is said of one that
cannot be read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine

from tasks.schedule.crontab import FIELDS, Crontab, CrontabError, crontab_of, read_crontab

MINUTE = timedelta(minutes=1)
SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")


def crontab(text: str, zone: ZoneInfo) -> Crontab:
    return crontab_of({field.name: part for field, part in zip(FIELDS, text.split(), strict=True)}, zone)


def fired(text: str, zone: ZoneInfo, begin: str, end: str) -> list[str]:
    """When beat, asking each minute of the virtual clock, finds it due; it ran last long ago enough, just before."""
    found, times = crontab(text, zone), []
    now = last = datetime.fromisoformat(begin).replace(tzinfo=UTC)
    while (now := now + MINUTE) <= datetime.fromisoformat(end).replace(tzinfo=UTC):
        with time_machine.travel(now, tick=False):
            is_due, wait = found.is_due(last)
        if is_due:
            times.append(f"{now:%d %H:%M}")
            last = now
        else:
            assert found.next_after(last) == now + timedelta(seconds=wait)
    return times


def test_a_night_in_shanghai_is_in_the_evening_before_in_utc():
    assert fired("30 2 * * *", SHANGHAI, "2026-03-28T00:00", "2026-03-30T00:00") == ["28 18:30", "29 18:30"]


def test_a_time_that_the_clock_skips_is_the_moment_that_it_would_have_been():
    """On 29 March 2026 02:30 does not exist in Berlin: it is 03:30 of summer time."""
    times = fired("30 2 * * *", BERLIN, "2026-03-28T00:00", "2026-03-31T00:00")
    assert times == ["28 01:30", "29 01:30", "30 00:30"]
    assert fired("30 2,3 * * *", BERLIN, "2026-03-28T22:00", "2026-03-29T20:00") == ["29 01:30"]


def test_a_time_that_comes_twice_counts_once_the_first_time():
    """On 25 October 2026 02:30 comes twice in Berlin."""
    times = fired("30 2 * * *", BERLIN, "2026-10-24T00:00", "2026-10-27T00:00")
    assert times == ["24 00:30", "25 00:30", "26 01:30"]


def test_where_every_hour_is_meant_each_one_that_passes_counts():
    assert fired("0 * * * *", BERLIN, "2026-10-24T22:30", "2026-10-25T03:30") == [f"{n}" for n in (
        "24 23:00", "25 00:00", "25 01:00", "25 02:00", "25 03:00")]  # fmt: skip
    assert len(fired("*/5 * * * *", BERLIN, "2026-10-24T22:00", "2026-10-25T04:00")) == 6 * 12
    assert len(fired("*/5 * * * *", BERLIN, "2026-03-28T22:00", "2026-03-29T04:00")) == 6 * 12


def test_what_came_while_nobody_asked_comes_once():
    found = crontab("30 2 * * *", SHANGHAI)
    with time_machine.travel(datetime(2026, 3, 9, 12, tzinfo=UTC), tick=False):
        is_due, wait = found.is_due(datetime(2026, 3, 1, tzinfo=UTC))
        assert (is_due, wait) == (True, 6.5 * 3600)
        assert found.is_due(datetime(2026, 3, 9, 12, tzinfo=UTC)) == (False, 6.5 * 3600)


def test_day_and_weekday_have_to_match_both():
    found = crontab("0 0 13 * fri", BERLIN)
    assert found.next_after(datetime(2026, 4, 1, tzinfo=UTC)) == datetime(2026, 11, 12, 23, tzinfo=UTC)


def test_a_leap_day_of_a_weekday_is_found():
    found = crontab("0 0 29 2 mon", ZoneInfo("UTC"))
    assert found.next_after(datetime(2072, 3, 1, tzinfo=UTC)) == datetime(2112, 2, 29, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("61 2 * * *", "the minute '61' cannot be read"),
        ("x 2 * * *", "the minute 'x' cannot be read"),
        ("*/0 2 * * *", "the minute '*/0' cannot be read"),
        ("0 24 * * *", "the hour '24' cannot be read"),
        ("0 2 0 * *", "the day of the month '0' cannot be read"),
        ("0 2 * 13 *", "the month '13' cannot be read"),
        ("0 2 * * 8", "the day of the week '8' cannot be read"),
        ("0 2 * * blue", "the day of the week 'blue' cannot be read"),
        ("1," * 200 + "1 2 * * *", "the minute is longer than 240 characters"),
        ("0 2 30 2 *", "day_of_month '30' never occurs in month_of_year '2'"),
        ("0 2 * *", "a crontab has five fields"),
        ("", "a crontab has five fields"),
        ("0 2 * * * *", "and this has 6"),
    ],
)
def test_one_that_cannot_be_read_is_said(text: str, said: str):
    with pytest.raises(CrontabError) as raised:
        read_crontab(text, BERLIN)
    assert said in str(raised.value)
