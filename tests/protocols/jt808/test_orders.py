"""A simulated terminal that is told to do something."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols import Acked, Answer, Made, Message, Outcome, Send
from protocols.commandtable import build
from protocols.jt808 import JT808
from protocols.jt808.codec import JT808Codec
from protocols.jt808.orders import MOST_KEPT
from protocols.jt808.terminal import JT808Terminal
from tests.protocols.commands import ASKED_AT
from tests.protocols.jt808.frames import HERE, IDENTITY, NOON, up


class Road:
    """A terminal and the platform's end, and all that the terminal has said."""

    def __init__(self) -> None:
        self.terminal: JT808Terminal = JT808.terminal(IDENTITY)
        self.codec: JT808Codec = JT808.codec()
        self.messages: list[Message] = []
        self.made: list[Made] = []
        self.acked: list[int] = []
        self.up(self.terminal.connect(HERE))

    def up(self, data: bytes) -> None:
        """Let both ends talk until neither has anything to say."""
        while data:
            down = b""
            for event in self.codec.receive(data, 0.0):
                if isinstance(event, Message):
                    self.messages.append(event)
                    down += self.codec.ack(event, Outcome.STORED, NOON)
            data = b""
            for event in self.terminal.receive(down):
                data += event.data if isinstance(event, Send) else b""
                self.made += [event] if isinstance(event, Made) else []
                self.acked += [event.sequence] if isinstance(event, Acked) else []

    def tell(self, name: str, **fields: Any) -> list[Answer]:
        """Send a command down: what the platform hears of it."""
        built = build(JT808, name, fields, IDENTITY, self.messages[-1].head)
        self.messages = self.messages[-1:]
        prepared = self.codec.prepare(self.messages[0].head, built.kind, built.body, 1, ASKED_AT)
        events = self.codec.launch(prepared, 0.0)
        for event in self.terminal.receive(b"".join(event.data for event in events if isinstance(event, Send))):
            self.made += [event] if isinstance(event, Made) else []
            self.up(event.data if isinstance(event, Send) else b"")
        answers = [answer for report in self.reports if (answer := report.answer)]
        # Of a command in pieces terminals differ in which number they answer.
        assert all(None in (answer.sequence, prepared.sequence) or answer.sequence == prepared.sequence for answer in answers)
        return answers

    @property
    def reports(self) -> list[Any]:
        return [report for message in self.messages[1:] for report in JT808.decode(message).reports]

    def values(self, kind: str) -> dict[str, Any]:
        (report,) = [report for report in self.reports if report.kind == kind]
        found: dict[str, Any] = report.values
        return found


@pytest.fixture
def road() -> Road:
    return Road()


def words(answers: list[Answer]) -> list[tuple[str, str]]:
    return [(answer.status.value, answer.reason) for answer in answers]


def test_parameters_are_kept_and_told(road: Road) -> None:
    parameters = {"heartbeat_interval_s": 20, "main_address": "10.0.0.9", "0x0000F364": "0102"}
    assert words(road.tell("set_parameters", parameters=parameters)) == [("done", "")]
    assert road.terminal.heartbeat_seconds == 20.0
    assert words(road.tell("query_parameters")) == [("done", "")]
    told = road.values("parameters_response")["parameters"]
    assert (told["heartbeat_interval_s"], told["main_address"], told["report_interval_s"]) == (20, "10.0.0.9", 30)
    assert told["items"] == [{"id": "0x0000F364", "raw": "0102"}]
    road.tell("query_listed_parameters", ids=[0x0001, 0xF364, 0x7777])
    assert list(road.values("parameters_response")["parameters"]) == ["heartbeat_interval_s", "items"]
    road.tell("terminal_control", command="factory_reset")
    assert road.terminal.heartbeat_seconds == 60.0
    assert road.terminal.is_online, "it has registered anew"


def test_more_parameters_than_a_frame_holds_come_in_pieces(road: Road) -> None:
    road.tell("set_parameters", parameters={f"0x0000F{number:03X}": "ab" * 200 for number in range(4)})
    road.tell("set_parameters", parameters={f"0x0000F{number:03X}": "ab" * 200 for number in range(4, 8)})
    assert words(road.tell("query_parameters")) == [("done", "")]
    assert len(road.values("parameters_response")["parameters"]["items"]) == 8


def test_it_says_where_it_is_and_what_it_is(road: Road) -> None:
    assert words(road.tell("query_location")) == [("done", "")]
    (report,) = road.reports
    assert (report.kind, report.latitude, report.time) == ("location", HERE.latitude, NOON)
    assert words(road.tell("query_attributes")) == [("done", "")]
    assert road.values("attributes_response")["model"] == "simulator"


def test_doors_are_locked_and_stay_so(road: Road) -> None:
    assert words(road.tell("vehicle_control", flags=["lock_doors"])) == [("accepted", ""), ("done", "")]
    road.tell("query_location")
    assert road.values("location")["doors_locked"] is True
    road.tell("vehicle_control", flags=[])
    road.tell("query_location")
    assert road.values("location")["doors_locked"] is False


def test_texts_are_shown_and_questions_answered(road: Road) -> None:
    assert words(road.tell("text_message", text="限速 60")) == [("done", "")]
    assert list(road.terminal.orders.texts) == ["限速 60"]
    answers = [{"answer_id": 3, "content": "A"}, {"answer_id": 4, "content": "B"}]
    assert words(road.tell("question", question="Q", answers=answers)) == [("accepted", ""), ("done", "")]
    assert road.values("question_answer")["answer_id"] == 3


def test_a_command_in_pieces_is_obeyed_once_it_is_whole(road: Road) -> None:
    assert words(road.tell("text_message", text="长" * 700)) == [("done", "")]
    assert list(road.terminal.orders.texts) == ["长" * 700]


