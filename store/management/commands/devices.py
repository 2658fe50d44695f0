from __future__ import annotations

import secrets
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from settings.load import load_or_exit
from store import devices, fleet, groups, imports, tags
from store.devices import DeviceError
from store.fleet import BadKeyError, Order, Page, Wanted
from store.groups import GroupError
from store.management import device_files
from store.management.arguments import add_action, row_count
from store.management.data_command import DataCommand, command_line_actor
from store.presence import standing

COLUMNS = (
    "protocol", "identity", "name", "group", "tags", "is_enabled", "state", "since", "gateway", "cause",
    "last_seen", "latitude", "longitude", "speed_kmh", "alarms",
)  # fmt: skip
SHOWN = 50
_STATE = (
    "last_seen", "time", "position_time", "latitude", "longitude", "altitude_m", "speed_kmh", "course_deg", "values", "alarms",
)  # fmt: skip
NEW_CREDENTIAL_BYTES = 8
"""16 digits: terminals take codes of that length, and nobody guesses one."""


class Command(DataCommand):
    help = "List devices, whether they are here and how they stand, add one, or say whether one may come in."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--limit", type=row_count, help=f"list so many at most (a table: {SHOWN}, JSON: all)")
        parser.add_argument(
            "--group", action="append", metavar="GROUP", help="in this one, as North/Plant, or below; may be repeated"
        )
        parser.add_argument("--tag", action="append", default=[], metavar="WORD", help="with this tag; if repeated, with all")
        parser.add_argument(
            "--search", default="", metavar="TEXT", help="with this in name or identity; below 3 letters, at its beginning"
        )
        parser.add_argument("--disabled", action="store_true", help="that may not come in")
        choice = parser.add_mutually_exclusive_group()
        choice.add_argument(
            "--online", action="store_true", default=None, dest="is_online", help="that are on a gateway, stale or not"
        )
        choice.add_argument(
            "--offline", action="store_false", default=None, dest="is_online", help="that are on none, or never came"
        )
        parser.add_argument(
            "--order", type=Order, choices=list(Order), default=Order.SEEN, help="seen: the last seen first; or name"
        )
        parser.add_argument("--after", default="", metavar="KEY", help="go on behind the device with this key, in the same order")
        actions = parser.add_subparsers(dest="action", title="actions", metavar="add | disable | ...")
        for action, text in (
            ("add", "Add a device, for gateways that let in known ones only."),
            ("disable", "Refuse a device from now on. Its data stays."),
            ("enable", "Let a device in again."),
            ("move", "Put a device into a group."),
            ("tag", "Mark a device with words, or take some away."),
            ("credential", "Give a device a new credential, which it must show where admission is by credential. Printed once."),
        ):
            subparser = add_action(actions, action, text)
            subparser.add_argument("protocol", metavar="PROTOCOL")
            subparser.add_argument("identity", metavar="IDENTITY", help="as the protocol gives it: see a listed device's")
            if action == "add":
                subparser.add_argument("--name", default="", help="what people call it")
            if action == "move":
                subparser.add_argument(
                    "group", metavar="GROUP", help='the way to it, North/Plant; "" takes it out of the one it is in'
                )
            if action == "tag":
                subparser.add_argument("words", nargs="*", metavar="WORD", help="in lower case")
                subparser.add_argument("--remove", action="append", default=[], metavar="WORD", help="take this one away")
            if action == "credential":
                choice = subparser.add_mutually_exclusive_group()
                choice.add_argument(
                    "--from", dest="source", metavar="FILE", help="take the one in this file's first line; - is standard input"
                )
                choice.add_argument(
                    "--remove", action="store_true", help="have it show none: where one is asked for it may not come in"
                )

        text = "Add and change devices by a CSV file; the same one again changes nothing. Exit status 1 if lines are bad."
        subparser = actions.add_parser("import", help=text, description=f"{text} Columns: {', '.join(imports.COLUMNS)}.")
        subparser.add_argument("path", type=Path, metavar="FILE")
        subparser.add_argument("--dry-run", action="store_true", dest="is_dry", help="change nothing, say what would be done")
        subparser.add_argument("--make-groups", action="store_true", dest="makes_groups", help="make groups that are not there")
        text = "Write the listed devices as a CSV file for import, without credentials: devices --group North export FILE."
        subparser = add_action(actions, "export", text)
        subparser.add_argument("path", type=Path, nargs="?", metavar="FILE", help="a new one; standard output by default")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._handle(options)
        except (DeviceError, GroupError) as error:
            raise CommandError(str(error)) from error

    def _handle(self, options: dict[str, Any]) -> None:
        match options["action"]:
            case "add":
                self._add(options["protocol"], options["identity"], options["name"])
            case "enable" | "disable" as action:
                self._set_enabled(options["protocol"], options["identity"], action == "enable")
            case "move":
                device = devices.move(options["protocol"], options["identity"], options["group"], command_line_actor())
                self.stdout.write(f"moved {device}")
            case "import":
                names = ("is_dry", "makes_groups", "is_json")
                device_files.import_file(
                    options["path"], command_line_actor(), self.stdout, **{name: options[name] for name in names}
                )
            case "export":
                device_files.export_file(options["path"], _wanted(options), self.stdout)
            case "tag":
                self._tag(**options)
            case "credential":
                self._set_credential(options["protocol"], options["identity"], options["source"], options["remove"])
            case _:
                self._list(options)

    def _list(self, options: dict[str, Any]) -> None:
        try:
            limit = options["limit"] or (None if options["is_json"] else SHOWN)
            pages = fleet.pages(_wanted(options), options["order"], options["after"], limit)
            more: list[str] = []
            rows = _rows(pages, more, timedelta(seconds=load_or_exit().stale_after_seconds))
            self.print_rows(rows, COLUMNS, options["is_json"], "There are no such devices.")
        except BadKeyError as error:
            raise CommandError(str(error)) from error
        if more and more[-1] and not options["is_json"]:
            self.stdout.write(f"There are more: --after {more[-1]}")

    def _add(self, protocol: str, identity: str, name: str) -> None:
        self.stdout.write(f"added {devices.add(protocol, identity, name, command_line_actor())}")

    def _set_enabled(self, protocol: str, identity: str, is_enabled: bool) -> None:
        device = devices.set_enabled(protocol, identity, is_enabled, command_line_actor())
        self.stdout.write(f"{'enabled' if is_enabled else 'disabled'} {device}")

    def _tag(self, protocol: str, identity: str, words: list[str], remove: list[str], **_: Any) -> None:
        tags = devices.tag(protocol, identity, words, remove, command_line_actor())
        self.stdout.write(f"{protocol} {identity} has " + (", ".join(tags) or "no tags"))

    def _set_credential(self, protocol: str, identity: str, source: str | None, is_removed: bool) -> None:
        credential = "" if is_removed else secrets.token_hex(NEW_CREDENTIAL_BYTES) if source is None else _first_line(source)
        device = devices.set_credential(protocol, identity, credential, command_line_actor())
        if is_removed:
            self.stdout.write(f"removed the credential of {device}")
        elif source is None:
            # The only time that it is there to be read.
            self.stdout.write(credential)
        else:
            self.stdout.write(f"set the credential of {device}")


