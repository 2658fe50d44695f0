"""What sessions cost that say little: memory of each, and the gateways' processor time for their heartbeats.

python -m bench.idle [--gateways 1 6] [--sessions 15000] [--beat 20] [--seconds 40]

Each gateway has its own port and its own load generator; a worker and PostgreSQL are shared. Memory is what a gateway's
resident set has grown by since it had served a few hundred sessions that are gone again, so that what it needs once for
all of them is not counted.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.load import Load, build
from bench.stack import Gateway, Stack
from bench.traffic import FIRST_DEVICE, HEARTBEATS, PUTS
from bench.usage import Usage, resident_bytes
from tests.processes import wait_until

FIRST_SESSIONS = 300
SETTLE_SECONDS = 10.0
"""After the last login, before anything is measured."""
DRAIN_SECONDS = 30.0
COLUMNS = ("", "sessions", "RSS before MiB", "after", "KiB a session", "of a core", "heartbeats/s", "answered", "p50 / p99 ms")


@contextmanager
def sessions(program: Path, gateways: list[Gateway], count: int, beat: float, seconds: float) -> Iterator[list[Load]]:
    """So many sessions on each gateway, all of them logged in, and heartbeats on their way, when the block begins."""
    with ExitStack() as stack:
        loads = []
        for number, gateway in enumerate(gateways):
            timing = {"rate": count / beat, "warm_up": SETTLE_SECONDS, "seconds": seconds, "drain": DRAIN_SECONDS}
            devices = {"connections": count, "first_device": FIRST_DEVICE + number * 100_000}
            options = {**HEARTBEATS, **timing, **devices, "wait": 1, "announce": 1}
            loads.append(stack.enter_context(Load(program, gateway.port, PUTS, **options)))
        for load in loads:
            load.wait_until("ready")
        for load in loads:
            load.go_on()
        for load in loads:
            load.wait_until("measuring")
        yield loads


def measure(program: Path, stack: Stack, count: int, beat: float, seconds: float, table: Table) -> None:
    """Add a row for each gateway, and one for the worker and the rest."""
    with sessions(program, stack.gateways, FIRST_SESSIONS, 1.0, 1.0) as loads:
        for load in loads:
            load.outcome()
    wait_until(lambda: all(gateway.statistics().get("links") == 0 for gateway in stack.gateways), "the first sessions are gone")
    before = [resident_bytes(gateway.pid) for gateway in stack.gateways]
    began = time.monotonic()
    with sessions(program, stack.gateways, count, beat, seconds) as loads:
        all_in = time.monotonic() - began - SETTLE_SECONDS
        devices = {f"load {number + 1}": load.process.pid for number, load in enumerate(loads)}
        usage = Usage({**stack.pids, **devices})
        time.sleep(seconds)
        shares = usage.shares()
        after = [resident_bytes(gateway.pid) for gateway in stack.gateways]
        held = [gateway.statistics()["sessions"] for gateway in stack.gateways]
        outcomes = [load.outcome() for load in loads]
    each = [(end - start) / number for start, end, number in zip(before, after, held, strict=True)]
    for row, (gateway, outcome) in enumerate(zip(stack.gateways, outcomes, strict=True)):
        table.add_row(
            gateway.name,
            f"{held[row]:,}",
            f"{before[row] / 2**20:.1f}",
            f"{after[row] / 2**20:.1f}",
            f"{each[row] / 1024:.2f}",
            f"{shares[gateway.name]:.1%}",
            f"{outcome.rate:,.0f}",
            f"{outcome.acked:,} of {outcome.sent:,}",
            f"{outcome.p50_us / 1000:.1f} / {outcome.p99_us / 1000:.1f}",
        )
    shares["load"] = sum(shares.pop(name) for name in devices)
    rest = ", ".join(f"{name} {share:.0%}" for name, share in shares.items() if not name.startswith("gateway"))
    table.add_section()
    told = f"{mean(each) / 1024:.2f} KiB a session; all logged in after {all_in:.0f} s; of a core: {rest}\n"
    table.caption = f"{table.caption or ''}{len(each)} x {count:,}: {told}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateways", type=int, nargs="+", default=[1, 6])
    parser.add_argument("--sessions", type=int, default=15_000, help="of each gateway")
    parser.add_argument("--beat", type=float, default=20.0, help="seconds between a device's heartbeats")
    parser.add_argument("--seconds", type=float, default=40.0)
    arguments = parser.parse_args()
    table = Table(*COLUMNS, title=f"idle sessions, a heartbeat every {arguments.beat:g} s", caption_justify="left")
    with TemporaryDirectory() as folder, Progress(console=Console(stderr=True), transient=True) as progress:
        program = build(Path(folder))
        task = progress.add_task("", total=len(arguments.gateways))
        for gateways in arguments.gateways:
            progress.update(task, description=f"{gateways} gateways, {gateways * arguments.sessions:,} sessions")
            with Stack(gateways=gateways, max_links=str(arguments.sessions + FIRST_SESSIONS)) as stack:
                measure(program, stack, arguments.sessions, arguments.beat, arguments.seconds, table)
            progress.advance(task)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
