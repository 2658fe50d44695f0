"""What rules cost a worker: the same batches without any, with 200 of which few hold, and with one that every report makes hold.

python -m bench.rules [--rounds 7] [--batches 12] [--messages 2000]

On PostgreSQL, a database for each, by turns batch by batch. Devices report every ten seconds; one in a hundred comes and goes.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from itertools import count
from statistics import median
from typing import Any, NamedTuple

from bench import ingest  # sets Django up

# isort: split
from django.core.management import call_command
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from rich.console import Console
from rich.table import Table

from bench.ingest import Spent, by_worker, packed
from bench.timing import pin
from settings import Settings
from store import devices
from store.audit import Actor
from store.channels import KnownChannels
from store.database import database
from store.models import Alarm, Event, RuleState
from store.rules import changes
from store.rules.reading import declared
from store.rules.rulebook import KnownRules
from tasks.celery import collect_seldom
from tasks.channels import described
from tests.servers import PostgreSQL, ServerMissingError

ACTOR = Actor("bench")
SECONDS_BETWEEN = 10
RESTLESS = 100
"""One device of so many is elsewhere every minute."""
TAGGED = 50
"""One device of so many has a tag that rules are for."""
NONE, TYPICAL, EVERY = "without rules", "200 rules, few hold", "1 rule, every report"


def threshold(channel: str, op: str, value: Any, **more: Any) -> dict[str, Any]:
    return {"channel": channel, "op": op, "value": value, **more}


def typical() -> Iterator[dict[str, Any]]:
    """100 thresholds, 50 fences, 40 combinations and 10 that ask for silence."""
    limits = (
        ("speed_kmh", ">", 110, 100), ("recorder_speed_kmh", ">", 110, 100), ("fuel_l", "<", 10, 15),
        ("signal", "<", 5, 8), ("satellites", "<", 4, 6),
    )  # fmt: skip
    for number in range(100):
        channel, op, value, clear = limits[number % len(limits)]
        step = number // len(limits) * (1 if op == ">" else -0.2)
        when = threshold(channel, op, value + step, clear=clear + step)
        yield {"when": when, "for_seconds": 30 * (number % 3), "scope": {"tag": "watched"} if number % 2 else "all"}
    for number in range(50):
        latitude, longitude = 31 + number / 50, 121.0 if number % 5 == 0 else 121.2
        shape: dict[str, Any] = {"circle": {"center": [latitude, longitude], "radius_m": 500}}
        if number % 3 == 1:
            corners = [(0, 0), (0, 0.01), (0.004, 0.015), (0.01, 0.01), (0.01, 0)]
            shape = {"polygon": [[latitude + up, longitude + right] for up, right in corners]}
        elif number % 3 == 2:
            line = [[latitude, longitude + 0.1], [latitude + 0.05, longitude + 0.15], [latitude, longitude + 0.3]]
            shape = {"corridor": {"line": line, "half_width_m": 100}}
        yield {"when": {"fence": "inside", **shape, "clear_m": 50}}
    for number in range(40):
        fast = threshold("speed_kmh", ">", 90 + number)
        away = {"fence": "outside", "circle": {"center": [31.5, 121], "radius_m": 100_000}}
        low = threshold("fuel_l", "<", 20 - number / 4)
        moving = threshold("ignition", "==", True)
        yield {
            "when": {"all": [moving, {"any": [fast, low]}, {"not": threshold("fix", "==", False)}]}
            if number % 2
            else {"all": [moving, away]}
        }
    for number in range(10):
        yield {"when": {"no_data_minutes": 30 + number}, "scope": {"protocol": "jt808"}}


RULES: dict[str, list[dict[str, Any]]] = {
    NONE: [],
    TYPICAL: list(typical()),
    EVERY: [{"when": threshold("speed_kmh", ">=", 0)}],
}


class Way(NamedTuple):
    """A database with its rules, and what a worker knows of it."""

    database: BaseDatabaseWrapper
    channels: KnownChannels
    rules: KnownRules
    waiting: Iterator[bytes]


def payloads(messages: int) -> Iterator[bytes]:
    """Batches of devices that stay where they are, but for the restless ones."""
    for number in count():
        batch = []
        for device in range(messages):
            turn = number // 6 if device % RESTLESS == 0 else 0
            batch.append(ingest.location(device, number * SECONDS_BETWEEN, random.Random(device * 1_000 + turn)))
        yield packed(batch)


def prepared(server: PostgreSQL, name: str, messages: int) -> Way:
    settings = connections.configure_settings({"default": database(server.create(f"bench_{len(RULES[name])}"))})["default"]
    connections.settings["default"] = settings
    way = Way(connections.create_connection("default"), KnownChannels(described), KnownRules(), payloads(messages))
    connections["default"] = way.database
    call_command("migrate", verbosity=0)
    step(way)
    for device in range(0, messages, TAGGED):
        devices.tag("jt808", str(ingest.FIRST_PHONE + device), ["watched"], [], ACTOR)
    for number, rule in enumerate(RULES[name]):
        changes.add(declared({"name": f"rule {number}", **rule}), ACTOR)
    for _ in range(6):
        step(way)
    return way


def step(way: Way) -> Spent:
    """A batch."""
    connections["default"] = way.database
    return by_worker(next(way.waiting), way.channels, way.rules)


def run(ways: dict[str, Way], batches: int) -> dict[str, Spent]:
    """A round: so many batches of each way, by turns, so that what else the machine does falls on all of them."""
    each = [{name: step(way) for name, way in ways.items()} for _ in range(batches)]
    return {name: _mean([spent[name] for spent in each]) for name in ways}


def _mean(each: Sequence[Spent]) -> Spent:
    steps = {step: sum(one.steps[step] for one in each) / len(each) for step in each[0].steps}
    return Spent(steps, sum(one.wall for one in each) / len(each), sum(one.server for one in each) / len(each))


def found(way: Way) -> str:
    connections["default"] = way.database
    return f"{RuleState.objects.count():,} standings, {Alarm.objects.count():,} alarms, {Event.objects.count():,} events"


def show(spent: dict[str, list[Spent]], told: dict[str, str], title: str) -> None:
    table = Table(
        "",
        "reports/s",
        "wall µs",
        "CPU µs of the worker",
        "of PostgreSQL",
        "of wall without",
        "of CPU without",
        "left",
        title=title,
    )
    for name, rounds in spent.items():
        columns = [[each.wall for each in rounds], [each.processor for each in rounds], [each.server for each in rounds]]
        ratios = [
            [each.wall / other.wall for each, other in zip(rounds, spent[NONE], strict=True)],
            [each.processor / other.processor for each, other in zip(rounds, spent[NONE], strict=True)],
        ]
        noisy = [f"{median(values):.1f} ±{(max(values) - min(values)) / median(values) / 2:.0%}" for values in columns]
        shown = [f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})" for values in ratios]
        table.add_row(name, f"{1e6 / median(columns[0]):,.0f}", *noisy, *shown, told[name])
    Console(width=200).print(table)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--batches", type=int, default=12)
    arguments.add_argument("--messages", type=int, default=Settings().batch_messages)
    given = arguments.parse_args()
    try:
        server = PostgreSQL()
    except ServerMissingError as error:
        raise SystemExit(f"the bench needs {error}") from error
    try:
        pin()  # the server may use the other cores
        ways = {name: prepared(server, name, given.messages) for name in RULES}
        collect_seldom()  # as in a worker
        spent: dict[str, list[Spent]] = {name: [] for name in ways}
        for _ in range(given.rounds):
            for name, mean in run(ways, given.batches).items():
                spent[name].append(mean)
        told = {name: found(way) for name, way in ways.items()}
        for way in ways.values():
            way.database.close()
    finally:
        server.close()
    show(
        spent,
        told,
        f"Batches of {given.messages} JT/T 808 locations, medians of {given.rounds} rounds and half of least to most, µs each",
    )


if __name__ == "__main__":
    main()
