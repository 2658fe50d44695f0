"""Requests for exports, and what becomes of their rows.

operator ── Wanted ──▶ start: is it possible, how many rows is it? ──▶ a row, audit ┴ one commit
worker ── begun, committed, finished, failed ──▶ the row, if it is open and nobody has done this step
sweep ── expired ──▶ rows whose files go; forgotten ──▶ rows that go
"""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import OperationalError, transaction
from django.db.models import Max, QuerySet
from django.db.models.functions import Greatest

from store import audit, groups
from store.audit import Actor, Change
from store.exports import reading, workbook
from store.exports.errors import ExportEndedError, ExportError
from store.exports.sources import SOURCES
from store.groups import GroupError
from store.models import ERROR_LENGTH, BackgroundState, Channel, Device, Export, ExportFormat
from store.statements import bounded

MOST_CHANNELS = 200
MOST_DEVICES = 1_000
"""Named one by one; a group, a tag or a protocol may have any number."""
MOST_KINDS = 50
MOST_OPEN = 10
COUNT_SECONDS = 30.0
ROW_DAYS = 90
"""So long it can be seen that there was one, after its file has gone."""


class Wanted(NamedTuple):
    """What is to be exported; times in the zone, devices by their identities."""

    source: str
    format: ExportFormat
    timezone: str
    since: datetime | None = None
    until: datetime | None = None
    protocol: str | None = None
    devices: Sequence[str] = ()
    group: str | None = None
    tag: str | None = None
    kinds: Sequence[str] = ()
    channels: Sequence[str] = ()
    """Empty: all that its devices have."""


def start(wanted: Wanted, most_rows: int, actor: Actor, now: datetime) -> Export:
    """Ask for it; workers see to it. What is stored from now on is not part of it.

    Raises: ExportError
    """
    source = SOURCES[wanted.source]
    _check(wanted, now)
    token = secrets.token_urlsafe(32)
    row = Export(
        source=wanted.source,
        format=wanted.format,
        scope=_scope(wanted),
        since=wanted.since,
        until=wanted.until or now,
        kinds=list(wanted.kinds),
        timezone=wanted.timezone,
        last_id=source.model.objects.aggregate(last=Max("id"))["last"] or 0,
        token=token,
        name="",
        task_id=uuid.uuid4(),
        by=actor.name,
        created_at=now,
        touched_at=now,
    )
    _look_through(row, wanted, most_rows)
    with transaction.atomic():
        if Export.objects.filter(state__in=Export.OPEN).count() >= MOST_OPEN:
            raise ExportError(f"{MOST_OPEN} exports are under way: wait until one ends, or end one with exports cancel")
        row.save()
        row.name = f"{row.source}-{row.id}.{row.format}"
        row.save(update_fields=["name"])
        audit.record(actor, [Change("export.start", row.id, str(row), {}, _told(row))])
    return row


def begun(row: Export, now: datetime) -> None:
    """A worker is at the next step. Raises: ExportEndedError"""
    row.tries += 1
    row.state, row.touched_at = BackgroundState.RUNNING, now
    _update(row, "state", "tries", "touched_at")


def committed(row: Export, now: datetime) -> None:
    """A step is done, and what it wrote is on the disk. Raises: ExportEndedError"""
    expected = row.steps
    row.steps, row.tries, row.touched_at = expected + 1, 0, now
    _update(row, "steps", "tries", "touched_at", "done", "bytes", "place", "is_read", steps=expected)


def packing(row: Export, rows: int, now: datetime) -> None:
    """So many rows are in the spreadsheet; one that is packed again does not have fewer. Raises: ExportEndedError"""
    row.packed, row.touched_at = max(row.packed, rows), now
    changed = _open(row).update(packed=Greatest("packed", row.packed), touched_at=now)
    if not changed:
        raise ExportEndedError


def finished(row: Export, now: datetime, days: int) -> None:
    """Its file is there, for so many days. Raises: ExportEndedError"""
    row.state, row.ended_at, row.expires_at = BackgroundState.DONE, now, now + timedelta(days=days)
    row.packed = row.done if row.format == ExportFormat.XLSX else 0
    _update(row, "state", "ended_at", "expires_at", "packed", "bytes", "sha256")


def failed(row: Export, error: str, now: datetime) -> None:
    """Raises: ExportEndedError"""
    row.state, row.ended_at, row.error = BackgroundState.FAILED, now, error[:ERROR_LENGTH]
    _update(row, "state", "ended_at", "error")


def fetched(row: Export, actor: Actor) -> None:
    """Somebody takes a copy of its file."""
    with transaction.atomic():
        audit.record(actor, [Change("export.fetch", row.id, str(row), {}, {"rows": row.done, "sha256": row.sha256})])


def expire(now: datetime) -> int:
    """Have files go whose time is over; of how many."""
    over = Export.objects.filter(state=BackgroundState.DONE, expires_at__lte=now)
    count = over.update(state=BackgroundState.EXPIRED)
    Export.objects.filter(ended_at__lte=now - timedelta(days=ROW_DAYS)).exclude(state=BackgroundState.DONE).delete()
    return count


