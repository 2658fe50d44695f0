from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.core.management.base import CommandParser

from settings.load import load
from store import queries
from store.management.arguments import add_limit
from store.management.data_command import DataCommand
from store.management.device_arguments import add_device, named
from store.media.bodies import whole_bodies
from store.media.folder import MediaFolder
from store.models import Report

COLUMNS = ("time", "protocol", "identity", "kind", "latitude", "longitude", "speed_kmh", "alarms", "values")
_FIELDS = (
    "time", "received_at", "kind", "sequence", "latitude", "longitude", "altitude_m", "speed_kmh", "course_deg",
    "values", "alarms", "digest", "head", "body",
)  # fmt: skip


class Command(DataCommand):
    help = "Show reports: of one device the newest by their time first, of all devices those stored last."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add_device(parser)
        parser.add_argument("--kind", help="of this kind only, for example location")
        add_limit(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        found = queries.newest_reports(options["limit"], options["device"], options["kind"])
        self.print_rows(
            _rows(found, MediaFolder(load().effective_media_folder)), COLUMNS, options["is_json"], "There are no such reports."
        )


def _rows(reports: Iterable[Report], folder: MediaFolder) -> Iterator[dict[str, Any]]:
    for report, body in whole_bodies(reports, folder):
        yield named(report.device) | {field: body if field == "body" else getattr(report, field) for field in _FIELDS}