def _wanted(options: dict[str, Any]) -> Wanted:
    """Raises: GroupError"""
    in_groups = None if options["group"] is None else [groups.find(title) for title in options["group"]]
    return Wanted(in_groups, options["tag"], options["search"], False if options["disabled"] else None, options["is_online"])


def _first_line(source: str) -> str:
    """Raises: CommandError when there is none."""
    try:
        lines = (sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{source} cannot be read ({error}): give a text file with the credential in its first line") from error
    credential = lines[0].strip() if lines else ""
    if not credential:
        raise CommandError(f"{source} has nothing in its first line: put the credential there, or use --remove")
    return credential


def _rows(pages: Iterable[Page], more: list[str], stale_after: timedelta) -> Iterator[dict[str, Any]]:
    """The devices of some pages; after each, ``more`` has the key behind which it goes on, or an empty one."""
    for page in pages:
        now = datetime.now(UTC)
        found = [device for device, _ in page.rows]
        marked, titles = tags.of(found), groups.titles(device.group for device in found if device.group)
        for device, key in page.rows:
            # No gateway has told of a device that never came.
            presence = getattr(device, "presence", None)
            row = {name: getattr(device, name) for name in ("protocol", "identity", "name", "is_enabled", "created_at")}
            row |= {name: getattr(device.state, name) for name in _STATE}
            row |= standing(presence, device.state.last_seen, now, stale_after)._asdict()
            row["peer"] = presence and presence.peer
            yield row | {"group": titles.get(device.group_id or 0, ""), "tags": marked[device.pk], "key": key}
        more.append(page.next_key)
