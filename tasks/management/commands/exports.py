from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.management.base import CommandError, CommandParser

from protocols.registry import registered
from settings.load import load
from store.exports import requests
from store.exports.errors import ExportError
from store.exports.requests import Wanted
from store.exports.sources import SOURCES
from store.management.arguments import add_action, add_json
from store.management.data_command import command_line_actor, json_line, new_file
from store.models import BackgroundState, Export, ExportFormat
from tasks.compute.exports import folder, send
from tasks.management.background_command import BackgroundCommand

COLUMNS = ("number", "source", "format", "scope", "state", "progress", "done", "expected", "bytes", "name", "expires_at", "by")
_FIELDS = (
    "source", "format", "state", "error", "since", "until", "kinds", "timezone", "done", "expected", "packed", "bytes", "sha256",
    "name", "created_at", "touched_at", "ended_at", "expires_at", "by",
)  # fmt: skip
_COPY_BYTES = 1 << 20


class Command(BackgroundCommand):
    help = "Write what is stored into files, as CSV or as a spreadsheet, in the background."
    name, request, done_text = "exports", "export", "rows written"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        actions = parser.add_subparsers(
            dest="action", title="actions", metavar="start | list | show | cancel | path | fetch", required=True
        )
        starting = add_action(actions, "start", "Begin. Prints the number by which it is followed.")
        _add_wanted(starting)
        listing, showing = self.add_listing(actions), self.add_showing(actions)
        self.add_numbered(actions, "cancel", "End one. Nothing of it is kept.")
        self.add_numbered(actions, "path", "Print where the file of one is, on hosts with the media folder.")
        fetching = self.add_numbered(actions, "fetch", "Copy the file of one out.")
        fetching.add_argument("file", type=Path, metavar="FILE", help="where to; what is there already stays")
        add_json(starting, listing, showing)

    def handle(self, *args: Any, **options: Any) -> None:
        match options["action"]:
            case "start":
                self._start(_wanted(options), options["is_json"])
            case "list":
                found = Export.objects.order_by("-id")[: options["limit"]]
                self.print_rows(_rows(found), COLUMNS, options["is_json"], "Nothing was exported yet.")
            case "show":
                row = self.find(Export, options["number"])
                self._show(self.follow(row) if options["follow"] else row, options["is_json"])
            case "cancel":
                self._cancel(options["number"])
            case "path":
                self.stdout.write(str(_file_of(self.find(Export, options["number"]))))
            case "fetch":
                self._fetch(self.find(Export, options["number"]), options["file"])

    def _start(self, wanted: Wanted, is_json: bool) -> None:
        try:
            row = requests.start(wanted, load().export_rows, command_line_actor(), datetime.now(UTC))
        except ExportError as error:
            raise CommandError(str(error)) from error
        is_sent = send(row.id, row.steps, row.task_id)
        self.tell_start(row, _row(row), is_sent, is_json, f", {row.expected:,} rows")

    def _show(self, row: Export, is_json: bool) -> None:
        shown = _row(row)
        if is_json:
            self.stdout.write(json_line(shown))
            return
        since = f"{row.since.astimezone(ZoneInfo(row.timezone)).isoformat()} to" if row.since else "up to"
        until = row.until.astimezone(ZoneInfo(row.timezone)).isoformat(timespec="seconds")
        self.stdout.write(f"{row}: {shown['scope']}, {since} {until}")
        self.stdout.write(f"{row.state}, {shown['progress']}" + (f": {row.error}" if row.error else ""))
        self.stdout.write(f"{row.done:,} of {row.expected:,} rows written, {row.bytes:,} bytes; task {row.task_id}")
        if row.state == BackgroundState.DONE:
            self.stdout.write(
                f"{row.name}, SHA-256 {row.sha256}, until {row.expires_at:%Y-%m-%d}: exports fetch {row.id} {row.name}"
            )

    def _cancel(self, number: int) -> None:
        row = self.cancel(Export, number, "export.cancel")
        # Whoever takes this step finds that it has ended, and removes what there is of it.
        send(row.id, row.steps, row.task_id)
        self.stdout.write(f"cancelled {row}; nothing of it is kept")

    def _fetch(self, row: Export, file: Path) -> None:
        source = _file_of(row)
        with new_file(file), source.open("rb") as found, file.open("xb") as copy:
            digest = hashlib.sha256()
            while block := found.read(_COPY_BYTES):
                digest.update(block)
                copy.write(block)
        if digest.hexdigest() != row.sha256:
            raise CommandError(f"{file} is not what was written, its SHA-256 is {digest.hexdigest()}: start the export again")
        requests.fetched(row, command_line_actor())
        self.stdout.write(f"{row.done:,} rows, {row.bytes:,} bytes")


