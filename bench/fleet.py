"""Lists of a large fleet: the first page, a user's groups, deep inside, a search; beside the ways that do not go by an index.

python -m bench.fleet [--devices 100000] [--rounds 100]
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

_FOLDER = tempfile.TemporaryDirectory(prefix="iotgw-bench-")
os.environ |= {"DJANGO_SETTINGS_MODULE": "store.settings", "IOTGW_VAR": _FOLDER.name}

import django  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.db.models import Q  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import Progress  # noqa: E402
from rich.table import Table  # noqa: E402

from bench.databases import default_database  # noqa: E402
from store import fleet, groups  # noqa: E402
from store.audit import Actor  # noqa: E402
from store.fleet import Wanted  # noqa: E402
from store.models import Device, Group, State  # noqa: E402
from tests.servers import PostgreSQL, ServerMissingError  # noqa: E402

TOPS, BELOW = 20, 20
FIRST_PHONE = 13_800_000_000
ROWS = 50
SECONDS = {
    "postgresql": "UPDATE store_state SET last_seen = now() - (device_id * 7919 %% %s) * interval '1 second'",
    "sqlite": "UPDATE store_state SET last_seen = datetime('now', -(device_id * 7919 %% %s) || ' seconds')",
}
"""Each device was seen in a second of its own, in no order."""


def fill(count: int, advance: Callable[[int], object]) -> None:
    """A fleet in a tree of groups, with names as people give them."""
    groups.ensure([f"Region {top}/Site {below}" for top in range(TOPS) for below in range(BELOW)], Actor("bench"))
    ids = list(Group.objects.filter(parent__isnull=False).values_list("id", flat=True))
    chance = random.Random(13)
    for at in range(0, count, 5_000):
        numbers = range(at, min(at + 5_000, count))
        Device.objects.bulk_create(
            [
                Device(
                    protocol="jt808",
                    identity=str(FIRST_PHONE + 37 * number),
                    name=f"京A·{number:05}" if number % 3 else "",
                    group_id=chance.choice(ids),
                )
                for number in numbers
            ]
        )
        advance(len(numbers))
    with connection.cursor() as cursor:
        cursor.execute(SECONDS[connection.vendor], [count])
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")


def questions(count: int) -> dict[str, Callable[[random.Random], object]]:
    """What is asked, each time of another part of the fleet."""
    everybody = Wanted()
    deep = fleet.page(everybody, limit=count * 9 // 10).next_key
    found = list(Group.objects.filter(parent__isnull=False))
    tops = list(Group.objects.filter(parent__isnull=True))

    def digits(chance: random.Random) -> str:
        return str(FIRST_PHONE + 37 * chance.randrange(count))[-7:]

    return {
        "first page": lambda chance: fleet.page(everybody, limit=ROWS),
        "of a user's 60 groups": lambda chance: fleet.page(Wanted(chance.sample(found, 60)), limit=ROWS),
        "of one group": lambda chance: fleet.page(Wanted([chance.choice(found)]), limit=ROWS),
        "of a region with its 20 sites": lambda chance: fleet.page(Wanted([chance.choice(tops)]), limit=ROWS),
        "behind nine tenths, by key": lambda chance: fleet.page(everybody, after=deep, limit=ROWS),
        "the same by OFFSET": lambda chance: _offset(count * 9 // 10),
        "search of 7 digits": lambda chance: fleet.page(Wanted(text=digits(chance)), limit=ROWS),
        "the same without index": lambda chance: _unindexed(digits(chance)),
        "search of 3 digits that all have": lambda chance: fleet.page(Wanted(text=str(FIRST_PHONE)[:3]), limit=ROWS),
    }


def _offset(number: int) -> list[State]:
    return list(State.objects.select_related("device__group").order_by("-seen_minute", "-device_id")[number : number + ROWS])


def _unindexed(text: str) -> list[Device]:
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_bitmapscan = off")
        return list(Device.objects.filter(Q(name__icontains=text) | Q(identity__icontains=text))[:ROWS])


def measure(name: str, count: int, rounds: int, table: Table) -> None:
    """All questions by turns on the database that Django is pointed at."""
    chance = random.Random(7)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        call_command("migrate", verbosity=0)
        filling = progress.add_task(f"{name}: devices", total=count)
        fill(count, lambda done: progress.advance(filling, done))
        asked = questions(count)
        taken: dict[str, list[float]] = {question: [] for question in asked}
        asking = progress.add_task(f"{name}: questions", total=rounds)
        for turn in range(rounds + 1):
            for question, ask in asked.items():
                begin = perf_counter()
                ask(chance)
                if turn:  # the first one warms
                    taken[question].append(1e3 * (perf_counter() - begin))
            progress.advance(asking)
    for question, times in taken.items():
        table.add_row(name, question, f"{median(times):.1f}", f"{quantiles(times, n=20)[-1]:.1f}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--devices", type=int, default=100_000)
    arguments.add_argument("--rounds", type=int, default=100)
    given = arguments.parse_args()
    table = Table("", "", "median ms", "p95 ms", title=f"Pages of {ROWS} out of {given.devices:,} devices, {given.rounds} of each")
    try:
        server = PostgreSQL()
    except ServerMissingError as error:
        print(f"left out: {error}")
    else:
        try:
            with default_database(server.create("bench")):
                measure("PostgreSQL", given.devices, given.rounds, table)
        finally:
            server.close()
    with default_database(f"sqlite:///{Path(_FOLDER.name) / 'bench.sqlite3'}"):
        measure("SQLite", given.devices, given.rounds, table)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
