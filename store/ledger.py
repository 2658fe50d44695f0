"""Comparing what a simulator saw acked with what is stored.

A ledger is JSON lines, one for each acked report: ``{"protocol", "identity", "kind", "digest": hex}``.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from store.models import Device
from store.queries import report_digests

LINES_AT_ONCE = 5_000
DEVICES_AT_ONCE = 200
SHOWN = 10
"""How many lost and duplicated reports are named."""
_CACHE_KIB = 64 * 1024
"""Memory for the comparison; a ledger that needs more goes on in a temporary file."""

_T = TypeVar("_T")


class LedgerError(Exception):
    """A ledger that cannot be read; the text names the line."""


class LedgerLine(NamedTuple):
    protocol: str
    identity: str
    kind: str
    digest: bytes


class Verdict(NamedTuple):
    lost: int
    """Acked reports that have no row."""
    duplicated: int
    """Reports that have more than one row."""
    stored: int
    """Acked reports that have a row."""
    stored_not_acked: int
    """Reports that have a row but no line: their acks were on the way when the ledger ended."""
    lost_reports: list[LedgerLine]
    duplicated_reports: list[LedgerLine]


class Comparison:
    """Ledger and database side by side in a private temporary SQLite database, so that neither need fit into memory."""

    def __init__(self) -> None:
        # The empty name: a file that SQLite makes when its cache is full, and that nobody else sees.
        self._scratch = sqlite3.connect("", isolation_level=None)
        self._scratch.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._scratch.executescript(
            """
            PRAGMA journal_mode = OFF;
            CREATE TABLE device (id INTEGER PRIMARY KEY, protocol TEXT, identity TEXT, UNIQUE (protocol, identity));
            CREATE TABLE report (
                device INTEGER, kind TEXT, digest BLOB, is_acked INTEGER, stored INTEGER, PRIMARY KEY (device, kind, digest)
            ) WITHOUT ROWID;
            """
        )

    def close(self) -> None:
        self._scratch.close()

    def read_ledger(self, path: Path, progress: Callable[[int], None]) -> bool:
        """Take in a ledger, telling ``progress`` the bytes read; whether its last line was cut off, and left out.

        Raises: LedgerError, OSError.
        """
        is_cut = False
        with path.open("rb") as ledger:
            numbered = enumerate(ledger, 1)
            while lines := list(islice(numbered, LINES_AT_ONCE)):
                size = sum(len(line) for _, line in lines)
                last = lines[-1][1]
                if not last.endswith(b"\n") and not _is_whole(last):
                    is_cut = True
                    lines.pop()
                self._add_acked([_ledger_line(number, line) for number, line in lines])
                progress(size)
        return is_cut

    def read_database(self, progress: Callable[[int], None]) -> None:
        """Take in what is stored of the ledger's devices and kinds, telling ``progress`` the devices read."""
        kinds = [kind for (kind,) in self._scratch.execute("SELECT DISTINCT kind FROM report ORDER BY kind")]
        ledger_devices = self._scratch.execute("SELECT id, protocol, identity FROM device").fetchall()
        for some in _chunks(ledger_devices, DEVICES_AT_ONCE):
            own_ids = {(protocol, identity): own for own, protocol, identity in some}
            found = Device.objects.filter(identity__in=[identity for _, _, identity in some])
            ids = {
                store_id: own_ids[protocol, identity]
                for store_id, protocol, identity in found.values_list("id", "protocol", "identity")
                if (protocol, identity) in own_ids
            }
            for rows in _chunks(report_digests(list(ids), kinds), LINES_AT_ONCE):
                self._add_stored([(ids[row.device_id], row.kind, row.digest) for row in rows])
            progress(len(some))

    def verdict(self) -> Verdict:
        lost, duplicated = "is_acked AND stored = 0", "stored > 1"
        return Verdict(
            lost=self._count(lost),
            duplicated=self._count(duplicated),
            stored=self._count("is_acked AND stored > 0"),
            stored_not_acked=self._count("NOT is_acked"),
            lost_reports=self._first(lost),
            duplicated_reports=self._first(duplicated),
        )

    def device_count(self) -> int:
        return int(self._scratch.execute("SELECT count(*) FROM device").fetchone()[0])

    def _add_acked(self, lines: Sequence[LedgerLine]) -> None:
        self._executemany(
            "INSERT INTO device (protocol, identity) VALUES (?, ?) ON CONFLICT DO NOTHING",
            {(line.protocol, line.identity) for line in lines},
        )
        self._executemany(
            "INSERT INTO report SELECT id, ?, ?, 1, 0 FROM device WHERE protocol = ? AND identity = ? ON CONFLICT DO NOTHING",
            [(line.kind, line.digest, line.protocol, line.identity) for line in lines],
        )

    def _add_stored(self, rows: Iterable[tuple[int, str, bytes]]) -> None:
        self._executemany("INSERT INTO report VALUES (?, ?, ?, 0, 1) ON CONFLICT DO UPDATE SET stored = stored + 1", rows)

    def _executemany(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        self._scratch.execute("BEGIN")
        self._scratch.executemany(statement, rows)
        self._scratch.execute("COMMIT")

    def _count(self, condition: str) -> int:
        return int(self._scratch.execute(f"SELECT count(*) FROM report WHERE {condition}").fetchone()[0])

    def _first(self, condition: str) -> list[LedgerLine]:
        rows = self._scratch.execute(
            "SELECT protocol, identity, kind, digest FROM report JOIN device ON device.id = report.device "
            f"WHERE {condition} LIMIT {SHOWN}"
        )
        return [LedgerLine(*row) for row in rows]


def _ledger_line(number: int, line: bytes) -> LedgerLine:
    try:
        entry = json.loads(line)
        found = LedgerLine(entry["protocol"], entry["identity"], entry["kind"], bytes.fromhex(entry["digest"]))
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerError(f"line {number} is not an acked report with protocol, identity, kind and digest in hex") from error
    if not all(isinstance(field, str) for field in found[:3]):
        raise LedgerError(f"line {number}: protocol, identity and kind must be text")
    return found


def _is_whole(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _chunks(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
