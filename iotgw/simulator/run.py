"""Running a simulated fleet in this process, with its progress for people."""

from __future__ import annotations

import json
import resource
import signal
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from twisted.internet.task import react

from iotgw.simulator.fleet import Fleet, FleetPlan, open_ledger


def run(plan: FleetPlan, ledger: Path | None, executed: Path | None = None) -> int:
    """Run a plan to its end; how many reports are left without an ack. What was carried out is written behind it.

    Raises: click.ClickException when this process may not have as many open files as there are devices.
    """
    _allow_files(plan.devices)
    kept: list[int] = []
    try:
        react(_simulate, (plan, ledger, executed, kept))
    except SystemExit as end:
        if end.code:
            raise
    return kept[0]


async def _simulate(reactor: Any, plan: FleetPlan, ledger_path: Path | None, executed_path: Path | None, kept: list[int]) -> None:
    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), TextColumn("{task.fields[text]}"))
    bar = Progress(*columns, console=console)
    task = bar.add_task(f"{plan.devices} devices", total=plan.duration_seconds, text="")
    with open_ledger(ledger_path) as ledger:
        fleet = Fleet(plan, reactor, ledger)
        _finish_when_interrupted(fleet, reactor, console)

        def progress(seconds: float) -> None:
            if ledger is not None:
                ledger.flush()
            bar.update(task, completed=min(seconds, plan.duration_seconds), text=_progress_text(fleet))

        with Live(bar, console=console, refresh_per_second=4):
            await fleet.run(progress)
    kept.append(fleet.kept)
    done = list(fleet.executed())
    if executed_path is not None:
        executed_path.write_text("".join(f"{json.dumps(one)}\n" for one in done), encoding="utf-8")
    twice = sum(one["times"] > 1 for one in done)
    commands = f", {len(done)} commands carried out, {twice} of them more than once" if done else ""
    unanswered = f", {fleet.unanswered} to which the protocol has no answer" if fleet.unanswered else ""
    dropped = f", {fleet.dropped} links dropped" if fleet.dropped else ""
    counts = f"{fleet.made} reports made, {fleet.acked} acked, {fleet.kept} kept without an ack, {fleet.sent} sent"
    print(counts + unanswered + dropped + commands, flush=True)


def _finish_when_interrupted(fleet: Fleet, reactor: Any, console: Console) -> None:
    """The first Ctrl-C ends the reports, so that ledger and counts are whole; the second ends the process."""
    end_at_once = signal.getsignal(signal.SIGINT)

    def finish(*_: Any) -> None:
        signal.signal(signal.SIGINT, end_at_once)
        reactor.callFromThread(console.print, "no more reports, waiting for the acks that are owed; again to leave at once")
        reactor.callFromThread(fleet.finish)

    signal.signal(signal.SIGINT, finish)


def _progress_text(fleet: Fleet) -> str:
    median, slowest = fleet.latency_seconds(0.5), fleet.latency_seconds(0.99)
    latency = "" if median is None or slowest is None else f", ack in {median * 1000:.0f} ms (p99 {slowest * 1000:.0f} ms)"
    return f"{fleet.online} online, {fleet.acked} acked, {fleet.kept} waiting{latency}"


def _allow_files(wanted: int) -> None:
    """Raise this process's limit of open files as far as it may go: each device is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted + 100:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(wanted + 100, soft), hard), hard))
    if min(hard, resource.getrlimit(resource.RLIMIT_NOFILE)[0]) < wanted + 20:
        raise click.ClickException(f"{wanted} devices need as many open files, and this process may have {hard}: raise 'ulimit -n'")
