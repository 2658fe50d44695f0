"""Rows of what was decoded again, inside the transaction that is open.

report ──▶ reads the same ─────────────────────────▶ nothing
       ──▶ same time, kind and body ───────────────▶ its row is updated
       ──▶ another time or body, or several reports ▶ its row goes, theirs come, unless they are there
       ──▶ an error, or nothing ───────────────────▶ its row stays as it was
quarantine ──▶ no error ──▶ its row goes, and it is written as if it came now
           ──▶ an error ──▶ its row says that, and what can be read of it is written

Channels follow. A device's state is made anew when its newest report has changed. Alarms that were told of stay as they are:
what is decoded again is history, and what operators have done about it with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.db.models import F

from protocols.report import Decoded, digest, is_position
from store import rollups
from store.bulk.tables import REPORT_COLUMNS
from store.bulk.writer import add_channels, tables_of, write
from store.channels import KnownChannels
from store.json_text import plain_text
from store.models import CAUSE_LENGTH, VERSION_LENGTH, MediaPiece, Quarantine, Report, State
from store.quarantine import GroupKey, group_ids
from store.rows import ERROR_TEXT_LENGTH, Incoming, PreparedMessage, PreparedReport
from store.states import CLOCK_AHEAD

_PLACE = ("latitude", "longitude", "altitude_m", "speed_kmh", "course_deg")
_SAID = ("kind", *_PLACE, "values", "alarms")
"""What a row says; the rest is whose and of when it is."""
_UPDATE = f"""UPDATE store_report SET {", ".join(f'"{name}" = %s' for name in _SAID)} WHERE id = %s AND time = %s"""
_DELETE = "DELETE FROM store_report WHERE id = %s AND time = %s"
_COLUMNS = ", ".join(f'"{name}"' for name in REPORT_COLUMNS)
_INSERT = (
    f"INSERT INTO store_report ({_COLUMNS}) VALUES ({', '.join(['%s'] * len(REPORT_COLUMNS))}) "
    "ON CONFLICT (device_id, time, digest) DO NOTHING"
)
_LOOKED_BACK = 50
"""Reports among which a device's newest position is looked for."""


class Again(NamedTuple):
    """A stored report with what it says now; ``now`` is empty if it is to stay."""

    report: Report
    now: list[PreparedReport]


class Changed(NamedTuple):
    """How many reports changed, came and went."""

    changed: int = 0
    added: int = 0
    merged: int = 0
    kept: int = 0


def is_whole(report: Report) -> bool:
    """Whether its row has all its bytes: those of a file may have become one."""
    return digest(report.kind, bytes(report.body)) == bytes(report.digest)


def replace(again: Sequence[Again], channels: KnownChannels, *, is_dry_run: bool) -> Changed:
    """Have reports say what they say now."""
    sorted_out = [_sorted(one) for one in again if one.now]
    homeless = [bytes(one.report.digest) for one in sorted_out if one.is_moving]
    pieces = {bytes(piece) for piece in MediaPiece.objects.filter(digest__in=homeless).values_list("digest", flat=True)}
    held = [one for one in sorted_out if one.is_moving and bytes(one.report.digest) in pieces]
    free = [one for one in sorted_out if not (one.is_moving and bytes(one.report.digest) in pieces)]
    counts = _foreseen(free) if is_dry_run else _replaced([one for one in free if one.is_news], channels)
    return counts._replace(kept=len(held))


class _Sorted(NamedTuple):
    """Which of what comes of a report is the report itself, and which are others."""

    report: Report
    itself: PreparedReport | None
    others: list[PreparedReport]

    @property
    def is_moving(self) -> bool:
        return self.itself is None

    @property
    def is_said_anew(self) -> bool:
        report, now = self.report, self.itself
        return now is not None and any(_told(now, name) != getattr(report, name) for name in _SAID)

    @property
    def is_news(self) -> bool:
        return bool(self.others) or self.is_said_anew

    @property
    def now(self) -> list[PreparedReport]:
        return [*([self.itself] if self.itself else []), *self.others]


def _sorted(one: Again) -> _Sorted:
    key = _Key(one.report.device_id, one.report.time, bytes(one.report.digest))
    itself = next((now for now in one.now if _key(key.device, now) == key), None)
    return _Sorted(one.report, itself, [now for now in one.now if now is not itself])


class _Key(NamedTuple):
    device: int
    time: datetime
    digest: bytes


def _key(device: int, now: PreparedReport) -> _Key:
    return _Key(device, now.row.time, now.row.digest)


def _told(now: PreparedReport, name: str) -> Any:
    return getattr(now if name in ("values", "alarms") else now.row, name)


def _foreseen(again: Sequence[_Sorted]) -> Changed:
    """What would become of them."""
    new = {key for one in again for other in one.others if not _is_there(key := _key(one.report.device_id, other))}
    return _counted(again, new)


def _is_there(key: _Key) -> bool:
    return Report.objects.filter(device=key.device, time=key.time, digest=key.digest).exists()


def _replaced(again: Sequence[_Sorted], channels: KnownChannels) -> Changed:
    with connection.cursor() as cursor:
        said = [([getattr(one.itself.row, name) for name in _SAID], one.report) for one in again if one.itself and one.is_said_anew]
        if said:
            cursor.executemany(_UPDATE, [(*columns, report.id, _column(report.time)) for columns, report in said])
        moving = [one.report for one in again if one.is_moving]
        if moving:
            cursor.executemany(_DELETE, [(report.id, _column(report.time)) for report in moving])
        # In the order in which the writer takes them, so that nobody waits in a ring.
        others = {_key(one.report.device_id, other): other for one in again for other in one.others}
        new = {key for key in sorted(others) if _is_inserted(cursor, key.device, others[key])}
        _follow(cursor, again, channels)
    # What came has a new id, by which it is found.
    rollups.mark((one.report.device_id, one.report.time) for one in again)
    return _counted(again, new)


