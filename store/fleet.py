"""Lists of devices: those that are wanted, in an order, a page after another.

Wanted ─▶ few enough of them? ─ yes ─▶ their ids, sorted ────────────┐
               └─ no ─▶ the order's index from the key on, row by row ┴▶ Page, with the key of each row

A page goes on behind a key, never at a number: however deep it is, it costs the same, and what changes meanwhile shifts
nothing. A text or a tag that few devices have is looked up first, since walking the order would pass all others; one that
many have is met soon enough on the way.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

from django.db.models import Exists, Model, OuterRef, Q, QuerySet

from store import groups, search
from store.json_text import plain_text
from store.models import Device, Group, State, Tag

FEW = 1_000
"""Devices that are sorted at once, in about a millisecond."""
ROWS_A_PAGE = 1_000
_M = TypeVar("_M", bound=Model)


class BadKeyError(ValueError):
    """A key that is of no device in this order."""


class Order(StrEnum):
    SEEN = "seen"
    """The last seen first, to the minute, those that never were at the end."""
    NAME = "name"


@dataclass(frozen=True)
class Wanted:
    """Which devices: those for which all of it holds."""

    groups: Collection[Group] | None = None
    """In one of these or below; None for any, and for those in none."""
    tags: Collection[str] = ()
    text: str = ""
    """In its name or identity; of a text with fewer than three letters, at the beginning of one."""
    is_enabled: bool | None = None
    is_online: bool | None = None
    """On a gateway, stale or not."""


class Row(NamedTuple):
    device: Device
    """With its state and group."""
    key: str


class Page(NamedTuple):
    rows: list[Row]
    next_key: str
    """Behind which the next page begins; empty on the last."""


class _Place(NamedTuple):
    """Of a row in its order; without a value, among those that were never seen."""

    value: Any
    id: int


def page(wanted: Wanted, order: Order = Order.SEEN, after: str = "", limit: int = 50) -> Page:
    """The first page, or the one behind a key.

    Raises: BadKeyError.
    """
    place = _place(after, order) if after else None
    places = (_by_name if order is Order.NAME else _by_last_seen)(wanted, place, limit + 1)
    devices = Device.objects.select_related("state", "group", "presence").in_bulk([each.id for each in places[:limit]])
    # One may have been deleted in between.
    rows = [Row(devices[each.id], _key(order, each)) for each in places[:limit] if each.id in devices]
    return Page(rows, _key(order, places[limit - 1]) if len(places) > limit else "")


def pages(wanted: Wanted, order: Order = Order.SEEN, after: str = "", limit: int | None = None) -> Iterator[Page]:
    """Page after page, with so many devices in all at most.

    Raises: BadKeyError.
    """
    while True:
        found = page(wanted, order, after, min(limit or ROWS_A_PAGE, ROWS_A_PAGE))
        yield found
        after = found.next_key
        if limit is not None:
            limit -= len(found.rows)
        if not after or limit == 0:
            return


def _by_last_seen(wanted: Wanted, after: _Place | None, limit: int) -> list[_Place]:
    # Both questions in the order of one index, read backwards.
    states = _only(State.objects.order_by("-seen_minute", "-device_id"), "device_id", "device__", wanted)
    found: list[_Place] = []
    if after is None or after.value is not None:
        seen = states.filter(seen_minute__isnull=False)
        if after:
            is_behind = Q(seen_minute__lt=after.value) | Q(device_id__lt=after.id)
            seen = seen.filter(is_behind, seen_minute__lte=after.value)
        found += [_Place(*row) for row in seen.values_list("seen_minute", "device_id")[:limit]]
    if len(found) < limit:
        never = states.filter(seen_minute__isnull=True)
        if after and after.value is None:
            never = never.filter(device_id__lt=after.id)
        found += [_Place(*row) for row in never.values_list("seen_minute", "device_id")[: limit - len(found)]]
    return found


def _by_name(wanted: Wanted, after: _Place | None, limit: int) -> list[_Place]:
    devices = _only(Device.objects.order_by("name", "id"), "id", "", wanted)
    if after:
        devices = devices.filter(Q(name__gt=after.value) | Q(id__gt=after.id), name__gte=after.value)
    return [_Place(*row) for row in devices.values_list("name", "id")[:limit]]


def _only(rows: QuerySet[_M], id: str, device: str, wanted: Wanted) -> QuerySet[_M]:
    """Those rows of devices or of their states that are wanted; ``id`` and ``device`` lead to the device's columns."""
    if wanted.groups is not None:
        ids = list(Group.objects.filter(groups.below(wanted.groups)).values_list("id", flat=True))
        # Of one group, the index has the order too.
        rows = rows.filter(group=ids[0]) if len(ids) == 1 else rows.filter(group__in=ids)
    if wanted.is_enabled is not None:
        rows = rows.filter(**{f"{device}is_enabled": wanted.is_enabled})
    if wanted.is_online is not None:
        is_here = Q(**{f"{device}presence__is_online": True})
        rows = rows.filter(is_here if wanted.is_online else ~is_here)
    for tag in wanted.tags:
        tagged = Tag.objects.filter(word=tag.lower())
        ids = list(tagged.values_list("device_id", flat=True)[: FEW + 1])
        rows = rows.filter(_among(ids, id, Q(Exists(tagged.filter(device_id=OuterRef(id))))))
    if text := plain_text(wanted.text.strip()):
        rows = rows.filter(_among(search.matching(text, FEW + 1), id, search.has(text, device)))
    return rows


def _among(ids: list[int], id: str, condition: Q) -> Q:
    """Whether a row is of one of these devices, if they are few; else what they were found by."""
    return Q(**{f"{id}__in": ids}) if len(ids) <= FEW else condition


def _key(order: Order, place: _Place) -> str:
    value = place.value.isoformat() if isinstance(place.value, datetime) else place.value
    return urlsafe_b64encode(json.dumps([order, value, place.id]).encode()).decode().rstrip("=")


def _place(key: str, order: Order) -> _Place:
    try:
        told, value, id = json.loads(urlsafe_b64decode(key + "=" * (-len(key) % 4)))
        if told != order or not isinstance(id, int) or not 0 < id < 1 << 63 or not isinstance(value, str | None):
            raise ValueError
        if order is Order.NAME:
            return _Place(plain_text(value or ""), id)
        return _Place(None if value is None else datetime.fromisoformat(value).astimezone(UTC), id)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise BadKeyError(f"{key!r} is no key of a list in the order {order}: take the one that such a list ends with") from error
