"""What is forwarded: rows of a source behind an id, of devices and kinds that are wanted, as what is told of them.

Ids are gone through in stretches, so that a filter which finds nothing costs a bounded look and not a whole table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import Exists, F, Max, Model, OuterRef, Q, QuerySet

from store import groups
from store.models import Device, Event, EventKind, ForwardSource, Group, Media, MediaOutcome, Report, Tag

IDS_AT_ONCE = 20_000
"""Looked at for rows that are wanted, in one question."""
NEIGHBOURS = 1_000
"""Of rows that are stored one after another, nearly all were received in that order. What a spool kept back lies between them."""

_ALARMS = [kind for kind in EventKind.values if kind.startswith("alarm_")]
_SETTLED = [Media.State.COMPLETE, Media.State.DAMAGED, Media.State.INCOMPLETE, Media.State.REFUSED]
_REPORT = (
    "time", "received_at", "kind", "sequence", "latitude", "longitude", "altitude_m", "speed_kmh", "course_deg", "values", "alarms",
)  # fmt: skip
_EVENT = ("time", "received_at", "kind", "subject", "detail")
_MEDIA = (
    "kind", "name", "time", "received_at", "reason", "channel", "cause", "latitude", "longitude", "content_type", "sha256", "width",
    "height",
)  # fmt: skip


class Wanted(NamedTuple):
    """Which rows; of what is empty, all."""

    protocols: Sequence[str] = ()
    groups: Sequence[int] = ()
    """By number, with those below them, so that one may be renamed and moved."""
    tags: Sequence[str] = ()
    kinds: Sequence[str] = ()
    """Of reports."""
    channels: Sequence[str] = ()
    """Of reports: those that have a value of one of these, without the others."""

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Wanted:
        return cls(**{field: tuple(value) for field, value in kept.items() if field in cls._fields})

    def kept(self) -> dict[str, Any]:
        """As the database has it."""
        return {field: list(value) for field, value in self._asdict().items() if value}


class Row(NamedTuple):
    """A row that is wanted."""

    row_id: int
    device: Device
    told: dict[str, Any]


class Page(NamedTuple):
    """Rows that are wanted, and up to which id there are no others."""

    rows: list[Row]
    end: int


class _Table(NamedTuple):
    """Where a source's rows are."""

    model: type[Model]
    is_of_source: Q
    device: str
    """The way to its device."""
    received: str
    """When a row came."""
    fields: Mapping[str, str]
    """What is told, by name, and where that is."""
    condition: str = "1 = 1"
    """What ``is_of_source`` is, in SQL, of the table's own columns."""


def _own(fields: Iterable[str], prefix: str = "") -> dict[str, str]:
    return {field: prefix + field for field in fields}


_TABLES = {
    ForwardSource.REPORTS: _Table(Report, Q(), "device", "received_at", _own(_REPORT)),
    ForwardSource.EVENTS: _Table(Event, ~Q(kind__in=_ALARMS), "device", "received_at", _own(_EVENT), "kind NOT LIKE 'alarm%%'"),
    ForwardSource.ALARMS: _Table(Event, Q(kind__in=_ALARMS), "device", "received_at", _own(_EVENT), "kind LIKE 'alarm%%'"),
    ForwardSource.MEDIA: _Table(
        MediaOutcome,
        Q(state__in=_SETTLED),
        "media__device",
        "at",
        {"file": "media_id", "state": "state", "bytes": "media__received_bytes", **_own(_MEDIA, "media__")},
        "state NOT IN ('receiving', 'waiting')",
    ),
}


def model_of(source: str) -> type[Model]:
    """The table whose ids a source's cursor is of."""
    return _TABLES[ForwardSource(source)].model


def condition_of(source: str) -> str:
    """Which of its table's rows are a source's, in SQL."""
    return _TABLES[ForwardSource(source)].condition


