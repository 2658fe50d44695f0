"""Requests to decode again what is stored, and what each step of them takes up.

operator ── iotgw redecode ──▶ start ──▶ a row: scope, from which id to which ┐ one commit
                                └── record ──▶ audit                          ┘
worker ── claim(row, step) ──▶ some reports, then some of quarantine ──▶ decoded ──▶ store.bulk.redecoded
                                                                         └── row: counts, key, step + 1, the same commit
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from django.db import IntegrityError, transaction
from django.db.models import Max, Min, QuerySet

from store import audit
from store.audit import Actor, Change
from store.models import Device, Quarantine, Redecoding, RedecodingSource, Report

ROWS_A_STEP = 1_000
BYTES_A_STEP = 8 << 20
"""Of bodies, beside the one that passes it."""
IDS_A_STEP = 20_000
"""So many rows are looked through for those that are wanted: a step is short, however few there are."""
ROWS_A_FETCH = 100

Row = TypeVar("Row", Report, Quarantine)


class OpenError(Exception):
    """There is one of the protocol that has not ended."""

    def __init__(self, other: Redecoding) -> None:
        super().__init__(f"{other} is {other.state}")
        self.other = other


class Scope(NamedTuple):
    """What is to be decoded again."""

    protocol: str
    device: Device | None = None
    since: datetime | None = None
    until: datetime | None = None
    source: RedecodingSource = RedecodingSource.BOTH
    is_dry_run: bool = False


def start(scope: Scope, actor: Actor) -> Redecoding:
    """Ask for it; workers see to it. What is stored from now on is not part of it.

    Raises: OpenError
    """
    fields = scope._asdict() | {"by": actor.name}
    if scope.source != RedecodingSource.QUARANTINE:
        fields |= _span("report", Report.objects.all())
    if scope.source != RedecodingSource.REPORTS:
        fields |= _span("quarantine", Quarantine.objects.all())
    try:
        with transaction.atomic():
            made = Redecoding.objects.create(**fields)
            told = {"source": scope.source, "device": scope.device and str(scope.device), "dry_run": scope.is_dry_run}
            times = {"since": scope.since and scope.since.isoformat(), "until": scope.until and scope.until.isoformat()}
            audit.record(actor, [Change("redecode.start", made.id, str(made), {}, {**told, **times})])
            return made
    except IntegrityError:
        other = Redecoding.objects.filter(protocol=scope.protocol, state__in=Redecoding.OPEN).first()
        if other is None:
            raise
        raise OpenError(other) from None


def claim(id: int, step: int) -> Redecoding | None:
    """The row, locked until the transaction ends; None if this step is not its next one, or somebody is at it."""
    locked = Redecoding.objects.select_for_update(skip_locked=True, of=("self",)).select_related("device")
    return locked.filter(id=id, steps=step, state__in=Redecoding.OPEN).first()


class Taken(NamedTuple):
    """What a step takes up."""

    rows: list[Any]
    """Reports or messages of quarantine, with their devices."""
    key: int
    """Up to which id they were looked for."""


def reports_of(row: Redecoding) -> Taken:
    return _take(Report.objects.all(), row, row.report_key, row.report_end)


def quarantine_of(row: Redecoding) -> Taken:
    return _take(Quarantine.objects.all(), row, row.quarantine_key, row.quarantine_end)


def _take(rows: QuerySet[Row], row: Redecoding, after: int, end: int) -> Taken:
    """By id, which no step changes, and which the key of each partition begins with."""
    left = rows.filter(id__gt=after, id__lte=end).order_by("id")
    first = left.values_list("id", flat=True).first()
    if first is None:
        return Taken([], end)
    last = min(first + IDS_A_STEP - 1, end)
    wanted = left.filter(id__lte=last, device__protocol=row.protocol)
    if row.device is not None:
        wanted = wanted.filter(device=row.device)
    if row.since is not None:
        wanted = wanted.filter(received_at__gte=row.since)
    if row.until is not None:
        wanted = wanted.filter(received_at__lt=row.until)
    taken: list[Row] = []
    size = 0
    for found in wanted.select_related("device")[:ROWS_A_STEP].iterator(chunk_size=ROWS_A_FETCH):
        taken.append(found)
        size += len(found.body)
        if size >= BYTES_A_STEP:
            break
    is_cut = len(taken) == ROWS_A_STEP or size >= BYTES_A_STEP
    return Taken(taken, taken[-1].id if is_cut else last)


def _span(name: str, rows: QuerySet[Row]) -> dict[str, int]:
    found = rows.aggregate(first=Min("id"), last=Max("id"))
    if found["last"] is None:
        return {}
    begin = found["first"] - 1
    return {f"{name}_begin": begin, f"{name}_key": begin, f"{name}_end": found["last"]}
