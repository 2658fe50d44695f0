"""The one-machine stack: it starts, watches, stops in order, and says what is wrong."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from importlib import resources
from pathlib import Path

import pytest

from iotgw.stack import Child, redis_command
from tests.servers import free_port, wait_until
from tests.stacks import RunningStack, listening


@pytest.fixture
def stack(start_child, tmp_path):
    return RunningStack(start_child, tmp_path / "var")


def test_a_killed_part_comes_back(stack):
    for part in ("worker", "gateway", "beat", "forward", "redis"):
        stack.child.wait_until(lambda part=part: stack.pid(part), f"{part} runs")
        before = stack.pid(part)
        stack.kill(part)
        stack.child.wait_until(lambda part=part, before=before: stack.pid(part) != before, f"{part} comes back")


def test_stopping_ends_every_child_and_reports_success(stack):
    pids = [stack.pid(part) for part in ("redis", "worker", "gateway", "beat", "forward")]
    assert stack.child.stop(signal.SIGINT) == 0
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    output = stack.child.output()
    assert output.index("gateway | ") < len(output)
    assert "killing it" not in output


def test_when_the_stack_itself_is_killed_no_child_lives_on(stack):
    pids = [stack.pid(part) for part in ("redis", "worker", "gateway", "beat", "forward")]
    os.kill(stack.child.process.pid, signal.SIGKILL)
    wait_until(lambda: not [pid for pid in pids if Path(f"/proc/{pid}").exists()], "all children are gone", 40)


@pytest.mark.parametrize("folder", ["var", "long" * 25])
def test_a_device_of_the_stack_can_be_watched_without_a_setting(start_child, tmp_path, folder: str):
    stack = RunningStack(start_child, tmp_path / folder)
    done = stack.command("tap", "jt808", "13800138000", "--seconds", "0.1")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("jt808 13800138000 has no session on any gateway"), "its private Redis is found"
    assert stack.command("devices").returncode == 0


def test_a_second_stack_in_the_same_folder_is_refused(stack):
    second = stack.command("up")
    assert second.returncode == 1
    assert second.stderr == f"Error: another stack runs in {stack.folder}: stop it, or set IOTGW_VAR to another folder\n"


def test_a_taken_port_is_said(start_child, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        child = start_child(
            "-m", "iotgw", "up", IOTGW_VAR=str(tmp_path / "var"), **listening(jt808=f"tcp:{port}:interface=127.0.0.1")
        )
        child.wait_until(lambda: "cannot listen, set another endpoint" in child.output(), "it says so")


def test_maps_that_ask_too_much_of_a_line_are_said_at_start(start_child, tmp_path):
    maps = tmp_path / "maps"
    maps.mkdir()
    for file in (resources.files("protocols.modbus") / "demo").iterdir():
        (maps / file.name).write_text(file.read_text("utf-8").replace("link_latency_ms = 200", "link_latency_ms = 3000"), "utf-8")
    stack = RunningStack(start_child, tmp_path / "var", IOTGW_PROTOCOLS__MODBUS__MAPS=str(maps))
    assert "line SIM needs" in stack.child.output()
    assert stack.child.stop() == 0


def test_what_is_done_now_and_then_is_asked_for_and_can_be_had_now(stack):
    stack.child.wait_until(lambda: json.loads(stack.command("schedule", "--json").stdout), "the schedule is there")
    done = stack.command("schedule", "run", "queues")
    assert (done.returncode, done.stdout) == (0, "queues is asked for\n"), "its private Redis is found"
    stack.child.wait_until(lambda: json.loads(stack.command("queues", "--json").stdout)[0]["workers"] == 1, "it was done")

    def asked() -> int:
        return {line["name"]: line["runs"] for line in json.loads(stack.command("schedule", "--json").stdout)}["files"]

    stack.child.wait_until(lambda: asked() >= 2, "beat asks")


def test_only_this_user_can_open_the_private_redis(stack):
    assert stack.folder.stat().st_mode & 0o077 == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", 6379)) != 0 or "--port 0" in " ".join(redis_command(stack.folder, stack.folder / "x"))


def test_a_child_that_keeps_failing_is_started_ever_more_slowly():
    started: list[float] = []

    async def run() -> None:
        child = Child(
            "fails",
            [sys.executable, "-c", "raise SystemExit(3)"],
            dict(os.environ),
            lambda _, line: started.append(time.monotonic()),
        )
        child.start()
        while len(started) < 3:
            await asyncio.sleep(0.01)
        await child.stop()
        assert child.restarts >= 3

    asyncio.run(run())
    first, second = started[1] - started[0], started[2] - started[1]
    assert second > first


def test_free_ports_are_free():
    assert free_port() > 1024
