from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from store import queries
from store.management.data_command import DataCommand, row_count
from store.models import Device, Event, EventKind

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
        parser.add_argument("--limit", type=row_count, default=50, help="so many at most (50)")

    def handle(self, *args: Any, **options: Any) -> None:
        identity = options["identity"]
        if not Device.objects.filter(identity=identity).exists():
            raise CommandError(f"there is no device {identity}: list them with devices")
        found = queries.newest_events(options["limit"], identity, options["kind"], options["since"], options["until"])
        self.print_rows(_rows(found), COLUMNS, options["is_json"], "Nothing is known to have happened to it.")


def moment(text: str) -> datetime:
    """A time as an argument; in UTC if it names no zone."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


moment.__name__ = "time such as 2026-03-01T12:00"


def _rows(events: Iterable[Event]) -> Iterator[dict[str, Any]]:
    for event in events:
        named = {"protocol": event.device.protocol, "identity": event.device.identity}
        yield named | {field: getattr(event, field) for field in _FIELDS}
