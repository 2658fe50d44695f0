"""Commands over a whole stack: asked for over HTTP, done by a device once, and heard of by who waits, whatever is killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from protocols.jt808 import JT808
from protocols.jt808.terminal import JT808Terminal
from tests.boards import Board
from tests.control.test_control import Caller
from tests.processes import wait_until
from tests.servers import Child, free_port
from tests.stacks import RunningStack

PATH = "/v1/devices/jt808/13800138007/commands"
TRACK = {"name": "track_location", "fields": {"interval_s": 5, "validity_s": 60}}


class Down:
    """A stack with control, and a terminal that it knows."""

    def __init__(self, start_child: Callable[..., Child], folder: Path) -> None:
        port = free_port()
        settings = {"IOTGW_RECEIPT_TIMEOUT_SECONDS": "2", "IOTGW_CONTROL_LISTEN": f"tcp:{port}:interface=127.0.0.1"}
        self.stack = RunningStack(start_child, folder / "var", **settings)
        self.stack.child.wait_until(lambda: "control over HTTP" in self.stack.child.output(), "control is there")
        self.caller = Caller(port, (folder / "var/control-token").read_text().strip())
        terminal = JT808.terminal("13800138007")
        assert isinstance(terminal, JT808Terminal)
        self.terminal = terminal
        self.board = Board(terminal, self.stack.ports["jt808"])
        assert self.stack.command("devices", "add", "jt808", terminal.identity).returncode == 0

    def show(self, command: int) -> dict[str, Any]:
        """As it is, once the gateway and a worker are there to tell."""
        shown: dict[str, Any] = {}

        def is_told() -> bool:
            status, told = self.caller.ask("GET", f"/v1/commands/{command}")
            shown.update(told)
            return status == 200

        wait_until(is_told, "the command is told")
        return shown


@pytest.fixture
def down(start_child: Callable[..., Child], tmp_path: Path) -> Iterator[Down]:
    down = Down(start_child, tmp_path)
    yield down
    assert down.stack.child.stop() == 0


def test_a_caller_hears_what_the_device_says_while_it_waits(down: Down) -> None:
    down.board.talk_until(lambda: down.terminal.is_online, "the terminal is here")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(down.caller.ask, "POST", f"{PATH}?wait=60", TRACK)
        down.board.talk_until(waiting.done, "the caller is told, by the mailbox and not since its time is over", seconds=50)
    status, told = waiting.result()
    assert (status, told["state"], told["reason"]) == (200, "acknowledged", "")
    assert [step["cause"] for step in told["steps"]] == ["asked", "sent", "answered"]
    sent = bytes.fromhex(told["steps"][1]["data"])
    assert sent[1:3] == b"\x82\x02"
    assert told["by"].startswith("control of ")
    assert len(down.terminal.executed.of(0x8202)) == 1


def test_a_command_for_a_device_that_is_away_is_done_once_though_gateway_and_worker_are_killed(down: Down) -> None:
    status, told = down.caller.ask("POST", f"{PATH}?wait=0", TRACK)
    assert (status, told["state"]) == (202, "queued")
    down.stack.kill("gateway")
    down.stack.kill("worker")
    down.board.talk_until(lambda: down.terminal.executed.of(0x8202), "the terminal is told")
    down.stack.kill("gateway")
    down.board.cut()
    links = down.board.links
    down.board.talk_until(lambda: down.board.links > links and down.terminal.is_online, "the terminal is here again")
    status, after = down.caller.ask("POST", f"{PATH}?wait=0", {"name": "query_parameters"})
    assert status == 202, after
    down.board.talk_until(lambda: down.terminal.executed.of(0x8104), "it is told what comes next")
    shown = down.show(told["id"])
    # Its answer may have been lost with the gateway: then nobody knows, and it is not done again.
    assert shown["state"] in ("sent", "acknowledged")
    assert shown["tries"] == len(down.terminal.executed.of(0x8202)) == 1


def test_what_cannot_be_asked_for_is_told_in_words_and_what_waits_is_cancelled(down: Down) -> None:
    ask = down.caller.ask
    answers = [
        ask("POST", "/v1/devices/jt808/404/commands", TRACK),
        ask("POST", PATH, {"name": "nonsense"}),
        ask("POST", PATH, {"name": "track_location", "fields": {"interval_s": "x", "validity_s": 60}}),
        ask("POST", PATH, {"name": "text_message", "fields": {"text": "stop"}}),
        ask("POST", PATH, {**TRACK, "must_be_online": True}),
        ask("POST", PATH, {**TRACK, "condition": "nonsense"}),
        ask("POST", PATH, {**TRACK, "expires_seconds": 1e9}),
    ]
    assert [(status, told["error"]["code"]) for status, told in answers] == [
        (404, "unknown_device"),
        (404, "unknown_command"),
        (422, "bad_field"),
        (403, "not_permitted"),
        (409, "offline"),
        (422, "bad_condition"),
        (422, "bad_expiry"),
    ]
    status, told = ask("POST", f"{PATH}?wait=0", {**TRACK, "key": "one"})
    assert ask("POST", f"{PATH}?wait=0", {**TRACK, "key": "one"})[1]["id"] == told["id"]
    assert ask("POST", f"{PATH}?wait=0", {"name": "query_location", "key": "one"})[0] == 409
    status, told = ask("DELETE", f"/v1/commands/{told['id']}")
    assert (status, told["state"]) == (200, "cancelled")
    assert ask("GET", "/v1/commands/404")[0] == 404
