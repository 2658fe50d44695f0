"""Trips and stops from points."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import pytest

from store.days import Span
from store.mileage import Point
from store.trips import LEAST_TRIP_KM, Trips
from tests.store.ways import DAY, MIDNIGHT, Way


def found(points: Iterable[Point], span: Span = DAY) -> Trips:
    trips = Trips(span)
    for point in points:
        trips.take(point)
    trips.finish()
    return trips


def clock(time: datetime) -> str:
    return f"{time:%H:%M}"


def table(trips: Trips) -> list[tuple[str, str, float]]:
    return [(clock(trip.begins_at), clock(trip.ends_at), round(trip.distance_km)) for trip in trips.trips]


def stops(trips: Trips) -> list[tuple[str, str]]:
    return [(clock(stop.begins_at), clock(stop.ends_at)) for stop in trips.stops]


@pytest.mark.parametrize("has_speed", [True, False])
def test_a_day_is_trips_and_stops(has_speed: bool) -> None:
    way = Way(8, has_speed=has_speed)
    trips = found([way.point(), *way.stand(30), *way.go(30, 60), *way.stand(20), *way.go(60, 50), *way.stand(30)])
    assert table(trips) == [("08:30", "09:00", 30), ("09:20", "10:20", 50)]
    assert stops(trips) == [("08:00", "08:30"), ("09:00", "09:20"), ("10:20", "10:50")]
    assert not trips.is_cut
    first = trips.trips[0]
    assert (first.begin_latitude, first.end_latitude) == (pytest.approx(30.0, abs=0.01), pytest.approx(30.27, abs=0.01))
    assert first.max_speed_kmh == (60 if has_speed else None)


def test_short_halts_end_no_trip_and_short_moves_begin_none() -> None:
    way = Way(8)
    halts = [point for _ in range(5) for point in (*way.go(5, 40), *way.stand(2.5))]
    trips = found([way.point(), *halts, *way.stand(20), *way.go(0.5, 20), *way.stand(20), *way.go(2, 5), *way.stand(20)])
    assert len(trips.trips) == 1
    assert trips.trips[0].idle_seconds == pytest.approx(4 * 150, abs=60)
    assert [clock(stop.begins_at) for stop in trips.stops] == ["08:35"], "one stop, through a move that was none"


def test_a_receiver_at_rest_that_tells_some_speed_makes_no_trip() -> None:
    way = Way(8)
    points = [way.point()]
    for index in range(200):
        way.silence(0.5)
        points.append(way.point((0.0, 3.5, 5.0, 1.0)[index % 4], east=(0, 0.02)[index % 2]))
    trips = found(points)
    assert trips.trips == []
    assert len(trips.stops) == 1


def test_ignition_says_when_a_trip_begins_and_ends() -> None:
    way = Way(8, ignition=False)
    points = [way.point(), *way.stand(10)]
    way.ignition = True
    points += [*way.stand(5), *way.go(30, 60), *way.stand(10)]
    way.ignition = False
    points += way.stand(20)
    way.ignition = None
    trips = found(points)
    assert table(trips) == [("08:10", "08:45", 30)]
    assert trips.trips[0].idle_seconds == pytest.approx(300, abs=31)


def test_an_engine_that_only_runs_is_no_trip_and_ends_one() -> None:
    way = Way(8, ignition=True)
    trips = found([way.point(), *way.stand(120), *way.go(30, 60), *way.stand(240), *way.go(30, 60)])
    assert [(begin, end) for begin, end, _ in table(trips)] == [("10:00", "10:30"), ("14:30", "15:00")]
    assert trips.is_cut


def test_what_is_towed_makes_no_trip() -> None:
    way = Way(8, ignition=False)
    assert found([way.point(), *way.stand(10), *way.go(30, 60), *way.stand(10)]).trips == []


def test_ignition_that_is_told_in_other_reports_than_speed_counts_for_both() -> None:
    way = Way(8, ignition=None)
    points = [way.point(), *way.go(30, 60)]
    on = [Point(point.time + timedelta(seconds=10), ignition=True) for point in points[::4]]
    trips = found(sorted([*points, *on], key=lambda point: point.time))
    assert table(trips) == [("08:00", "08:30", 30)]


def test_a_silence_ends_a_trip_and_no_stop_at_the_same_place() -> None:
    way = Way(8)
    points = [way.point(), *way.go(30, 60)]
    way.silence(60)
    points += [*way.go(30, 60), *way.stand(10)]
    way.silence(300)
    points += way.stand(10)
    trips = found(points)
    assert table(trips) == [("08:00", "08:30", 30), ("09:30", "10:00", 30)]
    assert stops(trips) == [("10:00", "15:20")]
    assert sum(trip.distance_km for trip in trips.trips) == pytest.approx(60, rel=0.02)


def test_a_stop_ends_where_a_device_shows_up_elsewhere() -> None:
    way = Way(8)
    points = [way.point(), *way.stand(10)]
    way.silence(300)
    way.latitude += 1
    trips = found([*points, *way.stand(10)])
    assert stops(trips) == [("08:00", "08:10"), ("13:10", "13:20")]
    assert trips.trips == []


def test_a_trip_over_midnight_is_one_of_the_day_in_which_it_begins() -> None:
    next_day = Span(DAY.end, DAY.end + timedelta(days=1))
    for ignition in (None, True):
        way = Way(22, ignition=ignition)
        points = [way.point(), *way.stand(20), *way.go(220, 60), *way.stand(20), *way.go(20, 60), *way.stand(20)]
        today, tomorrow = found(points), found([point for point in points if point.time >= DAY.end - timedelta(hours=1)], next_day)
        assert table(today)[-1] == ("22:20", "02:00", 220)
        assert [row for row in table(tomorrow) if row[0] < "02:00"] == []
        assert table(tomorrow)[-1] == ("02:20", "02:40", 20)


def test_a_stop_over_midnight_is_cut_there() -> None:
    way = Way(22)
    points = [way.point(), *way.stand(240)]
    next_day = Span(DAY.end, DAY.end + timedelta(days=1))
    assert [(stop.begins_at, stop.ends_at) for stop in found(points).stops] == [(MIDNIGHT + timedelta(hours=22), DAY.end)]
    assert [(stop.begins_at, stop.ends_at) for stop in found(points, next_day).stops] == [(DAY.end, DAY.end + timedelta(hours=2))]


def test_nothing_makes_nothing() -> None:
    for points in ([], [Point(MIDNIGHT)], [Point(MIDNIGHT)] * 5):
        trips = found(points)
        assert (trips.trips, trips.stops) == ([], [])


def test_all_trips_are_long_enough() -> None:
    way = Way(8)
    points = [point for length in (0.5, 1, 1.5, 2, 10) for point in (*way.go(length, 15), *way.stand(10))]
    assert all(
        trip.distance_km >= LEAST_TRIP_KM and trip.ends_at - trip.begins_at >= timedelta(minutes=1) for trip in found(points).trips
    )
    assert found(points).trips
