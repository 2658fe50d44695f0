"""The rows of an export, a page after another.

devices of the scope that have such rows, 500 at a time ──▶ their rows, by the index that begins with the device ──▶ pages

Each page is a question of its own that goes on behind a key: no transaction stays open, and memory holds one page.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.db.models import Exists, OuterRef, Q, QuerySet

from protocols.catalogue import MEASURES
from store import groups
from store.exports.cells import Cell, Cells
from store.exports.errors import ExportError
from store.exports.sources import DEVICE_COLUMNS, SOURCES, Source, heading
from store.models import Device, Export, Group, Tag

ROWS_A_PAGE = 2_000
DEVICES_AT_ONCE = 500
DEVICES_A_COUNT = 100


class Page(NamedTuple):
    rows: list[list[Cell]]
    place: list[Any]
    """Behind its last row, as :attr:`store.models.Export.place` has it."""


class TooLongError(Exception):
    """There was no time to count them all."""


def headings(row: Export) -> list[str]:
    source = SOURCES[row.source]
    columns = [column.heading for column in (*DEVICE_COLUMNS, *source.columns)]
    return columns + [heading(name, unit) for name, unit in row.channels]


def devices_of(row: Export) -> QuerySet[Device]:
    """Raises: ExportError if what the scope names is gone."""
    scope, found = row.scope, Device.objects.all()
    if (protocol := scope.get("protocol")) is not None:
        found = found.filter(protocol=protocol)
    if (ids := scope.get("devices")) is not None:
        found = found.filter(id__in=ids)
    if (group_id := scope.get("group")) is not None:
        group = Group.objects.filter(id=group_id).first()
        if group is None:
            raise ExportError("the group that it is of has been removed: start another one")
        found = found.filter(group__in=Group.objects.filter(groups.below([group])))
    if (tag := scope.get("tag")) is not None:
        found = found.filter(Exists(Tag.objects.filter(word=tag, device_id=OuterRef("id"))))
    return found


def count(row: Export, limit: int, until: float) -> int:
    """How many rows it has, one more than ``limit`` at the most.

    Raises: TooLongError
    """
    rows, after, counted = _rows(row, SOURCES[row.source]), 0, 0
    while ids := list(devices_of(row).filter(id__gt=after).order_by("id").values_list("id", flat=True)[:DEVICES_A_COUNT]):
        counted += rows.filter(device_id__in=ids)[: limit + 1 - counted].count()
        if counted > limit:
            break
        if time.monotonic() > until:
            raise TooLongError
        after = ids[-1]
    return counted


def pages(row: Export) -> Iterator[Page]:
    """What is behind its place.

    Raises: ExportError
    """
    source, reader = SOURCES[row.source], _Reader(row)
    after, key = row.place or (0, None)
    # The device that it is within comes again, with the rest of its rows.
    behind = Q(id__gte=after)
    while devices := _next_devices(row, source, behind):
        reader.name(devices)
        ids = [id for id, *_ in devices]
        if key and ids[0] == after:
            yield from reader.rest_of(ids.pop(0), _key(source, key))
        yield from reader.pages(ids)
        behind, key = Q(id__gt=devices[-1][0]), None


def _next_devices(row: Export, source: Source, behind: Q) -> list[tuple[int, str, str]]:
    has_rows = Exists(_rows(row, source).filter(device_id=OuterRef("id")))
    devices = devices_of(row).filter(behind).filter(has_rows).order_by("id")
    return list(devices.values_list("id", "identity", "protocol")[:DEVICES_AT_ONCE])


def _rows(row: Export, source: Source) -> QuerySet[Any]:
    found: QuerySet[Any] = source.model.objects.filter(source.only, id__lte=row.last_id, **{f"{source.time}__lt": row.until})
    if row.since is not None:
        found = found.filter(**{f"{source.time}__gte": row.since})
    return found.filter(kind__in=row.kinds) if row.kinds else found


class _Reader:
    """Reads the rows of devices: of one that has many page by page, of those that have few of some at once."""

    def __init__(self, row: Export) -> None:
        self._source = source = SOURCES[row.source]
        self._cells = Cells(ZoneInfo(row.timezone))
        self._named: dict[int, list[Cell]] = {}
        self._channels = [name for name, _ in row.channels]
        self._measures = tuple(MEASURES) if self._channels else ()
        fields = [column.field for column in source.columns]
        told = ("values", *self._measures) if self._channels else ()
        rows = _rows(row, source).order_by("device_id", *source.order)
        self._rows = rows.values_list("device_id", *source.order, *fields, *told)
        self._at_once = 1

    def name(self, devices: Iterable[tuple[int, str, str]]) -> None:
        """How their rows begin."""
        self._named = {id: [self._cells.of(identity), self._cells.of(protocol)] for id, identity, protocol in devices}

    def pages(self, ids: list[int]) -> Iterator[Page]:
        while ids:
            some, ids = ids[: self._at_once], ids[self._at_once :]
            found = list(self._rows.filter(device_id__in=some)[:ROWS_A_PAGE])
            if len(found) < ROWS_A_PAGE:
                self._at_once = min(2 * self._at_once, DEVICES_AT_ONCE)
                if found:
                    yield self._page(found)
                continue
            yield self._page(found)
            # To sort the others again for each page would cost more and more.
            last = found[-1]
            whole = some.index(last[0])
            self._at_once = max(1, whole)
            ids = some[whole + 1 :] + ids
            yield from self.rest_of(last[0], self._key_of(last))

    def rest_of(self, id: int, key: Sequence[Any]) -> Iterator[Page]:
        """What one has behind a key."""
        rows = self._rows.filter(device_id=id)
        while found := list(rows.filter(_after(self._source.order, key))[:ROWS_A_PAGE]):
            yield self._page(found)
            key = self._key_of(found[-1])

    def _key_of(self, row: Sequence[Any]) -> Sequence[Any]:
        return row[1 : 1 + len(self._source.order)]

    def _page(self, found: Sequence[Sequence[Any]]) -> Page:
        last = found[-1]
        return Page([*map(self._row, found)], [last[0], [*map(_key_text, self._key_of(last))]])

    def _row(self, row: Sequence[Any]) -> list[Cell]:
        begin = 1 + len(self._source.order)
        end = begin + len(self._source.columns)
        of = self._cells.of
        cells = [*self._named[row[0]], *map(of, row[begin:end])]
        if self._channels:
            values = row[end] | dict(zip(self._measures, row[end + 1 :], strict=True))
            cells += [of(values.get(name)) for name in self._channels]
        return cells


def _key(source: Source, texts: Sequence[str]) -> list[Any]:
    fields = [source.model._meta.get_field(name) for name in source.order]
    return [field.to_python(text) for field, text in zip(fields, texts, strict=True)]


def _after(order: Sequence[str], key: Sequence[Any]) -> Q:
    """What comes after a key. The first condition, beside which the others say it exactly, is one that the index goes by."""
    name, value = order[0], key[0]
    if len(order) == 1:
        return Q(**{f"{name}__gt": value})
    return Q(**{f"{name}__gte": value}) & (Q(**{f"{name}__gt": value}) | _after(order[1:], key[1:]))


def _key_text(value: Any) -> str:
    """As the column's ``to_python`` reads it again."""
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    return value if isinstance(value, str) else base64.b64encode(bytes(value)).decode()
