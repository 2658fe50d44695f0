"""Hours in minutes: does memory or the number of open files grow, and is everything that was acked stored?

python -m bench.soak [--minutes 30] [--devices 5000] [--reconnects 50] [--plot docs/soak.svg]
    simulated devices whose links are dropped all the time
python -m bench.soak --stopped-worker [--minutes 10] [--plot docs/soak-stopped-worker.svg]
    full load while the worker is stopped: messages go to the spool, and when that is full, nothing is read from devices

Redis, PostgreSQL, a worker and a gateway as in production. Exit status 1 when something grows or is missing.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.endtoend import Totals
from bench.load import Load, build
from bench.series import Panel, Points, plot, slope
from bench.stack import Stack, simulated
from bench.traffic import LOCATIONS, PUTS
from bench.usage import family, open_files, resident_bytes
from tests.processes import Child, wait_until

SAMPLE_SECONDS = 2.0
WARM_UP_PART = 0.25
"""How much of a run counts as warm-up: all devices come in, and every kind of work is done for the first time."""
STEADY = {
    "gateway_mib": "gateway, MiB",
    "worker_mib": "worker, MiB",
    "gateway_files": "gateway, open files",
    "worker_files": "worker, open files",
}
"""What should stay as it is."""
MOST_GROWTH = 0.05
"""Of a mean: how much a straight line through what is left may rise over it."""
CONNECTIONS = 1000
IN_FLIGHT = 60
FIRST_SECONDS = 20.0
"""With a worker, before it is stopped."""
SPOOL_BYTES = 256 << 20
SETTLE_SECONDS = 1800.0


class Sample(NamedTuple):
    """How things stand at a moment."""

    gateway_mib: float
    worker_mib: float
    gateway_files: float
    worker_files: float
    links: float
    sessions: float
    spool_mib: float

    @classmethod
    def take(cls, stack: Stack) -> Sample:
        (gateway,) = stack.gateways
        statistics = gateway.statistics()
        workers = family(stack.worker.process.pid)
        return cls(
            resident_bytes(gateway.pid) / 2**20,
            sum(map(resident_bytes, workers)) / 2**20,
            open_files(gateway.pid),
            sum(map(open_files, workers)),
            statistics.get("links", 0),
            statistics.get("sessions", 0),
            stack.spool_bytes() / 2**20,
        )


class Watch:
    """Samples of a stack, taken until something has happened."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._began = time.monotonic()
        self.samples: list[tuple[float, Sample]] = []

    @property
    def minutes(self) -> float:
        return (time.monotonic() - self._began) / 60

    def until(self, is_over: Callable[[], object], what: str, seconds: float) -> None:
        """Take samples until it is so.

        Raises: AssertionError when it is not so after ``seconds``.
        """
        columns = (TimeElapsedColumn(), TextColumn("{task.description}"), TextColumn("{task.fields[text]}"))
        deadline = time.monotonic() + seconds
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(what, total=None, text="")
            while not is_over():
                assert time.monotonic() < deadline, f"{what}: not over after {seconds:g} s"
                sample = Sample.take(self._stack)
                self.samples.append((self.minutes, sample))
                text = ", ".join(f"{name} {value:,.0f}" for name, value in sample._asdict().items())
                progress.update(task, text=text)
                time.sleep(SAMPLE_SECONDS)

    def points(self, name: str, since: float = 0.0, until: float = float("inf")) -> Points:
        return [(minutes, getattr(sample, name)) for minutes, sample in self.samples if since <= minutes <= until]

    def growth(self, since: float, until: float, table: Table) -> bool:
        """Add a row to the table for all that should stay as it is; whether it does."""
        is_flat = True
        for name, title in STEADY.items():
            points = self.points(name, since, until)
            values = [value for _, value in points] or [0.0]
            mean, rise = sum(values) / len(values), slope(points)
            # A few files more or less are links that come and go at the moment of the sample.
            grows = rise * (until - since) > max(MOST_GROWTH * mean, 2.0)
            is_flat = is_flat and not grows
            bounds = f"{min(values):,.1f} to {max(values):,.1f}"
            table.add_row(title, f"{mean:,.1f}", bounds, f"{rise:+,.3f}", "grows" if grows else "flat")
        return is_flat

    def save(self, path: Path) -> None:
        """Write a plot of everything."""
        panels = [
            Panel("resident memory, MiB", {"gateway": self.points("gateway_mib"), "worker": self.points("worker_mib")}),
            Panel("open files", {"gateway": self.points("gateway_files"), "worker": self.points("worker_files")}),
            Panel("links and sessions", {"links": self.points("links"), "sessions": self.points("sessions")}),
        ]
        if any(sample.spool_mib for _, sample in self.samples):
            panels.append(Panel("spool, MiB", {"on the disk": self.points("spool_mib")}))
        path.write_text(plot(panels, "minutes"), encoding="utf-8")


