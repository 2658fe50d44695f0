"""Reports as rows of PostgreSQL's binary COPY, each packed at once.

psycopg would look up how to write each of a row's columns anew, which takes three times as long.
Source: PostgreSQL's manual, COPY, "Binary Format"; times are microseconds since 2000, a jsonb is a 1 and its text.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta

from protocols.report import DIGEST_SIZE
from store.rows import PreparedReport

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

COLUMNS = (
    "part", "device_id", "is_lone", "is_dated", "is_position", "is_telling", "time", "received_at", "sequence", "names", "digest",
    "latitude", "longitude", "altitude_m", "speed_kmh", "course_deg",
    "kind", "values", "alarms", "head", "body",
)  # fmt: skip
"""As :func:`report_row` has them: those that are never null, numbers, and what has a length of its own."""

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_SECONDS_A_DAY = 86_400
_NULL = b"\xff\xff\xff\xff"
_fixed = struct.Struct(f">hihiqi?i?i?i?iqiqiqiqi{DIGEST_SIZE}s").pack
_five_numbers = struct.Struct(">" + 5 * "id").pack
_number = struct.Struct(">id").pack
_length = struct.Struct(">i").pack


def report_row(part: int, device: int, report: PreparedReport, is_lone: bool) -> bytes:
    """A report's row, of the batch's n-th part.

    Raises: struct.error when a number has more bits than its column.
    """
    time, received_at, kind, sequence, digest, latitude, longitude, altitude, speed, course, values, alarms, head, body = report.row
    fixed = _fixed(
        len(COLUMNS), 2, part, 8, device, 1, is_lone, 1, report.is_dated, 1, report.is_position, 1, report.is_telling,
        8, _microseconds(time), 8, _microseconds(received_at), 8, sequence, 8, report.names, DIGEST_SIZE, digest,
    )  # fmt: skip
    numbers = (latitude, longitude, altitude, speed, course)
    if None in numbers:
        places = b"".join(_NULL if number is None else _number(8, number) for number in numbers)
    else:
        places = _five_numbers(8, latitude, 8, longitude, 8, altitude, 8, speed, 8, course)
    name, told, warned = kind.encode(), values.encode(), alarms.encode()
    return b"".join((
        fixed, places, _length(len(name)), name, _length(len(told) + 1), b"\1", told, _length(len(warned) + 1), b"\1", warned,
        _length(len(head)), head, _length(len(body)), body,
    ))  # fmt: skip


def _microseconds(time: datetime) -> int:
    since: timedelta = time - _EPOCH
    return (since.days * _SECONDS_A_DAY + since.seconds) * 1_000_000 + since.microseconds
