from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.core.management.base import CommandParser

from store import queries
from store.management.arguments import add_limit, moment
from store.management.data_command import DataCommand
from store.management.device_arguments import check_device, named
from store.models import Event, EventKind

COLUMNS = ("time", "protocol", "kind", "subject", "detail")
_FIELDS = ("time", "kind", "subject", "detail", "received_at")


class Command(DataCommand):
    help = "Show what happened to a device, the newest first: when it came and went and why, and what became of its alarms."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("identity", metavar="DEVICE", help="its identity, as devices lists it")
        parser.add_argument(
            "--kind", action="append", choices=EventKind.values, help="of this kind only; may be given more than once"
        )
        parser.add_argument("--since", type=moment, metavar="TIME", help="from this time on, for example 2026-03-01T12:00+08:00")
        parser.add_argument("--until", type=moment, metavar="TIME", help="before this time")
        add_limit(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        identity = options["identity"]
        check_device(identity)
        found = queries.newest_events(options["limit"], identity, options["kind"], options["since"], options["until"])
        self.print_rows(_rows(found), COLUMNS, options["is_json"], "Nothing is known to have happened to it.")


def _rows(events: Iterable[Event]) -> Iterator[dict[str, Any]]:
    for event in events:
        yield named(event.device) | {field: getattr(event, field) for field in _FIELDS}
