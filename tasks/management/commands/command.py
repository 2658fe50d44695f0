from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NoReturn

from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from rich.console import Console
from rich.progress import Progress

from protocols.commandtable import kinds_of
from protocols.registry import registered
from settings.load import load_or_exit
from store import groups
from store.commands import asking, lists
from store.commands.asking import EFFECTS, Request, Terms
from store.commands.bodies import newest_head
from store.commands.errors import ERRORS, AskError, NotPermittedError, UnknownCommandError, UnknownDeviceError
from store.groups import GroupError
from store.json_text import plain_text
from store.management.data_command import DataCommand, cell, command_line_actor, json_line
from store.models import Command as Row
from store.models import CommandRun, Device, Group
from tasks.commands import announce
from tasks.management.command_words import pace, read_fields, seconds

NOT_OVER, SOME = 3, 7
ENDS = {Row.State.ACKNOWLEDGED: 0, Row.State.FAILED: 4, Row.State.EXPIRED: 5, Row.State.CANCELLED: 6}
"""The exit status by how a command has ended."""
REFUSALS = {error: 10 + place for place, error in enumerate(ERRORS)}
"""The exit status by why it was not taken."""
LOOK_SECONDS = 0.5
DEVICES_AT_ONCE = 200
REFUSALS_SHOWN = 20


