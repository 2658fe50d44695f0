from __future__ import annotations

import random

import pytest

from protocols import Event, Malformed, Message, Outcome
from protocols.jt808 import JT808
from protocols.jt808.completed import MAX_REMEMBERED
from protocols.jt808.parts import MAX_AGE_SECONDS, MAX_BYTES, MAX_OPEN, MAX_TOTAL
from tests.protocols.jt808.frames import IDENTITY, LOCATION_BODY, NOON, only, piece, receive, up

BODIES = [b"first", b"second", b"third"]


def pieces(sequences: list[int], bodies: list[bytes] = BODIES, id: int = 0x0900) -> list[bytes]:
    return [
        piece(id, len(bodies), number, sequence, body)
        for number, (sequence, body) in enumerate(zip(sequences, bodies, strict=True), 1)
    ]


def causes(events: list[Event]) -> list[str]:
    return [event.cause if isinstance(event, Malformed) else "message" for event in events]


def whole(events: list[Event]) -> list[tuple[int, bytes, tuple[int, ...]]]:
    assert all(isinstance(event, Message) for event in events)
    return [(event.sequence, event.body, event.parts) for event in events if isinstance(event, Message)]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 0, 1, 0, 2)])
@pytest.mark.parametrize("sequences", [[10, 11, 12], [65534, 65535, 0]])
def test_pieces_make_one_message_in_whatever_order_they_come(order: tuple[int, ...], sequences: list[int]) -> None:
    frames = pieces(sequences)
    events = receive(b"".join(frames[at] for at in order))
    assert whole(events) == [(sequences[0], b"firstsecondthird", tuple(sequences))]
    assert events[0].identity == IDENTITY


def test_one_piece_may_be_all() -> None:
    assert whole(receive(piece(0x0900, 1, 1, 5, b"alone"))) == [(5, b"alone", (5,))]


@pytest.mark.parametrize("sequences", [[10, 13, 20], [65530, 3, 9], [0, 0, 0]])
def test_other_messages_may_be_numbered_in_between(sequences: list[int]) -> None:
    first, second, third = pieces(sequences)
    events = receive(first + up(0x0002, sequence=11) + second + third)
    assert whole(events[1:]) == [(sequences[0], b"firstsecondthird", tuple(sequences))]


def test_pieces_out_of_order_may_have_gaps_between_their_sequences() -> None:
    first, second, third = pieces([10, 15, 20])
    assert whole(receive(first + third + second)) == [(10, b"firstsecondthird", (10, 15, 20))]


def test_first_piece_begins_a_message_of_its_own() -> None:
    codec = JT808.codec()
    assert not codec.receive(piece(0x0900, 2, 2, 11, b"end") + piece(0x0900, 2, 1, 5, b"start"), 0.0)
    assert whole(list(codec.receive(piece(0x0900, 2, 2, 6, b"stop"), 0.0))) == [(5, b"startstop", (5, 6))]


def test_messages_of_several_kinds_and_devices_do_not_mix() -> None:
    one, two = pieces([10, 11, 12]), pieces([20, 21, 22], [b"a", b"b", b"c"])
    other = [piece(0x0900, 3, number, 9 + number, b"x", phone="000000000042") for number in (1, 2, 3)]
    mixed = [frame for frames in zip(one, two, other, strict=True) for frame in frames]
    events = receive(b"".join(mixed))
    assert [event[1] for event in whole(events)] == [b"firstsecondthird", b"abc", b"xxx"]


def test_a_terminal_that_numbers_nothing_may_start_over() -> None:
    first = piece(0x0900, 2, 1, 0, b"old")
    events = receive(first + piece(0x0900, 2, 1, 0, b"new") + piece(0x0900, 2, 2, 0, b"end"))
    assert causes(events) == ["incomplete", "message"]
    assert events[1].body == b"newend"


@pytest.mark.parametrize(("total", "number"), [(0, 0), (0, 1), (2, 0), (2, 3), (MAX_TOTAL + 1, 1)])
def test_impossible_piece_is_passed_over(total: int, number: int) -> None:
    events = receive(piece(0x0900, total, number, 1, b"x") + up(0x0002))
    assert causes(events) == ["parts", "message"]


