"""How a device's state follows from its reports, without a database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from store.rows import PreparedMessage, PreparedReport

CLOCK_AHEAD = timedelta(hours=25)
"""How far a device's clock may be ahead of ours before we stop believing it: a day, for one that is set to local
time or a day off, and an hour for daylight saving. A state taken from further ahead would stand still until then."""


@dataclass(slots=True)
class DeviceState:
    """A state's row while it is brought forward."""

    device_id: int
    last_seen: datetime | None = None
    time: datetime | None = None
    position_time: datetime | None = None
    latitude: float | None = None
    longitude: float | None = None
    altitude_m: float | None = None
    speed_kmh: float | None = None
    course_deg: float | None = None
    newest: dict[str, Any] = field(default_factory=dict)
    newest_names: int | None = None
    earlier: dict[str, Any] = field(default_factory=dict)
    alarms: list[str] = field(default_factory=list)

    @property
    def values(self) -> dict[str, Any]:
        """What the device told last under each name."""
        return self.earlier | self.newest

    def take(self, report: PreparedReport) -> bool:
        """Bring the state forward by a report, if it is not older; whether that changed something.

        A dated report is compared with the device's own clock, one without a date with the time it was received:
        mixed, the two would let a heartbeat hide every position of a device whose clock is slow.
        """
        row = report.row
        if not report.is_dated:
            is_news = self.last_seen is None or row.received_at >= self.last_seen
            if is_news:
                self._tell(report.values)
            return is_news
        if not is_believed(report):
            return False
        is_news = self.time is None or row.time >= self.time
        if is_news:
            self.time = row.time
            self._tell(report.values)
            self.alarms = report.alarms
        if report.is_position and (self.position_time is None or row.time >= self.position_time):
            is_news = True
            self.position_time = row.time
            self.latitude, self.longitude = row.latitude, row.longitude
            self.altitude_m, self.speed_kmh, self.course_deg = row.altitude_m, row.speed_kmh, row.course_deg
        return is_news

    def _tell(self, values: dict[str, Any]) -> None:
        if values:
            self.newest = self.values | values
            self.newest_names, self.earlier = None, {}

    def see(self, received_at: datetime) -> bool:
        """Something came from the device, whether or not it could be decoded; whether that is news."""
        is_news = self.last_seen is None or received_at > self.last_seen
        if is_news:
            self.last_seen = received_at
        return is_news

    def take_all(self, messages: Sequence[PreparedMessage]) -> bool:
        """Bring the state forward by all that came from its device in a batch; whether that changed something."""
        reports = [report for message in messages for report in message.reports]
        if len(reports) > 1:
            reports.sort(key=lambda report: report.row.time)
        # Reports first: those without a date are compared with when the device was seen before this batch.
        news = [self.take(report) for report in reports]
        news += [self.see(message.received_at) for message in messages]
        return any(news)


def decides_alone(message: PreparedMessage) -> bool:
    """Whether all that a message says is one report, of a believable time.

    If nothing else came from its device, it is then news or not by its time alone.
    """
    return len(message.reports) == 1 and is_believed(message.reports[0])


def is_believed(report: PreparedReport) -> bool:
    """Whether a report's time may be taken for the device's present, or past."""
    return not report.is_dated or report.row.time <= report.row.received_at + CLOCK_AHEAD
