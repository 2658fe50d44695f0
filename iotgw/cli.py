"""The ``iotgw`` command."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from iotgw.commands import replace_process
from protocols import Camera, DeviceProtocol
from protocols.registry import RegistryError, registered
from settings import Settings, SettingsError, load

PASSED_ON: dict[str, Any] = {"ignore_unknown_options": True, "help_option_names": [], "allow_extra_args": True}
STORE_COMMANDS = {
    "devices": "List devices and whether they are online, add, change, import and export them.",
    "groups": "List groups of devices as a tree, and change it.",
    "reports": "Show the newest stored reports.",
    "channels": "List what a device measures, set units and limits.",
    "series": "Show a channel of a device over a span of time.",
    "alarms": "List alarms, acknowledge and close them.",
    "rules": "List rules, which open alarms by what devices report; add, change and try them.",
    "events": "Show what happened to a device: when it came and went, and its alarms.",
    "days": "Show what days of devices came to: distance, driving and online time, alarms, channels.",
    "trips": "Show trips of devices, or stops of one.",
    "summaries": "Have workers sum up days of devices.",
    "exports": "Write what is stored into CSV files and spreadsheets, in the background, and see how far that is.",
    "result": "Show what has become of a task, by its id.",
    "quarantine": "Show messages that could not be decoded, and what is wrong with them; export or discard them.",
    "redecode": "Decode what is stored again after a protocol was mended, and see how far that is.",
    "media": "List photos and other files of devices, and copy one out.",
    "files": "List files for devices, such as firmware, add one, offer one to devices, and see how far they are.",
    "command": "Have a device, or a group of them, do something, and wait for its end.",
    "commands": "List what devices were told to do, show what has become of it, cancel it; list what there is.",
    "targets": "List to whom stored data is forwarded, add one, see how far it is; deal with what one refused.",
    "forward": "Send what is stored on to the targets, until stopped; iotgw up runs it.",
    "audit": "Show who changed what, or write it as CSV.",
    "verify": "Compare a simulator's ledger with the database: lost, duplicated, stored.",
    "retention": "Delete what is older than retention_days now, or say what that is.",
    "schedule": "Show what is done now and then, and when; change it, or have it done now.",
    "queues": "Show how much waited in each queue, minute by minute.",
    "migrate": "Bring the database's tables up to date.",
}

AREA_NAMES = ("host", "disk", "redis", "broker", "database")
"""What ``iotgw doctor`` looks at, beside the settings."""


class ProtocolName(click.ParamType[DeviceProtocol]):
    """The name of a registered protocol."""

    name = "protocol"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> DeviceProtocol:
        protocols = _protocols(_settings())
        if value in protocols:
            return protocols[value]
        self.fail(f"there is no protocol {value!r}: use one of {', '.join(sorted(protocols))}", param, ctx)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="iotgw")
def main() -> None:
    """iotgw: devices over TCP in, every acked message stored.

    Settings come from IOTGW_... variables or from the TOML file that IOTGW_CONFIG names (iotgw.toml by default).
    """


@main.command()
def up() -> None:
    """Run everything on this machine: Redis, gateway, worker, beat and forwarder, with SQLite in ./var."""
    from iotgw.announcement import announcement
    from iotgw.stack import Stack, StackError

    settings = _settings()
    announced = announcement(settings, _protocols(settings).values())
    console = Console(stderr=True, highlight=False)
    stack = Stack(settings, lambda name, line: print(f"{name:8}| {line}", flush=True))
    try:
        asyncio.run(stack.run(lambda: console.print(announced, soft_wrap=True)))
    except StackError as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.argument("protocol", type=ProtocolName())
@click.option("--devices", default=10, show_default=True, type=click.IntRange(1, 100_000), help="How many devices.")
@click.option("--interval", default=5.0, show_default=True, type=click.FloatRange(0.01), help="Seconds between a device's reports.")
@click.option("--duration", default=60.0, show_default=True, type=click.FloatRange(0), help="Seconds to make reports for.")
@click.option("--settle", default=60.0, show_default=True, help="Seconds to wait at the end for acks that are still owed.")
@click.option(
    "--resend", default=30.0, show_default=True, help="Seconds after which an unacked report is sent again on the same link."
)
@click.option("--photos-every", type=click.FloatRange(0.1), help="Seconds between a device's photos; none by default.")
@click.option(
    "--reconnects-per-second",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 10_000),
    help="Links dropped a second, of devices taken at random, which then come back.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The gateway.")
@click.option("--port", type=click.IntRange(1, 65535), help="Its port; the protocol's own by default.")
@click.option(
    "--first-device",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    help="Number of the first; identities are made of it.",
)
@click.option(
    "--ledger", type=click.Path(dir_okay=False, path_type=Path), help="File to write what was acked to, for iotgw verify."
)
@click.option(
    "--executed",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write to, at the end, which commands the devices have carried out, and how often.",
)
def simulate(protocol: DeviceProtocol, ledger: Path | None, executed: Path | None, **options: Any) -> None:
    """Run simulated devices: they keep what is not acked and send it again.

    Exit status 1 when reports are left without an ack.
    """
    from iotgw.simulator import FleetPlan
    from iotgw.simulator.run import run

    plan = FleetPlan(
        protocol=protocol,
        host=options["host"],
        port=options["port"] or protocol.port,
        devices=options["devices"],
        interval_seconds=options["interval"],
        duration_seconds=options["duration"],
        settle_seconds=options["settle"],
        resend_seconds=options["resend"],
        first_device=options["first_device"],
        photos_every_seconds=options["photos_every"],
        reconnects_per_second=options["reconnects_per_second"],
    )
    if plan.photos_every_seconds is not None and not isinstance(protocol.terminal(protocol.simulated_identity(0)), Camera):
        raise click.UsageError(f"simulated {protocol.title} devices have no camera: leave --photos-every out")
    raise SystemExit(1 if run(plan, ledger, executed) else 0)


@main.command()
@click.argument("protocol", type=ProtocolName())
@click.argument("frames", nargs=-1, required=True, metavar="HEX... | -")
@click.option("--explain", is_flag=True, help="Show what every byte means, and the ack, instead of JSON.")
@click.option("--device", default="", help="The device that has logged in, for protocols whose frames do not name it.")
def decode(protocol: DeviceProtocol, frames: tuple[str, ...], explain: bool, device: str) -> None:
    """Decode frames given in hex; with "-" one a line from standard input. One JSON object a line, same order."""
    from iotgw.decode import decode_line
    from iotgw.explain import console, print_explanation

    lines: Iterable[str] = sys.stdin if frames == ("-",) else frames
    out = console()
    for line in lines:
        if explain:
            print_explanation(protocol, line, out, device)
            continue
        print(json.dumps(decode_line(protocol, line, device), ensure_ascii=False), flush=frames == ("-",))


@main.command()
@click.argument("protocol", type=ProtocolName())
@click.argument("identity")
@click.option("--json", "is_json", is_flag=True, help="Print what the gateway tells, as JSON.")
def why(protocol: DeviceProtocol, identity: str, is_json: bool) -> None:
    """Say where a device's data stops, from its link to its ack, and what to do about it.

    Asks the gateway of this host, which knows what any gateway has seen. Exit status 1 when a step is open.
    """
    from iotgw.explain import console
    from iotgw.why import NoAnswerError, ask, is_well, print_ladder

    try:
        told = ask(_settings(), protocol.name, identity)
    except NoAnswerError as error:
        click.echo(f"iotgw: {error}", err=True)
        raise SystemExit(2) from error
    if is_json:
        print(json.dumps(told, ensure_ascii=False))
    else:
        print_ladder(told, console())
    raise SystemExit(0 if is_well(told) else 1)


@main.command("compile")
@click.argument("protocol", type=ProtocolName())
@click.argument("message")
@click.option("--edition", help="One of the message's editions; the first by default.")
def compile_command(protocol: DeviceProtocol, message: str, edition: str | None) -> None:
    """Print the Python that a message's declaration is turned into. MESSAGE is its name or its id in hex."""
    from protocols.compiler import source

    named = {row.name: row for row in protocol.messages.values()}
    row = named.get(message)
    if row is None and re.fullmatch("(0x)?[0-9A-Fa-f]+", message):
        row = protocol.messages.get(int(message, 16))
    if row is None:
        raise click.ClickException(f"there is no message {message!r}: use an id like 0x0200, or one of {', '.join(sorted(named))}")
    if edition is not None and edition not in row.layouts:
        raise click.ClickException(f"{row.name} has no edition {edition!r}: use one of {', '.join(row.layouts)}")
    print(source(next(iter(row.layouts.values())) if edition is None else row.layouts[edition]))


