"""What commands share that start something in the background, and show how far it is."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar

from django.core.management.base import CommandError, CommandParser

from store import background
from store.management.arguments import add_action, add_limit, row_id
from store.management.data_command import DataCommand, command_line_actor, json_line, progress_bar
from store.models import Background

FOLLOW_SECONDS = 1.0
B = TypeVar("B", bound=Background)


class BackgroundCommand(DataCommand):
    """A command with actions for the requests of a table."""

    name: ClassVar[str]
    request: ClassVar[str]
    """What one of them is called."""
    done_text: ClassVar[str]
    """What becomes of the rows that are behind it."""

    def add_listing(self, actions: Any) -> CommandParser:
        parser = add_action(actions, "list", "List them, the newest first.")
        add_limit(parser)
        return parser

    def add_showing(self, actions: Any) -> CommandParser:
        parser = self.add_numbered(actions, "show", "Show how far one is, and what it has come to.")
        parser.add_argument("--follow", action="store_true", help="until it ends, with a bar on a terminal")
        return parser

    def add_numbered(self, actions: Any, action: str, text: str) -> CommandParser:
        parser = add_action(actions, action, text)
        parser.add_argument("number", type=row_id, metavar="NUMBER", help="as list has it")
        return parser

    def find(self, requests: type[B], number: int) -> B:
        """Raises: CommandError"""
        row = requests._default_manager.filter(id=number).first()
        if row is None:
            raise CommandError(f"there is no {self.request} {number}: list them with {self.name} list")
        return row

    def tell_start(self, row: Background, shown: dict[str, Any], is_sent: bool, is_json: bool, size: str = "") -> None:
        if is_json:
            self.stdout.write(json_line(shown))
            return
        self.stdout.write(f"started {row}{size}: follow it with {self.name} show {row.pk} --follow")
        if not is_sent:
            self.stdout.write("The broker is away: it begins when workers have it again.")

    def cancel(self, requests: type[B], number: int, action: str) -> B:
        """The one that is cancelled; ``action`` is what the audit calls it.

        Raises: CommandError
        """
        row = self.find(requests, number)
        if not background.cancel(requests, number, datetime.now(UTC), command_line_actor(), action):
            row.refresh_from_db()
            raise CommandError(f"{row} is {row.state} already")
        return row

    def follow(self, row: B) -> B:
        """As it is when it has ended, or when nobody wants to wait any more."""
        with progress_bar() as progress:
            bar = progress.add_task(str(row), total=100)
            try:
                while row.is_open:
                    text = f"{row}: {row.done:,} {self.done_text}, {row.state}"
                    progress.update(bar, completed=row.percent, description=text)
                    time.sleep(FOLLOW_SECONDS)
                    row.refresh_from_db()
            except KeyboardInterrupt:
                progress.console.print(f"It goes on; {self.name} cancel ends it.")
        return row
