"""Devices that come are asked for together, and who brings something down is told of those for whom it may wait."""

from __future__ import annotations

import pytest

from iotgw.marks import Device
from iotgw.sessions import Session
from iotgw.wondering import LOOK_SECONDS, MOST_WONDERING, RETRY_SECONDS, Wondering
from tests.iotgw.fakes import FakeMarks, House


class Wonder:
    """Devices on one link, and what is told of them."""

    def __init__(self) -> None:
        self.house = House()
        self.clock, self.sessions = self.house.clock, self.house.gateway.sessions
        self.marks = FakeMarks()
        self.files: list[Device] = []
        self.commands: list[Device] = []
        told = self.files.extend, self.commands.extend
        self.wondering = Wondering(self.sessions, self.clock, self.house.statistics, *told)
        self.wondering.ask_of(self.marks)
        self.link, _ = self.house.connect()

    def come(self, *identities: str) -> None:
        for identity in identities:
            session = Session("line", identity, self.link, 0)
            self.sessions.begin(session)
            self.wondering.begun(session)

    def leave(self, identity: str) -> None:
        self.sessions.end("line", identity, self.link)


@pytest.fixture
def wonder() -> Wonder:
    return Wonder()


def test_files_and_commands_are_one_question(wonder: Wonder) -> None:
    wonder.marks.files, wonder.marks.commands = {("line", "a"), ("line", "b")}, {("line", "b"), ("line", "c")}
    wonder.come("a", "b")
    wonder.clock.advance(LOOK_SECONDS / 2)
    wonder.come("c", "d", "a")
    wonder.clock.advance(LOOK_SECONDS / 2)
    assert wonder.marks.asked == [[("line", name) for name in "abcd"]]
    assert (wonder.files, wonder.commands) == ([("line", "a"), ("line", "b")], [("line", "b"), ("line", "c")])
    wonder.clock.advance(60)
    assert len(wonder.marks.asked) == 1


def test_a_fleet_is_asked_for_in_parts_of_a_size(wonder: Wonder) -> None:
    wonder.come(*map(str, range(2 * MOST_WONDERING + 1)))
    wonder.house.pass_time(1, step=LOOK_SECONDS)
    assert [len(devices) for devices in wonder.marks.asked] == [MOST_WONDERING, MOST_WONDERING, 1]


def test_nobody_is_told_of_who_has_left_meanwhile(wonder: Wonder) -> None:
    wonder.marks.files = wonder.marks.commands = {("line", "a"), ("line", "b")}
    wonder.come("a", "b")
    wonder.leave("a")
    wonder.clock.advance(LOOK_SECONDS)
    assert wonder.files == wonder.commands == [("line", "b")]


def test_without_answer_it_is_asked_again_for_those_who_are_here(wonder: Wonder) -> None:
    wonder.marks.commands, wonder.marks.error = {("line", "a")}, OSError("away")
    wonder.come("a", "b")
    wonder.leave("b")
    wonder.clock.advance(LOOK_SECONDS)
    wonder.marks.error = None
    wonder.clock.advance(RETRY_SECONDS - 1)
    assert len(wonder.marks.asked) == 1
    wonder.clock.advance(1)
    assert wonder.marks.asked[1:] == [[("line", "a")]]
    assert wonder.commands == [("line", "a")]


def test_a_stopped_one_asks_nothing_and_leaves_no_timer(wonder: Wonder) -> None:
    before = len(wonder.clock.getDelayedCalls())
    wonder.come("a")
    assert len(wonder.clock.getDelayedCalls()) == before + 1
    wonder.wondering.stop()
    assert len(wonder.clock.getDelayedCalls()) == before
    wonder.come("b")
    wonder.clock.advance(60)
    assert wonder.marks.asked == []
