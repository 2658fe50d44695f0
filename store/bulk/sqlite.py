"""The writer's statements for SQLite.

The transaction began with the database's one write lock (``transaction_mode`` in :mod:`store.database`), so nothing
needs a lock of its own and nobody else's rows appear in between.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.backends.utils import CursorWrapper

from store.alarms import DeviceAlarm, ReportKey
from store.bulk.tables import (
    ALARM_ASSIGNMENTS,
    ALARM_COLUMNS,
    CHANNEL_COLUMNS,
    EVENT_COLUMNS,
    EVENT_KEY,
    PRESENCE_ASSIGNMENTS,
    PRESENCE_COLUMNS,
    PRESENCE_ORDER,
    QUARANTINE_COLUMNS,
    REPORT_COLUMNS,
    STANDING_ASSIGNMENTS,
    STANDING_COLUMNS,
    STATE_ASSIGNMENTS,
    STATE_COLUMNS,
    FoundDevice,
    NewReport,
    QuarantinedMessage,
    by_device,
)
from store.channels import ChannelRow
from store.events import EventRow
from store.rows import ALARM_PREFIX, DeviceKey, PreparedMessage, PresenceRow
from store.rules.life import Standing
from store.states import CLOCK_AHEAD, DeviceState

_DAY = timedelta(days=1)


def _insertion(table: str, columns: Sequence[str], key: str) -> str:
    names = ", ".join(f'"{column}"' for column in columns)
    return f"INSERT INTO {table} ({names}) VALUES ({', '.join(['%s'] * len(columns))}) ON CONFLICT ({key}) DO NOTHING"


_INSERT_REPORT = _insertion("store_report", REPORT_COLUMNS, "device_id, time, digest")
_INSERT_QUARANTINE = _insertion("store_quarantine", QUARANTINE_COLUMNS, "device_id, digest")
_WRITE_PRESENCE = (
    f"INSERT INTO store_presence AS p ({', '.join(PRESENCE_COLUMNS)}) VALUES ({', '.join(['%s'] * len(PRESENCE_COLUMNS))}) "
    f"ON CONFLICT (device_id) DO UPDATE SET {PRESENCE_ASSIGNMENTS} WHERE {PRESENCE_ORDER}"
)
_INSERT_EVENT = _insertion("store_event", EVENT_COLUMNS, ", ".join(EVENT_KEY))
_ALARM_NAMES = ", ".join(f'"{column}"' for column in ALARM_COLUMNS)
_WRITE_ALARM = (
    f"INSERT INTO store_alarm ({_ALARM_NAMES}) VALUES ({', '.join(['%s'] * len(ALARM_COLUMNS))}) "
    f"ON CONFLICT (device_id, kind) DO UPDATE SET {ALARM_ASSIGNMENTS}"
)
_WRITE_CHANNEL = (
    f"INSERT INTO store_channel ({', '.join(CHANNEL_COLUMNS)}) VALUES ({', '.join(['%s'] * len(CHANNEL_COLUMNS))}) "
    "ON CONFLICT (device_id, name) DO UPDATE SET unit = excluded.unit WHERE NOT is_unit_set"
)
_STANDING_NAMES = ", ".join(STANDING_COLUMNS)
# A rule that has just been removed is not stood by any more.
_WRITE_STANDING = (
    f"INSERT INTO store_rulestate ({_STANDING_NAMES}) SELECT {', '.join(['%s'] * len(STANDING_COLUMNS))} "
    "WHERE EXISTS (SELECT 1 FROM store_rule WHERE id = %s) "
    f"ON CONFLICT (device_id, rule_id) DO UPDATE SET {STANDING_ASSIGNMENTS}"
)
_JSON = ("newest", "earlier", "alarms")
_STATE_NAMES = ", ".join(f'"{column}"' for column in STATE_COLUMNS)
_WRITE_STATE = (
    f"INSERT INTO store_state ({_STATE_NAMES}) VALUES ({', '.join(['%s'] * len(STATE_COLUMNS))}) "
    f"ON CONFLICT (device_id) DO UPDATE SET {STATE_ASSIGNMENTS}"
)


class SQLiteTables:
    def __init__(self, cursor: CursorWrapper) -> None:
        self._cursor = cursor

    def find_devices(self, keys: Sequence[DeviceKey]) -> dict[DeviceKey, FoundDevice]:
        self._cursor.execute(
            """
            SELECT d.protocol, d.identity, d.id, d.is_enabled
            FROM json_each(%s) k
            JOIN store_device d ON d.protocol = k.value ->> 0 AND d.identity = k.value ->> 1
            """,
            [json.dumps(keys)],
        )
        return {DeviceKey(protocol, identity): FoundDevice(*found) for protocol, identity, *found in self._cursor.fetchall()}

    def create_devices(self, keys: Sequence[DeviceKey], now: datetime) -> None:
        self._cursor.executemany(
            "INSERT INTO store_device (protocol, identity, name, is_enabled, created_at) VALUES (%s, %s, '', TRUE, %s) "
            "ON CONFLICT (protocol, identity) DO NOTHING",
            [(*key, _time_text(now)) for key in keys],
        )

    @contextmanager
    def inserting(self) -> Iterator[_Insertion]:
        yield _Insertion(self._cursor)

    def insert_quarantine(self, rows: Iterable[QuarantinedMessage]) -> None:
        self._cursor.executemany(_INSERT_QUARANTINE, [(device, group, *map(_column, row)) for device, group, row in rows])

    def bring_forward(
        self,
        devices: Mapping[int, Sequence[PreparedMessage]],
        lone: Collection[int],
        before: dict[int, DeviceState] | None = None,
    ) -> None:
        states = {state.device_id: state for state in self.find_states(devices)}
        if before is not None:
            before.update((device, replace(state)) for device, state in states.items() if device not in lone)
        blank = {device: DeviceState(device) for device in devices if device not in states}
        changed = [state for state in (*states.values(), *blank.values()) if state.take_all(devices[state.device_id])]
        self._cursor.executemany(
            _WRITE_STATE, [tuple(_column(getattr(state, name)) for name in STATE_COLUMNS) for state in changed]
        )

    def find_states(self, devices: Collection[int]) -> list[DeviceState]:
        self._cursor.execute(
            f"SELECT {_STATE_NAMES} FROM store_state WHERE device_id IN (SELECT value FROM json_each(%s))",
            [json.dumps(list(devices))],
        )
        return [_state(row) for row in self._cursor.fetchall()]

    def find_times(self, devices: Collection[int]) -> dict[int, tuple[datetime | None, datetime | None]]:
        self._cursor.execute(
            "SELECT device_id, time, last_seen FROM store_state WHERE device_id IN (SELECT value FROM json_each(%s))",
            [json.dumps(list(devices))],
        )
        return {device: (_read(time), _read(last_seen)) for device, time, last_seen in self._cursor.fetchall()}

    def find_channels(self, devices: Collection[int]) -> dict[int, dict[str, str]]:
        self._cursor.execute(
            "SELECT device_id, name, unit FROM store_channel WHERE device_id IN (SELECT value FROM json_each(%s))",
            [json.dumps(list(devices))],
        )
        return by_device(self._cursor.fetchall())

    def write_channels(self, rows: Sequence[ChannelRow]) -> None:
        self._cursor.executemany(_WRITE_CHANNEL, rows)

    def find_alarms(self, devices: Collection[int], told: Collection[int]) -> list[DeviceAlarm]:
        self._cursor.execute(
            f"SELECT {_ALARM_NAMES} FROM store_alarm WHERE device_id IN (SELECT value FROM json_each(%s)) AND kind NOT GLOB %s "
            "UNION ALL "
            f"SELECT {_ALARM_NAMES} FROM store_alarm WHERE is_ongoing AND device_id IN (SELECT value FROM json_each(%s)) "
            "AND kind NOT GLOB %s",
            [
                json.dumps(list(told)),
                f"{ALARM_PREFIX}*",
                json.dumps([device for device in devices if device not in told]),
                f"{ALARM_PREFIX}*",
            ],
        )
        return [DeviceAlarm(*map(_read, row)) for row in self._cursor.fetchall()]

    def find_ended(self, alarms: Sequence[DeviceAlarm], until: datetime) -> list[tuple[DeviceAlarm, datetime]]:
        return [(alarm, at) for alarm in alarms if (at := self._ended_at(alarm, until))]

    def _ended_at(self, alarm: DeviceAlarm, until: datetime) -> datetime | None:
        self._cursor.execute(
            "SELECT time FROM store_report WHERE device_id = %s AND time > %s AND time < %s AND kind = %s "
            "AND julianday(time) <= julianday(received_at) + %s ORDER BY time LIMIT 1",
            [alarm.device_id, _column(alarm.standing_at), _column(until), alarm.standing_kind, CLOCK_AHEAD / _DAY],
        )
        row = self._cursor.fetchone()
        return row and _read(row[0])  # type: ignore[no-any-return]

    def write_alarms(self, alarms: Sequence[DeviceAlarm]) -> None:
        self._cursor.executemany(_WRITE_ALARM, [tuple(_column(getattr(alarm, name)) for name in ALARM_COLUMNS) for alarm in alarms])

    def find_standings(self, devices: Collection[int]) -> list[Standing]:
        self._cursor.execute(
            f"SELECT {_STANDING_NAMES} FROM store_rulestate WHERE device_id IN (SELECT value FROM json_each(%s))",
            [json.dumps(list(devices))],
        )
        return [Standing(*map(_read, row)) for row in self._cursor.fetchall()]

    def find_alarms_of_rules(self, keys: Sequence[tuple[int, str]]) -> list[DeviceAlarm]:
        self._cursor.execute(
            f"SELECT {_ALARM_NAMES} FROM store_alarm "
            "WHERE (device_id, kind) IN (SELECT value ->> 0, value ->> 1 FROM json_each(%s)) ORDER BY device_id, kind",
            [json.dumps(keys)],
        )
        return [DeviceAlarm(*map(_read, row)) for row in self._cursor.fetchall()]

    def write_standings(self, rows: Sequence[Standing], gone: Sequence[tuple[int, int]]) -> None:
        self._cursor.executemany("DELETE FROM store_rulestate WHERE device_id = %s AND rule_id = %s", gone)
        self._cursor.executemany(_WRITE_STANDING, [(*map(_column, row), row.rule_id) for row in rows])

    def write_presence(self, rows: Sequence[PresenceRow]) -> None:
        self._cursor.executemany(_WRITE_PRESENCE, [tuple(map(_column, row)) for row in rows])

    def insert_events(self, events: Sequence[EventRow], now: datetime) -> None:
        self._cursor.executemany(_INSERT_EVENT, [tuple(map(_column, (*event, now))) for event in events])


class _Insertion:
    """Reports that are in at once: the database is in this process."""

    def __init__(self, cursor: CursorWrapper) -> None:
        self._cursor = cursor
        self._added: set[ReportKey] = set()

    def add(self, reports: Sequence[NewReport]) -> None:
        rows: list[tuple[Any, ...]] = []
        for device, report, _ in reports:
            time, received_at, *rest = report.row
            row = (device, _time_text(time), _time_text(received_at), *rest)
            if not report.is_telling:
                rows.append(row)
            elif self._is_new(row):
                self._added.add(ReportKey(device, time, report.row.digest))
        self._cursor.executemany(_INSERT_REPORT, rows)

    def wait(self) -> None:
        pass

    def finish(self) -> set[ReportKey]:
        return self._added

    def _is_new(self, row: tuple[Any, ...]) -> bool:
        self._cursor.execute(_INSERT_REPORT, row)
        return bool(self._cursor.rowcount == 1)


def _state(row: Sequence[Any]) -> DeviceState:
    columns = zip(STATE_COLUMNS, map(_read, row), strict=True)
    return DeviceState(*(json.loads(value) if column in _JSON else value for column, value in columns))


def _read(column: Any) -> Any:
    return column.replace(tzinfo=UTC) if isinstance(column, datetime) else column


def _column(value: Any) -> Any:
    if isinstance(value, datetime):
        return _time_text(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value


def _time_text(time: datetime) -> str:
    """A time as Django writes and compares it in SQLite: without its zone, which is UTC."""
    return str(time.replace(tzinfo=None))
