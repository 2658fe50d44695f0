"""What can be exported: a line for each table, and its columns.

Rows come device by device, in the order of an index that begins with the device: so any period of any devices is read by
that index, a page after another, without a sort and without a transaction that stays open.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db.models import Q

from store.models import Alarm, DaySummary, Event, Quarantine, Report, Stop, Trip


class Column(NamedTuple):
    name: str
    field: str
    unit: str = ""

    @property
    def heading(self) -> str:
        return heading(self.name, self.unit)


class Source(NamedTuple):
    model: Any
    order: tuple[str, ...]
    """Columns that no two rows of a device have alike."""
    time: str
    """By which column the period is."""
    columns: tuple[Column, ...]
    has_kinds: bool = False
    has_channels: bool = False
    only: Q = Q()


def heading(name: str, unit: str) -> str:
    return f"{name} ({unit})" if unit else name


_LATITUDE, _LONGITUDE = Column("latitude", "latitude", "°"), Column("longitude", "longitude", "°")
_KIND, _RECEIVED = Column("kind", "kind"), Column("received", "received_at")
_BEGIN, _END = Column("begin", "begins_at"), Column("end", "ends_at")
_DISTANCE, _IDLE = Column("distance", "distance_km", "km"), Column("idle", "idle_seconds", "s")
_FASTEST = Column("maximum speed", "max_speed_kmh", "km/h")

SOURCES = {
    "reports": Source(
        Report,
        ("time", "digest"),
        "time",
        (_KIND, Column("time", "time"), _RECEIVED, _LATITUDE, _LONGITUDE),
        has_kinds=True,
        has_channels=True,
    ),
    "events": Source(
        Event,
        ("time", "kind", "subject"),
        "time",
        (Column("time", "time"), _KIND, Column("subject", "subject"), Column("detail", "detail"), Column("noted", "received_at")),
        has_kinds=True,
    ),
    "alarms": Source(
        Alarm,
        ("kind",),
        "last_at",
        (
            _KIND, Column("state", "state"), Column("first", "first_at"), Column("last", "last_at"), Column("times", "times"),
            Column("ongoing", "is_ongoing"), _LATITUDE, _LONGITUDE, Column("reopenings", "reopenings"),
            Column("handled", "handled_at"), Column("by", "handled_by"), Column("reason", "reason"), Column("note", "note"),
        ),
        has_kinds=True,
    ),
    "days": Source(
        DaySummary,
        ("day",),
        "begins_at",
        (
            Column("day", "day"), _BEGIN, _END, Column("reports", "report_count"), _DISTANCE,
            Column("driving", "driving_seconds", "s"), _IDLE, Column("stopped", "stopped_seconds", "s"),
            Column("online", "online_seconds", "s"), _FASTEST, Column("mean speed", "mean_speed_kmh", "km/h"),
            Column("alarms", "alarm_count"),
        ),
        only=Q(as_of__isnull=False),
    ),
    "trips": Source(
        Trip,
        ("begins_at",),
        "begins_at",
        (
            _BEGIN, _END, _DISTANCE, _IDLE, _FASTEST,
            Column("begin latitude", "begin_latitude", "°"), Column("begin longitude", "begin_longitude", "°"),
            Column("end latitude", "end_latitude", "°"), Column("end longitude", "end_longitude", "°"),
        ),
    ),
    "stops": Source(Stop, ("begins_at",), "begins_at", (_BEGIN, _END, _LATITUDE, _LONGITUDE)),
    "quarantine": Source(
        Quarantine,
        ("digest",),
        "received_at",
        (
            _KIND, _RECEIVED, Column("cause", "error_cause"), Column("path", "error_path"), Column("error", "error_text"),
            Column("definition", "version"),
        ),
        has_kinds=True,
    ),
}  # fmt: skip
DEVICE_COLUMNS = (Column("device", "identity"), Column("protocol", "protocol"))
"""Before those of each source."""