def churn(arguments: argparse.Namespace, watch: Watch, stack: Stack, table: Table) -> tuple[bool, list[str]]:
    """Simulated devices that lose their links all the time; whether all is well, and what there is to say."""
    devices, ledgers = arguments.devices // arguments.simulators, []
    fleets = []
    with ExitStack() as running:
        for number in range(arguments.simulators):
            ledgers.append(stack.folder / f"ledger-{number}.jsonl")
            command = simulated(
                stack.gateways[0].port,
                ledgers[-1],
                devices=devices,
                first_device=number * devices,
                interval=arguments.interval,
                duration=arguments.minutes * 60,
                settle=120,
                reconnects_per_second=arguments.reconnects / arguments.simulators,
            )
            fleet = Child(command, stack.folder / f"simulator-{number}.log", stack.environment)
            running.callback(fleet.stop)
            fleets.append(fleet)
        seconds = arguments.minutes * 60 + 300
        watch.until(lambda: all(fleet.process.poll() is not None for fleet in fleets), "devices come and go", seconds)
    is_flat = watch.growth(WARM_UP_PART * arguments.minutes, arguments.minutes, table)
    wait_until(stack.is_settled, "everything is stored", SETTLE_SECONDS)
    told = [line for fleet in fleets for line in re.findall("[0-9]+ reports made.*", fleet.output())]
    verified = [stack.verify(ledger) for ledger in ledgers]
    is_whole = all(line.startswith("0 lost, 0 duplicated, ") for line in verified)
    return is_flat and is_whole and not any(fleet.process.returncode for fleet in fleets), [*told, *verified]


def stopped_worker(arguments: argparse.Namespace, watch: Watch, stack: Stack, table: Table) -> tuple[bool, list[str]]:
    """Full load without a worker for a while; whether all is well, and what there is to say."""
    totals = Totals()
    seconds = FIRST_SECONDS + arguments.minutes * 60
    window = {"connections": CONNECTIONS, "warm_up": 0.0, "seconds": seconds, "drain": SETTLE_SECONDS, "announce": 1}
    # More than the gateway holds in memory once its spool is full: until it reads no more, there is always something to read.
    window["in_flight"] = IN_FLIGHT
    group = stack.worker.process.pid
    program, port = build(stack.folder), stack.gateways[0].port
    with Load(program, port, PUTS, **LOCATIONS, **window) as load:
        load.wait_until("measuring")
        began = watch.minutes
        watch.until(lambda: watch.minutes >= began + FIRST_SECONDS / 60, "with the worker", seconds)
        os.killpg(group, signal.SIGSTOP)
        try:
            stopped = watch.minutes
            watch.until(lambda: watch.minutes >= stopped + arguments.minutes, "without the worker", seconds)
        finally:
            os.killpg(group, signal.SIGCONT)
        is_flat = watch.growth(stopped + WARM_UP_PART * arguments.minutes, watch.minutes, table)
        watch.until(lambda: load.process.poll() is not None, "the worker makes up for it", SETTLE_SECONDS)
        totals.count(load.outcome())
    watch.until(stack.is_settled, "the spool drains", SETTLE_SECONDS)
    totals.compare(stack)
    most = max(sample.spool_mib for _, sample in watch.samples)
    is_bounded = most * 2**20 <= SPOOL_BYTES
    late = watch.minutes - stopped - arguments.minutes
    spool = (
        f"spool: {most:,.1f} MiB at the most, {SPOOL_BYTES / 2**20:.0f} allowed; empty {late:.1f} minutes after the worker went on"
    )
    return is_flat and is_bounded and totals.is_whole, [spool, str(totals)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stopped-worker", action="store_true")
    parser.add_argument("--minutes", type=float, help="30; 10 with --stopped-worker")
    parser.add_argument("--devices", type=int, default=5000)
    parser.add_argument("--simulators", type=int, default=2, help="processes that the devices are spread over")
    parser.add_argument("--interval", type=float, default=10.0, help="seconds between a device's reports")
    parser.add_argument("--reconnects", type=float, default=50.0, help="links dropped a second")
    parser.add_argument("--plot", type=Path, help="SVG to write")
    arguments = parser.parse_args()
    arguments.minutes = arguments.minutes or (10.0 if arguments.stopped_worker else 30.0)
    settings = {"messages_per_second": "0", "spool_bytes": str(SPOOL_BYTES)} if arguments.stopped_worker else {}
    what = "without a worker" if arguments.stopped_worker else f"{arguments.devices} devices, {arguments.reconnects:g} reconnects/s"
    table = Table(
        "", "mean", "from, to", "a minute", "", title=f"{arguments.minutes:g} minutes, {what}; the first quarter left out"
    )
    with Stack(**settings) as stack:
        watch = Watch(stack)
        is_well, lines = (stopped_worker if arguments.stopped_worker else churn)(arguments, watch, stack, table)
    if arguments.plot:
        watch.save(arguments.plot)
    Console(width=120).print(table, *lines, "passed" if is_well else "failed", sep="\n")
    sys.exit(not is_well)


if __name__ == "__main__":
    main()
