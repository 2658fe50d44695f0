"""How far a device went, by odometer or by position."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import timedelta

import pytest

from store.mileage import Distance, Mileage, Point
from tests.store.ways import Way


def distance(points: Iterable[Point]) -> Distance:
    mileage, total = Mileage(), Distance()
    for point in points:
        total.add(mileage.take(point))
    return total


def parked(way: Way, spread_km: float, minutes: int = 600) -> Iterable[Point]:
    """What a receiver at rest tells: places around it, with or without a speed."""
    chance = random.Random(7)
    for _ in range(minutes):
        way.time += timedelta(minutes=1)
        speed = chance.uniform(0, 2.9) if way.has_speed else 0.0
        yield way.point(speed, chance.uniform(-spread_km, spread_km), chance.uniform(-spread_km, spread_km))


@pytest.mark.parametrize("has_speed", [True, False])
def test_a_way_is_as_long_as_it_is(has_speed: bool) -> None:
    way = Way(8, has_speed=has_speed)
    points = [way.point(), *way.go(30, 60), *way.stand(5), *way.go(30, 40), *way.stand(5)]
    assert distance(points).km == pytest.approx(50, rel=0.01)


@pytest.mark.parametrize(("has_speed", "spread_km"), [(True, 0.05), (True, 0.4), (False, 0.03)])
def test_drift_adds_nothing(has_speed: bool, spread_km: float) -> None:
    way = Way(8, has_speed=has_speed)
    assert distance([way.point(), *parked(way, spread_km)]).km < 0.3


@pytest.mark.parametrize("has_speed", [True, False])
@pytest.mark.parametrize("jumps", [1, 2])
def test_a_jump_and_back_adds_nothing(has_speed: bool, jumps: int) -> None:
    way = Way(8, has_speed=has_speed)
    points = [way.point(), *way.go(10, 60)]
    for _ in range(jumps):
        way.silence(0.5)
        points.append(way.point(60, east=400))
    points += way.go(10, 60)
    assert distance(points).km == pytest.approx(20, rel=0.02)


def test_a_jump_that_is_no_mistake_is_believed_after_a_while_and_adds_nothing() -> None:
    way = Way(8)
    points = [way.point(), *way.go(10, 60)]
    way.latitude += 5
    points += way.go(10, 60)
    assert distance(points).km == pytest.approx(19, abs=1)


def test_no_way_is_measured_across_a_silence_but_by_odometer() -> None:
    for odometer_km, km in ((None, 20), (1000.0, 70)):
        way = Way(8, odometer_km=odometer_km)
        points = [way.point(), *way.go(10, 60)]
        way.silence(50)
        way.latitude += 0.4
        way.odometer_km = None if odometer_km is None else way.odometer_km + 50
        assert distance([*points, *way.go(10, 60)]).km == pytest.approx(km, rel=0.05)


def odometer(points: list[Point], told: Iterable[float | None]) -> Distance:
    return distance(point._replace(odometer_km=km) for point, km in zip(points, told, strict=True))


def test_a_sane_odometer_counts_and_one_that_is_not_does_not() -> None:
    way = Way(8)
    points = [way.point(), *way.go(30, 60)]
    count = len(points)
    true = [1000 + index * 0.55 for index in range(count)]
    whole = odometer(points, true)
    assert (whole.is_by_odometer, whole.km) == (True, pytest.approx(33))
    assert odometer(points, [float(int(km)) for km in true]).km == pytest.approx(33, abs=1)
    now_and_then = odometer(points, [km if index % 20 == 0 else None for index, km in enumerate(true)])
    assert (now_and_then.is_by_odometer, now_and_then.km) == (True, pytest.approx(33))
    insane: list[list[float | None]] = [
        [*true[:30], *(km - 5 for km in true[30:])],  # goes back
        [*true[:30], *(km + 5 for km in true[30:])],  # leaps
        [1000.0] * count,  # stands still
        [1000.0, *[None] * (count - 1)],
    ]
    for told in insane:
        found = odometer(points, told)
        assert (found.is_by_odometer, found.km) == (False, pytest.approx(30, rel=0.01))


def test_what_has_no_position_goes_by_its_odometer() -> None:
    way = Way(8, odometer_km=5.0)
    points = [point._replace(latitude=None, longitude=None) for point in [way.point(), *way.go(30, 60)]]
    assert distance(points).km == pytest.approx(30)
