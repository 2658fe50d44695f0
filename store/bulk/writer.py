"""One batch, one transaction: devices, reports, quarantine and states together, or nothing of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from django.db import DataError, IntegrityError, connection, transaction

from protocols.message import Outcome
from store.bulk.postgresql import PostgreSQLTables
from store.bulk.sqlite import SQLiteTables
from store.bulk.tables import FoundDevice, Tables
from store.rows import UNSTORABLE, DeviceKey, Incoming, PreparedMessage, prepare, quarantined
from store.states import DeviceState

log = logging.getLogger(__name__)

_ROW_FAULTS = (DataError, IntegrityError, ValueError, TypeError, OverflowError)
"""What a database or its driver says about a row. Anything else is about the database and would befall any row."""


def write(batch: Sequence[Incoming], *, is_open: bool) -> dict[int, Outcome]:
    """Store a batch; what became of its messages, by position, where that is not plainly ``STORED``.

    It is idempotent: what is stored already stays as it is. Unknown devices are created if ``is_open``, else their
    messages are refused; those of disabled devices are refused either way, and nothing of a refused message is
    stored. A batch is committed as one unless the database refuses a row of it, which :func:`store.rows.prepare`
    is there to prevent: then it is halved until that message is alone and goes to quarantine.
    Raises: django.db.DatabaseError or InterfaceError if the database is away or broken; part of a halved batch may
    be committed then.
    """
    prepared = [prepare(index, incoming) for index, incoming in enumerate(batch)]
    outcomes = {index: Outcome.REFUSED for index, message in enumerate(prepared) if message is None}
    if outcomes:
        log.warning("refused messages whose identity or numbers fit no column", extra={"messages": len(outcomes)})
    outcomes.update(_write_or_halve([message for message in prepared if message], batch, is_open))
    return outcomes


def _write_or_halve(messages: list[PreparedMessage], batch: Sequence[Incoming], is_open: bool) -> dict[int, Outcome]:
    try:
        return _write(messages, is_open)
    except _ROW_FAULTS as fault:
        if len(messages) == 1:
            return _write_alone(messages[0], batch, is_open, fault)
    middle = len(messages) // 2
    return _write_or_halve(messages[:middle], batch, is_open) | _write_or_halve(messages[middle:], batch, is_open)


def _write_alone(message: PreparedMessage, batch: Sequence[Incoming], is_open: bool, fault: Exception) -> dict[int, Outcome]:
    cause = type(fault).__name__
    log.error("the database refused a message", extra={"device": message.device, "cause": cause})
    try:
        return _write([quarantined(message.index, batch[message.index], UNSTORABLE, cause)], is_open)
    except _ROW_FAULTS:
        return {message.index: Outcome.REFUSED}


def _write(messages: list[PreparedMessage], is_open: bool) -> dict[int, Outcome]:
    if not messages:
        return {}
    with transaction.atomic(), connection.cursor() as cursor, connection.wrap_database_errors:
        tables: Tables = PostgreSQLTables(cursor) if connection.vendor == "postgresql" else SQLiteTables(cursor)
        devices = _admit(tables, list(dict.fromkeys(message.device for message in messages)), is_open)
        outcomes = {message.index: Outcome.REFUSED for message in messages if message.device not in devices}
        admitted = [(devices[message.device], message) for message in messages if message.device in devices]
        _insert(tables, admitted)
        _advance(tables, admitted)
    outcomes.update((message.index, message.outcome) for _, message in admitted if message.outcome is not Outcome.STORED)
    return outcomes


def _admit(tables: Tables, keys: list[DeviceKey], is_open: bool) -> dict[DeviceKey, FoundDevice]:
    """The devices that may come in.

    They are read in every batch, because then a device that was just disabled, renamed or deleted is so here too,
    and FOR KEY SHARE, which the foreign key of each report asks for anyway, keeps them while the batch is written.
    """
    found = tables.find_devices(keys)
    if is_open and len(found) < len(keys):
        missing = [key for key in keys if key not in found]
        tables.create_devices(missing, datetime.now(UTC))
        found |= tables.find_devices(missing)
    return {key: device for key, device in found.items() if device.is_enabled}


def _insert(tables: Tables, admitted: Iterable[tuple[FoundDevice, PreparedMessage]]) -> None:
    reports, quarantine = [], []
    for device, message in admitted:
        reports += [(device.id, report.row) for report in message.reports]
        if message.quarantine:
            quarantine.append((device.id, message.quarantine))
    if reports:
        tables.insert_reports(reports)
    if quarantine:
        tables.insert_quarantine(quarantine)


def _advance(tables: Tables, admitted: Iterable[tuple[FoundDevice, PreparedMessage]]) -> None:
    """Bring the states of the batch's devices forward: locked, read, folded here, written back.

    Folding in SQL could not tell a report older than the state, whose values must not come back, from a newer one
    of the same batch. Blank states come first: while rows could still appear, locking in order would not be possible.
    """
    by_device: dict[FoundDevice, list[PreparedMessage]] = {}
    for device, message in admitted:
        by_device.setdefault(device, []).append(message)
    if not by_device:
        return
    without = sorted(device.id for device in by_device if not device.has_state)
    if without:
        tables.create_states(without)
    states = tables.lock_states(sorted(device.id for device in by_device))
    changed = [state for device, messages in by_device.items() if _brought_forward(state := states[device.id], messages)]
    if changed:
        tables.update_states(changed)


def _brought_forward(state: DeviceState, messages: Sequence[PreparedMessage]) -> bool:
    """Fold the messages of one device into its state; whether that changed it."""
    reports = [report for message in messages for report in message.reports]
    if len(reports) > 1:
        reports.sort(key=lambda report: report.row.time)
    # Reports first: those without a date are compared with when the device was seen before this batch.
    news = [state.take(report) for report in reports]
    news += [state.see(message.received_at) for message in messages]
    return any(news)