def test_unfinished_is_given_up_with_the_link_and_told_by_its_beginning() -> None:
    codec = JT808.codec()
    codec.receive(b"".join(pieces([10, 11, 12], [b"a" * 500, b"b", b"c"])[:2]), 0.0)
    (event,) = codec.end()
    assert isinstance(event, Malformed)
    assert event.cause == "incomplete"
    assert event.raw.startswith(bytes.fromhex("0900"))
    assert 0 < len(event.raw) <= 256
    assert not codec.end()


def test_unfinished_is_given_up_when_no_piece_comes_for_too_long() -> None:
    codec = JT808.codec()
    first, second, third = pieces([10, 11, 12])
    assert not codec.receive(first, 0.0)
    assert not codec.receive(second, MAX_AGE_SECONDS - 1)
    given_up = 2 * MAX_AGE_SECONDS - 1
    assert not [event for event in codec.wake(given_up - 0.1) if isinstance(event, Malformed)]
    assert causes(list(codec.wake(given_up))) == ["incomplete"]
    assert codec.deadline is None
    assert not codec.receive(third, given_up + 1)


def test_what_a_link_holds_is_bounded_in_messages() -> None:
    codec = JT808.codec()
    lost = []
    for at in range(50):
        lost += codec.receive(piece(0x0900, 5, 1, at * 100, b"x"), float(at))
        assert codec._reassembly.held.messages <= MAX_OPEN
    assert causes(lost) == ["incomplete"] * (50 - MAX_OPEN)


def test_what_a_link_holds_is_bounded_in_bytes() -> None:
    codec = JT808.codec()
    most = 0
    for message in range(3):
        for number in range(1, MAX_TOTAL):
            codec.receive(piece(0x0900, MAX_TOTAL, number, (message * 20_000 + number) & 0xFFFF, bytes(1023)), 0.0)
            most = max(most, codec._reassembly.held.bytes)
    assert MAX_BYTES - 1024 < most <= MAX_BYTES
    codec.end()
    assert codec._reassembly.held == (0, 0, 0)


def test_random_pieces_never_raise_and_the_count_of_bytes_stays_right() -> None:
    chance = random.Random(808)
    codec = JT808.codec()
    for step in range(5000):
        total = chance.choice([1, 2, 3, 5])
        frame = piece(
            0x0900 + chance.randrange(2), total, chance.randrange(7), chance.randrange(12), chance.randbytes(chance.randrange(4))
        )
        codec.receive(frame, float(step))
        if codec.deadline is not None and codec.deadline <= step:
            codec.wake(float(step))
            assert codec.deadline is None or codec.deadline > step
        held = codec._reassembly.held
        assert held.messages <= MAX_OPEN
        assert len(codec._reassembly._completed) <= MAX_REMEMBERED
        assert held.bytes == sum(len(body) for open in codec._reassembly._open.values() for _, body in open.pieces.values())


def test_every_piece_is_answered_by_its_own_sequence() -> None:
    codec = JT808.codec()
    (message,) = codec.receive(b"".join(pieces([10, 13, 14])), 0.0)
    answers = JT808.codec().receive(codec.ack(message, Outcome.STORED, NOON), 0.0)
    assert [answer.body.hex() for answer in answers] == ["000a090000", "000d090000", "000e090000"]
    assert [answer.sequence for answer in answers] == [0, 1, 2]


def test_pieces_of_an_answer_are_answered_and_a_whole_answer_is_not() -> None:
    codec = JT808.codec()
    (message,) = codec.receive(b"".join(pieces([10, 11, 12], id=0x0104)), 0.0)
    assert len(receive(codec.ack(message, Outcome.STORED, NOON))) == 3
    assert codec.ack(only(up(0x0104, b"\0\0\0")), Outcome.STORED, NOON) == b""


def test_body_is_decoded_from_all_pieces_together() -> None:
    body = bytes.fromhex("000200") + 2 * (len(LOCATION_BODY).to_bytes(2, "big") + LOCATION_BODY)
    (message,) = receive(piece(0x0704, 2, 1, 1, body[:20]) + piece(0x0704, 2, 2, 2, body[20:]))
    decoded = JT808.decode(message)
    assert decoded.error is None
    assert [report.body for report in decoded.reports] == [LOCATION_BODY] * 2
