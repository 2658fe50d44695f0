from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.core.management.base import CommandParser

from store import queries
from store.management.data_command import DataCommand, row_count
from store.models import Quarantine

COLUMNS = ("received_at", "protocol", "identity", "kind", "bytes", "error_cause", "error_path", "error_text", "version")
_FIELDS = (
    "received_at", "kind", "kind_id", "sequence", "digest", "head", "body",
    "error_cause", "error_path", "error_text", "version",
)  # fmt: skip


class Command(DataCommand):
    help = "Show messages that could not be decoded whole, those stored last first; with --json their bytes too."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--limit", type=row_count, default=50, help="so many at most (50)")

    def handle(self, *args: Any, **options: Any) -> None:
        found = queries.newest_quarantine(options["limit"])
        self.print_rows(_rows(found), COLUMNS, options["is_json"], "There is nothing in quarantine.")


def _rows(messages: Iterable[Quarantine]) -> Iterator[dict[str, Any]]:
    for message in messages:
        row = {field: getattr(message, field) for field in _FIELDS}
        yield row | {
            "protocol": message.device.protocol,
            "identity": message.device.identity,
            "bytes": len(message.body),
        }
