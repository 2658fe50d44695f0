"""From devices to the database and back: committed reports a second, and how long an ack takes at a given load.

python -m bench.endtoend [--rounds 5] [--seconds 5] [--processes 1 2] [--rates 1000 5000 10000]

Redis, PostgreSQL, a worker and a gateway as in production, and the load generator, all on this machine. An ack leaves
after the commit. At full load each device keeps some reports unanswered; at a given load reports are due by the clock,
whatever comes back, and latency counts from when a report was due.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.load import Load, Outcome, build
from bench.stack import Stack
from bench.traffic import LOCATIONS, PUTS
from bench.usage import Usage
from tests.processes import wait_until

FIRST_TIME = 1_735_689_600
ROUND_SECONDS = 1_000_000
"""How far apart, by the devices' clocks, rounds are: more than any device sends in one."""
WARM_UP_SECONDS = 2.0
DRAIN_SECONDS = 120.0
FULL_LOAD = {"in_flight": 16}
PARTS = ("gateway", "worker", "Redis", "PostgreSQL", "load", "others")


class Round(NamedTuple):
    """One window."""

    outcome: Outcome
    committed: float
    """Rows a second, counted in the database."""
    shares: dict[str, float]
    """Which part of a core each part took."""


class Totals:
    """What all rounds on one stack have sent and had acked."""

    def __init__(self) -> None:
        self.sent = self.acked = self.stored = self.duplicated = 0

    def count(self, outcome: Outcome) -> None:
        self.sent += outcome.sent
        self.acked += outcome.acked

    def compare(self, stack: Stack) -> None:
        wait_until(stack.is_settled, "all batches are stored", DRAIN_SECONDS)
        self.stored, self.duplicated = stack.count(), stack.duplicates()

    @property
    def lost(self) -> int:
        return max(0, self.acked - (self.stored - self.duplicated))

    @property
    def is_whole(self) -> bool:
        return self.acked > 0 and not self.lost and not self.duplicated

    def __str__(self) -> str:
        counts = f"{self.sent:,} sent, {self.acked:,} acked, {self.stored:,} stored"
        return f"{counts}: {self.lost} lost, {self.duplicated} duplicated"


class Bench:
    """Rounds on one stack, each with reports of its own."""

    def __init__(self, program: Path, stack: Stack, connections: int, seconds: float) -> None:
        self._program, self._stack, self._connections, self._seconds = program, stack, connections, seconds
        self._rounds = 0
        self.totals = Totals()

    def round(self, **options: object) -> Round:
        self._rounds += 1
        window = {"warm_up": WARM_UP_SECONDS, "seconds": self._seconds, "drain": DRAIN_SECONDS, "announce": 1}
        load = {**LOCATIONS, **window, "first_time": FIRST_TIME + self._rounds * ROUND_SECONDS, "connections": self._connections}
        with Load(self._program, self._stack.gateways[0].port, PUTS, **load, **options) as devices:
            devices.wait_until("measuring")
            usage = Usage({**self._stack.pids, "load": devices.process.pid})
            began, before = time.monotonic(), self._stack.count()
            time.sleep(max(0.0, began + self._seconds - time.monotonic()))
            shares = usage.shares()
            ended, after = time.monotonic(), self._stack.count()
            outcome = devices.outcome()
        self.totals.count(outcome)
        return Round(outcome, (after - before) / (ended - began), shares)


def cells(rounds: Sequence[Round]) -> list[str]:
    rates = [round.committed for round in rounds]
    p50, p99 = (median(getattr(round.outcome, name) for round in rounds) / 1000 for name in ("p50_us", "p99_us"))
    shares = [f"{median(round.shares[part] for round in rounds):.0%}" for part in PARTS]
    spread = (max(rates) - min(rates)) / 2 / max(1.0, median(rates))
    return [f"{median(rates):,.0f}", f"±{spread:.0%}", f"{p50:,.1f} / {p99:,.1f}", *shares]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2], help="processes of the worker")
    parser.add_argument("--rates", type=int, nargs="*", default=[1000, 5000, 10_000], help="messages a second")
    arguments = parser.parse_args()
    title = f"{arguments.connections} devices, ack after the commit, median of {arguments.rounds}"
    columns = ("worker processes", "load", "committed/s", "half the spread", "acks p50 / p99 ms", *PARTS)
    table = Table(*columns, title=title, caption="percent: of one core")
    loads = {"full": FULL_LOAD, **{f"{rate:,}/s": {"rate": rate} for rate in arguments.rates}}
    console = Console(width=150)
    verdicts = []
    with TemporaryDirectory() as folder, Progress(console=Console(stderr=True), transient=True) as progress:
        program = build(Path(folder))
        task = progress.add_task("", total=len(arguments.processes) * len(loads) * arguments.rounds)
        for processes in arguments.processes:
            # A single device may send as fast as it likes here, which the limits are there to prevent.
            with Stack(worker_processes=processes, messages_per_second="0") as stack:
                bench = Bench(program, stack, arguments.connections, arguments.seconds)
                for name, options in loads.items():
                    progress.update(task, description=f"{processes} worker processes, {name}")
                    rounds = []
                    for _ in range(arguments.rounds):
                        rounds.append(bench.round(**options))
                        progress.advance(task)
                    table.add_row(str(processes), name, *cells(rounds))
                bench.totals.compare(stack)
                verdicts.append(f"{processes} worker processes: {bench.totals}")
    console.print(table, *verdicts, sep="\n")


if __name__ == "__main__":
    main()
