"""Channels by five minutes and by hours, kept up with the reports that are stored.

reports of the next ids ─▶ slots that have news ─▶ all reports of these ─▶ five minutes ─▶ hours of them ┐
progress: up to which id ────────────────────────────────────────────────────────────────────────────────┴ one commit

A slot that has news is made anew from all its reports, so that what is done twice, or comes late, changes nothing else. News is
found by ids, since a spool brings reports hours after their time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import F

from store.days import FIRST_DAY
from store.models import ChannelFiveMinutes, ChannelHour, Device, Report, RollupProgress
from store.slots import FIVE_MINUTES, HOUR, SlotSums, Sums, merged, slot_of
from store.states import CLOCK_AHEAD

REPORTS_A_STEP = {"postgresql": 50_000, "sqlite": 5_000}
"""So many that a device of a large fleet has several among them, whose slot is then made once; on SQLite, where nobody else writes
meanwhile, as many as take a fraction of a second."""
DEVICES_AT_ONCE = 200
ROWS_AT_ONCE = 200
ROWS_READ = 2_000

_FIRST = datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, tzinfo=UTC)


class Slot(NamedTuple):
    device_id: int
    begins_at: datetime


class Step(NamedTuple):
    """What a step has done."""

    reports: int
    """That were news."""
    slots: int
    is_more: bool


def roll_up_next(settled: int, oldest: datetime | None) -> Step:
    """Roll up the next reports, of those up to an id below which none will come any more.

    Slots that begin before ``oldest`` are left as they are: reports of them may be deleted already. Idempotent; of two at once
    one waits for the other. Bounded by :data:`REPORTS_A_STEP` and by the reports of the slots that they are in, of which a few
    thousand are in memory.
    """
    with transaction.atomic():
        progress, most = _progress(), REPORTS_A_STEP[connection.vendor]
        news = list(
            Report.objects.filter(id__gt=progress.read_to, id__lte=settled)
            .order_by("id")
            .values_list("id", "device_id", "time", "received_at")[:most]
        )
        if not news:
            return Step(0, 0, False)
        first = max(_FIRST, oldest) if oldest else _FIRST
        slots = {
            Slot(device_id, slot_of(time, FIVE_MINUTES))
            for _, device_id, time, received_at in news
            if first <= time <= received_at + CLOCK_AHEAD
        }
        _make(sorted(slots))
        progress.read_to = news[-1][0]
        progress.save()
        return Step(len(news), len(slots), len(news) == most)


def left(settled: int) -> int:
    """Ids that are not looked at yet."""
    row = RollupProgress.objects.filter(pk=1).first()
    return max(settled - (row.read_to if row else 0), 0)


def _progress() -> RollupProgress:
    """It begins with the oldest report that there is."""
    RollupProgress.objects.get_or_create(pk=1)
    return RollupProgress.objects.select_for_update().get(pk=1)


def _make(slots: list[Slot]) -> None:
    for (begin, end), devices in _stretches(slots).items():
        for at in range(0, len(devices), DEVICES_AT_ONCE):
            some = devices[at : at + DEVICES_AT_ONCE]
            found = {slot: sums for slot, sums in _sums(some, begin, end) if sums}
            # Of devices that are deleted meanwhile there is nothing to keep.
            there = set(Device.objects.filter(pk__in=some).values_list("pk", flat=True))
            _store(ChannelFiveMinutes, {slot: sums for slot, sums in found.items() if slot.device_id in there})
            _store(ChannelHour, _hours(slot for slot in found if slot.device_id in there))


def _stretches(slots: list[Slot]) -> dict[tuple[datetime, datetime], list[int]]:
    """Which devices have news of slots that follow each other: most of a fleet of the same, so that they are asked for together."""
    found: dict[tuple[datetime, datetime], list[int]] = defaultdict(list)
    for device_id, of_device in groupby(slots, key=lambda slot: slot.device_id):
        begin = end = None
        for _, one in of_device:
            if begin is None or end is None or one > end or one - begin >= HOUR:
                if begin is not None and end is not None:
                    found[begin, end].append(device_id)
                begin = one
            end = one + FIVE_MINUTES
        if begin is not None and end is not None:
            found[begin, end].append(device_id)
    return found


def _sums(devices: list[int], begin: datetime, end: datetime) -> Iterator[tuple[Slot, dict[str, Sums]]]:
    """What slots come to by all their reports of times that are believed, which pass by a few thousand at a time."""
    reports = Report.objects.filter(device_id__in=devices, time__gte=begin, time__lt=end, time__lte=F("received_at") + CLOCK_AHEAD)
    columns = reports.order_by("device_id", "time", "digest").values_list("device_id", "time", "speed_kmh", "altitude_m", "values")
    rows = columns.iterator(chunk_size=ROWS_READ)
    for slot, of_slot in groupby(rows, key=lambda row: Slot(row[0], slot_of(row[1], FIVE_MINUTES))):
        sums = SlotSums()
        for _, _, speed_kmh, altitude_m, values in of_slot:
            sums.take({"speed_kmh": speed_kmh, "altitude_m": altitude_m, **(values or {})})
        yield slot, sums.channels


def _hours(slots: Iterable[Slot]) -> dict[Slot, dict[str, Sums]]:
    """The hours that these are in, from all five minutes of them."""
    hours = {Slot(slot.device_id, slot_of(slot.begins_at, HOUR)) for slot in slots}
    begins: dict[datetime, set[int]] = defaultdict(set)
    for hour in hours:
        begins[hour.begins_at].add(hour.device_id)
    found: dict[Slot, dict[str, Sums]] = {}
    for begin, devices in begins.items():
        rows = ChannelFiveMinutes.objects.filter(device_id__in=devices, begins_at__gte=begin, begins_at__lt=begin + HOUR)
        ordered = rows.order_by("device_id", "begins_at").values_list("device_id", "channels")
        for device_id, of_device in groupby(ordered, key=lambda row: row[0]):
            found[Slot(device_id, begin)] = merged(channels for _, channels in of_device)
    return found


def _store(model: type[ChannelFiveMinutes] | type[ChannelHour], found: Mapping[Slot, dict[str, Sums]]) -> None:
    rows: list[Any] = [model(device_id=slot.device_id, begins_at=slot.begins_at, channels=found[slot]) for slot in sorted(found)]
    model._default_manager.bulk_create(
        rows, batch_size=ROWS_AT_ONCE, update_conflicts=True, unique_fields=["device", "begins_at"], update_fields=["channels"]
    )
