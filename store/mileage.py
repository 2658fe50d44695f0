"""How far a device went, from one report to the next, without a database.

points ─▶ Mileage ─▶ legs: km by position, km by odometer, moving or not ─▶ Distance of a day or a trip: the one that is sane
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import asin, cos, radians, sin, sqrt
from typing import NamedTuple

GAP = timedelta(minutes=15)
"""Of a longer silence nobody knows what was in it: it ends a trip, and no way is measured across it."""
START_KMH = 6.0
GO_ON_KMH = 3.0
"""What stands is moving from the first on, what moves is standing below the second: receivers at rest tell 1 to 4 km/h."""
DRIFT_KM = 0.03
"""A place that is nearer to the last one is the same."""
MOVED_KM = 0.1
"""Where no speed is told, so much of a way says that the device moves. Drift seldom does as much."""
FASTEST_KMH = 200.0
"""Faster than this is a jump, unless the device itself tells a speed like it."""
AGREEING = 3
"""So many places in a row that agree with each other are believed after a jump."""
COARSE_KM = 1.0
"""Odometers count in whole kilometres at worst."""

_EARTH_KM = 6371.0


class Point(NamedTuple):
    """What a report says of a device's way. A latitude comes with a longitude."""

    time: datetime
    latitude: float | None = None
    longitude: float | None = None
    speed_kmh: float | None = None
    ignition: bool | None = None
    odometer_km: float | None = None


class Leg(NamedTuple):
    """What there was between a point and the one before."""

    is_gap: bool
    is_moving: bool
    """At its end."""
    position_km: float
    odometer_km: float | None
    """None: no reading, or no two that fit together."""
    is_odometer_broken: bool
    is_elsewhere: bool
    """Whether a gap lies between two places."""


@dataclass
class Distance:
    """The length of some legs: by the odometer, if it is there and sane, else by positions."""

    position_km: float = 0.0
    odometer_km: float = 0.0
    has_odometer: bool = False
    is_odometer_broken: bool = False

    def add(self, leg: Leg) -> None:
        self.position_km += leg.position_km
        self.is_odometer_broken |= leg.is_odometer_broken
        if leg.odometer_km is not None:
            self.has_odometer = True
            self.odometer_km += leg.odometer_km

    @property
    def is_by_odometer(self) -> bool:
        """One that went backwards, leapt, or stands still while the device moves is not sane."""
        is_counting = self.odometer_km + COARSE_KM >= self.position_km / 2
        return self.has_odometer and not self.is_odometer_broken and is_counting

    @property
    def km(self) -> float:
        return self.odometer_km if self.is_by_odometer else self.position_km


class Mileage:
    """Takes points in the order of their time and gives the leg to each."""

    def __init__(self) -> None:
        self._last: Point | None = None
        self._is_moving = False
        self._anchor: Point | None = None
        """The last place that is believed."""
        self._anchor_time: datetime | None = None
        """When the device was last seen there."""
        self._doubted: Point | None = None
        self._agreeing = 0
        self._reading: Point | None = None

    def take(self, point: Point) -> Leg:
        is_gap = self._last is not None and point.time - self._last.time > GAP
        is_elsewhere = is_gap and self._is_away(point)
        if is_gap:
            self._is_moving = False
            self._anchor = None if point.latitude is not None else self._anchor
            self._doubted = None
        position_km = self._position_km(point)
        if point.speed_kmh is not None:
            self._is_moving = point.speed_kmh >= (GO_ON_KMH if self._is_moving else START_KMH)
        elif point.latitude is not None:
            self._is_moving = position_km >= MOVED_KM
        odometer_km, is_broken = self._odometer_km(point)
        self._last = point
        return Leg(is_gap, self._is_moving, position_km, odometer_km, is_broken, is_elsewhere)

    def _is_away(self, point: Point) -> bool:
        return self._anchor is not None and point.latitude is not None and kilometres(self._anchor, point) > 2 * MOVED_KM

    def _position_km(self, point: Point) -> float:
        if point.latitude is None:
            return 0.0
        if self._anchor is None or self._anchor_time is None:
            return self._settle(point, 0.0)
        km = kilometres(self._anchor, point)
        is_still = _is_standing(self._anchor) and _is_standing(point)
        least = MOVED_KM if point.speed_kmh is None or is_still else DRIFT_KM
        if km < least and (point.speed_kmh is None or _is_standing(point)):
            self._anchor_time, self._doubted = point.time, None
            return 0.0
        hours = (point.time - self._anchor_time) / timedelta(hours=1)
        reach = hours * max(FASTEST_KMH, 1.5 * (point.speed_kmh or 0.0)) + DRIFT_KM
        if is_still or km > reach:
            return self._doubt(point)
        return self._settle(point, km)

    def _settle(self, point: Point, km: float) -> float:
        self._anchor, self._anchor_time, self._doubted = point, point.time, None
        return km

    def _doubt(self, point: Point) -> float:
        """A place that the device cannot have gone to. When the next ones agree it is there, and nobody knows how."""
        is_agreeing = self._doubted is not None and _is_reached(self._doubted, point)
        self._agreeing = self._agreeing + 1 if is_agreeing else 1
        self._doubted = point
        return self._settle(point, 0.0) if self._agreeing >= AGREEING else 0.0

    def _odometer_km(self, point: Point) -> tuple[float | None, bool]:
        if point.odometer_km is None:
            return None, False
        before, self._reading = self._reading, point
        if before is None or before.odometer_km is None:
            return None, False
        km = point.odometer_km - before.odometer_km
        hours = (point.time - before.time) / timedelta(hours=1)
        if not 0 <= km <= hours * FASTEST_KMH + COARSE_KM:
            return None, True
        return km, False


def kilometres(one: Point, other: Point) -> float:
    """The great-circle distance of two points that have positions."""
    latitudes = radians(one.latitude or 0.0), radians(other.latitude or 0.0)
    longitude = radians((other.longitude or 0.0) - (one.longitude or 0.0))
    square = sin((latitudes[1] - latitudes[0]) / 2) ** 2 + cos(latitudes[0]) * cos(latitudes[1]) * sin(longitude / 2) ** 2
    return 2 * _EARTH_KM * asin(min(1.0, sqrt(square)))


def _is_standing(point: Point) -> bool:
    return point.ignition is False if point.speed_kmh is None else point.speed_kmh < GO_ON_KMH


def _is_reached(one: Point, other: Point) -> bool:
    hours = (other.time - one.time) / timedelta(hours=1)
    return kilometres(one, other) <= hours * FASTEST_KMH + MOVED_KM