def test_a_picture_is_taken_and_arrives(road: Road) -> None:
    assert words(road.tell("camera_shot", channel=2, command=2)) == [("accepted", ""), ("done", ""), ("done", ""), ("done", "")]
    kinds = [JT808.kind_name(message.kind) for message in road.messages[1:]]
    assert kinds == ["general_response", "camera_shot_response", "multimedia_data", "multimedia_data"]
    shot = road.values("camera_shot_response")
    pictures = [report for report in road.reports if report.kind == "multimedia_data"]
    assert [picture.values["media_id"] for picture in pictures] == shot["media_ids"]
    assert {(picture.piece.channel, picture.piece.cause) for picture in pictures} == {(2, "platform_command")}
    assert road.acked == [made.sequence for made in road.made]
    assert len(road.acked) == 2


def test_pictures_that_are_kept_are_found_and_sent_later(road: Road) -> None:
    road.tell("camera_shot", channel=1, command=1, save="store")
    assert [JT808.kind_name(message.kind) for message in road.messages[1:]] == ["general_response", "camera_shot_response"]
    (id,) = road.values("camera_shot_response")["media_ids"]
    assert words(road.tell("search_multimedia")) == [("done", "")]
    assert [item["media_id"] for item in road.values("multimedia_search_response")["items"]] == [id]
    assert words(road.tell("upload_single_multimedia", media_id=id, deletion="keep")) == [("accepted", ""), ("done", "")]
    assert words(road.tell("upload_multimedia", deletion="delete")) == [("accepted", ""), ("done", "")]
    assert words(road.tell("upload_single_multimedia", media_id=id, deletion="keep")) == [("failed", "failure")]
    for _ in range(MOST_KEPT + 2):
        road.tell("camera_shot", channel=1, command=1, save="store")
    assert len(road.terminal.orders.pictures) == MOST_KEPT


@pytest.mark.parametrize(
    ("name", "fields", "expected"),
    [
        ("camera_shot", {"channel": 9, "command": 1}, [("accepted", ""), ("failed", "channel_unsupported")]),
        ("camera_shot", {"channel": 1, "command": "record"}, [("accepted", ""), ("failed", "failure")]),
        ("terminal_control", {"command": "connect", "parameters": "1;a;b"}, [("failed", "failure")]),
        ("playback_control", {"channel": 1, "command": 0, "speed": 0, "time": "0" * 12}, [("failed", "not_supported")]),
        ("raw", {"kind": "0x8FFF", "body": ""}, [("failed", "not_supported")]),
        ("raw", {"kind": "0x8302", "body": "01"}, [("failed", "message_wrong")]),
        ("raw", {"kind": "0x8103", "body": "01 00000001 09 00"}, [("failed", "message_wrong")]),
    ],
)
def test_what_it_cannot_do_it_refuses(road: Road, name: str, fields: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert words(road.tell(name, **fields)) == expected
    assert road.terminal.orders.executed.times() == {}


def test_what_it_is_told_not_to_support_it_refuses_and_silence_is_silence(road: Road) -> None:
    road.terminal.orders.unsupported.add(0x8300)
    assert words(road.tell("text_message", text="A")) == [("failed", "not_supported")]
    road.terminal.orders.unsupported.clear()
    road.terminal.orders.silent.add(0x8300)
    assert road.tell("text_message", text="B") == []
    assert [body[1:] for body in road.terminal.orders.executed.of(0x8300)] == [b"B"]


def test_what_is_done_is_counted_by_its_number(road: Road) -> None:
    head = road.messages[-1].head
    body = build(JT808, "text_message", {"text": "A"}, IDENTITY, head).body
    prepared = road.codec.prepare(head, 0x8300, body, 1, ASKED_AT)
    for _ in range(2):
        road.up(b"".join(event.data for event in road.terminal.receive(prepared.data) if isinstance(event, Send)))
    assert [(done.kind, done.number, times) for done, times in road.terminal.orders.executed.times().items()] == [
        (0x8300, prepared.sequence, 2)
    ]


def test_reset_is_a_new_login_and_power_off_silence_until_the_next_link(road: Road) -> None:
    road.tell("terminal_control", command="reset")
    assert [JT808.kind_name(message.kind) for message in road.messages[1:]] == ["general_response", "authenticate"]
    assert road.terminal.is_online
    assert words(road.tell("terminal_control", command="power_off")) == [("done", "")]
    assert not road.terminal.is_online
    assert road.tell("query_location") == []
    road.codec = JT808.codec()
    road.up(road.terminal.connect(HERE))
    assert words(road.tell("query_location")) == [("done", "")]


def test_before_it_is_let_in_and_where_it_has_never_been_it_does_nothing() -> None:
    terminal = JT808.terminal(IDENTITY)
    terminal.connect()
    assert terminal.receive(up(0x8201)) == []
    road = Road()
    road.terminal._moment = None
    assert words(road.tell("query_location")) == [("failed", "failure")]
    assert words(road.tell("camera_shot", channel=1, command=1)) == [("accepted", ""), ("failed", "failure")]


DOWN = sorted(row.id for row in JT808.messages.values() if row.direction.value == "down")


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(DOWN) | st.integers(0, 0xFFFF), st.binary(max_size=60)), min_size=1, max_size=6))
def test_whatever_it_is_told_it_stays_a_terminal(orders: list[tuple[int, bytes]]) -> None:
    road = Road()
    for kind, body in orders:
        for event in road.terminal.receive(up(kind, body)):
            road.up(event.data if isinstance(event, Send) else b"")
    road.codec = JT808.codec()
    road.up(road.terminal.connect(HERE))
    assert road.terminal.is_online