def with_files(tokens: Sequence[str]) -> set[str]:
    """Which of these are of exports that are under way or have a file."""
    kept = Export.objects.filter(token__in=tokens, state__in=(*Export.OPEN, BackgroundState.DONE))
    return set(kept.values_list("token", flat=True))


def _open(row: Export, **condition: Any) -> QuerySet[Export]:
    return Export.objects.filter(id=row.id, state__in=Export.OPEN, **condition)


def _update(row: Export, *fields: str, **condition: Any) -> None:
    if not _open(row, **condition).update(**{field: getattr(row, field) for field in fields}):
        raise ExportEndedError


def _check(wanted: Wanted, now: datetime) -> None:
    source = SOURCES[wanted.source]
    if wanted.since is not None and wanted.since >= (wanted.until or now):
        raise ExportError("it begins when it has ended: choose a period whose begin is before its end, and not to come")
    if wanted.channels and not source.has_channels:
        raise ExportError(f"{wanted.source} have no channels: leave them out, or export reports")
    if wanted.kinds and not source.has_kinds:
        raise ExportError(f"{wanted.source} have no kinds: leave them out")
    for what, given, most in (("devices", wanted.devices, MOST_DEVICES), ("kinds", wanted.kinds, MOST_KINDS)):
        if len(given) > most:
            raise ExportError(
                f"{len(given)} {what} are named, {most} may be: choose a group, a tag or a protocol, or several exports"
            )


def _scope(wanted: Wanted) -> dict[str, Any]:
    scope: dict[str, Any] = {}
    if wanted.protocol is not None:
        scope["protocol"] = wanted.protocol
    if wanted.devices:
        named = Device.objects.filter(identity__in=wanted.devices)
        found = dict((named if wanted.protocol is None else named.filter(protocol=wanted.protocol)).values_list("id", "identity"))
        if missing := sorted(set(wanted.devices) - set(found.values())):
            of = f" of {wanted.protocol}" if wanted.protocol else ""
            raise ExportError(f"there is no device{of} {missing[0]}: list them with devices")
        scope |= {"devices": sorted(found), "identities": sorted(set(found.values()))}
    if wanted.group is not None:
        try:
            scope |= {"group": groups.find(wanted.group).id, "title": wanted.group}
        except GroupError as error:
            raise ExportError(str(error)) from error
    if wanted.tag is not None:
        scope["tag"] = wanted.tag.lower()
    return scope


def _channels(row: Export, names: Sequence[str]) -> list[list[str]]:
    """Names and units of those that are wanted, in the order in which they are; else of all."""
    known = Channel.objects.all()
    if row.scope:
        known = known.filter(device__in=reading.devices_of(row))
    if names:
        known = known.filter(name__in=names[: MOST_CHANNELS + 1])
    found = list(known.values_list("name", flat=True).distinct().order_by("name")[: MOST_CHANNELS + 1])
    wanted = list(dict.fromkeys(names)) if names else found
    if missing := sorted(set(wanted[:MOST_CHANNELS]) - set(found)):
        raise ExportError(f"none of these devices has a channel {missing[0]}: list a device's with channels")
    if len(wanted) > MOST_CHANNELS:
        raise ExportError(f"that is more than {MOST_CHANNELS} channels: choose some with --channel, or fewer devices")
    units: dict[str, set[str]] = {name: set() for name in wanted}
    for name, unit in known.filter(name__in=wanted).exclude(unit="").values_list("name", "unit").distinct():
        units[name].add(unit)
    return [[name, ", ".join(sorted(units[name]))] for name in wanted]


def _look_through(row: Export, wanted: Wanted, most_rows: int) -> None:
    """Its columns and how many rows it has, in a bounded time."""
    until = time.monotonic() + COUNT_SECONDS
    try:
        with bounded(COUNT_SECONDS):
            if SOURCES[row.source].has_channels:
                row.channels = _channels(row, wanted.channels)
            row.expected = _counted(row, most_rows, until)
    except (reading.TooLongError, OperationalError):
        if time.monotonic() < until:
            raise
        raise ExportError(f"its rows are not counted in {COUNT_SECONDS:g} s: choose fewer devices or a shorter period") from None


def _counted(row: Export, most_rows: int, until: float) -> int:
    is_sheet = row.format == ExportFormat.XLSX
    # A sheet's first row is the heading.
    most = min(most_rows, workbook.MOST_ROWS - 1) if is_sheet else most_rows
    counted = reading.count(row, most, until)
    if counted <= most:
        return counted
    if is_sheet and most < most_rows:
        raise ExportError(f"it has more than {most:,} rows, which is all that a spreadsheet takes: choose csv, or a shorter period")
    raise ExportError(f"it has more than {most:,} rows (export_rows): choose fewer devices, kinds or a shorter period")


def _told(row: Export) -> dict[str, Any]:
    period = {"since": row.since and row.since.isoformat(), "until": row.until.isoformat()}
    scope = {key: value for key, value in row.scope.items() if key not in ("devices", "group")}
    return {"source": row.source, "format": row.format, "rows": row.expected, **period, **scope, "kinds": row.kinds}