def _is_inserted(cursor: CursorWrapper, device: int, report: PreparedReport) -> bool:
    cursor.execute(_INSERT, [device, *map(_column, report.row)])
    return bool(cursor.rowcount == 1)


def _counted(again: Sequence[_Sorted], new: set[_Key]) -> Changed:
    changed = added = merged = 0
    for one in again:
        came = sum(_key(one.report.device_id, other) in new for other in one.others)
        changed += one.is_moving or one.is_said_anew or came > 0
        added += max(came - one.is_moving, 0)
        merged += one.is_moving and not came
    return Changed(changed, added, merged)


def _follow(cursor: CursorWrapper, again: Sequence[_Sorted], channels: KnownChannels) -> None:
    """States, then channels, as the writer has it."""
    by_device: dict[int, list[_Sorted]] = {}
    for one in again:
        by_device.setdefault(one.report.device_id, []).append(one)
    for state in State.objects.select_for_update().filter(device_id__in=by_device).order_by("device_id"):
        changed = [one for one in by_device[state.device_id] if one.report.time in (state.time, state.position_time)]
        if changed:
            _renew(state, changed)
    messages = {
        device: [PreparedMessage(one.report.received_at, one.now, None) for one in some] for device, some in by_device.items()
    }
    add_channels(
        tables_of(cursor),
        channels,
        messages,
        lambda: {device: some[0].report.device.protocol for device, some in by_device.items()},
    )


def _renew(state: State, changed: Iterable[_Sorted]) -> None:
    """A state whose newest report says something else, or is of another time: by what is stored now."""
    gone = {name for one in changed for name in one.report.values if not any(name in now.values for now in one.now)}
    # A report without a time of its own has that of its arrival, and is no word about the device's present.
    dated = Report.objects.filter(device_id=state.device_id, time__lte=F("received_at") + CLOCK_AHEAD).exclude(
        time=F("received_at")
    )
    newest = list(dated.order_by("-time", "-digest")[:_LOOKED_BACK])
    values = {name: value for name, value in state.values.items() if name not in gone}
    if newest:
        state.time, state.alarms = newest[0].time, newest[0].alarms
        values |= newest[0].values
    state.newest, state.newest_names, state.earlier = values, None, {}
    place = next((report for report in newest if is_position(report.latitude, report.longitude, report.values)), None)
    if place is not None:
        state.position_time = place.time
        for name in _PLACE:
            setattr(state, name, getattr(place, name))
    state.save(update_fields=["time", "alarms", "newest", "newest_names", "earlier", "position_time", *_PLACE])


def mend(
    again: Sequence[tuple[Quarantine, Incoming]], channels: KnownChannels, due_media: list[int], longest_file_bytes: int
) -> int:
    """Write messages of quarantine as far as they can be read, and take those out of it that can be read whole; how many.

    What a message says of a delivery or a command is of then, and would be taken for word of the one that is under way now.
    """
    whole = [(row, incoming) for row, incoming in again if incoming.decoded.error is None]
    failing = [(row, incoming) for row, incoming in again if incoming.decoded.error is not None]
    # Quarantine before states, as the writer has it.
    if failing:
        _say_why(failing)
    Quarantine.objects.filter(id__in=[row.id for row, _ in whole]).delete()
    telling = [*whole, *((row, incoming) for row, incoming in failing if incoming.decoded.reports)]
    for _, incoming in telling:
        for report in incoming.decoded.reports:
            report.file_result = report.answer = None
    outcomes = write(
        [incoming._replace(decoded=Decoded(incoming.decoded.reports, None)) for _, incoming in telling],
        is_open=lambda protocol: False,
        longest_file_bytes=longest_file_bytes,
        due_media=due_media,
        channels=channels,
    )
    refused = [whole[place][0] for place in outcomes if place < len(whole)]
    Quarantine.objects.bulk_create(refused, ignore_conflicts=True)
    return len(whole) - len(refused)


def _say_why(failing: Sequence[tuple[Quarantine, Incoming]]) -> None:
    """Rows say by which definition they were tried last, and what it could not read."""
    errors = {row.id: error for row, incoming in failing if (error := incoming.decoded.error)}
    keys = {
        row.id: GroupKey.of(row.device.protocol, row.kind, plain_text(error.cause)[:CAUSE_LENGTH], plain_text(error.path))
        for row, _ in failing
        if (error := errors[row.id])
    }
    groups = group_ids(keys.values())
    for row, incoming in failing:
        error = errors[row.id]
        row.group_id = groups.get(keys[row.id])
        row.error_cause = plain_text(error.cause)[:CAUSE_LENGTH]
        row.error_path = plain_text(error.path)[:ERROR_TEXT_LENGTH]
        row.error_text = plain_text(error.text)[:ERROR_TEXT_LENGTH]
        row.version = incoming.version[:VERSION_LENGTH]
    names = ["group", "error_cause", "error_path", "error_text", "version"]
    Quarantine.objects.bulk_update([row for row, _ in failing], names, batch_size=100)


def _column(value: Any) -> Any:
    return connection.ops.adapt_datetimefield_value(value) if isinstance(value, datetime) else value