@main.command("new-protocol")
@click.argument("name")
@click.option("--folder", type=click.Path(path_type=Path), help="The folder to write; NAME, here, by default.")
def new_protocol(name: str, folder: Path | None) -> None:
    """Write the folder of a new protocol: a package that works as it is, with captures and tests."""
    from iotgw.new_protocol import NewProtocolError, next_steps, write_package

    folder = folder or Path(name)
    try:
        write_package(name, folder, _protocols(_settings()))
    except NewProtocolError as error:
        click.echo(f"iotgw: {error}", err=True)
        raise SystemExit(2) from error
    print(next_steps(name, folder))


@main.command()
@click.argument("protocol", type=ProtocolName())
@click.option("--to", "folder", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of the pages.")
@click.option(
    "--captures",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Frames for the examples, one JSON object a line.",
)
def reference(protocol: DeviceProtocol, folder: Path, captures: Path | None) -> None:
    """Write the reference pages of a protocol: its messages, every field, and examples explained."""
    from iotgw.reference import write_pages

    written, removed = write_pages(protocol, folder, captures)
    print(f"{written} pages written to {folder}, {removed} removed")


@main.command()
@click.argument("protocol", type=ProtocolName())
@click.argument("identity")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="How long; until Ctrl-C by default.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def tap(protocol: DeviceProtocol, identity: str, seconds: float | None, as_json: bool) -> None:
    """Show what a device says and is told, as it happens, on whichever gateway it is.

    What is shown may hold secrets of the device, such as its authentication code.
    """
    from iotgw.tapping import Tapping
    from iotgw.watcher import Watcher, WatcherError
    from tasks.contract import Tap

    settings = _settings()
    for ending in (signal.SIGINT, signal.SIGTERM):
        # Also where whoever started it has the first of them ignored, as shells do in scripts.
        signal.signal(ending, signal.default_int_handler)
    tapping = Tapping(Watcher(_redis_url(settings), Tap(protocol.name, identity)), as_json)
    try:
        tapping.run(seconds)
    except WatcherError as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.option("--again", metavar="ID", help="Have the task with this id tried again.")
@click.option("--drop", metavar="ID", help="Forget the task with this id.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def dead(again: str | None, drop: str | None, as_json: bool) -> None:
    """Show tasks that workers refused, and batches that workers ended with, the oldest first; they stay.

    A worker's log says why each was refused.
    """
    from iotgw.deadletters import DeadLettersError, dead_letters

    if again and drop:
        raise click.UsageError("give --again or --drop, not both")
    try:
        settings = _settings()
        with dead_letters(_broker_url(settings), _redis_url(settings)) as letters:
            if id := again or drop:
                moved = letters.move(id, again=again is not None)
                print(f"{moved} {'to be tried again' if again else 'dropped'}")
                raise SystemExit(0 if moved else 1)
            found = letters.all()
    except DeadLettersError as error:
        raise click.ClickException(str(error)) from error
    for letter in found:
        row = {**letter._asdict(), "at": letter.at.isoformat()}
        print(json.dumps(row) if as_json else "  ".join(map(str, row.values())))
    if not found and not as_json:
        print("There are no dead letters.")


@main.command()
@click.option(
    "--without", multiple=True, type=click.Choice(AREA_NAMES), help="Leave this out, such as database on a host without one."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def doctor(without: tuple[str, ...], as_json: bool) -> None:
    """Check this installation, and say what to do: settings, limits, disks, Redis, broker, workers and database.

    Looks at what this host's settings name, as the user who runs it. Changes nothing, but that it makes the folder of SQLite's
    database. Exit status 1 when there is a fault.
    """
    from iotgw.doctor import examine, print_findings
    from iotgw.explain import console

    with Console(stderr=True).status("looking at everything, for 12 s at the most"):
        findings = examine(_load_for_this_host, without)
    if as_json:
        for finding in findings:
            print(json.dumps(finding._asdict(), ensure_ascii=False))
    else:
        print_findings(findings, console())
    raise SystemExit(1 if any(finding.state == "fault" for finding in findings) else 0)


@main.command("settings")
@click.option("--markdown", is_flag=True, help="As the table of docs/settings.md.")
def settings_command(markdown: bool) -> None:
    """List all settings: what is in force, the default, what it means."""
    from rich.table import Table

    from settings import describe

    in_force = _settings()
    if markdown:
        print(describe.markdown(in_force))
        return
    table = Table("setting", "in force", "default", "meaning", header_style="bold")
    for row in describe.describe(in_force):
        table.add_row(row.variable, row.value or "", row.default, row.meaning)
    Console().print(table)


def _store_command(name: str, text: str) -> None:
    @main.command(name, help=text, short_help=text, context_settings=PASSED_ON)
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def run(arguments: tuple[str, ...]) -> None:
        with suppress(SettingsError):  # which the command itself tells
            settings = load()
            if (url := _redis_url(settings)) != settings.redis_url:
                os.environ["IOTGW_REDIS_URL"] = url
        replace_process(name, arguments)


for _name, _text in STORE_COMMANDS.items():
    _store_command(_name, _text)


def _settings() -> Settings:
    try:
        return load()
    except SettingsError as error:
        for line in str(error).splitlines():
            click.echo(f"iotgw: {line}", err=True)
        raise SystemExit(2) from error


def _load_for_this_host() -> Settings:
    """With the Redis of the stack that runs on this machine, if it does and none is set.

    Raises: SettingsError
    """
    settings = load()
    return settings.model_copy(update={"redis_url": _redis_url(settings)})


def _redis_url(settings: Settings) -> str:
    """Of the gateways that these settings are for: the one that is set, else that of the stack on this machine, if it runs."""
    from iotgw.stack import private_redis_url

    is_set = not settings.model_fields_set.isdisjoint(("redis_url", "redis_url_file"))
    return settings.redis_url if is_set else private_redis_url(settings.var) or settings.redis_url


def _broker_url(settings: Settings) -> str:
    """Beside the Redis of :func:`_redis_url`, unless another one is set."""
    return settings.model_copy(update={"redis_url": _redis_url(settings)}).effective_broker_url


def _protocols(settings: Settings) -> dict[str, DeviceProtocol]:
    try:
        return registered(settings.protocols)
    except RegistryError as error:
        click.echo(f"iotgw: {error}", err=True)
        raise SystemExit(2) from error
