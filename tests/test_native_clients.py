"""The shipped clients against the whole stack: an image, and a file that goes on after its sender was killed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from random import Random
from typing import Any

import pytest

from protocols.native.sensors import Sensors
from tests.clients import NAMES, environment, example
from tests.protocols.native.frames import HERE
from tests.servers import Child
from tests.stacks import RunningStack

IDENTITY = "board-7"
ANSWER_MS = 15_000


@pytest.fixture
def stack(start_child, tmp_path):
    running = RunningStack(start_child, tmp_path / "var")
    yield running
    assert running.child.stop() == 0


class Board:
    """The example program of a client, with a file to send."""

    def __init__(self, words: list[str], stack: RunningStack, folder: Path, data: bytes) -> None:
        self.state = folder / "state"
        path = folder / "file"
        path.write_bytes(data)
        arguments = ["127.0.0.1", str(stack.ports["native"]), IDENTITY, "k9-secret", str(path), str(self.state), "0"]
        self.child = Child([*words, *arguments], folder / "board.log", {**os.environ, **environment()})

    def lines(self, word: str) -> list[str]:
        return [line for line in self.child.output().splitlines() if line.split()[0] == word]


def filed(stack: RunningStack, folder: Path) -> bytes:
    """The newest file as it was put together, once it is."""

    def newest() -> dict[str, Any]:
        return json.loads(stack.command("media", "--device", IDENTITY, "--limit", "1", "--json").stdout)[0]

    stack.child.wait_until(lambda: newest()["state"] == "complete", "the file is whole")
    copy = folder / f"copy-{newest()['id']}"
    assert stack.command("media", "get", str(newest()["id"]), copy).returncode == 0
    return copy.read_bytes()


def stored_file(stack: RunningStack) -> bytes:
    """The newest file, put together from its pieces."""
    rows: list[dict[str, Any]] = [row for row in stack.reports() if row["identity"] == IDENTITY]
    end = max((row for row in rows if row["kind"] == "file_end"), key=lambda row: row["received_at"])
    data = bytearray(end["values"]["size"])
    for row in rows:
        if row["kind"] == "file_data" and row["values"]["file"] == end["values"]["file"]:
            raw = bytes.fromhex(row["body"])[12:]
            data[row["values"]["offset"] : row["values"]["offset"] + len(raw)] = raw
    return bytes(data)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_and_a_file_whose_sender_is_killed_arrive_whole(stack, tmp_path, name):
    words = example(name, tmp_path, ANSWER_MS)
    image = Sensors(IDENTITY).picture(HERE)
    board = Board(words, stack, tmp_path, image)
    assert board.child.process.wait(60) == 0, board.child.output()
    assert stored_file(stack) == filed(stack, tmp_path) == image

    video = Random(name).randbytes(600_000)
    board = Board(words, stack, tmp_path, video)
    board.child.wait_until(lambda: int(board.state.read_text().split()[1]) > 100_000, "a part of the file is acked")
    board.child.process.send_signal(signal.SIGKILL)
    board.child.process.wait()
    acked = int(board.state.read_text().split()[1])
    assert acked < len(video)

    board.child.log.unlink()
    board = Board(words, stack, tmp_path, video)
    assert board.child.process.wait(60) == 0, board.child.output()
    assert int(board.lines("file")[0].split()[2]) == acked, "it goes on where it was"
    assert stored_file(stack) == filed(stack, tmp_path) == video
    assert [row["identity"] for row in json.loads(stack.command("devices", "--json").stdout)] == [IDENTITY]
