"""The writer's statements for PostgreSQL.

Rows go by binary COPY into a temporary table and from there into the real one, because COPY itself knows no
``ON CONFLICT``. READ COMMITTED, PostgreSQL's default, is relied on: a statement sees what was committed while an
earlier one of the same transaction waited.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.backends.utils import CursorWrapper

from store.bulk.tables import QUARANTINE_COLUMNS, REPORT_COLUMNS, STATE_COLUMNS, FoundDevice
from store.rows import DeviceKey, QuarantineRow, ReportRow
from store.states import DeviceState

_TYPES = {
    "device_id": "bigint",
    "kind_id": "bigint",
    "sequence": "bigint",
    "time": "timestamptz",
    "received_at": "timestamptz",
    "last_seen": "timestamptz",
    "position_time": "timestamptz",
    "latitude": "float8",
    "longitude": "float8",
    "altitude_m": "float8",
    "speed_kmh": "float8",
    "course_deg": "float8",
    # The text of a JSON value: psycopg would encode a jsonb once more.
    "values": "text",
    "alarms": "text",
    "digest": "bytea",
    "head": "bytea",
    "body": "bytea",
}
_JSON = ("values", "alarms")


def _quoted(columns: Iterable[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


def _selected(columns: Iterable[str]) -> str:
    return ", ".join(f'"{column}"::jsonb' if column in _JSON else f'"{column}"' for column in columns)


class PostgreSQLTables:
    def __init__(self, cursor: CursorWrapper) -> None:
        self._cursor = cursor

    def find_devices(self, keys: Sequence[DeviceKey]) -> dict[DeviceKey, FoundDevice]:
        self._cursor.execute(
            """
            SELECT d.protocol, d.identity, d.id, d.is_enabled, s.device_id IS NOT NULL
            FROM unnest(%s::text[], %s::text[]) AS k (protocol, identity)
            JOIN store_device d ON d.protocol = k.protocol AND d.identity = k.identity
            LEFT JOIN store_state s ON s.device_id = d.id
            ORDER BY d.id
            FOR KEY SHARE OF d
            """,
            [[key.protocol for key in keys], [key.identity for key in keys]],
        )
        return {DeviceKey(protocol, identity): FoundDevice(*found) for protocol, identity, *found in self._cursor.fetchall()}

    def create_devices(self, keys: Sequence[DeviceKey], now: datetime) -> None:
        self._cursor.execute(
            """
            INSERT INTO store_device (protocol, identity, name, is_enabled, created_at)
            SELECT protocol, identity, '', TRUE, %s
            FROM unnest(%s::text[], %s::text[]) AS k (protocol, identity)
            ORDER BY protocol, identity
            ON CONFLICT (protocol, identity) DO NOTHING
            """,
            [now, [key.protocol for key in keys], [key.identity for key in keys]],
        )

    def insert_reports(self, rows: Iterable[tuple[int, ReportRow]]) -> None:
        self._copy("incoming_report", REPORT_COLUMNS, ((device, *row) for device, row in rows))
        self._cursor.execute(
            f"INSERT INTO store_report ({_quoted(REPORT_COLUMNS)}) SELECT {_selected(REPORT_COLUMNS)} FROM incoming_report "
            "ORDER BY device_id, time, digest ON CONFLICT (device_id, time, digest) DO NOTHING"
        )

    def insert_quarantine(self, rows: Iterable[tuple[int, QuarantineRow]]) -> None:
        self._copy("incoming_quarantine", QUARANTINE_COLUMNS, ((device, *row) for device, row in rows))
        self._cursor.execute(
            f"INSERT INTO store_quarantine ({_quoted(QUARANTINE_COLUMNS)}) SELECT {_quoted(QUARANTINE_COLUMNS)} "
            "FROM incoming_quarantine ORDER BY device_id, digest ON CONFLICT (device_id, digest) DO NOTHING"
        )

    def create_states(self, device_ids: Sequence[int]) -> None:
        self._cursor.execute(
            """
            INSERT INTO store_state (device_id, "values", alarms)
            SELECT id, '{}', '[]' FROM unnest(%s::bigint[]) AS id ORDER BY id
            ON CONFLICT (device_id) DO NOTHING
            """,
            [list(device_ids)],
        )

    def lock_states(self, device_ids: Sequence[int]) -> Mapping[int, DeviceState]:
        self._cursor.execute(
            f"SELECT {_quoted(STATE_COLUMNS)} FROM store_state WHERE device_id = ANY(%s::bigint[]) "
            "ORDER BY device_id FOR NO KEY UPDATE",
            [list(device_ids)],
        )
        return {row[0]: _state(row) for row in self._cursor.fetchall()}

    def update_states(self, states: Iterable[DeviceState]) -> None:
        self._copy("incoming_state", STATE_COLUMNS, map(_state_row, states))
        assignments = ", ".join(f'"{column}" = i.{_selected([column])}' for column in STATE_COLUMNS[1:])
        self._cursor.execute(f"UPDATE store_state s SET {assignments} FROM incoming_state i WHERE s.device_id = i.device_id")

    def _copy(self, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
        """Fill a temporary table, which each connection makes once and each commit empties."""
        types = [_TYPES.get(column, "text") for column in columns]
        definitions = ", ".join(f'"{column}" {kind}' for column, kind in zip(columns, types, strict=True))
        self._cursor.execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS {table} ({definitions}) ON COMMIT DELETE ROWS")
        with self._cursor.copy(f"COPY {table} ({_quoted(columns)}) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)


def _state(row: Sequence[Any]) -> DeviceState:
    read = [*row[:-2], json.loads(row[-2]), json.loads(row[-1])]
    return DeviceState(*read)


def _state_row(state: DeviceState) -> tuple[Any, ...]:
    columns = [getattr(state, column) for column in STATE_COLUMNS]
    columns[-2:] = (json.dumps(column, ensure_ascii=False) for column in columns[-2:])
    return tuple(columns)
