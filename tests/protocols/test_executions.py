"""What simulated devices were told to do, how often they did it, and what they said."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from protocols import Message, Moment, Outcome, Send
from protocols.commandtable import build
from protocols.executions import MOST_REMEMBERED, Execution, Executions
from protocols.registry import PROTOCOLS

HERE = Moment(datetime(2026, 9, 1, 8, tzinfo=UTC), 31.2, 121.5)
GOOD: dict[str, tuple[str, dict[str, Any]]] = {
    "jt808": ("text_message", {"text": "A"}),
    "gt06": ("command", {"text": "RELAY,1#"}),
    "teltonika": ("codec_12_command", {"text": "setdigout 1"}),
    "gb32960": ("set_parameters", {"parameters": {"report_period_s": 30}}),
    "native": ("command", {"name": "relay", "arguments": {"on": True}}),
}
BAD: dict[str, tuple[str, dict[str, Any]]] = {
    "jt808": ("raw", {"kind": 0x8FFF, "body": ""}),
    "gt06": ("command", {"text": "DANCE#"}),
    "teltonika": ("codec_12_command", {"text": "dance"}),
    "gb32960": ("control", {"command": 0x99}),
    "native": ("command", {"name": "dance"}),
}
each_protocol = pytest.mark.parametrize("name", GOOD)


class Talk:
    """A simulated device and the platform's end of its link."""

    def __init__(self, name: str) -> None:
        self.protocol: Any = PROTOCOLS[name]
        self.terminal = self.protocol.terminal(self.protocol.simulated_identity(0))
        self.codec = self.protocol.codec()
        self.messages: list[Message] = []
        self.up(self.terminal.connect(HERE))
        self.terminal.report(HERE)
        assert self.terminal.is_online

    def up(self, data: bytes) -> None:
        while data:
            down = b""
            for event in self.codec.receive(data, 0.0):
                if isinstance(event, Message):
                    self.messages.append(event)
                    down += self.codec.ack(event, Outcome.STORED, HERE.time)
            data = self.heard(down)

    def heard(self, data: bytes) -> bytes:
        return b"".join(event.data for event in self.terminal.receive(data) if isinstance(event, Send))

    def tell(self, command: tuple[str, dict[str, Any]], number: int = 7) -> bytes:
        """A command's frame."""
        built = build(self.protocol, *command, self.terminal.identity, self.messages[-1].head)
        data: bytes = self.codec.prepare(self.messages[-1].head, built.kind, built.body, number, HERE.time).data
        return data

    def answers(self) -> list[str]:
        decoded = [report for message in self.messages for report in self.protocol.decode(message).reports]
        return [report.answer.status.value for report in decoded if report.answer]


@each_protocol
def test_what_comes_twice_is_done_twice_but_by_who_knows_its_number(name: str) -> None:
    talk = Talk(name)
    frame = talk.tell(GOOD[name])
    for _ in range(2):
        talk.up(talk.heard(frame))
    assert talk.answers() == ["done", "done"]
    ((done, times),) = talk.terminal.executed.times().items()
    assert done.kind == next(row.id for row in talk.protocol.messages.values() if row.name == GOOD[name][0])
    assert done.number == {"jt808": 2, "gt06": 7, "native": 7}.get(name, 0)
    assert times == (1 if name == "native" else 2)


@each_protocol
def test_what_is_refused_is_not_done(name: str) -> None:
    talk = Talk(name)
    talk.up(talk.heard(talk.tell(BAD[name])))
    # GT06 says it in words of the model's alone.
    assert talk.answers() == (["done"] if name == "gt06" else ["failed"])
    assert talk.terminal.executed.times() == {}


@pytest.mark.parametrize(("name", "word"), [("gt06", "RELAY"), ("teltonika", "setdigout")])
def test_silent_devices_do_what_they_are_told(name: str, word: str) -> None:
    talk = Talk(name)
    talk.terminal.silent.add(word)
    assert talk.heard(talk.tell(GOOD[name])) == b""
    assert len(talk.terminal.executed.times()) == 1


def test_counts_are_of_the_newest() -> None:
    executions = Executions()
    for number in range(MOST_REMEMBERED + 5):
        executions.add(1, number, b"")
    executions.add(1, 5, b"")
    assert len(executions.times()) == MOST_REMEMBERED
    assert executions.times()[Execution(1, 5, b"")] == 2
    assert executions.of(2) == []
    assert len(executions.of(1)) == MOST_REMEMBERED + 1