def _add_wanted(parser: CommandParser) -> None:
    parser.add_argument("source", choices=SOURCES, metavar="WHAT", help=", ".join(SOURCES))
    parser.add_argument(
        "--format", choices=ExportFormat.values, default=ExportFormat.CSV, help="csv, or xlsx with 1,048,575 rows at most (csv)"
    )
    parser.add_argument("--from", type=_local_time, dest="since", metavar="TIME", help="from then on: 2026-03-01T12:00")
    parser.add_argument("--to", type=_local_time, dest="until", metavar="TIME", help="before then (now)")
    parser.add_argument("--device", action="append", default=[], metavar="IDENTITY", help="of this device; may be repeated")
    parser.add_argument("--group", help="of devices in this group and below it, such as North/Plant")
    parser.add_argument("--tag", help="of devices with this tag")
    parser.add_argument("--protocol", help="of devices of this protocol")
    parser.add_argument("--kind", action="append", default=[], help="of this kind, such as location; may be repeated")
    parser.add_argument(
        "--channel",
        action="append",
        default=[],
        metavar="NAME",
        help="with this value as a column; may be repeated (all that there are)",
    )
    parser.add_argument("--timezone", type=_zone_name, metavar="ZONE", help="of times in it and of --from and --to (day_timezone)")


def _wanted(options: dict[str, Any]) -> Wanted:
    """Raises: CommandError"""
    settings = load()
    protocol = options["protocol"]
    if protocol is not None and protocol not in (known := registered(settings.protocols)):
        raise CommandError(f"there is no protocol {protocol}: use one of {', '.join(sorted(known))}")
    timezone = options["timezone"] or settings.day_timezone
    since, until = (_in_zone(options[name], ZoneInfo(timezone)) for name in ("since", "until"))
    return Wanted(
        options["source"],
        ExportFormat(options["format"]),
        timezone,
        since,
        until,
        protocol,
        options["device"],
        options["group"],
        options["tag"],
        options["kind"],
        options["channel"],
    )


def _in_zone(time: datetime | None, zone: ZoneInfo) -> datetime | None:
    if time is None:
        return None
    try:
        return (time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError as error:
        raise CommandError(f"{time} is out of range") from error


def _local_time(text: str) -> datetime:
    return datetime.fromisoformat(text)


_local_time.__name__ = "time such as 2026-03-01T12:00"


def _zone_name(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError from error
    return text


_zone_name.__name__ = "time zone such as Asia/Shanghai"


def _file_of(row: Export) -> Path:
    """Raises: CommandError if there is none."""
    if row.state != BackgroundState.DONE:
        raise CommandError(f"{row} is {row.state}: there is no file of it")
    path = folder().finished(row.token, row.format)
    if not path.is_file():
        raise CommandError(f"the file of {row} is not here: go to a host that has the workers' media_folder")
    return path


def _rows(found: Iterable[Export]) -> Iterator[dict[str, Any]]:
    return map(_row, found)


def _row(row: Export) -> dict[str, Any]:
    return {field: getattr(row, field) for field in _FIELDS} | {
        "number": row.id,
        "scope": _scope_text(row),
        "channels": [name for name, _ in row.channels],
        "progress": f"{row.percent:.0f} %",
        "task": str(row.task_id),
    }


def _scope_text(row: Export) -> str:
    scope = row.scope
    named = [text + scope[key] for key, text in (("protocol", ""), ("title", ""), ("tag", "tag ")) if key in scope]
    identities = scope.get("identities", [])
    more = f" and {len(identities) - 3} more" if len(identities) > 3 else ""
    return ", ".join([*named, *identities[:3]]) + more or "all devices"
