from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser
from redis import RedisError

from store.management.data_command import DataCommand
from tasks.contract import QUEUES
from tasks.health import MOST_LINES, lines

COLUMNS = ("minute", *QUEUES, "dead", "workers")


class Command(DataCommand):
    help = "Show how much waited in each queue, dead letters, and how many workers there were, minute by minute, the newest first."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--minutes", type=_minutes, default=15, metavar="NUMBER", help="so many (15), of a day at most")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = lines(options["minutes"])
        except RedisError as error:
            cause = type(error).__name__
            raise CommandError(f"Redis does not answer ({cause}): see that it runs, and that redis_url is right") from error
        rows = (
            {
                "minute": datetime.fromtimestamp(line.minute * 60, UTC),
                **{queue: line.depths.get(queue, 0) for queue in QUEUES},
                "dead": line.dead,
                "workers": line.workers,
            }
            for line in found
        )
        self.print_rows(rows, COLUMNS, options["is_json"], "Nothing was measured yet: do beat and a worker run?")


def _minutes(text: str) -> int:
    if not 1 <= int(text) <= MOST_LINES:
        raise ValueError
    return int(text)


_minutes.__name__ = f"number from 1 to {MOST_LINES}"
