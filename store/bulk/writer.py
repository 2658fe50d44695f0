"""One batch, one transaction: devices, reports and all that follows from them together, or nothing of it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from django.db import DataError, IntegrityError, connection, transaction
from django.db.backends.utils import CursorWrapper

from protocols.message import Outcome
from protocols.piece import Piece
from protocols.report import Report
from store import alarms, deliveries
from store.alarms import ReportKey
from store.bulk.pieces import FileKey, PieceRow, declined, file_key, insert_pieces
from store.bulk.postgresql import PostgreSQLTables
from store.bulk.sqlite import SQLiteTables
from store.bulk.tables import UNFIT, FoundDevice, NewReport, QuarantinedMessage, Tables
from store.channels import KnownChannels
from store.commands import answers
from store.commands.answers import Heard
from store.deliveries import Said
from store.events import EventRow
from store.models import EventKind
from store.quarantine import GroupKey, group_ids
from store.rows import (
    UNSTORABLE,
    DeviceKey,
    Incoming,
    PreparedMessage,
    PreparedReport,
    QuarantineRow,
    Sent,
    device_key,
    prepare,
    quarantined,
)
from store.rules.evaluation import Watch, bring_rules_forward
from store.rules.rulebook import KnownRules
from store.states import CLOCK_AHEAD, DeviceState, decides_alone

log = logging.getLogger(__name__)

_ROW_FAULTS = (DataError, IntegrityError, *UNFIT)
"""What a database or its driver says about a row. Anything else is about the database and would befall any row."""
LONGEST_FILE_BYTES = 1 << 28
"""What is kept of a file unless settings say otherwise."""
PARTS, SMALLEST_PART = 8, 100
"""Of a batch: the database is at one while the next is decoded. More parts wait for each other less, and each costs a query."""

AnySent = TypeVar("AnySent", bound=Sent)
Decode = Callable[[Sequence[Any]], Sequence[Incoming]]


def _as_they_are(batch: Sequence[Any]) -> Sequence[Incoming]:
    return batch


class Terms(NamedTuple):
    """What a batch is written by, and where it is noted what there is to do when it is."""

    decode: Decode
    is_open: Callable[[str], bool]
    longest_file_bytes: int
    due_media: list[int]
    commands: list[int]
    channels: KnownChannels
    rules: KnownRules | None


def write(
    batch: Sequence[AnySent],
    decode: Callable[[Sequence[AnySent]], Sequence[Incoming]] = _as_they_are,
    *,
    is_open: Callable[[str], bool],
    longest_file_bytes: int = LONGEST_FILE_BYTES,
    due_media: list[int] | None = None,
    commands: list[int] | None = None,
    channels: KnownChannels | None = None,
    rules: KnownRules | None = None,
) -> dict[int, Outcome]:
    """Store a batch; what became of its messages, by position, where that is not plainly ``STORED``.

    Messages are decoded part by part, in the order of their devices, while the database is at the part before. What ``decode``
    raises comes out of here, and nothing is stored.

    It is idempotent: what is stored already stays as it is. Unknown devices of a protocol that ``is_open`` are created, of
    others their messages are refused; those of disabled devices are refused either way, and nothing of a refused message is
    stored. A batch is committed as one unless the database refuses a row of it, which :func:`store.rows.prepare`
    is there to prevent: then it is halved until that message is alone and goes to quarantine.
    Pieces of files longer than ``longest_file_bytes`` are declined. Files that may be whole now are added to ``due_media``
    once their rows are committed, and commands that devices have answered to ``commands``. Which ``channels`` are known is what
    keeps the database from being asked for those of each device every time. Without ``rules`` nothing is held against any.
    Raises: django.db.DatabaseError or InterfaceError if the database is away or broken; part of a halved batch may
    be committed then.
    """
    keys = [device_key(sent) for sent in batch]
    outcomes = {index: Outcome.REFUSED for index, key in enumerate(keys) if key is None}
    if outcomes:
        log.warning("refused messages whose identity or numbers fit no column", extra={"messages": len(outcomes)})
    arrivals = [Arrival(index, key, sent) for index, (key, sent) in enumerate(zip(keys, batch, strict=True)) if key]
    due, told = [] if due_media is None else due_media, [] if commands is None else commands
    terms = Terms(decode, is_open, longest_file_bytes, due, told, channels or KnownChannels(), rules)
    outcomes.update(_write_or_halve(arrivals, terms))
    return outcomes


class Arrival(NamedTuple):
    """A message of the batch that can be stored."""

    place: int
    device: DeviceKey
    sent: Sent


Admitted = tuple[int, Arrival]
"""With the id of its device."""
Prepare = Callable[[Incoming], PreparedMessage]
_BY_DEVICE = itemgetter(0)


def _write_or_halve(arrivals: list[Arrival], terms: Terms) -> dict[int, Outcome]:
    try:
        return _write(arrivals, terms, prepare)
    except _ROW_FAULTS as fault:
        if terms.rules is not None:
            terms.rules.forget_devices()
        if len(arrivals) == 1:
            return _write_alone(arrivals[0], terms, fault)
    middle = len(arrivals) // 2
    return _write_or_halve(arrivals[:middle], terms) | _write_or_halve(arrivals[middle:], terms)


def _write_alone(arrival: Arrival, terms: Terms, fault: Exception) -> dict[int, Outcome]:
    cause = type(fault).__name__
    log.error("the database refused a message", extra={"device": arrival.device, "cause": cause})
    try:
        return _write([arrival], terms, lambda incoming: quarantined(incoming, UNSTORABLE, cause))
    except _ROW_FAULTS:
        return {arrival.place: Outcome.REFUSED}


def _write(arrivals: list[Arrival], terms: Terms, prepare: Prepare) -> dict[int, Outcome]:
    if not arrivals:
        return {}
    with transaction.atomic(), connection.cursor() as cursor, connection.wrap_database_errors:
        tables = tables_of(cursor)
        devices = _admit(tables, list(dict.fromkeys(arrival.device for arrival in arrivals)), terms.is_open)
        outcomes = {arrival.place: Outcome.REFUSED for arrival in arrivals if arrival.device not in devices}
        admitted = [(devices[arrival.device].id, arrival) for arrival in arrivals if arrival.device in devices]
        admitted.sort(key=_BY_DEVICE)
        if admitted:
            outcomes.update(_insert(tables, admitted, terms, prepare))
    return outcomes


def tables_of(cursor: CursorWrapper) -> Tables:
    """The tables of the database that a cursor is of."""
    return PostgreSQLTables(cursor) if connection.vendor == "postgresql" else SQLiteTables(cursor)


def _admit(tables: Tables, keys: list[DeviceKey], is_open: Callable[[str], bool]) -> dict[DeviceKey, FoundDevice]:
    """The devices that may come in.

    They are read in every batch, because then a device that was just disabled, renamed or deleted is so here too,
    and FOR KEY SHARE, which the foreign key of each report asks for anyway, keeps them while the batch is written.
    """
    found = tables.find_devices(keys)
    missing = [key for key in keys if key not in found and is_open(key.protocol)] if len(found) < len(keys) else []
    if missing:
        tables.create_devices(missing, datetime.now(UTC))
        found |= tables.find_devices(missing)
    return {key: device for key, device in found.items() if device.is_enabled}


def _insert(tables: Tables, admitted: list[Admitted], terms: Terms, prepare: Prepare) -> dict[int, Outcome]:
    """The rows of reports and quarantine, then what follows from them: states, files of which they bring pieces, channels,
    alarms with their events, those of rules too, and deliveries and commands of which they say what became.
    """
    watch = Watch(terms.rules, {device for device, _ in admitted}) if terms.rules and terms.rules.refresh() else None
    brought = _Brought(admitted, prepare, watch)
    with tables.inserting() as insertion:
        for part in _parts(admitted):
            incoming = terms.decode([arrival.sent for _, arrival in part])
            if told := _pieces_told(part, incoming):
                insertion.wait()
                brought.declined |= declined(told, terms.longest_file_bytes)
            if reports := brought.take(part, incoming):
                insertion.add(reports)
        added = insertion.finish()
    if brought.quarantine:
        _insert_quarantine(tables, brought.quarantine)
    before: dict[int, DeviceState] | None = {} if watch else None
    tables.bring_forward(brought.by_device, brought.lone, before)
    if brought.pieces:
        due = insert_pieces(brought.pieces, brought.declined)
        transaction.on_commit(partial(terms.due_media.extend, due))
    add_channels(
        tables, terms.channels, brought.by_device, lambda: {device: arrival.device.protocol for device, arrival in admitted}
    )
    _bring_alarms_forward(tables, brought.by_device, added)
    if watch is not None and before is not None:
        bring_rules_forward(tables, watch, brought.by_device, brought.lone, before, datetime.now(UTC))
    if brought.results:
        # A copy of what was stored before would be taken for word of the delivery that has come after.
        deliveries.settle([said for key, said in brought.results.items() if key in added], datetime.now(UTC))
    if brought.heard:
        changed = answers.settle(_marked(brought.heard, added), datetime.now(UTC))
        transaction.on_commit(partial(terms.commands.extend, changed))
    return brought.outcomes


class _Brought:
    """What the messages of a batch bring, gathered part by part."""

    def __init__(self, admitted: Sequence[Admitted], prepare: Prepare, watch: Watch | None) -> None:
        self._prepare = prepare
        self._watch = watch
        self._counts = Counter(device for device, _ in admitted)
        self.by_device: dict[int, list[PreparedMessage]] = {}
        self.lone: set[int] = set()
        self.quarantine: list[tuple[int, str, QuarantineRow]] = []
        self.pieces: list[PieceRow] = []
        self.declined: set[FileKey] = set()
        self.results: dict[ReportKey, Said] = {}
        self.heard: list[tuple[ReportKey, Heard]] = []
        self.outcomes: dict[int, Outcome] = {}

    def take(self, part: Sequence[Admitted], incoming: Sequence[Incoming]) -> list[NewReport]:
        """Prepare the messages of a part; its reports."""
        watch = self._watch
        reports: list[NewReport] = []
        for (device, arrival), one in zip(part, incoming, strict=True):
            message = self._prepare(one)
            self.by_device.setdefault(device, []).append(message)
            is_lone = self._counts[device] == 1 and decides_alone(message)
            if is_lone:
                self.lone.add(device)
            if message.quarantine:
                self.quarantine.append((device, arrival.device.protocol, message.quarantine))
                self.outcomes[arrival.place] = message.outcome
            for report in message.reports:
                row = report.row
                if report.file_result:
                    self.results[_key(device, report)] = Said(device, report.file_result, row.received_at)
                if report.answer:
                    self.heard.append((_key(device, report), Heard(device, report.answer, row.received_at, row.kind, row.body)))
                if report.piece and self._is_declined(device, report, report.piece):
                    self.outcomes[arrival.place] = Outcome.DECLINED
                else:
                    reports.append(NewReport(device, report, is_lone))
                if watch is not None and (rules := watch.sets[device].concerned(report)):
                    watch.notice(device, rules)
        return reports

    def _is_declined(self, device: int, report: PreparedReport, piece: Piece) -> bool:
        key = file_key(device, piece, report.row.digest)
        self.pieces.append(PieceRow(key, piece, report.row))
        return key in self.declined


def _key(device: int, report: PreparedReport) -> ReportKey:
    return ReportKey(device, report.row.time, report.row.digest)


def _marked(heard: Iterable[tuple[ReportKey, Heard]], added: Collection[ReportKey]) -> list[Heard]:
    """What devices say of commands. Of two with one report, such as the same place for two questions, the first is what is new."""
    told: set[ReportKey] = set()
    marked = []
    for key, one in heard:
        marked.append(one._replace(is_new=key in added and key not in told))
        told.add(key)
    return marked


def _pieces_told(part: Sequence[Admitted], incoming: Sequence[Incoming]) -> list[tuple[int, Report]]:
    """The reports that bring something of a file, with their devices."""
    return [
        (device, report)
        for (device, _), one in zip(part, incoming, strict=True)
        for report in one.decoded.reports
        if report.piece is not None
    ]


def _parts(admitted: Sequence[Admitted]) -> Iterator[Sequence[Admitted]]:
    """All of a device in one, so that reports are inserted in the order of their keys."""
    size, start = max(SMALLEST_PART, -(-len(admitted) // PARTS)), 0
    while start < len(admitted):
        end = start + size
        while end < len(admitted) and admitted[end][0] == admitted[end - 1][0]:
            end += 1
        yield admitted[start:end]
        start = end


def _insert_quarantine(tables: Tables, rows: list[tuple[int, str, QuarantineRow]]) -> None:
    """Messages with the groups they belong to. ``rows`` have their device and its protocol before them."""
    keys = [GroupKey.of(protocol, row.kind, row.error_cause, row.error_path) for _, protocol, row in rows]
    groups = group_ids(keys)
    messages = [QuarantinedMessage(device, groups.get(key), row) for key, (device, _, row) in zip(keys, rows, strict=True)]
    tables.insert_quarantine(messages)


def add_channels(
    tables: Tables,
    known: KnownChannels,
    devices: Mapping[int, Sequence[PreparedMessage]],
    protocols: Callable[[], Mapping[int, str]],
) -> None:
    """The channels that these devices have not been seen with. What their ``protocols`` are is asked for those only."""
    news = known.news(devices)
    if not news:
        return
    settled = known.settle(news, tables.find_channels(news), protocols())
    if settled.rows:
        tables.write_channels(settled.rows)
    transaction.on_commit(partial(known.remember, settled))


def _bring_alarms_forward(tables: Tables, devices: dict[int, list[PreparedMessage]], added: set[ReportKey]) -> None:
    """The alarms, which follow from reports that were not there before, and end with any; and what happened to them."""
    found = tables.find_alarms(devices, {key.device for key in added})
    if not found and not added:
        return
    now = datetime.now(UTC)
    changed, events = forward = alarms.bring_forward(found, devices, added)
    if ongoing := forward.ongoing:
        # What comes late may have ended long ago.
        for alarm, at in tables.find_ended(ongoing, now + 2 * CLOCK_AHEAD):
            alarm.is_ongoing = False
            events.append(EventRow(alarm.device_id, at, EventKind.ALARM_ENDED, alarm.kind))
    if changed:
        tables.write_alarms(changed)
    if events:
        tables.insert_events(events, now)
