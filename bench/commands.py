"""Commands: how long from being asked for to the device's own word, and how many a second; is each done once?

python -m bench.commands [--commands 10000] [--devices 1000] [--gateways 2] [--broker redis|rabbitmq]
    [--steady 2000] [--rate 20]

PostgreSQL, Redis, a worker of two processes, gateways, and simulated JT/T 808 devices that are asked where they are and say so at
once. First the commands are asked for at a steady rate, each of one device; then all in one run whose pace limits nothing. Times
are those of the rows. Exit status 1 when a command is not acknowledged, or a device has had one twice.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import NamedTuple

import psycopg
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.stack import Stack, simulated
from bench.timing import time_all
from bench.usage import Usage
from tests.processes import Child, wait_until

REPORT_SECONDS = 60.0
"""Between a device's reports: they are few, beside the commands."""
MOST_OPEN = 32
"""As many commands a device may have that have not ended."""
WARM_UP = 200
ONLINE_SECONDS = 120.0
ENDED_SECONDS = 600.0
PIECES = 5
"""Into which a phase is cut, to see if it was the same all the time."""
NOISE_ROUNDS = 60
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "most": 1.0}


class Phase(NamedTuple):
    """What was asked for in one way, and what came of it."""

    seconds: float
    """From the first that was asked for to the end of the last."""
    to_sent: list[float]
    to_end: list[float]
    """Each from being asked for, in the order in which they were."""
    processor: dict[str, float]
    """Seconds by part."""
    states: dict[str, int]
    repeated: int
    """How often one was sent again, since no answer was heard in time: a fault here, where devices answer at once."""


class Fleet:
    """Simulated devices, a share at each gateway, and what they have done in the end."""

    def __init__(self, stack: Stack, devices: int) -> None:
        self._stack = stack
        self._files = [stack.folder / f"executed-{number}.jsonl" for number in range(len(stack.gateways))]
        self.children: list[Child] = []
        first = 0
        for number, (gateway, file) in enumerate(zip(stack.gateways, self._files, strict=True)):
            share = devices // len(stack.gateways) + (number < devices % len(stack.gateways))
            plan = {"devices": share, "first_device": first, "interval": REPORT_SECONDS, "duration": 86_400, "executed": file}
            command = simulated(gateway.port, stack.folder / f"ledger-{number}.jsonl", **plan)
            self.children.append(Child(command, stack.folder / f"simulate-{number}.log", stack.environment))
            first += share
        try:
            wait_until(
                lambda: sum(gateway.statistics().get("sessions", 0) for gateway in stack.gateways) == devices,
                "all devices are online",
                ONLINE_SECONDS,
            )
        except BaseException:
            self.close()
            raise

    def done(self) -> tuple[int, int]:
        """How many commands the devices have carried out, and how many of them more than once. They end with it."""
        for child in self.children:
            child.process.send_signal(signal.SIGINT)
        for child in self.children:
            wait_until(lambda child=child: child.process.poll() is not None, "the devices have their acks", ONLINE_SECONDS)
            assert child.process.returncode == 0, child.output()[-2000:]
        times = [json.loads(line)["times"] for file in self._files for line in file.read_text().splitlines()]
        return len(times), sum(each > 1 for each in times)

    def close(self) -> None:
        for child in self.children:
            child.kill()


@contextmanager
def online(stack: Stack, devices: int) -> Iterator[Fleet]:
    fleet = Fleet(stack, devices)
    try:
        yield fleet
    finally:
        fleet.close()


class Bench:
    """Phases on one stack, each with commands of its own."""

    def __init__(self, stack: Stack, fleet: Fleet, devices: int, progress: Progress) -> None:
        self._stack, self._fleet, self._devices, self._progress = stack, fleet, devices, progress
        self.asked = 0
        self.acknowledged = 0

    def phase(self, way: str, commands: int, *options: str) -> Phase:
        newest = self._one("SELECT coalesce(max(id), 0) FROM store_command")
        devices = {f"devices {number}": child.process.pid for number, child in enumerate(self._fleet.children)}
        words = ["-m", "bench.asker", way, "--commands", str(commands), "--devices", str(self._devices), *options]
        usage, began = Usage({**self._stack.pids, **devices}), time.monotonic()
        asker = Child([sys.executable, *words], self._stack.folder / f"asker-{newest}.log", self._stack.environment)
        try:
            task = self._progress.add_task(way, total=commands)

            def are_ended() -> bool:
                ended = self._one("SELECT count(*) FROM store_command WHERE id > %s AND ended_at IS NOT NULL", newest)
                self._progress.update(task, completed=ended)
                return ended == commands

            seconds = ENDED_SECONDS + commands / float(options[-1] if options else 1e9)
            wait_until(lambda: asker.process.poll() is not None, "all are asked for", seconds)
            assert asker.process.returncode == 0, asker.output()[-2000:]
            wait_until(are_ended, "all have ended", ENDED_SECONDS)
        finally:
            asker.kill()
        shares, taken = usage.shares(), time.monotonic() - began
        processor = {name: share * taken for name, share in shares.items()}
        processor = {**_summed(processor), "asker": json.loads(asker.output().splitlines()[-1])}
        return self._phase(newest, processor)

    def _phase(self, newest: int, processor: dict[str, float]) -> Phase:
        question = "SELECT created_at, sent_at, ended_at, state, tries FROM store_command WHERE id > %s ORDER BY created_at, id"
        with psycopg.connect(self._stack.environment["IOTGW_DATABASE_URL"]) as connection:
            rows = connection.execute(question, (newest,)).fetchall()
        states: dict[str, int] = {}
        for *_, state, _ in rows:
            states[state] = states.get(state, 0) + 1
        self.asked += len(rows)
        self.acknowledged += states.get("acknowledged", 0)
        to_sent = [(sent - created).total_seconds() for created, sent, *_ in rows if sent is not None]
        to_end = [(ended - created).total_seconds() for created, _, ended, *_ in rows]
        repeated = sum(max(0, tries - 1) for *_, tries in rows)
        last = max(ended for _, _, ended, *_ in rows)
        return Phase((last - rows[0][0]).total_seconds(), to_sent, to_end, processor, states, repeated)

    def _one(self, statement: str, *values: object) -> int:
        with psycopg.connect(self._stack.environment["IOTGW_DATABASE_URL"]) as connection:
            row = connection.execute(statement, values).fetchone()
        assert row is not None
        return int(row[0])


