"""Days that are due in real databases: found once each when they are over, and again when more of them comes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from store import duedays
from store.duedays import devices_of, due, mark, mark_next
from store.mileage import Point
from store.models import DaySummary, Device, Trip
from store.summaries import store
from tests.store.test_summaries import FIRST, NEXT_DAY, ONE, UTC_ZONE, drive, settle, stored, sums
from tests.store.ways import DAY

pytestmark = pytest.mark.usefixtures("database_url")


def mark_all(now: datetime) -> set[tuple[str, str]]:
    """What is due when all was looked through."""
    while mark_next(UTC_ZONE, now):
        pass
    rows = DaySummary.objects.filter(due_at__isnull=False).values_list("device__identity", "day")
    return {(identity, day.isoformat()) for identity, day in rows}


def test_devices_are_found_in_parts_and_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duedays, "DEVICES_AT_ONCE", 2)
    ids = [stored(drive(hours), str(hours)) for hours in (8, 32, 9, 10)]
    found, after = [], 0
    while after is not None:
        some, after = devices_of(FIRST, UTC_ZONE, after)
        found += some
    assert found == [ids[0], ids[2], ids[3]]
    assert devices_of(FIRST, UTC_ZONE, 0, "9") == ([ids[2]], None)
    assert devices_of(FIRST, UTC_ZONE, 0, "nobody") == ([], None)


def test_a_day_that_is_over_is_due_for_who_has_reports_of_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duedays, "DEVICES_AT_ONCE", 1)
    stored(drive(8), "1")
    stored(drive(9), "2")
    stored(drive(32), "today")
    assert mark_all(NEXT_DAY) == {("1", "2026-03-01"), ("2", "2026-03-01")}
    settle(NEXT_DAY)
    assert mark_all(NEXT_DAY) == set()
    assert mark_all(NEXT_DAY + ONE) == {("today", "2026-03-02")}


def test_days_are_missed_by_no_pause() -> None:
    mark_all(NEXT_DAY)
    stored([*drive(32), *drive(56), *drive(80)])
    assert mark_all(NEXT_DAY + 4 * ONE) == {("1", f"2026-03-0{day}") for day in (2, 3, 4)}


def test_what_is_stored_late_makes_its_day_due_again_also_from_a_spool() -> None:
    stored(drive(), "1")
    stored(drive(), "2")
    mark_all(NEXT_DAY)
    settle(NEXT_DAY)
    stored(drive(12), "2", received_at=DAY.begin + timedelta(hours=12))
    stored(drive(-600), "new")
    stored(drive(30), "today")
    now = NEXT_DAY + timedelta(minutes=1)
    assert mark_all(now) == {("2", "2026-03-01"), ("new", "2026-02-04")}
    settle(now)
    assert Trip.objects.filter(device__identity="2").count() == 2
    assert mark_all(now) == set()


def test_late_reports_are_looked_through_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    mark_all(NEXT_DAY)
    monkeypatch.setattr(duedays, "IDS_AT_ONCE", 3)
    stored(drive(8, 5))
    stored(drive(-24, 5))
    assert mark_all(NEXT_DAY) == {("1", "2026-03-01"), ("1", "2026-02-28")}


def test_a_trip_over_midnight_grows_with_the_next_day_and_with_what_comes_late_of_it() -> None:
    points = drive(22.5, 120)
    device_id = stored([point for point in points if point.time < DAY.end])
    mark_all(NEXT_DAY)
    settle(NEXT_DAY)
    assert [round(trip.distance_km) for trip in Trip.objects.all()] == [80]
    stored([point for point in points if point.time >= DAY.end])
    now = NEXT_DAY + ONE
    assert mark_all(now) == {("1", "2026-03-01"), ("1", "2026-03-02")}
    settle(now)
    assert [round(trip.distance_km) for trip in Trip.objects.all()] == [120]
    stored([Point(DAY.end + timedelta(hours=1), 30.0, 100.0, 0.0)])
    assert mark_all(now) == {("1", "2026-03-01"), ("1", "2026-03-02")}
    assert Device.objects.get().pk == device_id


def test_the_end_of_a_day_makes_the_next_due_if_that_was_summed_up() -> None:
    stored([*drive(8), *drive(32)])
    now = NEXT_DAY + ONE
    mark_all(NEXT_DAY)
    mark_all(now)
    settle(now)
    stored([Point(DAY.end - timedelta(minutes=5), 30.0, 100.0, 0.0)])
    assert mark_all(now) == {("1", "2026-03-01"), ("1", "2026-03-02")}


def test_who_is_asked_is_asked_again_when_nothing_comes_and_not_before() -> None:
    device_id = stored(drive())
    mark([(device_id, FIRST), (device_id, FIRST)], NEXT_DAY)
    (one,) = found = due(NEXT_DAY, 10)
    assert (one.device_id, one.day) == (device_id, FIRST)
    duedays.asked(found, NEXT_DAY)
    assert due(NEXT_DAY + timedelta(minutes=59), 10) == []
    assert due(NEXT_DAY + timedelta(minutes=61), 10) == found
    mark([(device_id, FIRST)], NEXT_DAY + timedelta(minutes=5))
    assert due(NEXT_DAY + timedelta(minutes=5), 10) == found
    store(device_id, FIRST, NEXT_DAY + timedelta(minutes=4), sums(device_id))
    assert due(NEXT_DAY + timedelta(minutes=6), 10) == found, "the sum is of before"
    store(device_id, FIRST, NEXT_DAY + timedelta(minutes=5), sums(device_id))
    assert due(NEXT_DAY + timedelta(hours=9), 10) == []


def test_clocks_of_long_ago_are_no_days() -> None:
    mark_all(NEXT_DAY)
    for year in (1, 1970, 1999):
        stored([Point(datetime(year, 1, 1, tzinfo=UTC), 1.0, 2.0)])
    stored([Point(datetime(2001, 1, 1, tzinfo=UTC), 1.0, 2.0)])
    assert mark_all(NEXT_DAY) == {("1", "2001-01-01")}
