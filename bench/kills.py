"""Parts killed under load, over and over: is what was acked stored, once, and how long does nobody get an ack?

python -m bench.kills [--rounds 20] [--devices 500] [--interval 0.5] [--only RabbitMQ]

Each row of the table is a fleet of simulated devices that report without a pause while one part is killed with SIGKILL, at any
moment, and started again, as often as there are rounds: each time when all that came before is stored. Then what the devices
saw acked is compared with the database. Exit status 1 when something is lost or stored twice.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from threading import Event, Thread
from typing import NamedTuple

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.stack import Stack, simulated
from tests.processes import Child, wait_until

LOOK_SECONDS = 0.05
MOMENTS_SECONDS = 1.0
"""A part is killed at any moment of so long, behind the messages of its round."""
STORED_SECONDS = 120.0
WHOLE = "0 lost, 0 duplicated, "

KILLS: dict[str, Callable[[Stack], object]] = {
    "worker child": Stack.kill_worker_child,
    "worker main": Stack.restart_worker,
    "gateway": Stack.restart_gateway,
    "Redis": Stack.restart_redis,
    "RabbitMQ": Stack.restart_rabbitmq,
    "PostgreSQL": Stack.restart_postgresql,
}
WORKERS = ("worker child", "worker main")
Row = Callable[[Stack, str, argparse.Namespace, Callable[[], None]], tuple[list[str], bool]]
"""Kills a part, and tells of it after each time: the cells of it, and whether all is well."""


class Surroundings(NamedTuple):
    """A broker and a database, and what is killed there."""

    has_rabbitmq: bool
    has_postgresql: bool
    killed: tuple[str, ...]

    def __str__(self) -> str:
        return f"{'RabbitMQ' if self.has_rabbitmq else 'Redis'}, {'PostgreSQL' if self.has_postgresql else 'SQLite'}"


Rows = list[tuple[Surroundings, list[str]]]
"""Where something is killed, and what."""
SURROUNDINGS = (
    Surroundings(False, True, (*WORKERS, "gateway", "Redis", "PostgreSQL")),
    Surroundings(True, True, (*WORKERS, "gateway", "RabbitMQ", "Redis", "PostgreSQL")),
    Surroundings(False, False, (*WORKERS, "Redis")),
    Surroundings(True, False, (*WORKERS, "RabbitMQ")),
)


class Silences:
    """How long a ledger stood still while it was watched: nobody had an ack. Units: seconds."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger
        self._size = acked_bytes(ledger)
        self._since = time.monotonic()
        self.longest = 0.0

    def look(self) -> None:
        size, now = acked_bytes(self._ledger), time.monotonic()
        self.longest = max(self.longest, now - self._since)
        if size != self._size:
            self._size, self._since = size, now


@contextmanager
def watched(ledger: Path) -> Iterator[Silences]:
    silences, is_over = Silences(ledger), Event()

    def watch() -> None:
        while not is_over.wait(LOOK_SECONDS):
            silences.look()

    thread = Thread(target=watch, name="silences")
    thread.start()
    try:
        yield silences
    finally:
        is_over.set()
        thread.join()


def acked_bytes(ledger: Path) -> int:
    return ledger.stat().st_size if ledger.exists() else 0


def strike(stack: Stack, fleet: Child, ledger: Path, part: str, rate: float, advance: Callable[[], None]) -> float:
    """Kill the part once, and wait until all is stored; the longest time without an ack.

    The fleet makes ``rate`` reports a second.
    """
    # An ack is a line of about 100 bytes in the ledger, and a round is what the fleet has acked in about a second.
    least = int(100 * rate)
    goal = acked_bytes(ledger) + least
    fleet.wait_until(
        lambda: acked_bytes(ledger) >= goal and not stack.spool_bytes(), f"acks before {part} is killed", STORED_SECONDS
    )
    time.sleep(random.uniform(0, MOMENTS_SECONDS))
    with watched(ledger) as silences:
        KILLS[part](stack)
        goal = acked_bytes(ledger) + least
        fleet.wait_until(
            lambda: acked_bytes(ledger) >= goal and not stack.spool_bytes(), f"acks after {part} was killed", STORED_SECONDS
        )
    advance()
    return silences.longest


def settle(fleet: Child) -> None:
    """Have the devices report no more, and all that they have reported acked."""
    fleet.process.send_signal(signal.SIGINT)
    wait_until(lambda: fleet.process.poll() is not None, "the devices have all their acks", STORED_SECONDS + 60)
    assert fleet.process.returncode == 0, fleet.output()[-2000:]


def chosen(only: str | None) -> Rows:
    """Where something is killed, and what: one part alone if it is named."""
    found = [(around, [part for part in around.killed if only in (None, part)]) for around in SURROUNDINGS]
    return [(around, parts) for around, parts in found if parts]


def row(stack: Stack, part: str, arguments: argparse.Namespace, advance: Callable[[], None]) -> tuple[list[str], bool]:
    """The cells of a part that is killed in all rounds, and whether what was acked is stored once."""
    ledger = stack.folder / f"{part.replace(' ', '-')}.jsonl"
    first = 1 + list(KILLS).index(part) * arguments.devices
    plan = {"devices": arguments.devices, "first_device": first, "interval": arguments.interval, "duration": 86_400, "settle": 120}
    fleet = Child(simulated(stack.gateways[0].port, ledger, **plan), stack.folder / "simulate.log", stack.environment)
    try:
        rate = arguments.devices / arguments.interval
        silences = [strike(stack, fleet, ledger, part, rate, advance) for _ in range(arguments.rounds)]
        settle(fleet)
    finally:
        fleet.kill()
    wait_until(lambda: not stack.spool_bytes(), "what was acked from the spool is stored", STORED_SECONDS)
    verdict = stack.verify(ledger)
    spread = f"{median(silences):.1f} / {max(silences):.1f}"
    return [part, f"{arguments.rounds}", spread, verdict], verdict.startswith(WHOLE)


def fill(table: Table, rows: Rows, row: Row, times: int, arguments: argparse.Namespace) -> bool:
    """Kill each part so many times, on a stack for each broker and database, a row of the table each; whether all is well."""
    is_well = True
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=sum(len(parts) for _, parts in rows) * times)
        for around, parts in rows:
            with Stack(worker_processes=2, has_rabbitmq=around.has_rabbitmq, has_postgresql=around.has_postgresql) as stack:
                for part in parts:
                    progress.update(task, description=f"{around}: {part}")
                    cells, is_row_well = row(stack, part, arguments, lambda: progress.advance(task))
                    table.add_row(str(around), *cells)
                    progress.console.print(f"{around}:", *cells)
                    is_well = is_well and is_row_well
    return is_well


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="kills of each part")
    parser.add_argument("--devices", type=int, default=500)
    parser.add_argument("--interval", type=float, default=0.5, help="seconds between a device's reports")
    parser.add_argument("--only", choices=list(KILLS), help="kill this part alone")
    arguments = parser.parse_args()
    rows = chosen(arguments.only)
    rate = arguments.devices / arguments.interval
    table = Table(
        *("broker, database", "killed", "times", "no ack for s, p50 / longest", "verify"),
        title=f"SIGKILL at {rate:,.0f} reports/s, {arguments.devices} devices",
    )
    is_whole = fill(table, rows, row, arguments.rounds, arguments)
    Console(width=120).print(table)
    sys.exit(not is_whole)


if __name__ == "__main__":
    main()
