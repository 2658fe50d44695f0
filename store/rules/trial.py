"""A rule held against what is stored: when its alarm would have begun and ended. Nothing is written.

devices, by their ids ─▶ reports of one, by their time ─▶ the same rule, step by step ─▶ openings
newest states ─────────────────────────────────────────▶ for how many devices it holds now

Reports are gone through in the order of their time, whenever they came; when a device was silent is told by when its reports were
received. So a trial finds a little more than a worker may have, which lets what comes late be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from django.db.models import F
from django.utils import timezone

from protocols.catalogue import MEASURES
from protocols.report import is_position
from store.models import Device, Report, Rule, State
from store.rules.evaluation import seen_in
from store.rules.geometry import Point
from store.rules.life import Deed, Standing, Told, course
from store.rules.rulebook import devices_of
from store.rules.truth import CompiledRule, Seen
from store.states import CLOCK_AHEAD, DeviceState

DEVICES_A_STEP = 500
REPORTS_A_STEP = 2_000
_NOTHING = Seen({}, None)


class Opening(NamedTuple):
    """That an alarm would have begun, and when it would have ended; None if it would not have yet."""

    device: Device
    begun_at: datetime
    ended_at: datetime | None
    place: Point | None


@dataclass
class Looked:
    """How far a trial is."""

    devices: int = 0
    reports: int = 0


class Span(NamedTuple):
    since: datetime
    until: datetime


def devices(row: Rule, only: Device | None) -> int:
    """How many devices a trial goes through."""
    return Device.objects.filter(devices_of(row), **({} if only is None else {"pk": only.pk})).count()


def openings(row: Rule, rule: CompiledRule, span: Span, only: Device | None, looked: Looked) -> Iterator[Opening | None]:
    """Each time that the rule's alarm would have begun; None where another device is done. Bounded in memory by some reports."""
    found = Device.objects.filter(devices_of(row), **({} if only is None else {"pk": only.pk})).order_by("id")
    last = 0
    while step := list(found.filter(id__gt=last)[:DEVICES_A_STEP]):
        for device in step:
            yield from _of_silence(rule, device, span, looked) if rule.silence else _of(rule, device, span, looked)
            looked.devices += 1
            yield None
        last = step[-1].pk


def holding(row: Rule, rule: CompiledRule, most: int) -> int:
    """For how many devices a rule holds by what they told last, up to so many and one."""
    count = last = 0
    states = State.objects.filter(device__in=Device.objects.filter(devices_of(row), is_enabled=True)).order_by("device_id")
    while count <= most and (step := list(states.filter(device_id__gt=last)[:DEVICES_A_STEP])):
        count += sum(_holds(rule, state) for state in step)
        last = step[-1].device_id
    return count


def _holds(rule: CompiledRule, state: State) -> bool:
    is_heard = state.last_seen is not None and (rule.silence is None or timezone.now() - state.last_seen >= rule.silence)
    fields = {name: getattr(state, name) for name in DeviceState.__dataclass_fields__}
    return is_heard and bool(rule.opens(seen_in(DeviceState(**fields))))


def _of(rule: CompiledRule, device: Device, span: Span, looked: Looked) -> Iterator[Opening]:
    begun: tuple[datetime, Point | None] | None = None
    standings: dict[int, Standing] = {}
    told = (Told(report.time, now, before) for report, now, before in _told(device, span, looked))
    for outcome in course(device.pk, [rule], standings, told):
        if outcome.deed is Deed.OPEN:
            begun = outcome.at, outcome.place
        elif outcome.deed is Deed.END and begun is not None:
            yield Opening(device, begun[0], outcome.at, begun[1])
            begun = None
    if begun is not None:
        yield Opening(device, begun[0], None, begun[1])


def _of_silence(rule: CompiledRule, device: Device, span: Span, looked: Looked) -> Iterator[Opening]:
    assert rule.silence is not None
    heard: datetime | None = None
    known = _NOTHING
    for report, now, before in _told(device, span, looked):
        if heard is not None and report.received_at - heard >= rule.silence and rule.opens(before):
            yield Opening(device, heard + rule.silence, report.received_at, before.place)
        heard = report.received_at if heard is None else max(heard, report.received_at)
        known = now.behind(before)
    if heard is not None and min(span.until, timezone.now()) - heard >= rule.silence and rule.opens(known):
        yield Opening(device, heard + rule.silence, None, known.place)


def _told(device: Device, span: Span, looked: Looked) -> Iterator[tuple[Report, Seen, Seen]]:
    """Reports that are believed, each with what it tells and what was told before it."""
    before = _NOTHING
    found = Report.objects.filter(
        device=device, time__gte=span.since, time__lt=span.until, time__lte=F("received_at") + CLOCK_AHEAD
    )
    columns = ("time", "received_at", "latitude", "longitude", "values", *MEASURES)
    for report in found.only(*columns).order_by("time", "id").iterator(chunk_size=REPORTS_A_STEP):
        looked.reports += 1
        measures = {name: value for name in MEASURES if (value := getattr(report, name)) is not None}
        place = (report.latitude, report.longitude)
        is_place = is_position(*place, report.values)
        now = Seen({**measures, **report.values}, place if is_place else None)  # type: ignore[arg-type]
        yield report, now, before
        before = now.behind(before)
