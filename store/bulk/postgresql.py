"""What the writer does on PostgreSQL, statement by statement; their texts are in :mod:`store.bulk.sql`."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import psycopg
from django.db.backends.utils import CursorWrapper

from store.alarms import DeviceAlarm, ReportKey
from store.bulk import binary, sql
from store.bulk.background import Background
from store.bulk.tables import (
    ALARM_COLUMNS,
    CHANNEL_COLUMNS,
    EVENT_ORDER,
    QUARANTINE_COLUMNS,
    STATE_COLUMNS,
    UNFIT,
    FoundDevice,
    NewReport,
    QuarantinedMessage,
    by_device,
)
from store.channels import ChannelRow
from store.events import EventRow
from store.json_text import storable
from store.rows import ALARM_PREFIX, DeviceKey, PreparedMessage, PresenceRow
from store.rules.life import Standing
from store.states import CLOCK_AHEAD, DeviceState


class PostgreSQLTables:
    def __init__(self, cursor: CursorWrapper) -> None:
        self._cursor = cursor

    def find_devices(self, keys: Sequence[DeviceKey]) -> dict[DeviceKey, FoundDevice]:
        self._cursor.execute(sql.FIND_DEVICES, [_json_list(key.protocol for key in keys), _json_list(key.identity for key in keys)])
        return {keys[number - 1]: FoundDevice(id, is_enabled) for number, id, is_enabled in self._cursor.fetchall()}

    def create_devices(self, keys: Sequence[DeviceKey], now: datetime) -> None:
        self._cursor.execute(sql.CREATE_DEVICES, [now, [key.protocol for key in keys], [key.identity for key in keys]])

    @contextmanager
    def inserting(self) -> Iterator[_Insertion]:
        self._cursor.execute(sql.BEGIN_INSERTING)
        insertion = _Insertion(self._cursor)
        try:
            yield insertion
        except UNFIT:
            insertion.give_up()
            raise

    def insert_quarantine(self, rows: Iterable[QuarantinedMessage]) -> None:
        self._copy_rows("incoming_quarantine", QUARANTINE_COLUMNS, ((device, group, *row) for device, group, row in rows))
        self._cursor.execute(sql.INSERT_QUARANTINE)

    def bring_forward(
        self,
        devices: Mapping[int, Sequence[PreparedMessage]],
        lone: Collection[int],
        before: dict[int, DeviceState] | None = None,
    ) -> None:
        """Lone reports are folded in where they are. That statement also locks the other states, blank if they are new,
        since the locks of all have to be taken in one order; they are then read, folded here, and written back.
        """
        others = [device for device in devices if device not in lone]
        self._cursor.execute(sql.FOLD_LONE_REPORTS, [_ids(others)])
        if not others:
            return
        states = self.find_states(others)
        if before is not None:
            before.update((state.device_id, replace(state)) for state in states)
        changed = [state for state in states if state.take_all(devices[state.device_id])]
        if changed:
            self._copy_rows("incoming_state", STATE_COLUMNS, map(_state_row, changed))
            self._cursor.execute(sql.UPDATE_STATES)

    def find_states(self, devices: Collection[int]) -> list[DeviceState]:
        self._cursor.execute(sql.FIND_STATES, [_ids(devices)])
        return [_state(row) for row in self._cursor.fetchall()]

    def find_times(self, devices: Collection[int]) -> dict[int, tuple[datetime | None, datetime | None]]:
        self._cursor.execute(sql.FIND_TIMES, [_ids(devices)])
        return {device: (time, last_seen) for device, time, last_seen in self._cursor.fetchall()}

    def find_channels(self, devices: Collection[int]) -> dict[int, dict[str, str]]:
        self._cursor.execute(sql.FIND_CHANNELS, [_ids(devices)])
        return by_device(self._cursor.fetchall())

    def write_channels(self, rows: Sequence[ChannelRow]) -> None:
        self._copy_rows("incoming_channel", CHANNEL_COLUMNS, rows)
        self._cursor.execute(sql.WRITE_CHANNELS)

    def find_alarms(self, devices: Collection[int], told: Collection[int]) -> list[DeviceAlarm]:
        of_rules = f"{ALARM_PREFIX}%"
        # Told once more, though the incoming reports have them: of a table that is always new, no plan is to be relied on.
        self._cursor.execute(sql.FIND_ALARMS, [_ids(told), of_rules, _ids(devices), of_rules])
        return [DeviceAlarm(*row) for row in self._cursor.fetchall()]

    def find_ended(self, alarms: Sequence[DeviceAlarm], until: datetime) -> list[tuple[DeviceAlarm, datetime]]:
        columns = zip(*((alarm.device_id, alarm.standing_kind, alarm.standing_at) for alarm in alarms), strict=True)
        arguments: list[Any] = [*map(list, columns), until, CLOCK_AHEAD]
        self._cursor.execute(sql.FIND_ENDED, arguments)
        return [(alarms[number - 1], time) for number, time in self._cursor.fetchall()]

    def write_alarms(self, alarms: Sequence[DeviceAlarm]) -> None:
        rows = (tuple(getattr(alarm, column) for column in ALARM_COLUMNS) for alarm in alarms)
        self._copy_rows("incoming_alarm", ALARM_COLUMNS, rows)
        self._cursor.execute(sql.WRITE_ALARMS)

    def find_standings(self, devices: Collection[int]) -> list[Standing]:
        self._cursor.execute(sql.FIND_STANDINGS, [_ids(devices)])
        return [
            Standing(device, rule, version, phase, _moment(since), None if told is None else _moment(told))
            for device, rule, version, phase, since, told in self._cursor.fetchall()
        ]

    def find_alarms_of_rules(self, keys: Sequence[tuple[int, str]]) -> list[DeviceAlarm]:
        self._cursor.execute(sql.FIND_ALARMS_OF_RULES, [list(column) for column in zip(*keys, strict=True)])
        return [DeviceAlarm(*row) for row in self._cursor.fetchall()]

    def write_standings(self, rows: Sequence[Standing], gone: Sequence[tuple[int, int]]) -> None:
        if gone:
            self._cursor.execute(sql.DELETE_STANDINGS, [list(column) for column in zip(*gone, strict=True)])
        if rows:
            self._cursor.execute(sql.WRITE_STANDINGS, [list(column) for column in zip(*rows, strict=True)])

    def write_presence(self, rows: Sequence[PresenceRow]) -> None:
        self._cursor.execute(sql.WRITE_PRESENCE, [list(column) for column in zip(*rows, strict=True)])

    def insert_events(self, events: Sequence[EventRow], now: datetime) -> None:
        columns = [list(column) for column in zip(*sorted(events, key=EVENT_ORDER), strict=True)]
        columns[-1] = [storable(detail)[0] for detail in columns[-1]]
        self._cursor.execute(sql.INSERT_EVENTS, [now, *columns])

    def _copy_rows(self, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
        def write(copy: Any) -> None:
            copy.set_types(list(types.values()))
            for row in rows:
                copy.write_row(row)

        # The text of a sql.JSON value: psycopg would encode a jsonb once more.
        types = {column: "text" if column in sql.JSON else sql.TYPES.get(column, "text") for column in columns}
        self._copy(table, types, write)

    def _copy(self, table: str, columns: Mapping[str, str], write: Callable[[Any], None]) -> None:
        """Fill a sql.temporary table."""
        self._cursor.execute(sql.temporary(table, columns))
        with self._cursor.copy(f"COPY {table} ({sql.quoted(columns)}) FROM STDIN (FORMAT BINARY)") as copy:
            write(copy)


class _Insertion:
    """Each part is copied and inserted in one query, while the next is made."""

    def __init__(self, cursor: CursorWrapper) -> None:
        self._cursor = cursor
        self._background = Background(cursor.connection)
        self._parts = 0
        self._is_told = False

    def add(self, reports: Sequence[NewReport]) -> None:
        part = self._parts = self._parts + 1
        rows = b"".join([binary.HEADER, *(binary.report_row(part, *report) for report in reports), binary.TRAILER])
        is_telling = any(report.is_telling for _, report, _ in reports)
        self._is_told |= is_telling
        insert = (sql.INSERT_REPORTS_AND_TELL if is_telling else sql.INSERT_REPORTS).format(part=part)
        self._background.wait()
        self._background.copy(f"{sql.COPY_REPORTS}; {insert}".encode(), rows)

    def wait(self) -> None:
        self._background.wait()

    def finish(self) -> set[ReportKey]:
        self._background.wait()
        if not self._is_told:
            return set()
        self._cursor.execute(sql.FIND_ADDED)
        return {ReportKey(device, time, bytes(digest)) for device, time, digest in self._cursor.fetchall()}

    def give_up(self) -> None:
        """Wait for what has begun, whatever becomes of it."""
        with suppress(psycopg.Error):
            self._background.wait()


def _ids(ids: Iterable[int]) -> str:
    """An array's text, which psycopg would make number by number."""
    return f"{{{','.join(map(str, ids))}}}"


def _json_list(names: Iterable[str]) -> str:
    return orjson.dumps(list(names)).decode()


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _state(row: Sequence[Any]) -> DeviceState:
    columns = zip(STATE_COLUMNS, row, strict=True)
    return DeviceState(*(json.loads(value) if column in sql.JSON else value for column, value in columns))


def _state_row(state: DeviceState) -> tuple[Any, ...]:
    columns = ((column, getattr(state, column)) for column in STATE_COLUMNS)
    return tuple(storable(value)[0] if column in sql.JSON else value for column, value in columns)
