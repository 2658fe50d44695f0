"""PostgreSQL's texts of what the writer does: each statement, and the columns' types of the tables that its rows go through.

Rows go by binary COPY into a temporary table and from there into the real one, because COPY itself knows no
``ON CONFLICT``. READ COMMITTED, PostgreSQL's default, is relied on: a statement sees what was committed while an
earlier one of the same transaction waited.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from store.bulk import binary
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
)

TYPES = {
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
JSON = ("values", "newest", "earlier", "alarms")
_PLACE = ("latitude", "longitude", "altitude_m", "speed_kmh", "course_deg")


def quoted(columns: Iterable[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


def _selected(columns: Iterable[str]) -> str:
    return ", ".join(f'"{column}"::jsonb' if column in JSON else f'"{column}"' for column in columns)


def temporary(table: str, columns: Mapping[str, str]) -> str:
    """Each connection makes one once, and each commit empties it; so does this, for a transaction that writes more than once."""
    definitions = ", ".join(f'"{column}" {type}' for column, type in columns.items())
    return f"CREATE TEMPORARY TABLE IF NOT EXISTS {table} ({definitions}) ON COMMIT DELETE ROWS; DELETE FROM {table}"


def _taken(is_news: str, columns: Iterable[str]) -> str:
    """Assignments of a conflict's action: what came in if it is news, else what is there."""
    return ", ".join(f'"{column}" = CASE WHEN {is_news} THEN excluded."{column}" ELSE s."{column}" END' for column in columns)


# As texts, which psycopg quotes at once: arrays it would quote name by name.
FIND_DEVICES = """
    SELECT k.number, d.id, d.is_enabled
    FROM ROWS FROM (json_array_elements_text(%s), json_array_elements_text(%s))
        WITH ORDINALITY AS k (protocol, identity, number)
    JOIN store_device d ON d.protocol = k.protocol AND d.identity = k.identity
    ORDER BY d.id
    FOR KEY SHARE OF d
"""
CREATE_DEVICES = """
    INSERT INTO store_device (protocol, identity, name, is_enabled, created_at)
    SELECT protocol, identity, '', TRUE, %s
    FROM unnest(%s::text[], %s::text[]) AS k (protocol, identity)
    ORDER BY protocol, identity
    ON CONFLICT (protocol, identity) DO NOTHING
"""

# DeviceState.take and DeviceState.see in SQL: without a time a report is compared with when its device was last seen.
# To merge values takes as long as all else of it: where the names are those of the report before, it need not be done.
_TELLS_NEWS = """
    excluded.newest_names <> 0
    AND NOT coalesce(CASE WHEN excluded.time IS NULL THEN excluded.last_seen < s.last_seen ELSE excluded.time < s.time END, FALSE)
"""
FOLD_LONE_REPORTS = f"""
    INSERT INTO store_state AS s ({quoted(STATE_COLUMNS)})
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
UPDATE_STATES = (
    f"INSERT INTO store_state ({quoted(STATE_COLUMNS)}) SELECT {_selected(STATE_COLUMNS)} FROM incoming_state "
    f"ON CONFLICT (device_id) DO UPDATE SET {STATE_ASSIGNMENTS}"
)
FIND_STATES = f"SELECT {quoted(STATE_COLUMNS)} FROM store_state WHERE device_id = ANY(%s::bigint[])"
FIND_TIMES = "SELECT device_id, time, last_seen FROM store_state WHERE device_id = ANY(%s::bigint[])"

# Foreign keys are looked at with each part, in the background, and not all of them at the end.
BEGIN_INSERTING = "; ".join((
    "SET CONSTRAINTS ALL IMMEDIATE",
    temporary("incoming_report", {column: TYPES.get(column, "text") for column in binary.COLUMNS}),
    temporary("added_report", {column: TYPES[column] for column in ("device_id", "time", "digest")}),
))  # fmt: skip
COPY_REPORTS = f"COPY incoming_report ({quoted(binary.COLUMNS)}) FROM STDIN (FORMAT BINARY)"
INSERT_REPORTS = (
    f"INSERT INTO store_report ({quoted(REPORT_COLUMNS)}) SELECT {quoted(REPORT_COLUMNS)} FROM incoming_report "
    "WHERE part = {part} ORDER BY device_id, time, digest ON CONFLICT (device_id, time, digest) DO NOTHING"
)
INSERT_REPORTS_AND_TELL = f"""
    WITH added AS ({INSERT_REPORTS} RETURNING device_id, time, digest)
    INSERT INTO added_report SELECT added.* FROM added JOIN incoming_report i USING (device_id, time, digest)
    WHERE i.part = {{part}} AND i.is_telling
