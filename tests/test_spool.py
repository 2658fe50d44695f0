"""Devices are answered while nobody stores: what the spool has acked is stored later, whatever is killed."""

from __future__ import annotations

import os
import signal

from tests.servers import wait_until
from tests.stacks import RunningStack
from tests.test_promise import acked


def test_what_is_acked_without_a_worker_outlives_the_gateway(start_child, tmp_path):
    stack = RunningStack(start_child, tmp_path / "var", IOTGW_RECEIPT_TIMEOUT_SECONDS="1", IOTGW_GATEWAY_ID="gw")
    ledger = tmp_path / "ledger.jsonl"
    simulator = stack.simulate(start_child, ledger, devices=20, interval=0.2, duration=30, settle=90)
    simulator.wait_until(lambda: acked(ledger) >= 40, "devices are let in")
    worker = stack.pid("worker")
    os.killpg(worker, signal.SIGSTOP)
    try:
        wait_until(stack.spooled, "the spool has batches")
        before = acked(ledger)
        simulator.wait_until(lambda: acked(ledger) >= before + 200, "devices are answered without a worker")
        gateway = stack.pid("gateway")
        stack.kill("gateway")
        assert stack.spooled()
        stack.child.wait_until(lambda: stack.pid("gateway") != gateway, "the gateway comes back")
        stack.child.wait_until(lambda: "found batches in the spool" in stack.child.output(), "it finds what it had acked")
        assert simulator.process.poll() is None
        before = acked(ledger)
        simulator.wait_until(lambda: acked(ledger) >= before + 40, "who comes back is let in and answered, still without a worker")
    finally:
        os.killpg(worker, signal.SIGCONT)
    wait_until(lambda: simulator.process.poll() is not None, "the simulator ends", 240)
    assert simulator.process.returncode == 0, simulator.output()[-2000:] + stack.child.output()[-4000:]
    wait_until(lambda: not stack.spooled(), "the spool is empty", 90)
    verified = stack.command("verify", "--ledger", ledger)
    assert verified.stdout.strip().splitlines()[-1] == f"0 lost, 0 duplicated, {acked(ledger)} stored"
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert stack.child.stop() == 0


def test_without_a_spool_nothing_is_acked_until_it_is_stored(start_child, tmp_path):
    stack = RunningStack(start_child, tmp_path / "var", IOTGW_RECEIPT_TIMEOUT_SECONDS="1", IOTGW_SPOOL_BYTES="0")
    ledger = tmp_path / "ledger.jsonl"
    simulator = stack.simulate(start_child, ledger, devices=5, interval=0.2, duration=5, settle=90)
    simulator.wait_until(lambda: acked(ledger) >= 5, "devices are let in")
    worker = stack.pid("worker")
    os.killpg(worker, signal.SIGSTOP)
    try:
        again = "publishing the batch again"
        stack.child.wait_until(lambda: stack.child.output().count(again) >= 2, "the gateway misses receipts")
        before = acked(ledger)
        stack.child.wait_until(lambda: stack.child.output().count(again) >= 4, "and more of them")
        assert acked(ledger) == before
    finally:
        os.killpg(worker, signal.SIGCONT)
    wait_until(lambda: simulator.process.poll() is not None, "the simulator ends", 240)
    assert simulator.process.returncode == 0
    assert not list((tmp_path / "var").glob("spool-*"))
    verified = stack.command("verify", "--ledger", ledger)
    assert verified.stdout.strip().splitlines()[-1] == f"0 lost, 0 duplicated, {acked(ledger)} stored"
    assert stack.child.stop() == 0
