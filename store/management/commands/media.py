from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from settings.load import load
from store import queries
from store.management.arguments import add_limit, row_id
from store.management.data_command import DataCommand, new_file
from store.management.device_arguments import add_device, named
from store.media.folder import MediaFolder
from store.models import Media

COLUMNS = ("id", "protocol", "identity", "kind", "time", "bytes", "state", "reason", "name")
_FIELDS = (
    "id", "kind", "time", "received_at", "state", "reason", "name", "channel", "cause", "latitude", "longitude",
    "expected_bytes", "received_bytes", "content_type", "sha256", "width", "height", "has_thumbnail",
)  # fmt: skip


class Command(DataCommand):
    help = "List photos, recordings and other files of devices, those that came last first, or copy one out."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add_device(parser)
        parser.add_argument("--state", choices=Media.State.values, help="in this state only")
        add_limit(parser)
        actions = parser.add_subparsers(dest="action", title="actions", metavar="get")
        text = "Copy a file out, under a name of your own."
        subparser = actions.add_parser("get", help=text, description=text)
        subparser.add_argument("id", type=row_id, metavar="ID", help="as the list has it")
        subparser.add_argument("path", type=Path, metavar="FILE", help="where to; what is there already stays")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "get":
            self._get(options["id"], options["path"])
            return
        found = queries.newest_media(options["limit"], options["device"], options["state"])
        self.print_rows(_rows(found), COLUMNS, options["is_json"], "There are no such files.")
        waiting = Media.objects.filter(state=Media.State.WAITING).count()
        if waiting and not options["is_json"]:
            self.stdout.write(f"{waiting} wait in the database for room in the media folder: see their reason.")

    def _get(self, id: int, path: Path) -> None:
        media = Media.objects.filter(id=id).first()
        if media is None:
            raise CommandError(f"there is no file {id}: list them with media")
        if not media.sha256:
            raise CommandError(f"file {id} is {media.state} ({media.reason or 'not all of it has come'}): there is nothing to copy")
        source = MediaFolder(load().effective_media_folder).path(media.sha256, media.extension)
        with new_file(path), source.open("rb") as found, path.open("xb") as copy:
            shutil.copyfileobj(found, copy)
        self.stdout.write(f"{media.content_type}, {media.received_bytes} bytes")


def _rows(media: Iterable[Media]) -> Iterator[dict[str, Any]]:
    for file in media:
        row = {field: getattr(file, field) for field in _FIELDS}
        size = file.received_bytes if file.sha256 else f"{file.received_bytes} of {file.expected_bytes or '?'}"
        yield row | named(file.device) | {"bytes": size}
