from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import Q
from rich.table import Table

from protocols.commandtable import kinds_of, shown
from protocols.registry import registered
from settings.load import load_or_exit
from store.commands import ledger, lists
from store.management.arguments import add_action, add_json, add_limit, row_id
from store.management.data_command import DataCommand, cell, command_line_actor, console, json_line
from store.management.device_arguments import add_device
from store.models import Command as Row
from store.models import CommandRun
from tasks.commands import announce

COLUMNS = ("id", "protocol", "identity", "name", "state", "reason", "created_at", "expires_at", "tries", "run", "by")
STEP_COLUMNS = ("at", "state", "cause", "text", "gateway", "kind", "data")
RUN_COLUMNS = ("run", "name", "scope", "pace", "created_at", *Row.State.values, "by")
KIND_COLUMNS = ("name", "effect", "repeatable", "confirmed", "answer_seconds", "english", "chinese")
FIELD_COLUMNS = ("name", "type", "unit", "needed", "condition", "english", "chinese", "words")
WORDS_SHOWN = 200


class Command(DataCommand):
    help = "List what devices were told to do, the newest first, show what has become of one, cancel it; list what there is."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add_device(parser)
        parser.add_argument("--state", action="append", default=[], choices=Row.State.values, help="in this state; may be repeated")
        parser.add_argument("--run", type=row_id, metavar="N", help="of this run only, as runs lists it")
        add_limit(parser)
        parser.add_argument("--after", type=row_id, metavar="ID", help="go on behind this command")
        actions = parser.add_subparsers(dest="action", title="actions", metavar="show | cancel | runs | kinds")
        showing = add_action(actions, "show", "Show a command, and what has happened to it step by step.")
        showing.add_argument("id", type=row_id, metavar="ID", help="as the list has it")
        cancelling = add_action(actions, "cancel", "Cancel a command that was not sent yet, or all those of a run.")
        what = cancelling.add_mutually_exclusive_group(required=True)
        what.add_argument("id", type=row_id, nargs="?", metavar="ID", help="as the list has it")
        what.add_argument("--run", type=row_id, dest="cancelled_run", metavar="N", help="as runs lists it")
        runs = add_action(actions, "runs", "List commands for groups, the newest first, and how far they are.")
        kinds = add_action(actions, "kinds", "List what devices of a protocol can be told, or the fields of one of these.")
        kinds.add_argument("protocol", metavar="PROTOCOL")
        kinds.add_argument("name", nargs="?", metavar="NAME")
        add_json(showing, runs, kinds)

    def handle(self, *args: Any, **options: Any) -> None:
        match options["action"]:
            case "show":
                self._show(options["id"], options["is_json"])
            case "cancel":
                self._cancel(options["id"], options["cancelled_run"])
            case "runs":
                found = lists.newest_runs(options["limit"])
                self.print_rows(map(_run, found), RUN_COLUMNS, options["is_json"], "No group was told anything yet.")
            case "kinds":
                self._kinds(options["protocol"], options["name"], options["is_json"])
            case _:
                found_rows = lists.newest(options["limit"], options["device"], options["state"], options["run"], options["after"])
                self.print_rows(map(lists.shown, found_rows), COLUMNS, options["is_json"], "There are no such commands.")

    def _show(self, id: int, is_json: bool) -> None:
        row = _find(id)
        steps = list(lists.steps(row))
        if is_json:
            self.stdout.write(json_line({**lists.shown(row), "steps": steps}))
            return
        self.stdout.write(
            f"{row} for {row.device}, by {cell(row.by)}: {row.state}" + (f", {cell(row.reason)}" if row.reason else "")
        )
        self.stdout.write(f"fields {cell(row.fields)}" + (f", if {row.condition}" if row.condition else ""))
        self.stdout.write(f"to be sent from {row.not_before:%Y-%m-%d %H:%M:%S} to {row.expires_at:%Y-%m-%d %H:%M:%S}")
        table = Table(*STEP_COLUMNS)
        for step in steps:
            table.add_row(*(cell(step[column]) for column in STEP_COLUMNS))
        console().print(table)

    def _cancel(self, id: int | None, run: int | None) -> None:
        wanted = Q(id=id) if run is None else Q(run_id=run)
        ended = ledger.cancel(wanted, datetime.now(UTC), command_line_actor())
        for start in range(0, len(ended), 500):
            announce([row.id for row in ended[start : start + 500]])
        if run is not None:
            found = CommandRun.objects.filter(id=run).first()
            if found is None:
                raise CommandError(f"there is no run {run}: list them with commands runs")
            left = {state: count for state, count in lists.progress(found).items() if count and state != Row.State.CANCELLED}
            told = ", ".join(f"{count} {state}" for state, count in left.items())
            self.stdout.write(f"cancelled {len(ended)} commands of {found}" + (f"; others are {told}" if told else ""))
        elif not ended:
            row = _find(id or 0)
            if row.state == Row.State.SENT:
                raise CommandError(f"{row} was sent already, what the device does nobody can call back")
            raise CommandError(f"{row} is {row.state} already")
        else:
            self.stdout.write(f"cancelled {ended[0]} for {ended[0].device}")

    def _kinds(self, protocol: str, name: str | None, is_json: bool) -> None:
        protocols = registered(load_or_exit().protocols)
        if protocol not in protocols:
            raise CommandError(f"there is no protocol {protocol}: use one of {', '.join(sorted(protocols))}")
        kinds = kinds_of(protocols[protocol])
        if name is None:
            self.print_rows(_kinds(map(shown, kinds.values()), is_json), KIND_COLUMNS, is_json, "There are no commands.")
            return
        if name not in kinds:
            raise CommandError(f"{protocol} devices have no command {name!r}, but {', '.join(kinds)}")
        told = shown(kinds[name])
        if is_json:
            self.stdout.write(json_line(told))
            return
        self.stdout.write(f"{name}: {told['english']} {told['chinese']}, effect {told['effect']}")
        self.print_rows(_fields(told["fields"]), FIELD_COLUMNS, False, "It has no fields.")


def _find(id: int) -> Row:
    """Raises: CommandError"""
    row = Row.objects.select_related("device").filter(id=id).first()
    if row is None:
        raise CommandError(f"there is no command {id}: list them with commands")
    return row


def _run(run: CommandRun) -> dict[str, Any]:
    row = {"run": run.id, "name": run.name, "scope": run.scope, "pace": run.pace, "created_at": run.created_at, "by": run.by}
    return row | lists.progress(run)


def _kinds(found: Iterable[dict[str, Any]], is_json: bool) -> Iterator[dict[str, Any]]:
    for kind in found:
        yes = {"repeatable": kind["is_repeatable"], "confirmed": kind["is_confirmed_twice"]}
        yield kind if is_json else kind | {name: "yes" if is_so else "" for name, is_so in yes.items()}


def _fields(found: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for field in found:
        words = ", ".join(str(word.get("name", "")) for word in field["words"])
        shortened = words if len(words) <= WORDS_SHOWN else words[:WORDS_SHOWN] + "..., see --json"
        yield field | {"needed": "yes" if field["is_needed"] else "", "words": shortened}
