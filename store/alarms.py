"""How a device's alarms live by what its reports tell, without a database.

A report either says how things stand, as a location does whose flags are all that are on, or tells of an event, as a
message does that is sent because of the alarm (``protocols.report.Report.is_event``). So

- an alarm is *ongoing* from a report that says it stands to the first later one of the same kind that does not name it.
  Of the same kind, because a report of another one, such as a driver's card, is no word about alarms at all;
- an event is a moment: it opens or repeats an alarm and makes nothing ongoing, since no message will ever end it;
- what is older than what is known changes how often and since when, and never whether it is ongoing;
- a clock that is not believed (:data:`store.states.CLOCK_AHEAD`) tells moments, of the time they were received: an alarm
  is not to be missed for its date, and none is to stand until 2099.

Whatever the order in which reports are stored, and however often, the same comes of them. What an operator says comes at
a moment of his own: an alarm he has closed is opened again by what comes after it in the device's time. As long as it is
ongoing it stays closed, for nothing new has happened.

What a rule finds (:mod:`store.rules`) lives in the same way, but that only the rule ends it and one repeat a minute counts.

Events say what became of an alarm as it was noticed, each at the time of the report that it was noticed by: what comes
late may resume an alarm that was known to have ended, only to find that it had.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from store.events import EventRow
from store.models import AlarmState, EventKind
from store.rows import PreparedMessage, PreparedReport
from store.states import is_believed


class ReportKey(NamedTuple):
    """What there is one report of."""

    device: int
    time: datetime
    digest: bytes


@dataclass(slots=True)
class DeviceAlarm:
    """An alarm's row, as far as reports change it, while it is brought forward."""

    device_id: int
    kind: str
    first_at: datetime | None = None
    last_at: datetime | None = None
    times: int = 0
    is_ongoing: bool = False
    standing_at: datetime | None = None
    standing_kind: str = ""
    latitude: float | None = None
    longitude: float | None = None
    state: str = AlarmState.OPEN
    settled_at: datetime | None = None
    reopenings: int = 0
    severity: str = ""

    def tell(self, report: PreparedReport) -> bool:
        """A report has it; whether that is news."""
        at = told_at(report)
        place = (report.row.latitude, report.row.longitude) if report.is_position else None
        if not self.count(at, place):
            return False
        if not report.is_event and is_believed(report):
            self._stand(at, report.row.kind)
        return True

    def count(self, at: datetime, place: tuple[float | None, float | None] | None) -> bool:
        """It was so at a time and a place; whether that is news."""
        if self.settled_at is not None and at <= self.settled_at:
            return False
        if self.state == AlarmState.CLOSED and self.is_ongoing:
            self.settled_at = at
        elif self.state == AlarmState.CLOSED:
            self.state, self.first_at, self.times = AlarmState.OPEN, None, 0
            self.reopenings += 1
        self.times += 1
        self._date(at, place)
        return True

    def end(self, report: PreparedReport) -> bool:
        """A report does not have it; whether that ends it."""
        is_end = self.is_ongoing and report.row.kind == self.standing_kind and is_believed(report)
        if not is_end or self.standing_at is None or report.row.time <= self.standing_at:
            return False
        self.is_ongoing = False
        return True

    def open_by_rule(self, at: datetime, place: tuple[float, float] | None, severity: str) -> EventKind | None:
        """A rule says that it stands, until the rule says that it does not; what happened to it."""
        was_told, reopenings, had_ended = self.last_at is not None, self.reopenings, not self.is_ongoing
        is_news = self.count(at, place)
        self.standing_at, self.standing_kind, self.is_ongoing, self.severity = at, "", True, severity
        return _news(was_told, self.reopenings > reopenings, had_ended) if is_news else None

    def end_by_rule(self, at: datetime | None) -> None:
        """A rule says that it does not stand, of a time of the device's own if it goes by one."""
        self.standing_at, self.is_ongoing = at or self.standing_at, False

    def _date(self, at: datetime, place: tuple[float | None, float | None] | None) -> None:
        if self.first_at is None or at < self.first_at:
            self.first_at = at
            self.latitude, self.longitude = place or (None, None)
        elif at == self.first_at and place:
            # Of two places of one time the same one, whichever is stored first.
            self.latitude, self.longitude = min(place, (self.latitude, self.longitude), key=_order)
        if self.last_at is None or at > self.last_at:
            self.last_at = at

    def _stand(self, at: datetime, kind: str) -> None:
        if self.standing_at is None or (at, kind) >= (self.standing_at, self.standing_kind):
            self.standing_at, self.standing_kind, self.is_ongoing = at, kind, True


