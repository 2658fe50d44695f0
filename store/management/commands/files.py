from __future__ import annotations

from argparse import SUPPRESS
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.db.models import Count, Q

from settings.load import load
from store import deliveries, files, queries
from store.json_text import plain_text
from store.management.arguments import add_action, add_json, add_limit, row_count, row_id
from store.management.data_command import DataCommand, command_line_actor, login_name
from store.management.device_arguments import add_device, named
from store.media.filing import NoRoomError, Room
from store.media.folder import MediaFolder
from store.models import HANDLER_LENGTH, Delivery, Device, File

COLUMNS = ("number", "name", "version", "maker", "size", "sha256", "added_at", "added_by", "open", "done", "failed", "removed_at")
DELIVERY_COLUMNS = ("id", "number", "protocol", "identity", "state", "progress", "reason", "created_at", "touched_at", "by")
_DELIVERY_FIELDS = ("id", "state", "reason", "by", "created_at", "touched_at", "ended_at", "sent_bytes", "tries")


class Command(DataCommand):
    help = "List files for devices, such as firmware, add one, offer one to devices, and see how far they are."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add_limit(parser, text="list so many at most")
        actions = parser.add_subparsers(dest="action", title="actions", metavar="add | offer | deliveries | cancel | remove")
        adding = add_action(actions, "add", "Take a file in. Prints its number.")
        adding.add_argument("path", type=Path, metavar="FILE")
        adding.add_argument("--name", required=True, help="what it is for, as devices know it: firmware")
        adding.add_argument("--version", required=True, dest="file_version", help="as devices tell it")
        adding.add_argument("--maker", default="", help="of the devices, where a protocol tells them: JT/T 808, 5 characters")
        offering = add_action(actions, "offer", "Offer a file to devices; those that are away get it when they come.")
        offering.add_argument("number", type=row_id, metavar="NUMBER", help="of the file, as the list has it")
        offering.add_argument("protocol", metavar="PROTOCOL")
        offering.add_argument("identities", nargs="+", metavar="IDENTITY", help="of a device, as devices lists it")
        listing = add_action(actions, "deliveries", "List what was offered to devices, newest first, and how far it is.")
        add_device(listing)
        listing.add_argument("--state", choices=Delivery.State.values, help="in this state only")
        # Behind the word as well as before it.
        add_json(listing)
        listing.add_argument("--limit", type=row_count, default=SUPPRESS, help="list so many at most (50)")
        cancelling = add_action(actions, "cancel", "End a delivery that has not ended.")
        cancelling.add_argument("id", type=row_id, metavar="ID", help="of the delivery, as deliveries lists it")
        removing = add_action(actions, "remove", "Remove a file's bytes, and cancel what is open of it.")
        removing.add_argument("number", type=row_id, metavar="NUMBER", help="of the file, as the list has it")
        for action in (adding, offering):
            action.add_argument("--by", default="", metavar="NAME", help="who does it; your login name by default")

    def handle(self, *args: Any, **options: Any) -> None:
        match options["action"]:
            case "add":
                self._add(**options)
            case "offer":
                self._offer(options["number"], options["protocol"], options["identities"], _who(options["by"]))
            case "deliveries":
                found = queries.newest_deliveries(options["limit"], options["device"], options["state"])
                self.print_rows(_delivery_rows(found), DELIVERY_COLUMNS, options["is_json"], "There are no such deliveries.")
            case "cancel":
                self._cancel(options["id"])
            case "remove":
                self._remove(options["number"])
            case _:
                self.print_rows(_rows(options["limit"]), COLUMNS, options["is_json"], "There are no files yet.")

    def _add(self, path: Path, name: str, file_version: str, maker: str, by: str, **_: Any) -> None:
        settings = load()
        room, folder = Room(settings.media_quota_bytes, settings.media_spare_bytes), MediaFolder(settings.effective_media_folder)
        told = {"name": plain_text(name), "version": plain_text(file_version), "maker": plain_text(maker), "by": _who(by)}
        try:
            file = files.add(path, folder, room, **told, actor=command_line_actor())
        except OSError as error:
            raise CommandError(f"{error.filename or path}: {error.strerror}") from error
        except (files.FileError, NoRoomError) as error:
            raise CommandError(f"{path} is not taken in: {error}") from error
        except ValidationError as error:
            raise CommandError("; ".join(f"{field}: {' '.join(texts)}" for field, texts in error.message_dict.items())) from error
        self.stdout.write(f"added {file}: {file.size} bytes, SHA-256 {file.sha256}")

    def _offer(self, number: int, protocol: str, identities: Sequence[str], by: str) -> None:
        file = _file(number)
        found = {device.identity: device for device in Device.objects.filter(protocol=protocol, identity__in=identities)}
        if unknown := [identity for identity in identities if identity not in found]:
            raise CommandError(f"there is no device {protocol} {', '.join(unknown)}: list them with devices")
        try:
            made = deliveries.offer(file, found.values(), by, datetime.now(UTC), command_line_actor())
        except deliveries.GoneError as error:
            raise CommandError(f"{file} was removed: add it again") from error
        for delivery in made:
            self.stdout.write(f"delivery {delivery.id} of {file} to {delivery.device}: {delivery.state}")

    def _cancel(self, id: int) -> None:
        if deliveries.cancel(id, datetime.now(UTC), command_line_actor()):
            self.stdout.write(f"cancelled delivery {id}")
            return
        delivery = Delivery.objects.filter(id=id).first()
        if delivery is None:
            raise CommandError(f"there is no delivery {id}: list them with files deliveries")
        raise CommandError(f"delivery {id} is {delivery.state} already")

    def _remove(self, number: int) -> None:
        file = _file(number)
        ended = files.remove(number, MediaFolder(load().effective_media_folder), command_line_actor())
        self.stdout.write(f"removed {file}, cancelled {ended} deliveries")


def _who(name: str) -> str:
    return plain_text(name or login_name())[:HANDLER_LENGTH]


def _file(number: int) -> File:
    """Raises: CommandError"""
    file = File.objects.filter(id=number).first()
    if file is None:
        raise CommandError(f"there is no file {number}: list them with files")
    return file


def _rows(limit: int) -> Iterator[dict[str, Any]]:
    counted = {
        "open": Count("deliveries", filter=Q(deliveries__state__in=Delivery.OPEN)),
        "done": Count("deliveries", filter=Q(deliveries__state=Delivery.State.DONE)),
        "failed": Count("deliveries", filter=Q(deliveries__state=Delivery.State.FAILED)),
    }
    for file in File.objects.order_by("-id")[:limit].annotate(**counted).values():
        yield {"number": file["id"], **{name: value for name, value in file.items() if name != "id"}}


def _delivery_rows(found: Iterable[Delivery]) -> Iterator[dict[str, Any]]:
    for delivery in found:
        row = {field: getattr(delivery, field) for field in _DELIVERY_FIELDS}
        size = delivery.file.size
        progress = {"size": size, "progress": f"{100 * delivery.sent_bytes // size} %"}
        yield row | {"number": delivery.file_id} | named(delivery.device) | progress
