from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.core.management.base import CommandError, CommandParser

from store import devices, queries
from store.devices import DeviceError
from store.management.data_command import DataCommand, command_line_actor, row_count

COLUMNS = ("protocol", "identity", "name", "is_enabled", "last_seen", "latitude", "longitude", "speed_kmh", "alarms")
SHOWN = 1_000
NEW_CREDENTIAL_BYTES = 8
"""16 digits: terminals take codes of that length, and nobody guesses one."""


class Command(DataCommand):
    help = "List devices and how they stand, add one, or say whether one may come in."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--limit", type=row_count, help=f"list so many at most (a table: {SHOWN}, JSON: all)")
        actions = parser.add_subparsers(dest="action", title="actions", metavar="add | disable | ...")
        for action, text in (
            ("add", "Add a device, for gateways that let in known ones only."),
            ("disable", "Refuse a device from now on. Its data stays."),
            ("enable", "Let a device in again."),
            ("move", "Put a device into a group."),
            ("tag", "Mark a device with words, or take some away."),
            ("credential", "Give a device a new credential, which it must show where admission is by credential. Printed once."),
        ):
            subparser = actions.add_parser(action, help=text, description=text)
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

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._handle(options)
        except DeviceError as error:
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
            case "tag":
                self._tag(**options)
            case "credential":
                self._set_credential(options["protocol"], options["identity"], options["source"], options["remove"])
            case _:
                self._list(options["limit"], options["is_json"])

    def _list(self, limit: int | None, is_json: bool) -> None:
        if not is_json:
            limit = limit or SHOWN
        self.print_rows(islice(_rows(), limit), COLUMNS, is_json, "There are no devices yet.")
        if not is_json and limit and (more := queries.devices().count() - limit) > 0:
            self.stdout.write(f"{more} more are not shown: see --limit and --json.")

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


def _rows() -> Iterator[dict[str, Any]]:
    for device in queries.devices().iterator(chunk_size=2_000):
        try:
            state = device.state
        except ObjectDoesNotExist:
            state = None
        row = {name: getattr(device, name) for name in ("protocol", "identity", "name", "is_enabled", "created_at")}
        for name in ("last_seen", "time", "position_time", "latitude", "longitude", "altitude_m", "speed_kmh", "course_deg"):
            row[name] = getattr(state, name, None)
        yield row | {"values": state.values if state else {}, "alarms": state.alarms if state else []}
