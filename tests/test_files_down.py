"""Firmware on its way down, over a stack of which parts are killed: it arrives byte by byte, and is not begun anew."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from protocols.jt808 import JT808
from protocols.jt808.terminal import JT808Terminal
from protocols.native import NATIVE
from protocols.native.terminal import NativeTerminal
from tests.boards import Board
from tests.servers import Child
from tests.stacks import RunningStack

FIRMWARE = Random(7).randbytes(3_000_000)


class Down:
    """A stack with a file in it."""

    def __init__(self, start_child: Callable[..., Child], folder: Path) -> None:
        settings = {"IOTGW_RECEIPT_TIMEOUT_SECONDS": "2", "IOTGW_MEDIA_SPARE_BYTES": "0", "IOTGW_FILES_CACHE_BYTES": str(1 << 20)}
        self.stack = RunningStack(start_child, folder / "var", **settings)
        path = folder / "firmware.bin"
        path.write_bytes(FIRMWARE)
        self.files("add", str(path), "--name", "firmware", "--version", "2.0", "--maker", "IOTGW")

    def files(self, *words: str) -> str:
        done = self.stack.command("files", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def offer(self, protocol: str, identity: str) -> None:
        self.stack.command("devices", "add", protocol, identity)
        self.files("offer", "1", protocol, identity)

    def delivery(self) -> dict[str, Any]:
        (row,) = json.loads(self.files("deliveries", "--json"))
        told: dict[str, Any] = row
        return told


@pytest.fixture
def down(start_child: Callable[..., Child], tmp_path: Path) -> Iterator[Down]:
    down = Down(start_child, tmp_path)
    yield down
    assert down.stack.child.stop() == 0


def test_a_board_gets_its_firmware_though_gateway_worker_and_link_are_lost(down: Down) -> None:
    terminal = NATIVE.terminal("board-000007")
    assert isinstance(terminal, NativeTerminal)
    board = Board(terminal, down.stack.ports["native"])
    down.offer("native", terminal.identity)
    board.talk_until(lambda: board.received_bytes > 500_000, "a sixth is there")
    down.stack.kill("gateway")
    board.talk_until(lambda: board.received_bytes > 1_200_000, "more comes from the next gateway")
    down.stack.child.wait_until(lambda: down.delivery()["state"] == "fetching", "its progress is known")
    down.stack.kill("worker")
    board.talk_until(lambda: board.received_bytes > 2_000_000, "more comes by the next worker")
    board.cut()
    board.talk_until(lambda: terminal.firmware, "all of it is there")
    assert terminal.firmware == FIRMWARE
    board.talk_until(lambda: not board.owes, "its result is acked")
    # Frames around it, and little twice.
    assert len(FIRMWARE) < board.received_bytes < len(FIRMWARE) * 1.05
    assert board.links >= 3
    row = down.delivery()
    assert (row["state"], row["sent_bytes"], row["progress"]) == ("done", len(FIRMWARE), "100 %")


def test_a_terminal_gets_its_firmware_though_gateway_worker_and_link_are_lost(down: Down) -> None:
    terminal = JT808.terminal("13800138007")
    assert isinstance(terminal, JT808Terminal)
    board = Board(terminal, down.stack.ports["jt808"])
    down.offer("jt808", terminal.identity)
    board.talk_until(lambda: board.received_bytes > 500_000, "a sixth is there")
    board.cut()
    board.talk_until(lambda: board.received_bytes > 1_200_000, "more comes over the next link")
    down.stack.kill("worker")
    board.talk_until(lambda: board.received_bytes > 1_800_000, "more comes by the next worker")
    down.stack.kill("gateway")
    board.talk_until(lambda: terminal.firmware, "all of it is there")
    assert terminal.firmware == FIRMWARE
    board.talk_until(lambda: not board.owes, "its result is acked")
    row = down.delivery()
    assert (row["state"], row["sent_bytes"]) == ("done", len(FIRMWARE))
    # What is known of how far it has come is up to ten seconds old, so it is not begun anew but goes back some.
    assert board.received_bytes < 2 * len(FIRMWARE)
