"""Pieces that do not come, and pieces that come once more."""

from __future__ import annotations

import pytest

from protocols import Malformed, Message, Outcome, Send
from protocols.jt808 import JT808
from protocols.jt808.codec import JT808Codec
from protocols.jt808.completed import MAX_REMEMBERED
from protocols.jt808.parts import MAX_WANTED, QUIET_SECONDS
from tests.protocols.jt808.frames import NOON, PHONE, only, piece, up

PHONE_2019 = "00000000013800000001"


def pieces(total: int, first: int = 10, id: int = 0x0704, fill: bytes = b"piece") -> dict[int, bytes]:
    """Frames by number."""
    return {
        number: piece(id, total, number, first + number - 1 & 0xFFFF, fill + bytes([number % 256]))
        for number in range(1, total + 1)
    }


def requests(codec: JT808Codec, now: float) -> list[tuple[int, str]]:
    """Id and body of what a woken codec asks for."""
    sent = [only(event.data) for event in codec.wake(now) if isinstance(event, Send)]
    return [(request.kind, request.body.hex()) for request in sent]


def whole(codec: JT808Codec, *frames: bytes) -> Message:
    (message,) = codec.receive(b"".join(frames), 0.0)
    assert isinstance(message, Message)
    return message


def test_missing_pieces_are_asked_for_when_none_has_come_for_a_while() -> None:
    codec = JT808.codec()
    frames = pieces(5)
    assert codec.deadline is None
    assert not codec.receive(frames[1] + frames[2] + frames[4], 100.0)
    assert codec.deadline == 100.0 + QUIET_SECONDS
    assert requests(codec, 104.9) == []
    assert requests(codec, 105.0) == [(0x8003, "000a" + "02" + "0003" + "0005")]
    (message,) = codec.receive(frames[5] + frames[3], 106.0)
    assert isinstance(message, Message)
    assert message.body == b"".join(b"piece" + bytes([number]) for number in range(1, 6))
    assert codec.deadline is None


def test_every_piece_that_comes_puts_the_question_off() -> None:
    codec = JT808.codec()
    for number, frame in list(pieces(5).items())[:4]:
        assert not codec.receive(frame, 4.0 * number)
        assert requests(codec, 4.0 * number + 3.9) == []
    assert codec.deadline == 16.0 + QUIET_SECONDS


def test_a_copy_of_a_piece_at_hand_does_not_put_it_off() -> None:
    codec = JT808.codec()
    frames = pieces(3)
    codec.receive(frames[1], 0.0)
    codec.receive(frames[1], 4.0)
    assert codec.deadline == QUIET_SECONDS


def test_it_is_asked_three_times_and_given_up_after_a_minute() -> None:
    codec = JT808.codec()
    codec.receive(pieces(3)[1], 0.0)
    asked, given_up = [], []
    while (now := codec.deadline) is not None:
        for event in codec.wake(now):
            (asked if isinstance(event, Send) else given_up).append(now)
    assert asked == [5.0, 10.0, 15.0]
    assert given_up == [60.0]


def test_each_request_has_a_sequence_of_the_platform_s_own() -> None:
    codec = JT808.codec()
    codec.ack(only(up(0x0002)), Outcome.STORED, NOON)
    codec.receive(pieces(3)[1], 0.0)
    sequences = [only(event.data).sequence for now in (5.0, 10.0) for event in codec.wake(now) if isinstance(event, Send)]
    assert sequences == [1, 2]


@pytest.mark.parametrize("first", [10, 65534])
def test_the_first_sequence_is_computed_where_the_first_piece_is_missing(first: int) -> None:
    codec = JT808.codec()
    frames = pieces(4, first)
    codec.receive(frames[3] + frames[4], 0.0)
    assert requests(codec, 5.0) == [(0x8003, f"{first:04x}" + "02" + "0001" + "0002")]


def test_the_first_sequence_is_the_first_piece_s_where_that_is_at_hand() -> None:
    """Also for a terminal that numbers other messages in between."""
    codec = JT808.codec()
    codec.receive(piece(0x0704, 3, 1, 10, b"a") + piece(0x0704, 3, 3, 20, b"c"), 0.0)
    assert requests(codec, 5.0) == [(0x8003, "000a" + "01" + "0002")]


