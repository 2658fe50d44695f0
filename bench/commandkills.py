"""Parts killed while devices are told what to do, over and over: is each command carried out once, and known to have been?

python -m bench.commandkills [--kills 5] [--rate 20] [--devices 40] [--only gateway] [--around "Redis, SQLite"]

Each row of the table is a fleet of simulated devices (:mod:`bench.commandfleet`) of which somebody wants something all the time
(:mod:`bench.commandasking`) while one part is killed with SIGKILL, at any moment, and started again. When all commands have come to
their end, what the devices have carried out is compared with the database (:mod:`bench.commandverdict`). Exit status 1 when a
command is lost, is done twice though it must not be, or ends as something else than it was.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Container, Mapping, Sequence
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.commandverdict import Told, Verdict, judge, read_executed, read_told
from bench.kills import KILLS, chosen, fill, settle, strike
from bench.stack import Stack
from tests.processes import Child, wait_until

INTERVAL_SECONDS = 4.0
"""Between a device's reports, which only show that what was killed works again."""
WAIT_SECONDS = 150
"""For commands to end, behind the last that was asked for. What is under way then is lost."""
STOP_SECONDS = 60.0


def row(stack: Stack, part: str, arguments: argparse.Namespace, advance: Callable[[], None]) -> tuple[list[str], bool]:
    """The cells of a part that is killed so often, and whether all commands were carried out as they should."""
    folder = stack.folder / part.replace(" ", "-")
    folder.mkdir()
    ledger, executed, told = (folder / name for name in ("acked.jsonl", "executed.jsonl", "told.jsonl"))
    plan = ["--devices", arguments.devices, "--first-device", list(KILLS).index(part) * arguments.devices]
    written = ["--ledger", ledger, "--executed", executed, "--interval", INTERVAL_SECONDS]
    fleet = _child(stack, "commandfleet", "--port", stack.gateways[0].port, *plan, *written)
    asker = _child(stack, "commandasking", "--told", told, "--rate", arguments.rate, "--wait", WAIT_SECONDS, *plan)
    try:
        asker.wait_until(lambda: "asking" in asker.output(), "somebody wants something")
        rate = arguments.devices / INTERVAL_SECONDS
        silences = [strike(stack, fleet, ledger, part, rate, advance) for _ in range(arguments.kills)]
        asker.process.send_signal(signal.SIGTERM)
        wait_until(lambda: asker.process.poll() is not None, "all commands have ended", WAIT_SECONDS + STOP_SECONDS)
        assert asker.process.returncode == 0, asker.output()[-2000:]
        settle(fleet)
    finally:
        asker.kill()
        fleet.kill()
    commands, times = read_told(told.read_text().splitlines()), read_executed(executed.read_text().splitlines())
    verdict = judge(commands, times)
    _show(commands, times, {number for numbers in verdict.faults.values() for number in numbers})
    return [part, f"{arguments.kills}", f"{median(silences):.1f} / {max(silences):.1f}", *_cells(verdict)], verdict.is_well


def _show(commands: Sequence[Told], times: Mapping[tuple[str, int], int], wrong: Container[int]) -> None:
    """Commands that have something wrong with them, whole."""
    for one in commands:
        if one.number in wrong:
            print(one, f"carried out {times.get((one.identity, one.number), 0)} times", file=sys.stderr)


def _child(stack: Stack, module: str, *words: object) -> Child:
    return Child([sys.executable, "-m", f"bench.{module}", *map(str, words)], stack.folder / f"{module}.log", stack.environment)


def _cells(verdict: Verdict) -> list[str]:
    states = verdict.states
    wrong = [f"{name}: {len(numbers)} ({', '.join(map(str, numbers[:5]))})" for name, numbers in verdict.faults.items() if numbers]
    ends = [states["acknowledged"], states["refused"], states["no_answer"], states["expired"]]
    counts = [states.total(), *ends, verdict.done_unknown, verdict.late, verdict.repeated]
    return [*(f"{count:,}" for count in counts), "; ".join(wrong) or "0 lost, 0 twice"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=5, help="of each part")
    parser.add_argument("--rate", type=float, default=20.0, help="commands a second")
    parser.add_argument("--devices", type=int, default=40)
    parser.add_argument("--only", choices=list(KILLS), help="kill this part alone")
    parser.add_argument("--around", help='with this broker and database alone: "Redis, SQLite"')
    arguments = parser.parse_args()
    rows = [(around, parts) for around, parts in chosen(arguments.only) if arguments.around in (None, str(around))]
    table = Table(
        *("broker, database", "killed", "times", "no ack for s", "asked", "acknowledged", "refused", "no answer", "expired"),
        *("done, no answer", "late answer", "repeated", "verdict"),
        title=f"SIGKILL at {arguments.rate:g} commands/s, {arguments.devices} devices",
    )
    is_well = fill(table, rows, row, arguments.kills, arguments)
    Console(width=180).print(table)
    sys.exit(not is_well)


if __name__ == "__main__":
    main()
