from __future__ import annotations

import sys
import time
from argparse import SUPPRESS
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser
from rich.console import Console
from rich.progress import Progress

from protocols.registry import registered
from settings.load import load
from store import queries, redecoding
from store.management.commands.events import moment
from store.management.commands.media import row_id
from store.management.data_command import DataCommand, command_line_actor, json_line, row_count
from store.models import Device, Redecoding, RedecodingSource
from store.redecoding import OpenError, Scope
from tasks.compute.redecode import send

COLUMNS = (
    "number", "protocol", "device", "source", "dry_run", "state", "progress",
    "done", "changed", "added", "merged", "mended", "failing", "kept", "created_at", "by",
)  # fmt: skip
_FIELDS = (
    "protocol", "source", "state", "error", "since", "until", "done", "changed", "added", "merged", "mended", "failing", "kept",
    "created_at", "touched_at", "ended_at", "by",
)  # fmt: skip
_COUNTS = {
    "done": "looked at",
    "changed": "reports that say something else",
    "added": "reports more, of bodies that give several now",
    "merged": "reports that have become the same as another",
    "mended": "messages that left quarantine",
    "failing": "not read whole, and left as they were",
    "kept": "reports whose bytes are not all in their rows, left as they were",
}
FOLLOW_SECONDS = 1.0


class Command(DataCommand):
    help = (
        "Decode what is stored again by the definitions that workers have now, in the background. "
        "Update and restart all workers before."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        actions = parser.add_subparsers(dest="action", title="actions", metavar="start | list | show | cancel", required=True)
        starting = _action(actions, "start", "Begin. Prints the number by which it is followed.")
        starting.add_argument("--protocol", required=True, help="of this protocol")
        starting.add_argument("--device", metavar="IDENTITY", help="of this device only, as devices lists it")
        starting.add_argument(
            "--from", type=moment, dest="since", metavar="TIME", help="received from then on: 2026-03-01T12:00+08:00"
        )
        starting.add_argument("--to", type=moment, dest="until", metavar="TIME", help="received before then")
        source = starting.add_mutually_exclusive_group()
        source.add_argument("--reports", action="store_true", help="reports only, and not quarantine")
        source.add_argument("--quarantine", action="store_true", help="quarantine only, and not reports")
        starting.add_argument(
            "--dry-run", action="store_true", dest="is_dry_run", help="change nothing, only count what would change"
        )
        listing = _action(actions, "list", "List them, the newest first.")
        listing.add_argument("--limit", type=row_count, default=50, help="so many at most (50)")
        showing = _action(actions, "show", "Show how far one is, and what it has come to.")
        showing.add_argument("number", type=row_id, metavar="NUMBER", help="as list has it")
        showing.add_argument("--follow", action="store_true", help="until it ends, with a bar on a terminal")
        cancelling = _action(actions, "cancel", "End one. What it has changed stays so.")
        cancelling.add_argument("number", type=row_id, metavar="NUMBER", help="as list has it")
        for action in (starting, listing, showing):
            # Behind the word as well as before it.
            action.add_argument("--json", action="store_true", dest="is_json", default=SUPPRESS, help="print JSON instead")

    def handle(self, *args: Any, **options: Any) -> None:
        match options["action"]:
            case "start":
                self._start(_scope(options), options["is_json"])
            case "list":
                found = Redecoding.objects.select_related("device").order_by("-id")[: options["limit"]]
                self.print_rows(_rows(found), COLUMNS, options["is_json"], "Nothing was decoded again yet.")
            case "show":
                row = _find(options["number"])
                self._show(_followed(row) if options["follow"] else row, options["is_json"])
            case "cancel":
                self._cancel(options["number"])

    def _start(self, scope: Scope, is_json: bool) -> None:
        try:
            row = redecoding.start(scope, command_line_actor())
        except OpenError as error:
            raise CommandError(f"{error}: wait until it ends, or end it with redecode cancel {error.other.id}") from error
        is_sent = send(row.id, row.steps)
        if is_json:
            self.stdout.write(json_line(_row(row)))
            return
        self.stdout.write(f"started {row}: follow it with redecode show {row.id} --follow")
        if not is_sent:
            self.stdout.write("The broker is away: it begins when workers have it again.")

    def _show(self, row: Redecoding, is_json: bool) -> None:
        shown = _row(row)
        if is_json:
            self.stdout.write(json_line(shown))
            return
        device = f", device {shown['device']}" if shown["device"] else ""
        dry = ", dry run: nothing is changed" if row.is_dry_run else ""
        self.stdout.write(f"{row}: {row.source}{device}{dry}")
        self.stdout.write(f"{row.state}, {shown['progress']}" + (f": {row.error}" if row.error else ""))
        for field, text in _COUNTS.items():
            self.stdout.write(f"{getattr(row, field):>12,}  {text}")

    def _cancel(self, number: int) -> None:
        row = _find(number)
        if not redecoding.cancel(number, datetime.now(UTC), command_line_actor()):
            row.refresh_from_db()
            raise CommandError(f"{row} is {row.state} already")
        self.stdout.write(f"cancelled {row}; what it has changed stays so")


def _scope(options: dict[str, Any]) -> Scope:
    """Raises: CommandError"""
    protocol, since, until = options["protocol"], options["since"], options["until"]
    known = registered(load().protocols)
    if protocol not in known:
        raise CommandError(f"there is no protocol {protocol}: use one of {', '.join(sorted(known))}")
    if since and until and since >= until:
        raise CommandError("--from is not before --to")
    device: Device | None = None
    if options["device"] is not None:
        device = queries.device(protocol, options["device"])
        if device is None:
            raise CommandError(f"there is no device {protocol} {options['device']}: list them with devices")
    source = RedecodingSource.BOTH
    if options["reports"]:
        source = RedecodingSource.REPORTS
    elif options["quarantine"]:
        source = RedecodingSource.QUARANTINE
    return Scope(protocol, device, since, until, source, options["is_dry_run"])


def _find(number: int) -> Redecoding:
    """Raises: CommandError"""
    row = Redecoding.objects.select_related("device").filter(id=number).first()
    if row is None:
        raise CommandError(f"there is no redecoding {number}: list them with redecode list")
    return row


def _followed(row: Redecoding) -> Redecoding:
    """As it is when it has ended, or when nobody wants to wait any more."""
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task(str(row), total=100)
        try:
            while row.is_open:
                progress.update(bar, completed=row.percent, description=f"{row}: {row.done:,} looked at, {row.state}")
                time.sleep(FOLLOW_SECONDS)
                row.refresh_from_db()
        except KeyboardInterrupt:
            progress.console.print("It goes on; redecode cancel ends it.")
    return row


def _rows(found: Iterable[Redecoding]) -> Iterator[dict[str, Any]]:
    return map(_row, found)


def _row(row: Redecoding) -> dict[str, Any]:
    return {field: getattr(row, field) for field in _FIELDS} | {
        "number": row.id,
        "device": row.device.identity if row.device else None,
        "dry_run": row.is_dry_run,
        "progress": f"{row.percent:.0f} %",
    }


def _action(actions: Any, name: str, text: str) -> CommandParser:
    parser: CommandParser = actions.add_parser(name, help=text, description=text)
    return parser