def test_the_count_has_two_bytes_in_2019() -> None:
    codec = JT808.codec()
    head = {"phone": PHONE_2019, "version": 1, "is_part": 1, "total": 3}
    codec.receive(up(0x0704, b"x", 10, number=1, **head), 0.0)
    (asked,) = codec.wake(5.0)
    assert isinstance(asked, Send)
    request = only(asked.data)
    assert request.body.hex() == "000a" + "0002" + "0002" + "0003"
    assert request.head[:15].hex()[8:] == "01" + PHONE_2019[-20:]


def test_so_many_pieces_are_asked_for_at_a_time_and_then_the_others() -> None:
    codec = JT808.codec()
    frames = pieces(400)
    codec.receive(frames[1], 0.0)
    now, messages, asked = 5.0, [], []
    while not messages:
        ((kind, body),) = requests(codec, now)
        indexes = [int(body[at : at + 4], 16) for at in range(6, len(body), 4)]
        assert (kind, int(body[4:6], 16)) == (0x8003, len(indexes))
        asked.append(len(indexes))
        messages = list(codec.receive(b"".join(frames[index] for index in indexes), now))
        now += QUIET_SECONDS
    assert asked == [MAX_WANTED, MAX_WANTED, MAX_WANTED, 400 - 1 - 3 * MAX_WANTED]
    assert len(messages[0].parts) == 400


def test_multimedia_is_asked_for_by_its_id() -> None:
    codec = JT808.codec()
    frames = pieces(3, id=0x0801, fill=bytes.fromhex("0000c15f 00000101"))
    codec.receive(frames[1], 0.0)
    assert requests(codec, 5.0) == [(0x8800, "0000c15f" + "02" + "0002" + "0003")]
    other = JT808.codec()
    other.receive(frames[2], 0.0)
    assert requests(other, 5.0) == [(0x8003, "000a" + "02" + "0001" + "0003")]


def test_the_capture_of_a_piece_is_asked_about_as_the_standard_says() -> None:
    """go-jt808, jt808_test.TestJTMessageDecode/3: piece 2 of 26 with sequence 02DE."""
    codec = JT808.codec()
    codec.receive(bytes.fromhex("7e0801200500123456789002de001a00022808000102537e"), 0.0)
    ((kind, body),) = requests(codec, 5.0)
    indexes = "".join(f"{number:04x}" for number in range(1, 27) if number != 2)
    assert (kind, body) == (0x8003, "02dd" + "19" + indexes)


def test_several_messages_and_terminals_are_asked_about_apart() -> None:
    codec = JT808.codec()
    codec.receive(pieces(3)[1], 0.0)
    codec.receive(piece(0x0801, 2, 2, 8, b"x", phone="000000000042"), 1.0)
    assert [event.data[5:11].hex() for event in codec.wake(5.0) if isinstance(event, Send)] == [PHONE]
    assert [event.data[5:11].hex() for event in codec.wake(6.0) if isinstance(event, Send)] == ["000000000042"]


@pytest.mark.parametrize(("id", "again"), [(0x0704, (0x8001, "000b070400")), (0x0801, (0x8800, "7069656365"[:8]))])
def test_a_piece_that_comes_again_is_confirmed_again_once_its_message_is_stored(id: int, again: tuple[int, str]) -> None:
    codec = JT808.codec()
    frames = pieces(3, id=id)
    message = whole(codec, *frames.values())
    assert not codec.receive(frames[2], 1.0), "its answer is still to come"
    codec.ack(message, Outcome.STORED, NOON)
    (event,) = codec.receive(frames[2], 2.0)
    assert isinstance(event, Send)
    assert (only(event.data).kind, only(event.data).body.hex()) == again
    assert codec.deadline is None, "nothing was opened"


def test_a_message_that_comes_again_whole_is_confirmed_piece_by_piece() -> None:
    codec = JT808.codec()
    frames = pieces(3)
    answers = codec.ack(whole(codec, *frames.values()), Outcome.QUARANTINED, NOON)
    events = codec.receive(b"".join(frames.values()), 1.0)
    again = b"".join(event.data for event in events if isinstance(event, Send))
    assert len(events) == 3
    assert [only(b"\x7e" + run + b"\x7e").body for run in again.split(b"\x7e") if run] == [
        only(b"\x7e" + run + b"\x7e").body for run in answers.split(b"\x7e") if run
    ]