def _order(place: tuple[float | None, float | None]) -> tuple[bool, float, float]:
    latitude, longitude = place
    return latitude is None, latitude or 0.0, longitude or 0.0


def told_at(report: PreparedReport) -> datetime:
    """The time of what a report tells."""
    return report.row.time if is_believed(report) else report.row.received_at


class Forward(NamedTuple):
    """What a batch has made of alarms."""

    changed: list[DeviceAlarm]
    events: list[EventRow]

    @property
    def ongoing(self) -> list[DeviceAlarm]:
        """Of those that changed."""
        return [alarm for alarm in self.changed if alarm.is_ongoing]


def bring_forward(
    alarms: Iterable[DeviceAlarm], devices: Mapping[int, Sequence[PreparedMessage]], added: set[ReportKey]
) -> Forward:
    """Alarms of devices by all that came from each in a batch: those that changed, and what happened to them.

    ``alarms`` are all of the devices of which a report with alarms was ``added``, and of others those that are ongoing.
    """
    by_device: dict[int, dict[str, DeviceAlarm]] = {key.device: {} for key in added}
    for alarm in alarms:
        by_device.setdefault(alarm.device_id, {})[alarm.kind] = alarm
    changed: dict[tuple[int, str], DeviceAlarm] = {}
    events: list[EventRow] = []
    left = set(added)
    for device, known in by_device.items():
        reports = [report for message in devices[device] for report in message.reports]
        for report in sorted(reports, key=told_at):
            for alarm, event in _taken(device, known, report, left):
                changed[device, alarm.kind] = alarm
                if event is not None:
                    events.append(EventRow(device, told_at(report), event, alarm.kind))
    return Forward(list(changed.values()), events)


def _taken(
    device: int, known: dict[str, DeviceAlarm], report: PreparedReport, left: set[ReportKey]
) -> list[tuple[DeviceAlarm, EventKind | None]]:
    """The alarms that a report changes, with what happened to them: nothing to one that repeats.

    ``left`` are the added reports whose alarms have not been taken yet.
    """
    changed: list[tuple[DeviceAlarm, EventKind | None]] = [
        (alarm, EventKind.ALARM_ENDED) for alarm in known.values() if alarm.kind not in report.alarms and alarm.end(report)
    ]
    key = ReportKey(device, report.row.time, report.row.digest)
    if report.alarms and key in left:
        left.discard(key)
        for kind in dict.fromkeys(report.alarms):
            alarm = known.setdefault(kind, DeviceAlarm(device, kind))
            was_told, reopenings = alarm.last_at is not None, alarm.reopenings
            # One that was a moment so far, and now is ongoing, has not ended in between.
            had_ended = alarm.standing_at is not None and not alarm.is_ongoing
            if alarm.tell(report):
                is_resumed = had_ended and alarm.is_ongoing
                changed.append((alarm, _news(was_told, alarm.reopenings > reopenings, is_resumed)))
    return changed


def _news(was_told: bool, is_reopened: bool, is_resumed: bool) -> EventKind | None:
    """What a report that tells of an alarm has made of it."""
    if not was_told:
        return EventKind.ALARM_OPENED
    if is_reopened:
        return EventKind.ALARM_REOPENED
    return EventKind.ALARM_RESUMED if is_resumed else None
