from __future__ import annotations

import time
from datetime import date, timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from kombu.exceptions import OperationalError
from rich.progress import Progress

from store import duedays
from store.clock import database_now
from store.days import days_between
from store.management.data_command import DataCommand, json_line, progress_bar
from store.management.day_arguments import add_day_arguments, given_days
from store.management.device_arguments import check_device
from tasks.compute import daily

MOST_DAYS = 400
LOOK_SECONDS = 0.5
IN_VAIN_SECONDS = 60.0
"""No day has come for so long: nobody works on them."""


class Command(DataCommand):
    help = "Have workers sum up days of devices: trips, stops, distance, times, channels. They do it again for days they have done."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        actions = parser.add_subparsers(dest="action", title="actions", metavar="compute", required=True)
        compute_parser = actions.add_parser("compute", help="Have days summed up that devices have reports of, and wait for it.")
        add_day_arguments(compute_parser)
        compute_parser.add_argument("--no-wait", action="store_true", dest="is_left", help="leave when workers are asked")

    def handle(self, *args: Any, **options: Any) -> None:
        days, identity = given_days(options), options["device"]
        if days is None:
            raise CommandError("say which day: --day DAY, or --from DAY --to DAY")
        first, last = days
        if options["day"] is None and (options["first"] is None or options["last"] is None):
            raise CommandError("give both: --from DAY --to DAY")
        if last - first >= timedelta(days=MOST_DAYS):
            raise CommandError(f"these are more than {MOST_DAYS} days: have them summed up one part after the other")
        check_device(identity)
        with progress_bar() as progress:
            marked = _mark(first, last, identity, progress)
            try:
                left = self._wait(first, last, identity, progress, options["is_left"])
            except (OperationalError, OSError) as error:
                raise CommandError(f"the broker is away ({error}); what is marked waits, and may be asked for again") from error
        self._tell(marked, left, options)

    def _wait(self, first: date, last: date, identity: str | None, progress: Progress, is_left: bool) -> int:
        """Ask for them until they are there, or nothing has come for a while; how many are left."""
        left = duedays.still_due(first, last, identity)
        bar = progress.add_task("sums", total=left)
        moved = time.monotonic()
        while True:
            daily.ask(time.monotonic() + LOOK_SECONDS)
            before, left = left, duedays.still_due(first, last, identity)
            progress.advance(bar, before - left)
            if left < before:
                moved = time.monotonic()
            if not left or is_left or time.monotonic() - moved > IN_VAIN_SECONDS:
                return left
            time.sleep(LOOK_SECONDS)

    def _tell(self, marked: int, left: int, options: dict[str, Any]) -> None:
        if options["is_json"]:
            self.stdout.write(json_line({"days": marked, "left": left}))
        else:
            self.stdout.write(f"{marked} days of devices, {left} left to be summed up")
        if left and not options["is_left"]:
            raise CommandError(
                f"no day has come for {IN_VAIN_SECONDS:g} s: see that workers run that take the queues compute and result, "
                "and what their log says; what is left waits"
            )


def _mark(first: date, last: date, identity: str | None, progress: Progress) -> int:
    """Mark what devices have reports of; how many days that are."""
    zone, count = daily.zone(), 0
    days = list(days_between(first, last))
    bar = progress.add_task("looking for reports", total=len(days))
    for day in days:
        after: int | None = 0
        while after is not None:
            devices, after = duedays.devices_of(day, zone, after, identity)
            duedays.mark(((device_id, day) for device_id in devices), database_now())
            count += len(devices)
        progress.advance(bar)
    return count
