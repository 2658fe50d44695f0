"""Points of a device on its way, made for tests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from store.days import Span
from store.mileage import Point

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
DAY = Span(MIDNIGHT, MIDNIGHT + timedelta(days=1))
KM_A_DEGREE = 111.19
"""Along a meridian."""


class Way:
    """A device that goes north, and tells a point every half minute."""

    step_seconds = 30.0

    def __init__(self, hours: float, *, has_speed: bool = True, ignition: bool | None = None, odometer_km: float | None = None):
        self.time = MIDNIGHT + timedelta(hours=hours)
        self.latitude = 30.0
        self.has_speed = has_speed
        self.ignition = ignition
        self.odometer_km = odometer_km

    def go(self, minutes: float, kmh: float) -> Iterator[Point]:
        for _ in range(round(minutes * 60 / self.step_seconds)):
            km = kmh * self.step_seconds / 3600
            self.time += timedelta(seconds=self.step_seconds)
            self.latitude += km / KM_A_DEGREE
            if self.odometer_km is not None:
                self.odometer_km += km
            yield self.point(kmh)

    def stand(self, minutes: float) -> Iterator[Point]:
        return self.go(minutes, 0.0)

    def silence(self, minutes: float) -> None:
        self.time += timedelta(minutes=minutes)

    def point(self, kmh: float = 0.0, east: float = 0.0, north: float = 0.0) -> Point:
        """Where it is now, as a receiver tells it that is off by so many km."""
        speed = kmh if self.has_speed else None
        latitude, longitude = self.latitude + north / KM_A_DEGREE, 100.0 + east / KM_A_DEGREE
        return Point(self.time, latitude, longitude, speed, self.ignition, self.odometer_km)
