"""Every protocol's simulated fleet through the whole stack at once, with the worker killed meanwhile."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from protocols import Camera
from protocols.registry import PROTOCOLS
from tests.servers import Child, wait_until
from tests.stacks import RunningStack


def acked(ledger: Path) -> int:
    return ledger.read_text().count("\n") if ledger.exists() else 0


def photos(name: str) -> dict[str, float]:
    """Photos now and then, if the protocol's devices have a camera."""
    protocol = PROTOCOLS[name]
    return {"photos-every": 10} if isinstance(protocol.terminal(protocol.simulated_identity(0)), Camera) else {}


def simulate_and_kill(
    start_child: Callable[..., Child], stack: RunningStack, folder: Path, protocols: list[str], least: int, **plan: object
) -> list[str]:
    """Run fleets side by side, kill the worker once each has ``least`` acks, and verify; verify's last line of each."""
    ledgers = {name: folder / f"{name}.jsonl" for name in protocols}
    fleets = {
        name: stack.simulate(start_child, ledger, name, settle=90, **plan, **photos(name)) for name, ledger in ledgers.items()
    }
    for name, fleet in fleets.items():
        fleet.wait_until(lambda name=name: acked(ledgers[name]) >= least, f"{least} acks of {name}", 120)
    before = stack.pid("worker")
    stack.kill("worker")
    stack.child.wait_until(lambda: stack.pid("worker") != before, "the worker comes back")
    verified = []
    for name, fleet in fleets.items():
        wait_until(lambda fleet=fleet: fleet.process.poll() is not None, f"the {name} simulator ends", 300)
        assert fleet.process.returncode == 0, fleet.output()[-2000:] + stack.child.output()[-4000:]
        count = acked(ledgers[name])
        assert count > least, f"{name} went on after the worker was killed"
        assert re.search(rf"\b{count} acked, 0 kept without an ack", fleet.output())
        wait_until(lambda: not stack.spooled(), "what was acked from the spool is in the database", 90)
        done = stack.command("verify", "--ledger", ledgers[name])
        assert done.returncode == 0, name + done.stdout + done.stderr
        verified.append(f"{name}: {done.stdout.strip().splitlines()[-1]}")
        assert verified[-1] == f"{name}: 0 lost, 0 duplicated, {count} stored"
    return verified


def test_every_fleet_loses_nothing_when_the_worker_is_killed(start_child, tmp_path):
    stack = RunningStack(start_child, tmp_path / "var")
    simulate_and_kill(start_child, stack, tmp_path, list(PROTOCOLS), least=10, devices=10, interval=0.5, duration=15)
    assert stack.command("quarantine").stdout.strip() == "There is nothing in quarantine."
    assert stack.child.stop() == 0


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_two_hundred_devices_for_a_minute_lose_nothing(start_child, tmp_path, protocol):
    stack = RunningStack(start_child, tmp_path / "var")
    for line in simulate_and_kill(start_child, stack, tmp_path, [protocol], least=400, devices=200, interval=1, duration=60):
        print(line)
    assert stack.child.stop() == 0