def page(source: str, wanted: Wanted, after: int, settled: int, limit: int) -> Page:
    """The next rows behind an id, no more than a limit and up to one that is settled."""
    table = _TABLES[ForwardSource(source)]
    ahead = table.model._default_manager.filter(pk__gt=after, pk__lte=settled)
    first = ahead.order_by("pk").values_list("pk", flat=True).first()
    if first is None:
        return Page([], max(after, settled))
    end = min(first + IDS_AT_ONCE - 1, settled)
    rows = _told(table, _wanted(table, wanted).filter(pk__gte=first, pk__lte=end).order_by("pk")[:limit], wanted)
    return Page(rows, rows[-1].row_id if len(rows) == limit else end)


def some(source: str, ids: Sequence[int]) -> list[Row]:
    """These rows of a source, as far as they are there."""
    table = _TABLES[ForwardSource(source)]
    return _told(table, table.model._default_manager.filter(pk__in=ids).order_by("pk"), Wanted())


def oldest(source: str, after: int) -> datetime | None:
    """When the first row behind an id came; None if there is none."""
    table = _TABLES[ForwardSource(source)]
    ahead = table.model._default_manager.filter(table.is_of_source, pk__gt=after)
    found: datetime | None = ahead.order_by("pk").values_list(table.received, flat=True).first()
    return found


def newest_id(source: str) -> int:
    """The highest id that can be seen."""
    newest: int | None = model_of(source)._default_manager.aggregate(newest=Max("pk"))["newest"]
    return newest or 0


def id_before(source: str, time: datetime) -> int:
    """An id behind which all is that came from a time on, and little else.

    No index knows when rows came; but their ids grow as they come, so that halving finds the place.
    """
    table = _TABLES[ForwardSource(source)]
    rows = table.model._default_manager.order_by("pk")
    low, high = 0, newest_id(source)
    while high - low > NEIGHBOURS:
        middle = (low + high) // 2
        near = rows.filter(pk__gt=middle)[:NEIGHBOURS].values_list(table.received, flat=True)
        if any(received >= time for received in near):
            high = middle
        else:
            low = middle
    found: int | None = rows.filter(**{"pk__gt": low, f"{table.received}__gte": time}).values_list("pk", flat=True).first()
    return high if found is None else found - 1


def _wanted(table: _Table, wanted: Wanted) -> QuerySet[Any]:
    found = table.model._default_manager.filter(table.is_of_source)
    if wanted.protocols:
        found = found.filter(**{f"{table.device}__protocol__in": wanted.protocols})
    if wanted.groups:
        below = Group.objects.filter(groups.below(Group.objects.filter(pk__in=wanted.groups)))
        found = found.filter(**{f"{table.device}__group__in": below})
    if wanted.tags:
        found = found.filter(Exists(Tag.objects.filter(device_id=OuterRef(f"{table.device}_id"), word__in=wanted.tags)))
    if table.model is Report and wanted.kinds:
        found = found.filter(kind__in=wanted.kinds)
    if table.model is Report and wanted.channels:
        found = found.filter(values__has_any_keys=list(wanted.channels))
    return found


def _told(table: _Table, rows: QuerySet[Any], wanted: Wanted) -> list[Row]:
    named = {f"told_{name}": F(place) for name, place in table.fields.items()}
    found = list(rows.values("pk", told_device=F(f"{table.device}_id"), **named))
    # Asked for by themselves: in one question with the rows, a database might begin at the devices.
    devices = Device.objects.in_bulk({row["told_device"] for row in found})
    pick = _picker(wanted.channels) if table.model is Report and wanted.channels else None
    told = []
    for row in found:
        fields = {name: row[f"told_{name}"] for name in table.fields}
        if pick is not None:
            fields["values"] = pick(fields["values"])
        if device := devices.get(row["told_device"]):
            told.append(Row(row["pk"], device, fields))
    return told


def _picker(channels: Sequence[str]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    names = frozenset(channels)
    return lambda values: {name: value for name, value in values.items() if name in names}
