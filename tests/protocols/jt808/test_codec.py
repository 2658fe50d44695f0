from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols import Malformed, Message, Outcome, Send
from protocols.jt808 import JT808
from protocols.jt808.codec import MAX_RUN_BYTES
from tests.protocols.jt808.frames import IDENTITY, LOCATION_BODY, NOON, PHONE, only, piece, receive, up

frames = st.builds(
    up,
    st.sampled_from([0x0001, 0x0002, 0x0100, 0x0102, 0x0200, 0x0704, 0x0801, 0x8001, 0xE001]),
    st.binary(max_size=60),
    st.integers(0, 65535),
)
sub_packets = st.builds(piece, st.just(0x0704), st.integers(0, 4), st.integers(0, 5), st.integers(0, 20), st.binary(max_size=30))
noise = st.one_of(st.binary(max_size=40), st.sampled_from([b"\x7e", b"\x7d", b"\x7d\x01", b"\x7d\x02", b"\x7e\x02\x00\x60\x00"]))
streams = st.lists(st.one_of(frames, sub_packets, noise, frames.map(lambda frame: frame[:-5])), max_size=10).map(b"".join)


@settings(max_examples=300)
@given(streams, st.integers(1, 30))
def test_whatever_comes_nothing_raises_and_reads_may_end_anywhere(stream: bytes, step: int) -> None:
    whole = receive(stream)
    codec = JT808.codec()
    events = [event for at in range(0, len(stream), step) for event in codec.receive(stream[at : at + step], 0.0)]
    assert events == whole
    assert codec.deadline is None or codec.wake(codec.deadline)
    codec.end()
    assert codec.deadline is None
    for event in events:
        assert not isinstance(event, Send)
        if isinstance(event, Message):
            for outcome in Outcome:
                assert isinstance(codec.ack(event, outcome, NOON), bytes)
            decoded = JT808.decode(event)
            assert decoded.error or decoded.reports
        else:
            assert event.cause.isalpha()
            assert len(event.raw) <= 256


@given(st.binary(max_size=2000))
def test_random_bytes_never_raise(data: bytes) -> None:
    codec = JT808.codec()
    codec.receive(data, 0.0)
    codec.end()


def test_what_a_link_holds_is_bounded_whatever_comes() -> None:
    codec = JT808.codec()
    events = [event for _ in range(200) for event in codec.receive(b"\x00" * 1000, 0.0)]
    assert events == [Malformed("oversized", bytes(256))]
    assert len(codec._splitter.pending) <= MAX_RUN_BYTES
    assert [event.kind for event in codec.receive(b"\x7e" + up(0x0002), 0.0)] == [0x0002]


def test_longest_frame_fits_even_all_escaped() -> None:
    assert only(up(0x0900, b"\x7e" * 1023)).body == b"\x7e" * 1023


@pytest.mark.parametrize(
    ("id", "outcome", "answer"),
    [
        (0x0002, Outcome.STORED, "8001 0007 0002 00"),
        (0x0002, Outcome.QUARANTINED, "8001 0007 0002 00"),
        (0x0002, Outcome.REFUSED, "8001 0007 0002 01"),
        (0x0003, Outcome.STORED, "8001 0007 0003 00"),
        (0x0200, Outcome.STORED, "8001 0007 0200 00"),
        (0x0704, Outcome.STORED, "8001 0007 0704 00"),
        (0x0704, Outcome.REFUSED, "8001 0007 0704 01"),
        (0xE123, Outcome.STORED, "8001 0007 E123 00"),
        (0x0100, Outcome.STORED, "8100 0007 00" + IDENTITY.encode().hex()),
        (0x0100, Outcome.QUARANTINED, "8100 0007 00" + IDENTITY.encode().hex()),
        (0x0100, Outcome.REFUSED, "8100 0007 04"),
    ],
)
def test_answer(id: int, outcome: Outcome, answer: str) -> None:
    message = only(up(id))
    reply = only(JT808.codec().ack(message, outcome, NOON))
    assert f"{reply.kind:04x}" + reply.body.hex() == answer.replace(" ", "").lower()
    assert (reply.identity, reply.sequence) == (IDENTITY, 0)