def _summed(seconds: dict[str, float]) -> dict[str, float]:
    """Gateways together, and devices."""
    summed: dict[str, float] = {}
    for name, value in seconds.items():
        part = name.partition(" ")[0]
        summed[part] = summed.get(part, 0.0) + value
    return summed


def quantiles(times: Sequence[float]) -> list[float]:
    ordered = sorted(times)
    return [ordered[min(int(len(ordered) * part), len(ordered) - 1)] if ordered else 0.0 for part in QUANTILES.values()]


def spread(times: Sequence[float]) -> str:
    """The least and the most of the medians of a phase's pieces."""
    size = max(1, len(times) // PIECES)
    medians = [median(times[start : start + size]) for start in range(0, size * PIECES, size) if times[start : start + size]]
    return f"{min(medians) * 1000:,.0f} to {max(medians) * 1000:,.0f}"


def noise() -> str:
    """How alike rounds of the same work are, which nothing but the machine makes different."""
    timing = time_all({"sum": lambda: sum(range(10_000))}, NOISE_ROUNDS)["sum"]
    return f"{timing.median / 1000:.0f} µs (least to most {timing.spread:.0%} apart)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", type=int, default=10_000, help="in one run")
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--gateways", type=int, default=2)
    parser.add_argument("--broker", choices=("redis", "rabbitmq"), default="redis")
    parser.add_argument("--steady", type=int, default=2000, metavar="COMMANDS", help="as many at the steady rate, first")
    parser.add_argument("--rate", type=float, default=20.0, help="commands asked for a second then")
    parser.add_argument("--processes", type=int, default=2, help="of the worker")
    given = parser.parse_args()
    if not (given.steady > 0 and 0 < given.commands <= MOST_OPEN * given.devices):
        parser.error(f"--commands: from 1 to {MOST_OPEN} for each of the devices")
    before = noise()
    rabbitmq = given.broker == "rabbitmq"
    with (
        Progress(console=Console(stderr=True), transient=True) as progress,
        Stack(given.gateways, given.processes, has_rabbitmq=rabbitmq, commands_per_minute="10000") as stack,
        online(stack, given.devices) as fleet,
    ):
        bench = Bench(stack, fleet, given.devices, progress)
        bench.phase("run", min(WARM_UP, given.commands))
        between = noise()
        phases = {
            f"{given.rate:g}/s": bench.phase("steady", given.steady, "--rate", str(given.rate)),
            "one run": bench.phase("run", given.commands),
        }
        done, twice = fleet.done()
    show(given, phases)
    print(f"the same sum before {before}, beside the idle stack {between}, after {noise()}")
    print(f"{bench.asked:,} asked for, {bench.acknowledged:,} acknowledged; {done:,} done by devices, {twice:,} of them twice")
    for name, phase in phases.items():
        print(f"{name}: {', '.join(f'{state} {count:,}' for state, count in phase.states.items())}; {phase.repeated:,} sent again")
    sys.exit(bool(twice) or not bench.asked == bench.acknowledged == done)


def show(given: argparse.Namespace, phases: dict[str, Phase]) -> None:
    console = Console(width=140)
    ways = f"{given.devices:,} devices, {given.gateways} gateways, {given.broker}"
    times = Table("", "commands", "a second", "", *QUANTILES, f"medians of {PIECES} parts", title=f"{ways}; ms since asked for")
    parts = Table("", *next(iter(phases.values())).processor, title="ms of processor time a command")
    for name, phase in phases.items():
        for what, each in (("sent", phase.to_sent), ("ended", phase.to_end)):
            count, rate = f"{len(phase.to_end):,}", f"{len(phase.to_end) / phase.seconds:,.0f}"
            times.add_row(name, count, rate, what, *(f"{value * 1000:,.0f}" for value in quantiles(each)), spread(each))
        parts.add_row(name, *(f"{1000 * seconds / len(phase.to_end):.2f}" for seconds in phase.processor.values()))
    console.print(times, parts, sep="\n")


if __name__ == "__main__":
    main()