"""
FIND_ADDED = "SELECT device_id, time, digest FROM added_report"
INSERT_QUARANTINE = (
    f"INSERT INTO store_quarantine ({quoted(QUARANTINE_COLUMNS)}) SELECT {quoted(QUARANTINE_COLUMNS)} "
    "FROM incoming_quarantine ORDER BY device_id, digest ON CONFLICT (device_id, digest) DO NOTHING"
)

FIND_CHANNELS = "SELECT device_id, name, unit FROM store_channel WHERE device_id = ANY(%s::bigint[])"
WRITE_CHANNELS = (
    f"INSERT INTO store_channel AS c ({quoted(CHANNEL_COLUMNS)}) SELECT {quoted(CHANNEL_COLUMNS)} FROM incoming_channel "
    "ON CONFLICT (device_id, name) DO UPDATE SET unit = excluded.unit WHERE NOT c.is_unit_set"
)
FIND_ALARMS = f"""
    SELECT {quoted(ALARM_COLUMNS)} FROM store_alarm
    WHERE id IN (
        SELECT id FROM store_alarm WHERE device_id = ANY(%s::bigint[])
        UNION ALL
        SELECT id FROM store_alarm WHERE is_ongoing AND kind NOT LIKE %s AND device_id = ANY(%s::bigint[])
    )
    AND kind NOT LIKE %s
    ORDER BY device_id, kind
    FOR UPDATE
"""
FIND_ALARMS_OF_RULES = f"""
    SELECT {quoted(ALARM_COLUMNS)} FROM store_alarm
    WHERE id IN (
        SELECT a.id FROM unnest(%s::bigint[], %s::text[]) AS k (device_id, kind)
        JOIN store_alarm a ON a.device_id = k.device_id AND a.kind = k.kind
    )
    ORDER BY device_id, kind
    FOR UPDATE
"""
# Times as numbers of seconds: to read their texts would take longer than all else of it.
FIND_STANDINGS = """
    SELECT device_id, rule_id, rule_version, phase, extract(epoch FROM since)::float8, extract(epoch FROM told_at)::float8
    FROM store_rulestate WHERE device_id = ANY(%s::bigint[])
"""
DELETE_STANDINGS = """
    DELETE FROM store_rulestate s USING unnest(%s::bigint[], %s::bigint[]) AS k (device_id, rule_id)
    WHERE s.device_id = k.device_id AND s.rule_id = k.rule_id
"""
# A rule that has just been removed is not stood by any more.
WRITE_STANDINGS = f"""
    INSERT INTO store_rulestate ({quoted(STANDING_COLUMNS)})
    SELECT k.*
    FROM unnest(%s::bigint[], %s::bigint[], %s::integer[], %s::text[], %s::timestamptz[], %s::timestamptz[])
        AS k ({quoted(STANDING_COLUMNS)})
    JOIN store_rule r ON r.id = k.rule_id
    ORDER BY k.device_id, k.rule_id
    FOR KEY SHARE OF r
    ON CONFLICT (device_id, rule_id) DO UPDATE SET {STANDING_ASSIGNMENTS}
"""
FIND_ENDED = """
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
WRITE_ALARMS = (
    f"INSERT INTO store_alarm ({quoted(ALARM_COLUMNS)}) SELECT {quoted(ALARM_COLUMNS)} FROM incoming_alarm "
    f"ORDER BY device_id, kind ON CONFLICT (device_id, kind) DO UPDATE SET {ALARM_ASSIGNMENTS}"
)
WRITE_PRESENCE = f"""
    INSERT INTO store_presence AS p ({quoted(PRESENCE_COLUMNS)})
    SELECT r.* FROM unnest(
        %s::bigint[], %s::boolean[], %s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[]
    ) AS r
    ON CONFLICT (device_id) DO UPDATE SET {PRESENCE_ASSIGNMENTS}
    WHERE {PRESENCE_ORDER}
"""
INSERT_EVENTS = f"""
    INSERT INTO store_event ({quoted(EVENT_COLUMNS)})
    SELECT e.*, %s FROM unnest(%s::bigint[], %s::timestamptz[], %s::text[], %s::text[], %s::jsonb[]) AS e
    ON CONFLICT ({quoted(EVENT_KEY)}) DO NOTHING
"""
