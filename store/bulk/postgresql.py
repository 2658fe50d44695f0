"""The writer's statements for PostgreSQL.

Rows go by binary COPY into a temporary table and from there into the real one, because COPY itself knows no
``ON CONFLICT``. READ COMMITTED, PostgreSQL's default, is relied on: a statement sees what was committed while an
earlier one of the same transaction waited.
"""

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
from store.bulk import binary
from store.bulk.background import Background
from store.bulk.tables import (
    ALARM_ASSIGNMENTS,
    ALARM_COLUMNS,
    CHANNEL_COLUMNS,
    EVENT_COLUMNS,
    EVENT_KEY,
    EVENT_ORDER,
    PRESENCE_ASSIGNMENTS,
    PRESENCE_COLUMNS,
    PRESENCE_ORDER,
    QUARANTINE_COLUMNS,
    REPORT_COLUMNS,
    STANDING_ASSIGNMENTS,
    STANDING_COLUMNS,
    STATE_ASSIGNMENTS,
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

_TYPES = {
    "part": "smallint",
    "device_id": "bigint",
    "group_id": "bigint",
    "kind_id": "bigint",
    "sequence": "bigint",
    "is_lone": "boolean",
    "is_dated": "boolean",
    "is_position": "boolean",
    "is_telling": "boolean",
    "time": "timestamptz",
    "received_at": "timestamptz",
    "last_seen": "timestamptz",
    "position_time": "timestamptz",
    "first_at": "timestamptz",
    "last_at": "timestamptz",
    "standing_at": "timestamptz",
    "settled_at": "timestamptz",
    "is_ongoing": "boolean",
    "times": "integer",
    "reopenings": "integer",
    "latitude": "float8",
    "longitude": "float8",
    "altitude_m": "float8",
    "speed_kmh": "float8",
    "course_deg": "float8",
    "values": "jsonb",
    "names": "bigint",
    "newest": "jsonb",
    "newest_names": "bigint",
    "earlier": "jsonb",
    "alarms": "jsonb",
    "digest": "bytea",
    "head": "bytea",
    "body": "bytea",
}
_JSON = ("values", "newest", "earlier", "alarms")
_PLACE = ("latitude", "longitude", "altitude_m", "speed_kmh", "course_deg")


def _quoted(columns: Iterable[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


def _selected(columns: Iterable[str]) -> str:
    return ", ".join(f'"{column}"::jsonb' if column in _JSON else f'"{column}"' for column in columns)


def _temporary(table: str, columns: Mapping[str, str]) -> str:
    """Each connection makes one once, and each commit empties it; so does this, for a transaction that writes more than once."""
    definitions = ", ".join(f'"{column}" {type}' for column, type in columns.items())
    return f"CREATE TEMPORARY TABLE IF NOT EXISTS {table} ({definitions}) ON COMMIT DELETE ROWS; DELETE FROM {table}"


def _taken(is_news: str, columns: Iterable[str]) -> str:
    """Assignments of a conflict's action: what came in if it is news, else what is there."""
    return ", ".join(f'"{column}" = CASE WHEN {is_news} THEN excluded."{column}" ELSE s."{column}" END' for column in columns)


# DeviceState.take and DeviceState.see in SQL: without a time a report is compared with when its device was last seen.
# To merge values takes as long as all else of it: where the names are those of the report before, it need not be done.
_TELLS_NEWS = """
    excluded.newest_names <> 0
    AND NOT coalesce(CASE WHEN excluded.time IS NULL THEN excluded.last_seen < s.last_seen ELSE excluded.time < s.time END, FALSE)
"""
_FOLD_LONE_REPORTS = f"""
    INSERT INTO store_state AS s ({_quoted(STATE_COLUMNS)})
    SELECT device_id, received_at, CASE WHEN is_dated THEN time END, CASE WHEN is_dated AND is_position THEN time END,
        {", ".join(f"CASE WHEN is_dated AND is_position THEN {column} END" for column in _PLACE)},
        "values", names, '{{}}'::jsonb, CASE WHEN is_dated THEN alarms ELSE '[]' END
    FROM incoming_report WHERE is_lone
    UNION ALL
    SELECT id, NULL, NULL, NULL, {", ".join(["NULL"] * len(_PLACE))}, '{{}}', NULL, '{{}}', '[]' FROM unnest(%s::bigint[]) AS id
    ORDER BY device_id
    ON CONFLICT (device_id) DO UPDATE SET
        last_seen = greatest(s.last_seen, excluded.last_seen),
        time = greatest(s.time, excluded.time),
        position_time = greatest(s.position_time, excluded.position_time),
        {_taken("coalesce(excluded.position_time >= s.position_time, excluded.position_time IS NOT NULL)", _PLACE)},
        {_taken("coalesce(excluded.time >= s.time, excluded.time IS NOT NULL)", ["alarms"])},
        {_taken(_TELLS_NEWS, ["newest", "newest_names"])},
        earlier = CASE
            WHEN excluded.newest_names IS DISTINCT FROM s.newest_names AND {_TELLS_NEWS} THEN s.earlier || s.newest
            ELSE s.earlier
        END
    WHERE excluded.last_seen IS NOT NULL
"""
_UPDATE_STATES = (
    f"INSERT INTO store_state ({_quoted(STATE_COLUMNS)}) SELECT {_selected(STATE_COLUMNS)} FROM incoming_state "
    f"ON CONFLICT (device_id) DO UPDATE SET {STATE_ASSIGNMENTS}"
)
# Foreign keys are looked at with each part, in the background, and not all of them at the end.
_BEGIN_INSERTING = "; ".join((
    "SET CONSTRAINTS ALL IMMEDIATE",
    _temporary("incoming_report", {column: _TYPES.get(column, "text") for column in binary.COLUMNS}),
    _temporary("added_report", {column: _TYPES[column] for column in ("device_id", "time", "digest")}),
))  # fmt: skip
_COPY_REPORTS = f"COPY incoming_report ({_quoted(binary.COLUMNS)}) FROM STDIN (FORMAT BINARY)"
_INSERT_REPORTS = (
    f"INSERT INTO store_report ({_quoted(REPORT_COLUMNS)}) SELECT {_quoted(REPORT_COLUMNS)} FROM incoming_report "
    "WHERE part = {part} ORDER BY device_id, time, digest ON CONFLICT (device_id, time, digest) DO NOTHING"
)
_INSERT_REPORTS_AND_TELL = f"""
    WITH added AS ({_INSERT_REPORTS} RETURNING device_id, time, digest)
    INSERT INTO added_report SELECT added.* FROM added JOIN incoming_report i USING (device_id, time, digest)
    WHERE i.part = {{part}} AND i.is_telling
"""
_WRITE_CHANNELS = (
    f"INSERT INTO store_channel AS c ({_quoted(CHANNEL_COLUMNS)}) SELECT {_quoted(CHANNEL_COLUMNS)} FROM incoming_channel "
    "ON CONFLICT (device_id, name) DO UPDATE SET unit = excluded.unit WHERE NOT c.is_unit_set"
)
_FIND_ALARMS = f"""
    SELECT {_quoted(ALARM_COLUMNS)} FROM store_alarm
    WHERE id IN (
        SELECT id FROM store_alarm WHERE device_id = ANY(%s::bigint[])
        UNION ALL
        SELECT id FROM store_alarm WHERE is_ongoing AND kind NOT LIKE %s AND device_id = ANY(%s::bigint[])
    )
    AND kind NOT LIKE %s
    ORDER BY device_id, kind
    FOR UPDATE
"""
_FIND_ALARMS_OF_RULES = f"""
    SELECT {_quoted(ALARM_COLUMNS)} FROM store_alarm
    WHERE id IN (
        SELECT a.id FROM unnest(%s::bigint[], %s::text[]) AS k (device_id, kind)
        JOIN store_alarm a ON a.device_id = k.device_id AND a.kind = k.kind
    )
    ORDER BY device_id, kind
    FOR UPDATE
"""
# Times as numbers of seconds: to read their texts would take longer than all else of it.
_FIND_STANDINGS = """
    SELECT device_id, rule_id, rule_version, phase, extract(epoch FROM since)::float8, extract(epoch FROM told_at)::float8
    FROM store_rulestate WHERE device_id = ANY(%s::bigint[])
"""
# A rule that has just been removed is not stood by any more.
_WRITE_STANDINGS = f"""
    INSERT INTO store_rulestate ({_quoted(STANDING_COLUMNS)})
    SELECT k.*
    FROM unnest(%s::bigint[], %s::bigint[], %s::integer[], %s::text[], %s::timestamptz[], %s::timestamptz[])
        AS k ({_quoted(STANDING_COLUMNS)})
    JOIN store_rule r ON r.id = k.rule_id
    ORDER BY k.device_id, k.rule_id
    FOR KEY SHARE OF r
    ON CONFLICT (device_id, rule_id) DO UPDATE SET {STANDING_ASSIGNMENTS}
"""
_FIND_ENDED = """
    SELECT k.number, r.time
    FROM unnest(%s::bigint[], %s::text[], %s::timestamptz[]) WITH ORDINALITY AS k (device_id, kind, standing_at, number)
    CROSS JOIN LATERAL (
        SELECT r.time FROM store_report r
        WHERE r.device_id = k.device_id AND r.time > k.standing_at AND r.time < %s AND r.kind = k.kind
            AND r.time <= r.received_at + %s
        ORDER BY r.time
        LIMIT 1
    ) r
"""
_WRITE_ALARMS = (
    f"INSERT INTO store_alarm ({_quoted(ALARM_COLUMNS)}) SELECT {_quoted(ALARM_COLUMNS)} FROM incoming_alarm "
    f"ORDER BY device_id, kind ON CONFLICT (device_id, kind) DO UPDATE SET {ALARM_ASSIGNMENTS}"
)
_WRITE_PRESENCE = f"""
    INSERT INTO store_presence AS p ({_quoted(PRESENCE_COLUMNS)})
    SELECT r.* FROM unnest(
        %s::bigint[], %s::boolean[], %s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[]
    ) AS r
    ON CONFLICT (device_id) DO UPDATE SET {PRESENCE_ASSIGNMENTS}
    WHERE {PRESENCE_ORDER}
"""
_INSERT_EVENTS = f"""
    INSERT INTO store_event ({_quoted(EVENT_COLUMNS)})
    SELECT e.*, %s FROM unnest(%s::bigint[], %s::timestamptz[], %s::text[], %s::text[], %s::jsonb[]) AS e
    ON CONFLICT ({_quoted(EVENT_KEY)}) DO NOTHING
"""


class PostgreSQLTables:
    def __init__(self, cursor: CursorWrapper) -> None:
        self._cursor = cursor

    def find_devices(self, keys: Sequence[DeviceKey]) -> dict[DeviceKey, FoundDevice]:
        # As texts, which psycopg quotes at once: arrays it would quote name by name.
        self._cursor.execute(
            """
            SELECT k.number, d.id, d.is_enabled
            FROM ROWS FROM (json_array_elements_text(%s), json_array_elements_text(%s))
                WITH ORDINALITY AS k (protocol, identity, number)
            JOIN store_device d ON d.protocol = k.protocol AND d.identity = k.identity
            ORDER BY d.id
            FOR KEY SHARE OF d
            """,
            [_json_list(key.protocol for key in keys), _json_list(key.identity for key in keys)],
        )
        return {keys[number - 1]: FoundDevice(id, is_enabled) for number, id, is_enabled in self._cursor.fetchall()}

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

    @contextmanager
    def inserting(self) -> Iterator[_Insertion]:
        self._cursor.execute(_BEGIN_INSERTING)
        insertion = _Insertion(self._cursor)
        try:
            yield insertion
        except UNFIT:
            insertion.give_up()
            raise

    def insert_quarantine(self, rows: Iterable[QuarantinedMessage]) -> None:
        self._copy_rows("incoming_quarantine", QUARANTINE_COLUMNS, ((device, group, *row) for device, group, row in rows))
        self._cursor.execute(
            f"INSERT INTO store_quarantine ({_quoted(QUARANTINE_COLUMNS)}) SELECT {_quoted(QUARANTINE_COLUMNS)} "
            "FROM incoming_quarantine ORDER BY device_id, digest ON CONFLICT (device_id, digest) DO NOTHING"
        )

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
        self._cursor.execute(_FOLD_LONE_REPORTS, [_ids(others)])
        if not others:
            return
        states = self.find_states(others)
        if before is not None:
            before.update((state.device_id, replace(state)) for state in states)
        changed = [state for state in states if state.take_all(devices[state.device_id])]
        if changed:
            self._copy_rows("incoming_state", STATE_COLUMNS, map(_state_row, changed))
            self._cursor.execute(_UPDATE_STATES)

    def find_states(self, devices: Collection[int]) -> list[DeviceState]:
        self._cursor.execute(
            f"SELECT {_quoted(STATE_COLUMNS)} FROM store_state WHERE device_id = ANY(%s::bigint[])", [_ids(devices)]
        )
        return [_state(row) for row in self._cursor.fetchall()]

    def find_times(self, devices: Collection[int]) -> dict[int, tuple[datetime | None, datetime | None]]:
        self._cursor.execute(
            "SELECT device_id, time, last_seen FROM store_state WHERE device_id = ANY(%s::bigint[])", [_ids(devices)]
        )
        return {device: (time, last_seen) for device, time, last_seen in self._cursor.fetchall()}

    def find_channels(self, devices: Collection[int]) -> dict[int, dict[str, str]]:
        self._cursor.execute("SELECT device_id, name, unit FROM store_channel WHERE device_id = ANY(%s::bigint[])", [_ids(devices)])
        return by_device(self._cursor.fetchall())

    def write_channels(self, rows: Sequence[ChannelRow]) -> None:
        self._copy_rows("incoming_channel", CHANNEL_COLUMNS, rows)
        self._cursor.execute(_WRITE_CHANNELS)

    def find_alarms(self, devices: Collection[int], told: Collection[int]) -> list[DeviceAlarm]:
        of_rules = f"{ALARM_PREFIX}%"
        # Told once more, though the incoming reports have them: of a table that is always new, no plan is to be relied on.
        self._cursor.execute(_FIND_ALARMS, [_ids(told), of_rules, _ids(devices), of_rules])
        return [DeviceAlarm(*row) for row in self._cursor.fetchall()]

    def find_ended(self, alarms: Sequence[DeviceAlarm], until: datetime) -> list[tuple[DeviceAlarm, datetime]]:
        columns = zip(*((alarm.device_id, alarm.standing_kind, alarm.standing_at) for alarm in alarms), strict=True)
        arguments: list[Any] = [*map(list, columns), until, CLOCK_AHEAD]
        self._cursor.execute(_FIND_ENDED, arguments)
        return [(alarms[number - 1], time) for number, time in self._cursor.fetchall()]

    def write_alarms(self, alarms: Sequence[DeviceAlarm]) -> None:
        rows = (tuple(getattr(alarm, column) for column in ALARM_COLUMNS) for alarm in alarms)
        self._copy_rows("incoming_alarm", ALARM_COLUMNS, rows)
        self._cursor.execute(_WRITE_ALARMS)

    def find_standings(self, devices: Collection[int]) -> list[Standing]:
        self._cursor.execute(_FIND_STANDINGS, [_ids(devices)])
        return [
            Standing(device, rule, version, phase, _moment(since), None if told is None else _moment(told))
            for device, rule, version, phase, since, told in self._cursor.fetchall()
        ]

    def find_alarms_of_rules(self, keys: Sequence[tuple[int, str]]) -> list[DeviceAlarm]:
        self._cursor.execute(_FIND_ALARMS_OF_RULES, [list(column) for column in zip(*keys, strict=True)])
        return [DeviceAlarm(*row) for row in self._cursor.fetchall()]

    def write_standings(self, rows: Sequence[Standing], gone: Sequence[tuple[int, int]]) -> None:
        if gone:
            self._cursor.execute(
                "DELETE FROM store_rulestate s USING unnest(%s::bigint[], %s::bigint[]) AS k (device_id, rule_id) "
                "WHERE s.device_id = k.device_id AND s.rule_id = k.rule_id",
                [list(column) for column in zip(*gone, strict=True)],
            )
        if rows:
            self._cursor.execute(_WRITE_STANDINGS, [list(column) for column in zip(*rows, strict=True)])

    def write_presence(self, rows: Sequence[PresenceRow]) -> None:
        self._cursor.execute(_WRITE_PRESENCE, [list(column) for column in zip(*rows, strict=True)])

    def insert_events(self, events: Sequence[EventRow], now: datetime) -> None:
        columns = [list(column) for column in zip(*sorted(events, key=EVENT_ORDER), strict=True)]
        columns[-1] = [storable(detail)[0] for detail in columns[-1]]
        self._cursor.execute(_INSERT_EVENTS, [now, *columns])

    def _copy_rows(self, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
        def write(copy: Any) -> None:
            copy.set_types(list(types.values()))
            for row in rows:
                copy.write_row(row)

        # The text of a JSON value: psycopg would encode a jsonb once more.
        types = {column: "text" if column in _JSON else _TYPES.get(column, "text") for column in columns}
        self._copy(table, types, write)

    def _copy(self, table: str, columns: Mapping[str, str], write: Callable[[Any], None]) -> None:
        """Fill a temporary table."""
        self._cursor.execute(_temporary(table, columns))
        with self._cursor.copy(f"COPY {table} ({_quoted(columns)}) FROM STDIN (FORMAT BINARY)") as copy:
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
        insert = (_INSERT_REPORTS_AND_TELL if is_telling else _INSERT_REPORTS).format(part=part)
        self._background.wait()
        self._background.copy(f"{_COPY_REPORTS}; {insert}".encode(), rows)

    def wait(self) -> None:
        self._background.wait()

    def finish(self) -> set[ReportKey]:
        self._background.wait()
        if not self._is_told:
            return set()
        self._cursor.execute("SELECT device_id, time, digest FROM added_report")
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
    return DeviceState(*(json.loads(value) if column in _JSON else value for column, value in zip(STATE_COLUMNS, row, strict=True)))


def _state_row(state: DeviceState) -> tuple[Any, ...]:
    columns = ((column, getattr(state, column)) for column in STATE_COLUMNS)
    return tuple(storable(value)[0] if column in _JSON else value for column, value in columns)
