from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from django.db.models import Count, Q

from store.management.arguments import add_action, add_json, moment, row_count
from store.management.data_command import DataCommand, command_line_actor, json_line, progress_bar
from store.management.device_arguments import found_device, named
from store.models import Phase, Rule
from store.rules import changes, trial
from store.rules.declaration import RuleDeclaration
from store.rules.errors import RuleError
from store.rules.reading import MOST_BYTES, read_rules
from store.rules.rulebook import MOST_STANDINGS, KnownRules, compile_row, declaration_of
from store.rules.trial import Looked, Opening, Span

COLUMNS = ("name", "enabled", "severity", "scope", "ongoing", "pending", "full", "changed_at")
OPENING_COLUMNS = ("protocol", "identity", "begun_at", "ended_at", "seconds", "latitude", "longitude")


class Command(DataCommand):
    help = "List rules, which open alarms by what devices report, add and change them, and try one on what is stored."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        words = "list | show | add | change | enable | disable | delete | try | export"
        actions = parser.add_subparsers(dest="action", title="actions", metavar=words)
        listing = add_action(actions, "list", "List rules, with how many alarms each has open.")
        showing = add_action(actions, "show", "Show a rule as JSON, as it can be added again.")
        adding = add_action(actions, "add", "Add the rules of a file.")
        changing = add_action(actions, "change", "Have rules be as the file says, which names them. They begin anew.")
        enabling = add_action(actions, "enable", "Have a rule open alarms from now on.")
        disabling = add_action(actions, "disable", "Have a rule open none, and end those that it has.")
        deleting = add_action(actions, "delete", "Delete a rule, and end its alarms, which stay in the list.")
        trying = add_action(actions, "try", "Show when a rule would have opened its alarm, by what is stored. Changes nothing.")
        add_action(actions, "export", "Write all rules as JSON, as they can be added again.")
        for action in (showing, enabling, disabling, deleting):
            action.add_argument("name", metavar="NAME", help="as list has it")
        for action in (adding, changing):
            action.add_argument("file", metavar="FILE", help='JSON: one rule, or a list of them; "-" is standard input')
        for action in (adding, changing, enabling):
            action.add_argument("--even-so", action="store_true", help=f"also if it holds for over {MOST_STANDINGS:,} devices")
        trying.add_argument("rule", metavar="FILE|NAME", help="a file with one rule, or one that there is")
        trying.add_argument(
            "--from", type=moment, dest="since", metavar="TIME", help="from this time on (a day ago): 2026-03-01T12:00+08:00"
        )
        trying.add_argument("--to", type=moment, dest="until", metavar="TIME", help="before this time (now)")
        trying.add_argument("--device", nargs=2, metavar=("PROTOCOL", "IDENTITY"), help="of this device only")
        trying.add_argument("--limit", type=row_count, default=1_000, help="list so many at most (1000); all are counted")
        add_json(listing, trying)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._handle(options)
        except RuleError as error:
            raise CommandError(str(error)) from error

    def _handle(self, options: dict[str, Any]) -> None:
        match options["action"]:
            case "show":
                self.stdout.write(_pretty(declaration_of(changes.find(options["name"])).to_json()))
            case "add" | "change":
                self._take(options["action"], options["file"], options["even_so"])
            case "enable":
                row = changes.find(options["name"])
                self._check_number(row, options["even_so"])
                changes.set_enabled(row.name, True, command_line_actor())
                self.stdout.write(f"enabled {row.name}")
            case "disable":
                changes.set_enabled(options["name"], False, command_line_actor())
                self._tidy()
                self.stdout.write(f"disabled {options['name']}")
            case "delete":
                changes.remove(options["name"], command_line_actor())
                self._tidy()
                self.stdout.write(f"deleted {options['name']}")
            case "try":
                self._try(options)
            case "export":
                self._print_json(changes.exported())
            case _:
                self.print_rows(_rows(), COLUMNS, options["is_json"], "There are no rules yet.")

    def _take(self, action: str, file: str, is_even_so: bool) -> None:
        rules = _read(file)
        with progress_bar() as progress:
            for rule in progress.track(rules, description="looking at what devices told last"):
                if rule.enabled:
                    self._check_number(changes.made(rule), is_even_so)
        with transaction.atomic():
            done = [(changes.add if action == "add" else changes.change)(rule, command_line_actor()) for rule in rules]
        self._tidy()
        for row in done:
            self.stdout.write(f"{'added' if action == 'add' else 'changed'} {row.name}")

    def _check_number(self, row: Rule, is_even_so: bool) -> None:
        """Raises: CommandError if a rule holds for more devices than it may have alarms."""
        if not is_even_so and trial.holding(row, compile_row(row), MOST_STANDINGS) > MOST_STANDINGS:
            raise CommandError(
                f"{row.name} holds for more than {MOST_STANDINGS:,} devices by what they told last, and a rule may have so many "
                "alarms at most: is its scope too wide, or its value the wrong one? --even-so takes it, and opens as many"
            )

    def _tidy(self) -> None:
        """End what rules that have changed leave behind, step by step."""
        with progress_bar() as progress:
            bar = progress.add_task("ending alarms", total=None)
            for count in changes.tidy(KnownRules(), datetime.now(UTC)):
                progress.advance(bar, count)

    def _try(self, options: dict[str, Any]) -> None:
        row = _rule(options["rule"])
        now = datetime.now(UTC)
        span = Span(options["since"] or now - timedelta(days=1), options["until"] or now)
        if span.since >= span.until:
            raise CommandError("--from is not before --to")
        only = found_device(*options["device"]) if options["device"] else None
        looked, listed, hit, times = Looked(), list[Opening](), set[int](), 0
        with progress_bar() as progress:
            bar = progress.add_task(f"trying {row.name}", total=trial.devices(row, only))
            for opening in trial.openings(row, compile_row(row), span, only, looked):
                if opening is None:
                    progress.update(bar, completed=looked.devices)
                    continue
                times += 1
                hit.add(opening.device.pk)
                if len(listed) < options["limit"]:
                    listed.append(opening)
        told = {
            "rule": row.name, "from": span.since, "to": span.until, "devices": looked.devices, "reports": looked.reports,
            "openings": times, "devices_with_openings": len(hit),
        }  # fmt: skip
        if options["is_json"]:
            self.stdout.write(json_line({**told, "listed": list(map(_opening_row, listed))}))
            return
        if listed:
            self.print_rows(map(_opening_row, listed), OPENING_COLUMNS, False, "")
        if times > len(listed):
            self.stdout.write(f"and {times - len(listed):,} more")
        where = f"{len(hit):,} of {looked.devices:,} devices, by {looked.reports:,} reports"
        self.stdout.write(f"{row.name} would have opened {times:,} times on {where}")


