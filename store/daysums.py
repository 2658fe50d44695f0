"""What a day of a device comes to, from its reports in the order of their time, without a database.

reports ─▶ DayCounter ─▶ counts, distance, seconds, channels, and by store.trips its trips and stops ─▶ DaySums
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from store.channels import MOST_CHANNELS
from store.days import Span
from store.mileage import Distance, Point
from store.models import CHANNEL_LENGTH
from store.trips import Step, Stop, Trip, Trips

NOWHERE_DEGREES = 0.001
"""Receivers without a fix tell 0, 0."""

MOST_STRETCHES = 25 * 60
"""Trips of a day, or stops: they are a minute long at the least."""

Seconds = Annotated[float, Field(ge=0)]


class ReportValues(NamedTuple):
    """Of a report what its day is made of."""

    time: datetime
    latitude: float | None = None
    longitude: float | None = None
    altitude_m: float | None = None
    speed_kmh: float | None = None
    course_deg: float | None = None
    values: Any = None


class ChannelSums(NamedTuple):
    """A numeric channel within a day. Course and position are none: their means say nothing."""

    name: Annotated[str, Field(max_length=CHANNEL_LENGTH)]
    readings: Annotated[int, Field(ge=1)]
    minimum: float
    mean: float
    maximum: float
    last: float


class DaySums(NamedTuple):
    """All of a day."""

    span: Span
    report_count: Annotated[int, Field(ge=0)]
    first_at: datetime | None
    last_at: datetime | None
    distance_km: Annotated[float, Field(ge=0)]
    is_by_odometer: bool
    driving_seconds: Seconds
    """Moving under its own power; with ignition on or where none is told."""
    idle_seconds: Seconds
    """Standing with ignition on."""
    stopped_seconds: Seconds
    """Standing without. What is left of the day nobody knows."""
    max_speed_kmh: float | None
    mean_speed_kmh: float | None
    """Of the speeds that were told while it moved."""
    alarm_count: Annotated[int, Field(ge=0)]
    online_seconds: Seconds
    is_open: bool
    """Whether its last trip goes beyond it: then what is reported of the next day is about this one too."""
    trips: Annotated[list[Trip], Field(max_length=MOST_STRETCHES)]
    stops: Annotated[list[Stop], Field(max_length=MOST_STRETCHES)]
    channels: Annotated[list[ChannelSums], Field(max_length=MOST_CHANNELS)]


@dataclass(slots=True)
class _Channel:
    count: int = 0
    total: float = 0.0
    minimum: float = 0.0
    maximum: float = 0.0
    last: float = 0.0

    def take(self, value: float) -> None:
        self.minimum = min(self.minimum, value) if self.count else value
        self.maximum = max(self.maximum, value) if self.count else value
        self.count, self.total, self.last = self.count + 1, self.total + value, value


@dataclass
class DayCounter:
    """Takes reports from an hour before the day on, as long as :attr:`is_wanting`."""

    span: Span
    _trips: Trips = field(init=False)
    _last: ReportValues | None = None
    _first_at: datetime | None = None
    _last_at: datetime | None = None
    _count: int = 0
    _distance: Distance = field(default_factory=Distance)
    _seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("driving", "idle", "stopped"), 0.0))
    _speeds: _Channel = field(default_factory=_Channel)
    _channels: dict[str, _Channel] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._trips = Trips(self.span)

    @property
    def is_wanting(self) -> bool:
        """Whether later reports are about this day: up to the first behind it, and up to the end of its last trip."""
        return self._last is None or self._last.time < self.span.end or self._trips.is_under_way

    def take(self, report: ReportValues) -> None:
        step = self._trips.take(_point(report))
        if self._last is not None:
            self._add_seconds(self._last.time, report.time, step)
        if self.span.begin <= report.time < self.span.end:
            self._first_at = self._first_at or report.time
            self._last_at = report.time
            self._count += 1
            self._distance.add(step.leg)
            if step.is_moving and report.speed_kmh is not None:
                self._speeds.take(report.speed_kmh)
            self._take_channels(report)
        self._last = report

    def sums(self, alarm_count: int, online_seconds: float) -> DaySums:
        """All of it, once there is no more to take."""
        trips = self._trips
        trips.finish()
        speeds = self._channels.get("speed_kmh")
        return DaySums(
            self.span,
            self._count,
            self._first_at,
            self._last_at,
            self._distance.km,
            self._distance.is_by_odometer,
            self._seconds["driving"],
            self._seconds["idle"],
            self._seconds["stopped"],
            speeds.maximum if speeds else None,
            self._speeds.total / self._speeds.count if self._speeds.count else None,
            alarm_count,
            online_seconds,
            trips.is_cut or any(trip.ends_at >= self.span.end for trip in trips.trips[-1:]),
            trips.trips,
            trips.stops,
            [_sums(name, channel) for name, channel in self._channels.items()],
        )

    def _add_seconds(self, begin: datetime, end: datetime, step: Step) -> None:
        seconds = (min(end, self.span.end) - max(begin, self.span.begin)).total_seconds()
        is_unknown = step.leg.is_gap and (step.is_moving or step.leg.is_elsewhere or not self._trips.is_standing)
        if seconds > 0 and not is_unknown:
            how = "driving" if step.is_moving else "idle" if step.is_on else "stopped"
            self._seconds[how] += seconds

    def _take_channels(self, report: ReportValues) -> None:
        told = {"speed_kmh": report.speed_kmh, "altitude_m": report.altitude_m, **(report.values or {})}
        for name, value in told.items():
            # Not a boolean, which is an int too; a number of hundreds of digits is no float.
            if value.__class__ not in (int, float) or len(name) > CHANNEL_LENGTH or not -1e300 < value < 1e300:
                continue
            channel = self._channels.get(name)
            if channel is None:
                if len(self._channels) >= MOST_CHANNELS:
                    continue
                channel = self._channels[name] = _Channel()
            channel.take(float(value))


def _sums(name: str, channel: _Channel) -> ChannelSums:
    # Rounding, and sums too large to be one, must not take the mean out of its bounds.
    mean = channel.total / channel.count if isfinite(channel.total) else channel.last
    mean = min(max(mean, channel.minimum), channel.maximum)
    return ChannelSums(name, channel.count, channel.minimum, mean, channel.maximum, channel.last)


def _point(report: ReportValues) -> Point:
    values = report.values or {}
    ignition, odometer = values.get("ignition"), values.get("odometer_km")
    latitude, longitude = report.latitude, report.longitude
    if latitude is None or longitude is None or values.get("fix") is False or _is_nowhere(latitude, longitude):
        latitude = longitude = None
    return Point(
        report.time,
        latitude,
        longitude,
        report.speed_kmh,
        ignition if isinstance(ignition, bool) else None,
        float(odometer) if odometer.__class__ in (int, float) and 0 <= odometer < 1e9 else None,
    )


def _is_nowhere(latitude: float, longitude: float) -> bool:
    is_zero = abs(latitude) < NOWHERE_DEGREES and abs(longitude) < NOWHERE_DEGREES
    return is_zero or abs(latitude) > 90 or abs(longitude) > 180