def test_a_refused_message_may_come_again() -> None:
    codec = JT808.codec()
    frames = pieces(3)
    message = whole(codec, *frames.values())
    codec.ack(message, Outcome.REFUSED, NOON)
    assert whole(codec, *frames.values()) == message


def test_the_next_message_with_the_same_numbers_is_another_one() -> None:
    """Of a terminal that numbers nothing; that one of its pieces is the same does not matter."""
    codec = JT808.codec()
    codec.ack(whole(codec, *[piece(0x0900, 3, number, 0, b"old%d" % number) for number in (1, 2, 3)]), Outcome.STORED, NOON)
    assert whole(codec, piece(0x0900, 3, 1, 0, b"new1"), piece(0x0900, 3, 2, 0, b"old2"), piece(0x0900, 3, 3, 0, b"new3")).body == (
        b"new1old2new3"
    )


def test_only_the_message_that_is_stored_is_confirmed_again() -> None:
    codec = JT808.codec()
    old = whole(codec, piece(0x0900, 2, 1, 0, b"old1"), piece(0x0900, 2, 2, 0, b"old2"))
    new = whole(codec, piece(0x0900, 2, 1, 0, b"new1"), piece(0x0900, 2, 2, 0, b"new2"))
    codec.ack(old, Outcome.STORED, NOON)
    assert not codec.receive(piece(0x0900, 2, 2, 0, b"new2"), 1.0)
    assert codec.receive(piece(0x0900, 2, 2, 0, b"old2"), 1.0)
    codec.ack(new, Outcome.STORED, NOON)
    assert codec.receive(piece(0x0900, 2, 2, 0, b"new2"), 1.0)


@pytest.mark.parametrize(
    ("id", "total", "number", "sequence", "body"),
    [(0x0900, 2, 2, 12, b"end"), (0x0900, 3, 2, 11, b"end"), (0x0901, 2, 2, 11, b"end"), (0x0900, 2, 2, 11, b"End")],
)
def test_what_only_looks_like_a_piece_of_it_begins_a_message(id: int, total: int, number: int, sequence: int, body: bytes) -> None:
    codec = JT808.codec()
    codec.ack(whole(codec, piece(0x0900, 2, 1, 10, b"start"), piece(0x0900, 2, 2, 11, b"end")), Outcome.STORED, NOON)
    assert not codec.receive(piece(id, total, number, sequence, body), 1.0)
    assert codec.deadline == 1.0 + QUIET_SECONDS
    assert not codec.receive(piece(0x0900, 2, 2, 11, b"end", phone="000000000042"), 1.0)
    assert codec._reassembly.held.messages == 2


def test_the_newest_messages_are_remembered_without_their_bodies() -> None:
    codec = JT808.codec()
    for first in range(0, 3 * (MAX_REMEMBERED + 1), 3):
        frames = [piece(0x0900, 2, number, first + number, bytes([first]) * 1000) for number in (1, 2)]
        codec.ack(whole(codec, *frames), Outcome.STORED, NOON)
    assert len(codec._reassembly._completed) == MAX_REMEMBERED
    assert all(kept.unsettled is None and len(kept.beginning.body) < 100 for kept in codec._reassembly._completed._messages)
    assert isinstance(codec.receive(frames[1], 1.0)[0], Send)
    assert not codec.receive(piece(0x0900, 2, 2, 2, bytes(1000)), 1.0)
    assert codec.deadline is not None, "the oldest is forgotten"


def test_pieces_of_an_authentication_are_not_confirmed_again() -> None:
    """Its answer says whether the code is right, which is not remembered."""
    codec = JT808.codec()
    frames = pieces(2, id=0x0102)
    codec.ack(whole(codec, *frames.values()), Outcome.STORED, NOON)
    assert not codec.receive(frames[2], 1.0)


def test_what_is_unfinished_when_the_link_ends_is_not_asked_for() -> None:
    codec = JT808.codec()
    codec.receive(pieces(3)[1], 0.0)
    assert [type(event) for event in codec.end()] == [Malformed]
    assert codec.deadline is None