@pytest.mark.parametrize(
    "id",
    [0x0001, 0x0104, 0x0107, 0x0201, 0x0302, 0x0500, 0x0608, 0x0700, 0x0802, 0x0805, 0x1003, 0x8001, 0x8100],
)
def test_answers_are_not_answered(id: int) -> None:
    for outcome in Outcome:
        assert JT808.codec().ack(only(up(id)), outcome, NOON) == b""


@pytest.mark.parametrize(("code", "result"), [(IDENTITY, 0), (IDENTITY + "\0\0", 0), (PHONE, 0), ("", 1), ("another", 1)])
def test_authentication_is_answered_by_whether_the_code_is_the_terminal_s_own(code: str, result: int) -> None:
    message = only(up(0x0102, code.encode()))
    assert only(JT808.codec().ack(message, Outcome.STORED, NOON)).body == bytes.fromhex(f"00070102{result:02x}")
    assert only(JT808.codec().ack(message, Outcome.REFUSED, NOON)).body == bytes.fromhex("0007010201")


@pytest.mark.parametrize("version", [0, 1, 9])
def test_answer_has_the_header_that_was_asked_with(version: int) -> None:
    asked = up(0x0002, phone="00000000013800000001", version=version)
    answer = JT808.codec().ack(only(asked), Outcome.STORED, NOON)
    assert answer[3:5].hex() == "4005"
    assert answer[5:16] == asked[5:16] == bytes([version]) + bytes.fromhex("00000000013800000001")


def test_answer_repeats_a_phone_number_that_is_none() -> None:
    answer = JT808.codec().ack(only(up(0x0100, phone="0A1B2C3D4E5F")), Outcome.STORED, NOON)
    assert answer[5:11].hex().upper() == "0A1B2C3D4E5F"
    assert only(answer).body[3:] == b"0A1B2C3D4E5F"


def test_platform_numbers_its_messages_from_0_and_around() -> None:
    codec, message = JT808.codec(), only(up(0x0002))
    sequences = [only(codec.ack(message, Outcome.STORED, NOON)).sequence for _ in range(3)]
    codec._downlink._next = 65535
    sequences += [only(codec.ack(message, Outcome.STORED, NOON)).sequence for _ in range(2)]
    assert sequences == [0, 1, 2, 65535, 0]


def test_every_copy_is_a_message_and_answered() -> None:
    events = receive(up(0x0200, LOCATION_BODY) * 2)
    assert events == [only(up(0x0200, LOCATION_BODY))] * 2


def test_devices_may_share_a_link() -> None:
    events = receive(up(0x0002) + up(0x0002, phone="000000000042"))
    assert [event.identity for event in events] == [IDENTITY, "42"]


def test_each_message_is_its_own_sender_s_whatever_came_before_it() -> None:
    """Of two editions, in pieces and whole, and with phone numbers that begin alike."""
    first, second, newer = "013800000001", "013800000002", "00000000013800000001"
    frames = [
        up(0x0002, sequence=1, phone=first),
        up(0x0002, sequence=2, phone=second),
        up(0x0002, sequence=3, phone=newer, version=1),
        up(0x0002, sequence=4, phone=first),
        piece(0x0900, 2, 1, 5, b"a", phone=second),
        up(0x0002, sequence=6, phone=first),
        piece(0x0900, 2, 2, 6, b"b", phone=second),
        up(0x0002, sequence=7, phone=first),
    ]
    codec = JT808.codec()
    events = [event for frame in frames for event in codec.receive(frame, 0.0)]
    assert [(event.identity, event.sequence) for event in events if isinstance(event, Message)] == [
        ("13800000001", 1),
        ("13800000002", 2),
        ("13800000001", 3),
        ("13800000001", 4),
        ("13800000001", 6),
        ("13800000002", 5),
        ("13800000001", 7),
    ]


def test_end_tells_of_a_frame_that_was_cut() -> None:
    codec = JT808.codec()
    codec.receive(up(0x0002)[:-3], 0.0)
    assert codec.end() == [Malformed("cut", up(0x0002)[1:-3])]
    assert not JT808.codec().end()


def test_only_log_out_ends_the_session() -> None:
    assert [kind for kind in range(0x10000) if JT808.ends_session(kind)] == [0x0003]
    assert JT808.kind_name(0x1234) == "0x1234"
