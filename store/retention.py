"""How long reports, messages in quarantine, events, commands and what channels came to are kept.

An age counts from its arrival, since devices' clocks lie. On PostgreSQL a month goes as a whole, when the last
moment of it is too old; what is dated outside the months there are goes by its arrival, as everything does on SQLite.
Devices and their states stay. Events are not in partitions: there are a few of a device a day where reports are thousands,
and a timeline is one stretch of one index.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple, Self

from django.db import connection, transaction
from django.db.models import Model

from settings import Settings
from store import partitions, targets
from store.models import CommandRun, Event, Report
from store.partitions import Month

ROWS_AT_ONCE = 2_000
"""Deleted in one transaction: on SQLite nobody else writes meanwhile, some ten milliseconds."""


class Retention(NamedTuple):
    """Days that something is kept for; 0: for ever."""

    reports_days: int
    quarantine_days: int
    events_days: int = 0
    five_minutes_days: int = 0
    hours_days: int = 0
    channel_days: int = 0
    commands_days: int = 0

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(
            settings.retention_days,
            settings.quarantine_retention_days,
            settings.event_retention_days,
            settings.five_minute_retention_days,
            settings.hour_retention_days,
            settings.day_retention_days,
            settings.command_retention_days,
        )


@dataclass
class Kept:
    """What was done, or would be."""

    made: list[Month] = field(default_factory=list)
    dropped: list[Month] = field(default_factory=list)
    reports: int = 0
    """Deleted ones, besides those of dropped months."""
    quarantine: int = 0
    events: int = 0
    five_minutes: int = 0
    """Rows of channels by five minutes; those by hours; channels of days."""
    hours: int = 0
    channels: int = 0
    commands: int = 0
    """Ended ones."""
    lost: Counter[str] = field(default_factory=Counter)
    """Rows that went before a target had them, by the target's name."""
    is_finished: bool = True
    """Whether that is all; if not, time was up."""


class _Aged(NamedTuple):
    """Rows that go by their age."""

    name: str
    """In :class:`Kept`."""
    table: str
    time: str = "received_at"
    """From when their age counts."""
    forwarded: type[Model] | None = None
    """Of what targets are told: what they did not have yet is counted."""
    parts: str = ""
    """The table and column of rows that go with them."""


def look(retention: Retention, now: datetime) -> Kept:
    """What :func:`keep` would do now. It counts in whole tables, which takes a while in large ones."""
    borders = _borders(retention, now)
    kept = Kept()
    if partitions.is_partitioned():
        kept.made = partitions.missing(now, borders[0])
        kept.dropped = partitions.ended(borders[0]) if borders[0] else []
    for aged, before in zip(_aged(), borders, strict=True):
        if before:
            setattr(kept, aged.name, _count(aged, before))
    return kept


def keep(retention: Retention, now: datetime, is_time_up: Callable[[], bool]) -> Kept:
    """Make the months ahead, drop those that are past, delete rows until there is none left or time is up.

    Idempotent, and each step is a transaction of its own.
    Raises: store.partitions.BusyError.
    """
    borders = _borders(retention, now)
    kept = Kept()
    if partitions.is_partitioned():
        kept.made = partitions.make_ahead(now, borders[0])
        for month in partitions.ended(borders[0]) if borders[0] else []:
            with transaction.atomic():
                kept.lost += targets.lose(Report, month.table)
                partitions.drop(month)
            kept.dropped.append(month)
    for aged, before in zip(_aged(), borders, strict=True):
        if before:
            kept.is_finished &= _delete(aged, before, now, is_time_up, kept)
    if before := borders[-1]:
        CommandRun.objects.filter(created_at__lt=before, commands=None).delete()
    return kept


def _aged() -> tuple[_Aged, ...]:
    """In the order of :class:`Retention`."""
    return (
        _Aged("reports", _reports_table(), forwarded=Report),
        _Aged("quarantine", "store_quarantine"),
        _Aged("events", "store_event", forwarded=Event),
        _Aged("five_minutes", "store_channelfiveminutes", "begins_at"),
        _Aged("hours", "store_channelhour", "begins_at"),
        _Aged("channels", "store_channelsummary", "(SELECT begins_at FROM store_daysummary d WHERE d.id = summary_id)"),
        _Aged("commands", "store_command", "ended_at", parts="store_commandstep.command_id"),
    )


def _borders(retention: Retention, now: datetime) -> list[datetime | None]:
    return [now - timedelta(days=days) if days else None for days in retention]


def _reports_table() -> str:
    """Where reports lie that no month takes with it."""
    return partitions.DEFAULT if partitions.is_partitioned() else "store_report"


def _count(aged: _Aged, before: datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {aged.table} WHERE {aged.time} < %s", [_column(before)])
        return int(cursor.fetchone()[0])


def _delete(aged: _Aged, before: datetime, now: datetime, is_time_up: Callable[[], bool], kept: Kept) -> bool:
    """Delete what is of before; whether that was all.

    Rows are in the order of their ids nearly in that of their arrival, which no index knows: it goes by id, and ends
    where nothing is old any more. A row that a spool kept back is deleted when all before it are old. What was received
    in the future, by a gateway whose clock was wrong, does not count as an end.
    """
    deleted = last = 0
    is_all = False
    while not is_all and not is_time_up():
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT max(id), count(CASE WHEN at BETWEEN %s AND %s THEN 1 END) "
                f"FROM (SELECT id, {aged.time} AS at FROM {aged.table} WHERE id > %s ORDER BY id LIMIT %s) AS next_rows",
                [_column(before), _column(now), last, ROWS_AT_ONCE],
            )
            to, younger = cursor.fetchone()
            if to is None:
                is_all = True
                continue
            condition, parameters = f"id > %s AND id <= %s AND {aged.time} < %s", [last, to, _column(before)]
            if aged.forwarded is not None:
                kept.lost += targets.lose(aged.forwarded, aged.table, condition, parameters)
            if aged.parts:
                table, _, column = aged.parts.partition(".")
                cursor.execute(f"DELETE FROM {table} WHERE {column} IN (SELECT id FROM {aged.table} WHERE {condition})", parameters)
            cursor.execute(f"DELETE FROM {aged.table} WHERE {condition}", parameters)
            gone = cursor.rowcount
        deleted += gone
        last, is_all = to, younger > 0 and not gone
    setattr(kept, aged.name, deleted)
    return is_all


def _column(time: datetime) -> str | datetime | None:
    """A time as the database's columns have it."""
    return connection.ops.adapt_datetimefield_value(time)
