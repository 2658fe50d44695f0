"""An acked message is a stored message, whatever is killed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import Child, wait_until
from tests.stacks import RunningStack

KILLED = ("worker", "gateway", "redis")


def acked(ledger: Path) -> int:
    return ledger.read_text().count("\n") if ledger.exists() else 0


def run_and_kill(start_child: Callable[..., Child], folder: Path, rounds: int, every: int, **plan: object) -> str:
    """Simulate a fleet, kill a part each time that ``every`` more reports are acked, and verify; verify's last line."""
    stack = RunningStack(start_child, folder / "var")
    ledger = folder / "ledger.jsonl"
    simulator = stack.simulate(start_child, ledger, settle=90, **plan)
    for part in KILLED * rounds:
        goal = acked(ledger) + every
        simulator.wait_until(lambda goal=goal: acked(ledger) >= goal, f"{goal} acks before {part} is killed")
        before = stack.pid(part)
        stack.kill(part)
        stack.child.wait_until(lambda part=part, before=before: stack.pid(part) != before, f"{part} comes back")
    wait_until(lambda: simulator.process.poll() is not None, "the simulator ends", 240)
    assert simulator.process.returncode == 0, simulator.output()[-2000:] + stack.child.output()[-4000:]
    wait_until(lambda: not stack.spooled(), "what was acked from the spool is in the database", 90)
    verified = stack.command("verify", "--ledger", ledger)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    last = verified.stdout.strip().splitlines()[-1]
    assert last == f"0 lost, 0 duplicated, {acked(ledger)} stored"
    assert stack.child.stop() == 0
    return last


def test_nothing_acked_is_lost_when_parts_are_killed(start_child, tmp_path):
    run_and_kill(start_child, tmp_path, rounds=1, every=60, devices=40, interval=0.5, duration=20)


@pytest.mark.slow
def test_nothing_acked_is_lost_with_a_thousand_devices(start_child, tmp_path):
    last = run_and_kill(start_child, tmp_path, rounds=1, every=8000, devices=1000, interval=1, duration=60)
    print(last)


def test_verify_sees_a_loss(start_child, tmp_path):
    """The check itself is checked: without this, "0 lost" would say nothing."""
    stack = RunningStack(start_child, tmp_path / "var")
    ledger = tmp_path / "ledger.jsonl"
    simulator = stack.simulate(start_child, ledger, devices=2, interval=0.2, duration=1)
    wait_until(lambda: simulator.process.poll() is not None, "the simulator ends")
    count = acked(ledger)
    with ledger.open("a") as file:
        file.write('{"protocol":"jt808","identity":"13800000000","kind":"location","digest":"' + "0" * 32 + '"}\n')
    verified = stack.command("verify", "--ledger", ledger)
    assert verified.returncode == 1
    assert verified.stdout.strip().splitlines()[-1] == f"1 lost, 0 duplicated, {count} stored"