def _read(file: str) -> list[RuleDeclaration]:
    """Raises: CommandError"""
    try:
        if file == "-":
            return read_rules(sys.stdin.read(MOST_BYTES + 1))
        with Path(file).open(encoding="utf-8") as opened:
            return read_rules(opened.read(MOST_BYTES + 1))
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{file}: not written in UTF-8") from error
    except RuleError as error:
        raise CommandError(f"{'standard input' if file == '-' else file}: {error}") from error


def _rule(text: str) -> Rule:
    """One that there is, or that a file has.

    Raises: CommandError
    """
    row = Rule.objects.select_related("group").filter(name=text, is_removed=False).first()
    if row is not None:
        return row
    if text != "-" and not Path(text).exists():
        raise CommandError(f"there is no rule {text} and no such file: list rules with rules list")
    rules = _read(text)
    if len(rules) != 1:
        raise CommandError(f"{text}: there are {len(rules)} rules in it: give one")
    return changes.made(rules[0])


def _rows() -> Iterator[dict[str, Any]]:
    counted = {
        "pending": Count("states", filter=Q(states__phase=Phase.PENDING)),
        "ongoing": Count("states", filter=~Q(states__phase=Phase.PENDING)),
    }
    found: Iterable[Any] = Rule.objects.filter(is_removed=False).select_related("group").annotate(**counted).order_by("name")
    for row in found:
        told = declaration_of(row).to_json()
        full = row.pending + row.ongoing >= MOST_STANDINGS
        counts = {"ongoing": row.ongoing, "pending": row.pending, "full": "full" if full else ""}
        yield {**told, **counts, "version": row.version, "changed_at": row.changed_at}


def _opening_row(opening: Opening) -> dict[str, Any]:
    latitude, longitude = opening.place or (None, None)
    return named(opening.device) | {
        "begun_at": opening.begun_at,
        "ended_at": opening.ended_at,
        "seconds": None if opening.ended_at is None else round((opening.ended_at - opening.begun_at).total_seconds()),
        "latitude": latitude,
        "longitude": longitude,
    }


def _pretty(rule: dict[str, Any]) -> str:
    return json.dumps(rule, ensure_ascii=False, indent=2)
