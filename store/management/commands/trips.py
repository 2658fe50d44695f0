from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.base import CommandError, CommandParser

from settings.load import load_or_exit
from store import summaries
from store.days import Span, span_of
from store.management.arguments import add_limit
from store.management.data_command import DataCommand
from store.management.day_arguments import add_day_arguments, given_days
from store.management.device_arguments import check_device, named
from store.models import Stop, Trip

COLUMNS = ("begins_at", "ends_at", "protocol", "identity", "minutes", "km", "idle_minutes", "max_kmh", "begin", "end")
STOP_COLUMNS = ("begins_at", "ends_at", "protocol", "identity", "minutes", "place")
_FIELDS = (
    "begins_at", "ends_at", "distance_km", "idle_seconds", "max_speed_kmh",
    "begin_latitude", "begin_longitude", "end_latitude", "end_longitude",
)  # fmt: skip
_STOP_FIELDS = ("begins_at", "ends_at", "latitude", "longitude")


class Command(DataCommand):
    help = "Show trips of devices, the newest first, by when they began, or stops of one device. Times are in UTC."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add_day_arguments(parser)
        parser.add_argument("--stops", action="store_true", dest="is_of_stops", help="show the stops of the device instead")
        add_limit(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        identity, limit, is_json = options["device"], options["limit"], options["is_json"]
        check_device(identity)
        span = _span(options)
        empty = "No such {} are known: iotgw summaries compute has workers look for them."
        if not options["is_of_stops"]:
            self.print_rows(_rows(summaries.newest_trips(limit, identity, span)), COLUMNS, is_json, empty.format("trips"))
        elif identity is None:
            raise CommandError("say of which device: --stops --device DEVICE")
        else:
            self.print_rows(_stop_rows(summaries.newest_stops(limit, identity, span)), STOP_COLUMNS, is_json, empty.format("stops"))


def _span(options: dict[str, Any]) -> Span | None:
    days = given_days(options)
    if days is None:
        return None
    first, last = (span_of(day, ZoneInfo(load_or_exit().day_timezone)) for day in days)
    return Span(first.begin, last.end)


def _rows(trips: Iterable[Trip]) -> Iterator[dict[str, Any]]:
    for trip in trips:
        shown = {
            "minutes": _minutes(trip),
            "km": round(trip.distance_km, 1),
            "idle_minutes": round(trip.idle_seconds / 60, 1),
            "max_kmh": trip.max_speed_kmh,
            "begin": _place(trip.begin_latitude, trip.begin_longitude),
            "end": _place(trip.end_latitude, trip.end_longitude),
        }
        yield named(trip.device) | {field: getattr(trip, field) for field in _FIELDS} | shown


def _stop_rows(stops: Iterable[Stop]) -> Iterator[dict[str, Any]]:
    for stop in stops:
        shown = {"minutes": _minutes(stop), "place": _place(stop.latitude, stop.longitude)}
        yield named(stop.device) | {field: getattr(stop, field) for field in _STOP_FIELDS} | shown


def _minutes(stretch: Trip | Stop) -> float:
    return round((stretch.ends_at - stretch.begins_at).total_seconds() / 60, 1)


def _place(latitude: float | None, longitude: float | None) -> str | None:
    return None if latitude is None or longitude is None else f"{latitude:.5f}, {longitude:.5f}"