class Command(DataCommand):
    help = (
        "Have a device, or a group of them, do something. Exit status 0: it is asked for, or with --wait done. "
        "With --wait 3: not over yet, 4: failed, 5: expired, 6: cancelled. 7: not by all of a group. Not taken: "
        + ", ".join(f"{status}: {error.code}" for error, status in REFUSALS.items())
        + "."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.usage = (
            "%(prog)s DEVICE NAME [FIELD=VALUE ...] [--wait [SPAN]] [options]\n"
            "       %(prog)s --group GROUP NAME [FIELD=VALUE ...] [--pace N/s] [options]"
        )
        parser.add_argument(
            "words",
            nargs="+",
            metavar="WORD",
            help="the device's identity, as devices lists it (not with --group), the command's name and its fields, name=value, as "
            "commands kinds lists them",
        )
        parser.add_argument("--protocol", metavar="PROTOCOL", help="of the device, where several have its identity; of a group's")
        parser.add_argument("--group", metavar="GROUP", help="for all devices in it, as North/Plant, and below")
        parser.add_argument(
            "--pace", type=pace, default=5.0, metavar="N/s", help="so many devices of the group a second (5/s); or N/min, N/h"
        )
        parser.add_argument(
            "--expires",
            type=seconds,
            metavar="SPAN",
            help="not to be sent later than that: 90s, 15min, 2h, 1d (as its effect has it)",
        )
        parser.add_argument(
            "--if", dest="condition", default="", metavar="CONDITION", help="sent only if so then: 'speed_kmh <= 0 within 30 s'"
        )
        parser.add_argument("--online", action="store_true", dest="must_be_online", help="refuse it for a device that is offline")
        parser.add_argument("--raw", action="store_true", dest="is_raw", help="permit bytes that nobody checks: raw kind=0x8104")
        parser.add_argument("--yes", action="store_true", dest="is_confirmed", help="it is meant, though it may do harm")
        parser.add_argument(
            "--wait", nargs="?", type=seconds, const=float("inf"), metavar="SPAN", help="wait for its end, for so long at the most"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        settings = load_or_exit()
        terms = Terms(registered(settings.protocols), settings.commands_per_minute)
        words = list(map(plain_text, options["words"]))
        try:
            if options["group"] is None:
                self._ask(words, terms, options)
            else:
                self._ask_group(words, terms, options)
        except AskError as error:
            _refuse(error)

    def _ask(self, words: Sequence[str], terms: Terms, options: dict[str, Any]) -> None:
        if len(words) < 2:
            raise CommandError("give the device and the command: command DEVICE NAME [FIELD=VALUE]", returncode=2)
        device = _device(words[0], options["protocol"])
        request = _request(device, words[1], words[2:], terms, options)
        row = asking.ask(request, terms, command_line_actor(), _permitted(options), datetime.now(UTC))
        is_told = announce([row.id])
        if options["wait"] is not None:
            row = self._wait(row, options["wait"])
        else:
            row.refresh_from_db()
        if options["is_json"]:
            self.stdout.write(json_line({**lists.shown(row), "steps": list(lists.steps(row))}))
        else:
            self._print(row, is_told)
        if options["wait"] is not None and (status := ENDS.get(Row.State(row.state), NOT_OVER)):
            raise SystemExit(status)

    def _print(self, row: Row, is_told: bool) -> None:
        told = f"{row} for {row.device}: {row.state}" + (f", {cell(row.reason)}" if row.reason else "")
        if row.state == Row.State.QUEUED:
            told += f" until {row.expires_at:%Y-%m-%d %H:%M:%S}"
        self.stdout.write(told)
        if not is_told:
            self.stdout.write("Redis is away: gateways are told when workers have it again.")
        if row.is_open:
            self.stdout.write(f"Follow it with commands show {row.id}; commands cancel {row.id} ends it while it is queued.")

    def _wait(self, row: Row, longest: float) -> Row:
        until = time.monotonic() + longest
        with _progress() as progress:
            bar = progress.add_task(str(row), total=None)
            try:
                while row.is_open and time.monotonic() < until:
                    progress.update(bar, description=f"{row}: {row.state}")
                    time.sleep(LOOK_SECONDS)
                    row.refresh_from_db()
            except KeyboardInterrupt:
                progress.console.print("It goes on.")
        return row

    def _ask_group(self, words: Sequence[str], terms: Terms, options: dict[str, Any]) -> None:
        devices = _devices_of(options["group"], options["protocol"])
        request = _request(_first_with(words[0], devices, terms), words[0], words[1:], terms, options)
        actor, permitted = command_line_actor(), _permitted(options)
        run: CommandRun | None = None
        asked, refused = 0, list[tuple[Device, AskError]]()
        with _progress() as progress:
            bar = progress.add_task("devices", total=len(devices))
            for start in range(0, len(devices), DEVICES_AT_ONCE):
                some = devices[start : start + DEVICES_AT_ONCE]
                # What is wrong for all of them leaves nothing.
                with transaction.atomic():
                    if run is None:
                        run = asking.begin_run(words[0], f"group {options['group']}", options["pace"], actor, datetime.now(UTC))
                    made, others = asking.ask_in_run(run, request, [each.id for each in some], asked, terms, actor, permitted)
                asked += len(made)
                refused += others
                announce([row.id for row in made])
                progress.advance(bar, len(some))
        assert run is not None, "there are devices"
        if options["wait"] is not None:
            self._wait_for_run(run, asked, options["wait"])
        self._print_run(run, asked, refused, options["is_json"])
        counts = lists.progress(run)
        if refused or (options["wait"] is not None and counts[Row.State.ACKNOWLEDGED] < asked):
            raise SystemExit(SOME)

    def _wait_for_run(self, run: CommandRun, asked: int, longest: float) -> None:
        until = time.monotonic() + longest
        with _progress() as progress:
            bar = progress.add_task(str(run), total=asked)
            try:
                while (ended := asked - _open(run)) < asked and time.monotonic() < until:
                    progress.update(bar, completed=ended, description=f"{run}: {_in_words(run)}")
                    time.sleep(LOOK_SECONDS)
            except KeyboardInterrupt:
                progress.console.print("It goes on.")

    def _print_run(self, run: CommandRun, asked: int, refused: Sequence[tuple[Device, AskError]], is_json: bool) -> None:
        if is_json:
            faults = [
                {"protocol": device.protocol, "identity": device.identity, "code": error.code, "text": str(error)}
                for device, error in refused
            ]
            self.stdout.write(json_line({"run": run.id, "asked": asked, "refused": faults, "states": lists.progress(run)}))
            return
        for device, error in refused[:REFUSALS_SHOWN]:
            self.stdout.write(f"not for {device}: {cell(str(error))}")
        if len(refused) > REFUSALS_SHOWN:
            self.stdout.write(f"and {len(refused) - REFUSALS_SHOWN} more, see --json")
        self.stdout.write(f"{run} for {asked} devices, at {run.pace:g} a second: {_in_words(run) or 'none'}")
        if _open(run):
            self.stdout.write(f"Follow it with commands runs; commands cancel --run {run.id} ends what is queued of it.")


def _request(device: Device, name: str, words: Sequence[str], terms: Terms, options: dict[str, Any]) -> Request:
    """Raises: AskError"""
    protocol = terms.protocols.get(device.protocol)
    if protocol is None:
        raise UnknownCommandError(f"there is no protocol {device.protocol} here, so that nobody knows its commands")
    fields = read_fields(words, asking.kind_of(protocol, name, newest_head(device.id)).fields)
    names = ("condition", "is_confirmed", "must_be_online")
    given = {option: options[option] for option in names}
    return Request(device.protocol, device.identity, name, fields, expires_in=options["expires"], **given)


def _first_with(name: str, devices: Sequence[Device], terms: Terms) -> Device:
    """The first device of whose protocol there is such a command, if there is one."""
    first = {each.protocol: each for each in reversed(devices)}
    names = [protocol for protocol in first if protocol in terms.protocols and name in kinds_of(terms.protocols[protocol])]
    return min((first[protocol] for protocol in names), key=lambda each: each.id, default=devices[0])


def _permitted(options: dict[str, Any]) -> frozenset[str]:
    return frozenset(effect for effect in EFFECTS if effect != "raw" or options["is_raw"])


def _device(identity: str, protocol: str | None) -> Device:
    """Raises: UnknownDeviceError, CommandError"""
    found = Device.objects.filter(identity=identity, **({} if protocol is None else {"protocol": protocol}))
    devices = list(found.order_by("protocol"))
    if not devices:
        raise UnknownDeviceError(f"there is no device {' '.join(filter(None, (protocol, identity)))}: list them with devices")
    if len(devices) > 1:
        raise CommandError(
            f"there are several devices {identity}: give --protocol, one of {', '.join(each.protocol for each in devices)}",
            returncode=2,
        )
    return devices[0]


def _devices_of(title: str, protocol: str | None) -> list[Device]:
    """In the order of their ids.

    Raises: CommandError, UnknownDeviceError
    """
    try:
        group = groups.find(title)
    except GroupError as error:
        raise CommandError(str(error)) from error
    found = Device.objects.filter(group__in=Group.objects.filter(groups.below([group])))
    if protocol is not None:
        found = found.filter(protocol=protocol)
    devices = list(found.only("id", "protocol", "identity").order_by("id"))
    if not devices:
        raise UnknownDeviceError(f"there are no devices in {title}" + (f" of {protocol}" if protocol else ""))
    return devices


def _refuse(error: AskError) -> NoReturn:
    more = ""
    if isinstance(error, NotPermittedError):
        more = ": add --raw, if you know the bytes"
    elif error.code == "confirmation_needed":
        more = ", with --yes"
    raise CommandError(f"{error}{more}", returncode=REFUSALS[type(error)]) from error


def _open(run: CommandRun) -> int:
    return sum(lists.progress(run)[state] for state in Row.OPEN)


def _in_words(run: CommandRun) -> str:
    return ", ".join(f"{count} {state}" for state, count in lists.progress(run).items() if count)


@contextmanager
def _progress() -> Iterator[Progress]:
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        yield progress
