from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.core.management.base import CommandError, CommandParser

from protocols.registry import registered
from settings.load import load
from store import redecoding
from store.management.arguments import add_action, add_json, moment
from store.management.data_command import command_line_actor, json_line
from store.management.device_arguments import found_device
from store.models import Redecoding, RedecodingSource
from store.redecoding import OpenError, Scope
from tasks.compute.redecode import send
from tasks.management.background_command import BackgroundCommand

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


class Command(BackgroundCommand):
    name, request, done_text = "redecode", "redecoding", "looked at"
    help = (
        "Decode what is stored again by the definitions that workers have now, in the background. "
        "Update and restart all workers before."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        actions = parser.add_subparsers(dest="action", title="actions", metavar="start | list | show | cancel", required=True)
        starting = add_action(actions, "start", "Begin. Prints the number by which it is followed.")
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
        listing, showing = self.add_listing(actions), self.add_showing(actions)
        self.add_numbered(actions, "cancel", "End one. What it has changed stays so.")
        add_json(starting, listing, showing)

    def handle(self, *args: Any, **options: Any) -> None:
        match options["action"]:
            case "start":
                self._start(_scope(options), options["is_json"])
            case "list":
                found = Redecoding.objects.select_related("device").order_by("-id")[: options["limit"]]
                self.print_rows(_rows(found), COLUMNS, options["is_json"], "Nothing was decoded again yet.")
            case "show":
                row = self.find(Redecoding, options["number"])
                self._show(self.follow(row) if options["follow"] else row, options["is_json"])
            case "cancel":
                self._cancel(options["number"])

    def _start(self, scope: Scope, is_json: bool) -> None:
        try:
            row = redecoding.start(scope, command_line_actor())
        except OpenError as error:
            raise CommandError(f"{error}: wait until it ends, or end it with redecode cancel {error.other.id}") from error
        is_sent = send(row.id, row.steps)
        self.tell_start(row, _row(row), is_sent, is_json)

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
        row = self.cancel(Redecoding, number, "redecode.cancel")
        self.stdout.write(f"cancelled {row}; what it has changed stays so")


def _scope(options: dict[str, Any]) -> Scope:
    """Raises: CommandError"""
    protocol, since, until = options["protocol"], options["since"], options["until"]
    known = registered(load().protocols)
    if protocol not in known:
        raise CommandError(f"there is no protocol {protocol}: use one of {', '.join(sorted(known))}")
    if since and until and since >= until:
        raise CommandError("--from is not before --to")
    device = None if options["device"] is None else found_device(protocol, options["device"])
    source = RedecodingSource.BOTH
    if options["reports"]:
        source = RedecodingSource.REPORTS
    elif options["quarantine"]:
        source = RedecodingSource.QUARANTINE
    return Scope(protocol, device, since, until, source, options["is_dry_run"])


def _rows(found: Iterable[Redecoding]) -> Iterator[dict[str, Any]]:
    return map(_row, found)


def _row(row: Redecoding) -> dict[str, Any]:
    return {field: getattr(row, field) for field in _FIELDS} | {
        "number": row.id,
        "device": row.device.identity if row.device else None,
        "dry_run": row.is_dry_run,
        "progress": f"{row.percent:.0f} %",
    }
