from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from store import audit
from store.csv_text import guarded
from store.management.arguments import moment, row_count
from store.management.data_command import DataCommand, json_line
from store.models import AuditEntry

COLUMNS = ("at", "actor", "address", "action", "subject", "before", "after", "note")


class Command(DataCommand):
    help = "Show who changed what, the newest first. Entries are never changed, and stay for ever."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--csv", action="store_true", dest="is_csv", help="print CSV instead of a table")
        parser.add_argument("--who", default="", metavar="NAME", help="by this one only, for example cli:root")
        parser.add_argument(
            "--what", default="", metavar="ACTION", help="of this action, as device.disable, or kind, as device, only"
        )
        parser.add_argument(
            "--since", type=moment, metavar="TIME", help="not before: 2026-03-01 or 2026-03-01T12:00+08:00, else UTC"
        )
        parser.add_argument("--limit", type=row_count, help="so many at most (a table: 50, JSON and CSV: all)")

    def handle(self, *args: Any, **options: Any) -> None:
        is_json, is_csv = options["is_json"], options["is_csv"]
        found = audit.entries(options["who"], options["what"], options["since"])
        limit = options["limit"] or (None if is_json or is_csv else 50)
        rows = _rows(found[:limit].iterator(chunk_size=2_000))
        if is_csv:
            self._print_csv(rows)
        else:
            self.print_rows(rows, COLUMNS, is_json, "There are no such entries.")

    def _print_csv(self, rows: Iterable[dict[str, Any]]) -> None:
        # The standard output itself ends its lines as it does.
        out = csv.writer(self.stdout, lineterminator="\n")
        out.writerow(COLUMNS)
        for row in rows:
            out.writerow(guarded(_csv_cell(row[column])) for column in COLUMNS)


def _csv_cell(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, str) else json_line(value)


def _rows(entries: Iterable[AuditEntry]) -> Iterator[dict[str, Any]]:
    for entry in entries:
        yield {"id": entry.pk, "subject_id": entry.subject_id} | {column: getattr(entry, column) for column in COLUMNS}
