"""The table of reports on PostgreSQL: a partition for each month, and one for what is dated outside of them.

Months and not weeks, because whoever asks for a device's newest reports looks into the index of each partition: in five
years there are 60 of them, not 260. What a device's clock dates to 1970 or 2099, and what no month was made for in time,
lies in the default partition, so that nothing is ever refused for its date and the writer needs no month to be there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Self

from django.db import OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper

DEFAULT = "store_report_default"
MONTHS_BEHIND = 1
"""Made too, for what devices kept while they were out of reach."""
MONTHS_AHEAD = 3
"""A fleet whose workers do without the daily turn for a season still has a month to write to."""

LOCK_MILLISECONDS = 500
"""Writers and readers queue behind whoever waits for a whole table. So long is not noticed, and it is shorter than the
second after which PostgreSQL ends one of those that wait for each other in a ring: it is never a writer."""
TRIES = 20

_TURN = 0x696F7467770001
"""The advisory lock of whoever changes the partitions."""
_LOCK_NOT_AVAILABLE = "55P03"


class BusyError(Exception):
    """The partitions cannot be changed now: another worker is at it, or somebody reads or writes without a pause."""


class Month(NamedTuple):
    year: int
    number: int

    @classmethod
    def of(cls, time: datetime) -> Self:
        in_utc = time.astimezone(UTC)
        return cls(in_utc.year, in_utc.month)

    def plus(self, months: int) -> Month:
        years, number = divmod(self.number - 1 + months, 12)
        return Month(self.year + years, number + 1)

    @property
    def begin(self) -> datetime:
        return datetime(self.year, self.number, 1, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        """The next month's first moment."""
        return self.plus(1).begin

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"

    @property
    def table(self) -> str:
        return f"store_report_{self.year:04}_{self.number:02}"


def is_partitioned() -> bool:
    """Whether reports are in partitions here: not on SQLite, and not before the migration that makes them so."""
    if connection.vendor != "postgresql":
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_class WHERE oid = to_regclass('store_report') AND relkind = 'p'")
        return bool(cursor.fetchone()[0])


def months() -> list[Month]:
    """Those that have a partition, in their order."""
    with connection.cursor() as cursor:
        cursor.execute(
            r"""
            SELECT substr(c.relname, 14, 4)::int, substr(c.relname, 19, 2)::int
            FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = 'store_report'::regclass AND c.relname ~ '^store_report_\d{4}_\d{2}$'
            ORDER BY 1, 2
            """
        )
        return [Month(*row) for row in cursor.fetchall()]


def missing(now: datetime, since: datetime | None = None) -> list[Month]:
    """The months that should have a partition by now and have none; of them those that end after ``since``."""
    wanted = [Month.of(now).plus(offset) for offset in range(-MONTHS_BEHIND, MONTHS_AHEAD + 1)]
    there = set(months())
    return [month for month in wanted if month not in there and (since is None or month.end > since)]


def make_ahead(now: datetime, since: datetime | None = None) -> list[Month]:
    """Make those; which they were.

    Raises: BusyError.
    """
    made = missing(now, since)
    for month in made:
        make(month)
    return made


def ended(before: datetime) -> list[Month]:
    """The months whose last moment is before this one."""
    return [month for month in months() if month.end <= before]


def size(month: Month) -> int:
    """Of a month that has a partition, on the disk, in bytes."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_total_relation_size(%s::regclass)", [month.table])
        return int(cursor.fetchone()[0])


def make(month: Month) -> None:
    """Give a month its partition, and move to it what lies in the default one of that month.

    Idempotent. Nobody writes reports meanwhile, or reads those of the default partition; there are few to move while months
    are made ahead.
    Raises: BusyError.
    """

    def work(cursor: CursorWrapper) -> None:
        if month in months():
            return
        bounds = f"'{month.begin.isoformat()}'", f"'{month.end.isoformat()}'"
        cursor.execute(f"CREATE TABLE {month.table} (LIKE store_report INCLUDING ALL EXCLUDING IDENTITY EXCLUDING INDEXES)")
        # It is attached with its rows: an empty partition would not be, while the default one holds rows of its month.
        cursor.execute(
            f"WITH moved AS (DELETE FROM {DEFAULT} WHERE time >= {bounds[0]} AND time < {bounds[1]} RETURNING *) "
            f"INSERT INTO {month.table} SELECT * FROM moved"
        )
        cursor.execute(f"ALTER TABLE store_report ATTACH PARTITION {month.table} FOR VALUES FROM ({bounds[0]}) TO ({bounds[1]})")

    # In the order of the writer: devices, for the new foreign key, then reports. A writer that waited for the default
    # partition alone would have chosen it before, and be told that its row does not belong there.
    _change(
        [("store_device", "SHARE ROW EXCLUSIVE"), ("ONLY store_report", "SHARE ROW EXCLUSIVE"), (DEFAULT, "ACCESS EXCLUSIVE")], work
    )


def drop(month: Month) -> None:
    """Remove a month with all its rows. Idempotent.

    Raises: BusyError.
    """
    _change([("ONLY store_report", "ACCESS EXCLUSIVE")], lambda cursor: cursor.execute(f"DROP TABLE IF EXISTS {month.table}"))


def _change(locks: Sequence[tuple[str, str]], work: Callable[[CursorWrapper], None]) -> None:
    """Do something to the partitions in a transaction of its own, when the locks are to be had.

    Raises: BusyError.
    """
    for _ in range(TRIES):
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_TURN])
                if not cursor.fetchone()[0]:
                    raise BusyError("another process changes the partitions of reports")
                cursor.execute(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}")
                for table, mode in locks:
                    cursor.execute(f"LOCK TABLE {table} IN {mode} MODE")
                work(cursor)
            return
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", "") != _LOCK_NOT_AVAILABLE:
                raise
    raise BusyError("somebody reads or writes the table of reports without a pause")
