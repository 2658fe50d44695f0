"""Trips and stops of a device, from its points in the order of their time, without a database.

              ignition comes on, or it moves                      stands for 3 min, with ignition on for 15; or a gap
   stop ────────────────────────────────────▶ trip ─────────────────────────────────────────────────▶ stop
    ▲                                          │
    └── shorter than a minute or than 200 m ───┘  it was none

A trip ends when the standing began. Ignition counts where it is told: what moves without it is towed. A trip belongs to the day
in which it begins, whole, however far it goes into the next; a stop is cut at midnight.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from store.days import Span
from store.mileage import MOVED_KM, Distance, Leg, Mileage, Point

STOP = timedelta(minutes=3)
"""Traffic lights and level crossings are shorter."""
IDLE = timedelta(minutes=15)
"""What stands for so long with its engine on is no trip, so that an ignition that is wired wrong does not make one of weeks."""
LEAST_TRIP = timedelta(minutes=1)
LEAST_TRIP_KM = 0.2
IGNITION_HOLDS = timedelta(minutes=10)
"""Not every report tells it. Bounded, so that what was hours ago plays no part: whoever begins to read an hour before a day
sees what is under way at its beginning as whoever read the day before."""


class Trip(NamedTuple):
    begins_at: datetime
    ends_at: datetime
    distance_km: float
    idle_seconds: float
    max_speed_kmh: float | None
    begin_latitude: float | None
    begin_longitude: float | None
    end_latitude: float | None
    end_longitude: float | None


class Stop(NamedTuple):
    begins_at: datetime
    ends_at: datetime
    latitude: float | None
    longitude: float | None


class Step(NamedTuple):
    """A leg, and how the device stood at its end."""

    leg: Leg
    is_moving: bool
    """Of its own: not towed."""
    is_on: bool | None
    """The ignition; None: not told."""


@dataclass
class _Open:
    """A trip or a stop that goes on."""

    begins_at: datetime
    place: Point | None
    """Where it began."""
    distance: Distance = field(default_factory=Distance)
    idle_seconds: float = 0.0
    max_speed_kmh: float | None = None
    last_place: Point | None = None

    def add(self, step: Step, point: Point, seconds: float) -> None:
        self.distance.add(step.leg)
        if not step.is_moving:
            self.idle_seconds += seconds
        if point.speed_kmh is not None:
            self.max_speed_kmh = max(self.max_speed_kmh or 0.0, point.speed_kmh)
        if point.latitude is not None:
            self.place, self.last_place = self.place or point, point


class Trips:
    """Those that begin within a span, and the stops in it. Points from before the span say how it begins."""

    def __init__(self, span: Span) -> None:
        self.trips: list[Trip] = []
        self.stops: list[Stop] = []
        self.is_cut = False
        """Whether a trip of the span was under way at the last point."""
        self._span = span
        self._mileage = Mileage()
        self._last: Point | None = None
        self._place: Point | None = None
        self._was_on: bool | None = None
        self._told_at: datetime | None = None
        self._standing_since: datetime | None = None
        self._trip: _Open | None = None
        self._stop: _Open | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether a trip that begins within the span has not ended yet."""
        return self._trip is not None and self._span.begin <= self._trip.begins_at < self._span.end

    @property
    def is_standing(self) -> bool:
        """Whether it stands, and has not just appeared somewhere."""
        return self._trip is None and self._stop is not None and self._last is not None and self._stop.begins_at < self._last.time

    def take(self, point: Point) -> Step:
        leg = self._mileage.take(point)
        was_on, is_on = self._was_on, self._ignition(point)
        step = Step(leg, leg.is_moving and is_on is not False, is_on)
        if leg.is_gap and self._last is not None:
            self._split(self._last.time, step)
        begins = self._standing_since if step.is_moving else None
        self._standing_since = None if step.is_moving else self._standing_since or point.time
        if self._trip is None and (step.is_moving or (is_on and not was_on)):
            self._begin_trip(point, leg, begins)
            # What stood before it came on is no part of how long it stands with its engine on.
            self._standing_since = None if step.is_moving else point.time
        if self._trip is not None:
            self._go_on(self._trip, point, step)
        if self._trip is None and self._stop is None:
            self._stop = _Open(point.time, self._place or point)
        self._last = point
        self._place = point if point.latitude is not None else self._place
        return step

    def finish(self) -> None:
        """There are no more points."""
        if self._last is None:
            return
        self.is_cut = self.is_under_way
        self._end_trip(self._standing_since or self._last.time)
        self._end_stop(self._last.time)

    def _ignition(self, point: Point) -> bool | None:
        if point.ignition is not None:
            self._was_on, self._told_at = point.ignition, point.time
        elif self._told_at is not None and point.time - self._told_at > IGNITION_HOLDS:
            self._was_on = None
        return self._was_on

    def _split(self, ends_at: datetime, step: Step) -> None:
        """What stands where it stood has stood there all the time; of anything else nobody knows."""
        was_standing = self._trip is None
        self._end_trip(self._standing_since or ends_at)
        if step.is_moving or step.leg.is_elsewhere or not was_standing:
            self._end_stop(ends_at)
            self._standing_since = None

    def _begin_trip(self, point: Point, leg: Leg, begins: datetime | None) -> None:
        has_left = leg.position_km >= MOVED_KM and begins is not None and self._last is not None
        begins_at = self._last.time if has_left and self._last is not None else point.time
        self._trip = _Open(begins_at, self._place if has_left else None)

    def _go_on(self, trip: _Open, point: Point, step: Step) -> None:
        seconds = (point.time - self._last.time).total_seconds() if self._last is not None and not step.leg.is_gap else 0.0
        trip.add(step, point, min(seconds, (point.time - trip.begins_at).total_seconds()))
        if self._standing_since is not None and point.time - self._standing_since >= (IDLE if step.is_on else STOP):
            self._end_trip(self._standing_since, point.time - self._standing_since)

    def _end_trip(self, ends_at: datetime, stood: timedelta = timedelta()) -> None:
        """``stood``: how much of its end was no trip any more."""
        trip, self._trip = self._trip, None
        if trip is None:
            return
        if ends_at - trip.begins_at < LEAST_TRIP or trip.distance.km < LEAST_TRIP_KM:
            self._stop = self._stop or _Open(trip.begins_at, trip.place)
            return
        self._end_stop(trip.begins_at)
        self._stop = _Open(ends_at, trip.last_place)
        if self._span.begin <= trip.begins_at < self._span.end:
            idle = max(0.0, trip.idle_seconds - stood.total_seconds())
            places = (*_coordinates(trip.place), *_coordinates(trip.last_place))
            self.trips.append(Trip(trip.begins_at, ends_at, trip.distance.km, idle, trip.max_speed_kmh, *places))

    def _end_stop(self, ends_at: datetime) -> None:
        stop, self._stop = self._stop, None
        if stop is None:
            return
        begins_at, ends_at = max(stop.begins_at, self._span.begin), min(ends_at, self._span.end)
        if ends_at - begins_at >= STOP:
            self.stops.append(Stop(begins_at, ends_at, *_coordinates(stop.place)))


def _coordinates(point: Point | None) -> tuple[float | None, float | None]:
    return (point.latitude, point.longitude) if point is not None else (None, None)
