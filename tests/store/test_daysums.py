"""What a day comes to."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from store.channels import MOST_CHANNELS
from store.days import Span, span_of
from store.daysums import ChannelSums, DayCounter, DaySums, ReportValues
from store.mileage import Point
from tests.store.ways import DAY, MIDNIGHT, Way


def reported(point: Point, **values: Any) -> ReportValues:
    told = values if point.ignition is None else {"ignition": point.ignition, **values}
    return ReportValues(point.time, point.latitude, point.longitude, None, point.speed_kmh, None, told)


def sums(reports: list[ReportValues], span: Span = DAY) -> DaySums:
    counter = DayCounter(span)
    for report in reports:
        if not counter.is_wanting:
            break
        counter.take(report)
    return counter.sums(alarm_count=3, online_seconds=60.0)


def test_a_day_is_counted_measured_and_divided() -> None:
    way = Way(8, ignition=False)
    points = [way.point(), *way.stand(60)]
    way.ignition = True
    points += [*way.stand(10), *way.go(30, 60), *way.stand(10)]
    way.ignition = False
    points += way.stand(60)
    day = sums([reported(point) for point in points])
    assert (day.report_count, day.first_at, day.last_at) == (len(points), points[0].time, points[-1].time)
    assert (day.distance_km, day.is_by_odometer) == (pytest.approx(30, rel=0.01), False)
    assert (day.driving_seconds, day.idle_seconds, day.stopped_seconds) == (30 * 60, 20 * 60, 120 * 60)
    assert (day.max_speed_kmh, day.mean_speed_kmh) == (60, 60)
    assert (day.alarm_count, day.online_seconds, len(day.trips), len(day.stops)) == (3, 60, 1, 2)
    assert not day.is_open


@pytest.mark.parametrize(
    ("day", "zone", "hours"),
    [
        (date(2026, 3, 29), ZoneInfo("Europe/Berlin"), 23),
        (date(2026, 10, 25), ZoneInfo("Europe/Berlin"), 25),
        (date(2026, 3, 1), ZoneInfo("Asia/Shanghai"), 24),
    ],
)
def test_what_goes_on_all_the_time_fills_its_day(day: date, zone: ZoneInfo, hours: int) -> None:
    span = span_of(day, zone)
    times = [span.begin - timedelta(minutes=55) + index * timedelta(minutes=10) for index in range(200)]
    parked = sums([ReportValues(time, 31.0, 121.0, None, 0.0, None, {}) for time in times], span)
    assert parked.stopped_seconds == hours * 3600
    assert parked.report_count == hours * 6
    assert [(stop.begins_at, stop.ends_at) for stop in parked.stops] == [span]


def test_a_trip_over_midnight_is_whole_and_the_days_share_its_way() -> None:
    way = Way(22)
    reports = [reported(point) for point in [way.point(), *way.stand(60), *way.go(120, 60), *way.stand(60)]]
    next_day = Span(DAY.end, DAY.end + timedelta(days=1))
    first, second = sums(reports), sums([report for report in reports if report.time > DAY.end - timedelta(hours=1)], next_day)
    assert [round(trip.distance_km) for trip in first.trips] == [120]
    assert second.trips == []
    assert (first.is_open, second.is_open) == (True, False)
    assert (first.distance_km, second.distance_km) == (pytest.approx(60, abs=1), pytest.approx(60, abs=1))
    assert (first.driving_seconds, second.driving_seconds) == (pytest.approx(3600, abs=30), pytest.approx(3600, abs=30))


def test_reading_ends_with_the_day_and_its_last_trip() -> None:
    way = Way(23)
    counter = DayCounter(DAY)
    reports = [reported(point) for point in [way.point(), *way.stand(50), *way.go(60, 60), *way.stand(600)]]
    taken = 0
    for report in reports:
        counter.take(report)
        taken += 1
        if not counter.is_wanting:
            break
    assert reports[taken - 1].time == DAY.end + timedelta(minutes=53.5), "three minutes after it was first seen standing"


def test_numeric_channels_have_their_bounds_mean_and_last() -> None:
    way = Way(8)
    told: list[Any] = [4, 2.5, 10, True, "high", None, [1], 1e308, 10**400]
    reports = [reported(point, temperature_c=value) for point, value in zip(way.go(10, 50), told, strict=False)]
    day = sums(reports)
    assert {channel.name: channel for channel in day.channels} == {
        "temperature_c": ChannelSums("temperature_c", 3, 2.5, 5.5, 10.0, 10.0),
        "speed_kmh": ChannelSums("speed_kmh", len(reports), 50.0, 50.0, 50.0, 50.0),
    }


def test_channels_are_bounded() -> None:
    names = [*(f"c{index}" for index in range(2 * MOST_CHANNELS)), "n" * 65]
    assert len(sums([ReportValues(MIDNIGHT, values=dict.fromkeys(names, 1))]).channels) == MOST_CHANNELS


@pytest.mark.parametrize("values", [{"fix": False}, {}])
def test_places_without_a_fix_are_none(values: dict[str, Any]) -> None:
    way = Way(8)
    reports = [reported(point) for point in [way.point(), *way.stand(10)]]
    way.silence(1)
    elsewhere = (0.0, 0.0) if not values else (31.0, 101.0)
    reports += [ReportValues(way.time + timedelta(minutes=n), *elsewhere, None, 30.0, None, values) for n in range(9)]
    way.silence(9)
    reports += [reported(point) for point in way.stand(10)]
    day = sums(reports)
    assert (day.distance_km, day.trips) == (0, [])


def test_an_odometer_that_is_sane_says_how_far_it_was() -> None:
    way = Way(8, odometer_km=100.0)
    reports = [reported(point, odometer_km=point.odometer_km) for point in [way.point(), *way.go(60, 50), *way.stand(5)]]
    day = sums(reports)
    assert (day.distance_km, day.is_by_odometer) == (pytest.approx(50), True)
    assert day.trips[0].distance_km == pytest.approx(50, rel=0.02)


def test_a_day_without_reports_is_empty() -> None:
    day = sums([])
    assert (day.report_count, day.first_at, day.distance_km, day.trips, day.channels) == (0, None, 0.0, [], [])
    before = [ReportValues(datetime(2026, 2, 28, 23, 30, tzinfo=UTC), 1.0, 2.0)]
    assert sums(before).report_count == 0
