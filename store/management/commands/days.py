from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.core.management.base import CommandParser
from django.db.models import QuerySet

from store import summaries
from store.management.arguments import add_limit
from store.management.data_command import DataCommand
from store.management.day_arguments import add_day_arguments, given_days
from store.management.device_arguments import check_device, named
from store.models import DaySummary

COLUMNS = (
    "day", "protocol", "identity", "reports", "km", "driving_h", "idle_h", "stopped_h", "online_h", "max_kmh", "mean_kmh", "alarms",
)  # fmt: skip
CHANNEL_COLUMNS = ("day", "protocol", "identity", "channel", "readings", "minimum", "mean", "maximum", "last")
_FIELDS = (
    "day", "begins_at", "ends_at", "as_of", "report_count", "first_at", "last_at", "distance_km", "is_by_odometer",
    "driving_seconds", "idle_seconds", "stopped_seconds", "online_seconds", "max_speed_kmh", "mean_speed_kmh", "alarm_count",
    "is_open",
)  # fmt: skip
_CHANNEL_FIELDS = ("readings", "minimum", "mean", "maximum", "last")


class Command(DataCommand):
    help = "Show what days of devices came to, the newest first, as far as they are summed up."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add_day_arguments(parser)
        parser.add_argument("--channels", action="store_true", dest="has_channels", help="show their numeric channels instead")
        add_limit(parser, text="so many days at most")

    def handle(self, *args: Any, **options: Any) -> None:
        identity = options["device"]
        check_device(identity)
        days = given_days(options)
        first, last = days if days is not None else (None, None)
        found = summaries.newest_days(options["limit"], identity, first, last)
        empty = "No such days are summed up: iotgw summaries compute has workers do it."
        if options["has_channels"]:
            self.print_rows(_channel_rows(found), CHANNEL_COLUMNS, options["is_json"], empty)
        else:
            self.print_rows(_rows(found), COLUMNS, options["is_json"], empty)


def _rows(days: Iterable[DaySummary]) -> Iterator[dict[str, Any]]:
    for day in days:
        hours = {f"{name}_h": f"{getattr(day, name + '_seconds') / 3600:.2f}" for name in ("driving", "idle", "stopped", "online")}
        speeds = {"max_kmh": _rounded(day.max_speed_kmh), "mean_kmh": _rounded(day.mean_speed_kmh)}
        shown = {"reports": day.report_count, "km": _rounded(day.distance_km), "alarms": day.alarm_count, **hours, **speeds}
        yield named(day.device) | {field: getattr(day, field) for field in _FIELDS} | shown | {"day": day.day.isoformat()}


def _channel_rows(days: QuerySet[DaySummary]) -> Iterator[dict[str, Any]]:
    for day in days.prefetch_related("channels"):
        for channel in sorted(day.channels.all(), key=lambda channel: channel.name):
            figures = {field: getattr(channel, field) for field in _CHANNEL_FIELDS}
            yield named(day.device) | {"day": day.day.isoformat(), "channel": channel.name} | figures


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
