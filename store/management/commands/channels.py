from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from store.channelsettings import ChannelError, change, channel
from store.limits import Limits
from store.management.data_command import DataCommand, command_line_actor
from store.management.device_arguments import found_device
from store.models import Device
from store.readings import Reading, readings

COLUMNS = ("name", "label", "value", "unit", "age", "beyond", "limits")
_FIELDS = ("name", "kind", "unit", "label", "english", "chinese", "is_hidden", "place", *Limits._fields)
_NONE = object()
"""Asked for, beside what is not asked for."""
_PLACES = range(-(2**31), 2**31)


class Command(DataCommand):
    help = "List what a device measures and tells, with its newest values; say what a channel is called and what is too much."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("protocol", metavar="PROTOCOL")
        parser.add_argument("identity", metavar="IDENTITY", help="as the protocol gives it: see a listed device's")
        parser.add_argument("name", metavar="NAME", nargs="?", help="of this channel only; what follows changes it")
        parser.add_argument("--all", action="store_true", dest="is_all", help="list hidden channels too")
        parser.add_argument("--unit", metavar="TEXT", help="what it is measured in; no device changes it then")
        parser.add_argument("--label", metavar="TEXT", help="what people call it")
        for field, text in zip(Limits._fields, ("too little", "too much", "far too little", "far too much"), strict=True):
            option = "--" + field.replace("_", "-")
            parser.add_argument(option, type=_limit, metavar="NUMBER", help=f'beyond this it is {text}; "none" for no limit')
        parser.add_argument("--place", type=_place, metavar="NUMBER", help='where in the list, from the lowest; "none" for last')
        choice = parser.add_mutually_exclusive_group()
        choice.add_argument("--hide", action="store_true", default=None, dest="is_hidden", help="leave it out of lists")
        choice.add_argument("--show", action="store_false", default=None, dest="is_hidden", help="have it in lists again")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._handle(options)
        except ChannelError as error:
            raise CommandError(str(error)) from error

    def _handle(self, options: dict[str, Any]) -> None:
        device = found_device(options["protocol"], options["identity"])
        name = options["name"]
        changes = {field: options[field] for field in ("unit", "label", *Limits._fields, "place", "is_hidden")}
        changes = {field: None if value is _NONE else value for field, value in changes.items() if value is not None}
        if not changes:
            self._list(device, name, options["is_all"], options["is_json"])
            return
        if name is None:
            raise CommandError("name the channel that is to be changed")
        change(device, name, changes, command_line_actor())
        self.stdout.write(f"changed {name} of {device}")

    def _list(self, device: Device, name: str | None, is_all: bool, is_json: bool) -> None:
        if name is not None:
            channel(device, name)
        found = [one for one in readings(device) if name in (None, one.channel.name)]
        shown = [one for one in found if is_all or name or not one.channel.is_hidden]
        self.print_rows(_rows(shown), COLUMNS, is_json, "It has reported no values yet." if not found else "All are hidden.")


def _limit(text: str) -> float | object:
    return _NONE if text == "none" else float(text)


def _place(text: str) -> int | object:
    if text == "none":
        return _NONE
    if int(text) not in _PLACES:
        raise ValueError
    return int(text)


_limit.__name__ = "number"
_place.__name__ = "number"


def _rows(found: Iterable[Reading]) -> Iterator[dict[str, Any]]:
    now = timezone.now()
    for reading in found:
        channel = reading.channel
        row = {field: getattr(channel, field) for field in _FIELDS}
        yield row | {
            "label": channel.label or channel.english,
            "value": reading.value,
            "time": reading.time,
            "age": _age(reading, now),
            "beyond": reading.beyond or "",
            "limits": _shown(channel.limits),
            "report_kind": reading.report_kind,
            "report_digest": reading.report_digest,
        }


def _shown(limits: Limits) -> str:
    """The limits as people write them: ``10 … 80, critical … 90``."""
    pairs = (("", limits.low, limits.high), ("critical ", limits.critical_low, limits.critical_high))
    return ", ".join(
        f"{word}{'' if low is None else f'{low:g} '}…{'' if high is None else f' {high:g}'}"
        for word, low, high in pairs
        if (low, high) != (None, None)
    )


def _age(reading: Reading, now: datetime) -> str:
    """How old a value is; nothing for one that is not there."""
    if reading.time is None:
        return "" if reading.value is None else "older"
    age = max(now - reading.time, timedelta(0))
    for unit, length in (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("min", timedelta(minutes=1))):
        if age >= 2 * length:
            return f"{age // length} {unit}"
    return f"{age.seconds} s"
