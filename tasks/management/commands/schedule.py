from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.management.base import CommandError, CommandParser

from settings.load import load
from store.management.arguments import add_action, add_json
from store.management.data_command import DataCommand, command_line_actor
from tasks.schedule import changes
from tasks.schedule.changes import ChangeError
from tasks.schedule.crontab import CrontabError

COLUMNS = ("name", "when", "enabled", "last_run", "next_run", "runs", "what")
LONGEST_SECONDS = 31 * 86_400


class Command(DataCommand):
    help = "Show what is done now and then, and when; change it, or have it done now. Beat sees a change within seconds."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        actions = parser.add_subparsers(dest="action", title="actions", metavar="list | set | enable | disable | run")
        listing = add_action(actions, "list", "Show all of it, with times in UTC; so does schedule alone.")
        add_json(listing)
        setting = add_action(actions, "set", "Have something run at other times.")
        setting.add_argument("name", metavar="NAME", help="as list has it")
        when = setting.add_mutually_exclusive_group(required=True)
        when.add_argument("--every", type=_seconds, metavar="SECONDS", help="so often")
        when.add_argument(
            "--crontab",
            metavar='"MINUTE HOUR DAY MONTH WEEKDAY"',
            help="at these times; where day and weekday are both given, both have to match",
        )
        setting.add_argument("--timezone", metavar="ZONE", help="of the crontab; day_timezone by default")
        for name, text in (("enable", "Have it run again."), ("disable", "Do not have it run.")):
            add_action(actions, name, text).add_argument("name", metavar="NAME", help="as list has it")
        running = add_action(actions, "run", "Have a worker do it now, beside its times.")
        running.add_argument("name", metavar="NAME", help="as list has it")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._handle(options)
        except (ChangeError, CrontabError) as error:
            raise CommandError(str(error)) from error

    def _handle(self, options: dict[str, Any]) -> None:
        zone, name, actor = ZoneInfo(load().day_timezone), options.get("name", ""), command_line_actor()
        match options["action"]:
            case "set":
                if options["timezone"] and options["every"]:
                    raise CommandError("--timezone goes with --crontab: an interval has none")
                zone = _zone(options["timezone"]) if options["timezone"] else zone
                when = changes.set_when(name, options["every"] or options["crontab"], zone, actor)
                self.stdout.write(f"{name} runs: {when}")
            case "enable" | "disable" as action:
                is_changed = changes.switch(name, action == "enable", actor)
                self.stdout.write(f"{name} is {'' if is_changed else 'already '}{action}d")
            case "run":
                changes.run(name, actor)
                self.stdout.write(f"{name} is asked for")
            case _:
                self._list(zone, options["is_json"])

    def _list(self, zone: ZoneInfo, is_json: bool) -> None:
        found = list(changes.lines(zone))
        self.print_rows((line._asdict() for line in found), COLUMNS, is_json, "There is nothing in the schedule.")
        for line in found if not is_json else ():
            if line.fault and line.enabled:
                self.stderr.write(f"{line.name} does not run, {line.fault}: give it other times with schedule set {line.name}")


def _seconds(text: str) -> int:
    seconds = int(text)
    if not 1 <= seconds <= LONGEST_SECONDS:
        raise ValueError
    return seconds


def _zone(text: str) -> ZoneInfo:
    """Raises: CommandError"""
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise CommandError(f"there is no time zone {text!r}: give an IANA name, for example Asia/Shanghai or UTC") from None


_seconds.__name__ = f"number of seconds from 1 to {LONGEST_SECONDS}"
