"""How long reports, messages in quarantine and events are kept.

An age counts from its arrival, since devices' clocks lie. On PostgreSQL a month goes as a whole, when the last
moment of it is too old; what is dated outside the months there are goes by its arrival, as everything does on SQLite.
Devices and their states stay. Events are not in partitions: there are a few of a device a day where reports are thousands,
and a timeline is one stretch of one index.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import Model

from store import partitions, targets
from store.models import Event, Report
from store.partitions import Month

ROWS_AT_ONCE = 2_000
"""Deleted in one transaction: on SQLite nobody else writes meanwhile, some ten milliseconds."""


class Retention(NamedTuple):
    """Days that something is kept for; 0: for ever."""

    reports_days: int
    quarantine_days: int
    events_days: int = 0


@dataclass
class Kept:
    """What was done, or would be."""

    made: list[Month] = field(default_factory=list)
    dropped: list[Month] = field(default_factory=list)
    reports: int = 0
    """Deleted ones, besides those of dropped months."""
    quarantine: int = 0
    events: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    """Rows that went before a target had them, by the target's name."""
    is_finished: bool = True
    """Whether that is all; if not, time was up."""


def look(retention: Retention, now: datetime) -> Kept:
    """What :func:`keep` would do now. It counts in whole tables, which takes a while in large ones."""
    reports_before, quarantine_before, events_before = _borders(retention, now)
    kept = Kept()
    if partitions.is_partitioned():
        kept.made = partitions.missing(now, reports_before)
        kept.dropped = partitions.ended(reports_before) if reports_before else []
    if reports_before:
        kept.reports = _count(_reports_table(), reports_before)
    if quarantine_before:
        kept.quarantine = _count("store_quarantine", quarantine_before)
    if events_before:
        kept.events = _count("store_event", events_before)
    return kept


def keep(retention: Retention, now: datetime, is_time_up: Callable[[], bool]) -> Kept:
    """Make the months ahead, drop those that are past, delete rows until there is none left or time is up.

    Idempotent, and each step is a transaction of its own.
    Raises: store.partitions.BusyError.
    """
    reports_before, quarantine_before, events_before = _borders(retention, now)
    kept = Kept()
    if partitions.is_partitioned():
        kept.made = partitions.make_ahead(now, reports_before)
        for month in partitions.ended(reports_before) if reports_before else []:
            with transaction.atomic():
                kept.lost += targets.lose(Report, month.table)
                partitions.drop(month)
            kept.dropped.append(month)
    if reports_before:
        kept.reports, kept.is_finished = _delete(_reports_table(), reports_before, now, is_time_up, _lose(Report, kept))
    if quarantine_before:
        kept.quarantine, is_finished = _delete("store_quarantine", quarantine_before, now, is_time_up)
        kept.is_finished = kept.is_finished and is_finished
    if events_before:
        kept.events, is_finished = _delete("store_event", events_before, now, is_time_up, _lose(Event, kept))
        kept.is_finished = kept.is_finished and is_finished
    return kept


def _borders(retention: Retention, now: datetime) -> list[datetime | None]:
    return [now - timedelta(days=days) if days else None for days in retention]


def _reports_table() -> str:
    """Where reports lie that no month takes with it."""
    return partitions.DEFAULT if partitions.is_partitioned() else "store_report"


def _count(table: str, before: datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table} WHERE received_at < %s", [_column(before)])
        return int(cursor.fetchone()[0])


Going = Callable[[str, str, Sequence[Any]], None]
"""Is told of rows that go, in the transaction in which they do: their table, and which of it."""


def _lose(model: type[Model], kept: Kept) -> Going:
    def going(table: str, condition: str, parameters: Sequence[Any]) -> None:
        kept.lost += targets.lose(model, table, condition, parameters)

    return going


def _delete(
    table: str, before: datetime, now: datetime, is_time_up: Callable[[], bool], going: Going | None = None
) -> tuple[int, bool]:
    """Delete what was received before; how many rows, and whether that was all.

    Rows are in the order of their ids nearly in that of their arrival, which no index knows: it goes by id, and ends
    where nothing is old any more. A row that a spool kept back is deleted when all before it are old. What was received
    in the future, by a gateway whose clock was wrong, does not count as an end.
    """
    deleted = last = 0
    while not is_time_up():
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT max(id), count(CASE WHEN received_at BETWEEN %s AND %s THEN 1 END) "
                f"FROM (SELECT id, received_at FROM {table} WHERE id > %s ORDER BY id LIMIT %s) AS next_rows",
                [_column(before), _column(now), last, ROWS_AT_ONCE],
            )
            to, kept = cursor.fetchone()
            if to is None:
                return deleted, True
            condition, parameters = "id > %s AND id <= %s AND received_at < %s", [last, to, _column(before)]
            if going is not None:
                going(table, condition, parameters)
            cursor.execute(f"DELETE FROM {table} WHERE {condition}", parameters)
            gone = cursor.rowcount
        deleted += gone
        if kept and not gone:
            return deleted, True
        last = to
    return deleted, False


def _column(time: datetime) -> str | datetime | None:
    """A time as the database's columns have it."""
    return connection.ops.adapt_datetimefield_value(time)
