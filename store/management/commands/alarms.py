from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.core.management.base import CommandError, CommandParser

from store import handling, queries
from store.json_text import plain_text
from store.management.arguments import add_action, add_limit
from store.management.data_command import DataCommand, command_line_actor, login_name
from store.management.device_arguments import named
from store.models import HANDLER_LENGTH, Alarm, AlarmReason

COLUMNS = (
    "id", "state", "severity", "kind", "protocol", "identity",
    "times", "first_at", "last_at", "ongoing", "again", "handled_by", "note",
)  # fmt: skip
_FIELDS = (
    "id", "state", "severity", "kind", "times", "first_at", "last_at", "is_ongoing", "latitude", "longitude",
    "reopenings", "handled_at", "handled_by", "note", "reason",
)  # fmt: skip


class Command(DataCommand):
    help = "List alarms, the open ones first; acknowledge or close one."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add_limit(parser, text="list so many at most")
        actions = parser.add_subparsers(dest="action", title="actions", metavar="ack | close")
        for action, text in (
            ("ack", "Acknowledge an open alarm: say that somebody looks after it."),
            ("close", "Close an alarm and say what it was. It is opened again when its device tells of it anew."),
        ):
            subparser = add_action(actions, action, text)
            subparser.add_argument("id", metavar="ID", type=int, help="as it is listed")
            subparser.add_argument("--note", default="", help="a word for others")
            subparser.add_argument("--by", default="", metavar="NAME", help="who does it; your login name by default")
            if action == "close":
                subparser.add_argument("--reason", required=True, choices=AlarmReason.values, help="what it was")

    def handle(self, *args: Any, **options: Any) -> None:
        match options["action"]:
            case "ack" | "close":
                self._handle_alarm(**options)
            case _:
                self.print_rows(_rows(queries.alarms(options["limit"])), COLUMNS, options["is_json"], "There are no alarms.")

    def _handle_alarm(self, action: str, id: int, note: str, by: str, reason: str = "", **_: Any) -> None:
        by, note = plain_text(by or login_name())[:HANDLER_LENGTH], plain_text(note)
        actor = command_line_actor()
        try:
            if action == "ack":
                alarm = handling.acknowledge(id, by, note, actor)
            else:
                alarm = handling.close(id, by, AlarmReason(reason), note, actor)
        except Alarm.DoesNotExist as error:
            raise CommandError(f"there is no alarm {id}: list them with alarms") from error
        except handling.HandledError as error:
            raise CommandError(f"alarm {id} stays as it is: {error}") from error
        self.stdout.write(f"{alarm.state} {alarm.kind} of {alarm.device}")


def _rows(alarms: Iterable[Alarm]) -> Iterator[dict[str, Any]]:
    for alarm in alarms:
        row = {field: getattr(alarm, field) for field in _FIELDS}
        shown = {"ongoing": "ongoing" if alarm.is_ongoing else "", "again": "again" if alarm.reopenings else ""}
        yield row | named(alarm.device) | shown
