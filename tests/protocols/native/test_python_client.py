"""What the Python client does where no network is: with a link that is two lists of bytes."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from protocols import Message, Outcome
from protocols.native import NATIVE
from protocols.native.messages import COMMAND
from tests.protocols.commands import sent_down
from tests.protocols.native.frames import NOON

PATH = Path(__file__).parents[3] / "clients/python/iotgw_client.py"
MICROPYTHON = {"struct", "binascii", "time", "socket"}


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("iotgw_client", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


iotgw = load()


class Link:
    """A link to a codec. What it is told to lose, it does not bring."""

    def __init__(self) -> None:
        self.codec = NATIVE.codec()
        self.messages: list[Message] = []
        self.down: list[bytes] = []
        self.is_silent = self.is_closed = False
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> None:
        self.sent.append(data)
        for event in self.codec.receive(data, 0.0):
            if isinstance(event, Message):
                self.messages.append(event)
                answer = self.codec.ack(event, Outcome.STORED, NOON)
            else:
                answer = event.data  # type: ignore[union-attr]
            if not self.is_silent:
                self.down.append(answer)

    def recv(self, wait_ms: int) -> bytes | None:
        if self.is_closed:
            return None
        return self.down.pop(0) if self.down else b""


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The client's clock. It goes on by itself a little each time it is read."""
    now = [1000]

    def read() -> int:
        now[0] += 1
        return now[0]

    monkeypatch.setattr(iotgw, "ticks_ms", read)
    return now


def online() -> tuple[Any, Link]:
    client, link = iotgw.Client("board-1", b"secret"), Link()
    client.connect(link)
    return client, link


def kinds(link: Link) -> list[str]:
    return [NATIVE.kind_name(message.kind) for message in link.messages]


def test_what_waits_for_room_is_not_lost_with_the_link(ticks: list[int]) -> None:
    client, link = online()
    client.window = 1
    link.is_silent = True
    client.reading({2: 1.5})
    client.flush()
    client.reading({2: 2.5})
    link.is_closed = True
    with pytest.raises(iotgw.LinkLostError):
        client.flush()
    assert (len(client.waiting), len(client.pending)) == (1, 1)
    other = Link()
    client.connect(other)
    client.flush()
    client.drain()
    values = [
        report.values["temperature_c"]
        for message in other.messages
        for report in NATIVE.decode(message).reports
        if report.kind == "reading"
    ]
    assert values == [1.5, 2.5]


def test_no_ack_means_the_same_frame_again_and_then_another_link(ticks: list[int]) -> None:
    client, link = online()
    link.is_silent = True
    client.reading({2: 1.5})
    client.flush()
    for _ in range(2):
        ticks[0] += iotgw.ANSWER_MS + 10
        client._heard = ticks[0]
        client.poll()
    assert len({frame for frame in link.sent[1:] if frame[2] == iotgw.READINGS}) == 1
    assert kinds(link).count("readings") == 3
    ticks[0] += iotgw.ANSWER_MS + 10
    with pytest.raises(iotgw.LinkLostError, match="no ACK"):
        client.poll()


def test_no_welcome_and_silence_mean_that_the_link_is_lost(ticks: list[int]) -> None:
    client, link = iotgw.Client("board-1"), Link()
    link.is_silent = True
    link.recv = lambda wait_ms: ticks.__setitem__(0, ticks[0] + wait_ms) or b""  # type: ignore[method-assign]
    with pytest.raises(iotgw.LinkLostError, match="no WELCOME"):
        client.connect(link)
    client, link = online()
    ticks[0] += client.keep_alive_ms + 10
    client.poll()
    assert link.sent[-1][2] == iotgw.PING
    link.down.clear()
    ticks[0] += iotgw.ANSWER_MS
    with pytest.raises(iotgw.LinkLostError, match="silence"):
        client.poll()


def test_a_higher_version_or_a_refusal_ends_it(ticks: list[int]) -> None:
    client, link = iotgw.Client("board-1"), Link()
    link.codec.ack = lambda message, outcome, time: type(link.codec).ack(link.codec, message, Outcome.REFUSED, time)  # type: ignore[method-assign]
    with pytest.raises(iotgw.RefusedError, match="not let in"):
        client.connect(link)


def test_the_clock_is_the_platforms_and_goes_on(ticks: list[int]) -> None:
    client, _ = online()
    start = client.now()
    assert 0 <= start - int(NOON.timestamp() * 1000) < 50
    ticks[0] += 1_000
    assert 1_000 <= client.now() - start < 1_050


def test_before_it_knows_the_time_readings_have_numbers(ticks: list[int]) -> None:
    client, link = iotgw.Client("board-1"), Link()
    client.reading({2: 1.5})
    client.reading({2: 1.5})
    client.connect(link)
    client.flush()
    reports = NATIVE.decode(link.messages[-1]).reports
    assert [(report.time, report.values["number"]) for report in reports] == [(None, 1), (None, 2)]


def test_busy_is_asked_again_and_wrong_arguments_are_told(ticks: list[int]) -> None:
    client, link = online()
    answers = [iotgw.BUSY, iotgw.DONE]
    client.on_command = lambda name, arguments: answers.pop(0) if name == "go" else arguments["none"]
    for id, name in ((1, "go"), (1, "go"), (1, "go"), (2, "fail")):
        body = NATIVE.build("command", {"id": id, "name": name, "arguments": {}})
        link.down.append(sent_down(link.codec, link.messages[0].head, COMMAND, body))
        client.drain()
        client.poll()
    statuses = [
        NATIVE.decode(message).reports[0].values["status"]
        for message in link.messages
        if NATIVE.kind_name(message.kind) == "result"
    ]
    assert statuses == ["busy", "done", "done", "wrong"]


def test_garbage_before_and_between_frames_is_passed_over(ticks: list[int]) -> None:
    client, link = online()
    client.reading({2: 1.5})
    link.down.append(b"junk\x10\xa7\xff\xff\xff\x10")
    client.flush()
    client.drain()
    assert client.waiting == []


def test_it_is_one_file_that_micropython_reads() -> None:
    tree = ast.parse(PATH.read_text("utf-8"))
    (main,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main"]
    only_here = set(ast.walk(main)) | {node for entry in tree.body if isinstance(entry, ast.If) for node in ast.walk(entry)}
    device = [node for node in ast.walk(tree) if node not in only_here]
    imported = {name.name for node in device if isinstance(node, ast.Import) for name in node.names}
    imported |= {str(node.module) for node in device if isinstance(node, ast.ImportFrom)}
    assert imported <= MICROPYTHON
    forbidden = (ast.AnnAssign, ast.Match, ast.TypeAlias) if hasattr(ast, "TypeAlias") else (ast.AnnAssign, ast.Match)
    assert not [node for node in device if isinstance(node, forbidden)]
    functions = [node for node in device if isinstance(node, ast.FunctionDef)]
    assert not [node.name for node in functions if node.returns or node.args.posonlyargs or node.args.kwonlyargs]
