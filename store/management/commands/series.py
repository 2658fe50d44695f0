from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from store.days import Span
from store.management.arguments import moment
from store.management.data_command import DataCommand
from store.management.device_arguments import found_device
from store.models import Channel
from store.series import MOST_POINTS, SeriesError, series

COLUMNS = ("begins_at", "readings", "minimum", "mean", "maximum", "last")
DEFAULT_POINTS = 500


class Command(DataCommand):
    help = "Show what a channel of a device was over a span of time, by five minutes, hours or days, in so many points at most."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("protocol", metavar="PROTOCOL")
        parser.add_argument("identity", metavar="IDENTITY", help="as the protocol gives it: see a listed device's")
        parser.add_argument("name", metavar="NAME", help="of the channel, as channels lists it")
        parser.add_argument("--from", type=moment, dest="since", metavar="TIME", help="7 days before its end by default")
        parser.add_argument("--to", type=moment, dest="until", metavar="TIME", help="now by default: 2026-03-01T12:00+08:00")
        parser.add_argument("--points", type=int, default=DEFAULT_POINTS, help=f"1 to {MOST_POINTS}; {DEFAULT_POINTS} by default")

    def handle(self, *args: Any, **options: Any) -> None:
        device = found_device(options["protocol"], options["identity"])
        if not Channel.objects.filter(device=device, name=options["name"]).exists():
            raise CommandError(f"{device} has no channel {options['name']}: list them with channels")
        until = options["until"] or timezone.now()
        span = Span(options["since"] or until - timedelta(days=7), until)
        try:
            found = series(device, options["name"], span, options["points"])
        except SeriesError as error:
            raise CommandError(str(error)) from error
        rows = ({**point._asdict(), "step_seconds": int(found.step.total_seconds())} for point in found.points)
        self.print_rows(rows, COLUMNS, options["is_json"], "Nothing is rolled up of it within that time.")
