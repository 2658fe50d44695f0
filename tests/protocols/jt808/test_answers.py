"""What the platform says: answers byte by byte, and requests for missing pieces."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from protocols import Malformed, Message, Outcome, Send
from protocols.jt808 import JT808
from protocols.jt808.answers import request, wanted_pieces
from protocols.jt808.header import Header
from protocols.jt808.parts import Missing
from tests.protocols.commands import sent_down
from tests.protocols.jt808.frames import IDENTITY, NOON, PHONE, only, piece, up

# go-jt808 (MIT), reply_test.TestReply: a terminal's frame, and the platform's answer with its sequence 0.
# Of that suite 15 answers 0x1003 with an empty 0x8001, which the standard has not, and 39 asks a file server.
REPLIES = {
    "TestReply/21": (
        "7e1205002212345678901200000000000000010124110200000024110200010200000000000004000101010000000bb27e",
        "",
    ),
    "TestReply/24": (
        "7e120640030112345678901234567890ffff1b8a01c67e",
        "",
    ),
    "TestReply/31": (
        ("7e080500290123456789017ffff4c0000009000000010000000200000003000000040000000500000006000000070000000800000009107e"),
        "",
    ),
    "TestReply/32": (
        "7e080000080123456789017fff0000007b00000701757e",
        "7e8001000501234567890100007fff080000847e",
    ),
    "TestReply/33": (
        ("7e080100290123456789017fff0000007b01020102000004000000080006eeb6ad02633df70138000300632007071923590d7b0d7b7b667e"),
        "7e8800000401234567890100000000007b7f7e",
    ),
    "TestReply/36": (
        (
            "7e1210005800000000155800003132336364000031323363640000241111000000010201616161000000000000000000000000"
            "000000000000000000000000000000000000020b3132335f6161612e6a7067000004d20a63645f6161612e6d70340001e24045"
            "7e"
        ),
        "7e8001000500000000155800000000121000cb7e",
    ),
    "TestReply/37": (
        "7e121140130112345678901234567890ffff0d7777772e6a74743830382e636e0100000400797e",
        "7e8001400501123456789012345678900000ffff121100c67e",
    ),
    "TestReply/38": (
        "7e1212001312345678901200010d7777772e6a74743830382e636e0100000400b07e",
        "7e9212001112345678901200000d7777772e6a74743830382e636e010000377e",
    ),
    "TestReply/43": (
        "7e030200030123456789017fffef447fde7e",
        "",
    ),
    "TestReply/45": (
        "7e0201001e0123456789017fff686200002a5a000074280000a3e50000db4fbc732711012c2005121212595b7e",
        "",
    ),
}


def answer(frame: bytes, outcome: Outcome = Outcome.STORED, time: datetime = NOON) -> bytes:
    codec = JT808.codec()
    (message,) = (event for event in codec.receive(frame, 0.0) if isinstance(event, Message))
    return codec.ack(message, outcome, time)


@pytest.mark.parametrize(("frame", "reply"), REPLIES.values(), ids=REPLIES.keys())
def test_answer_is_that_of_the_capture_byte_for_byte(frame: str, reply: str) -> None:
    assert answer(bytes.fromhex(frame)).hex() == reply


@pytest.mark.parametrize("hours_east", [0, 8, -5])
def test_time_is_told_in_utc_whatever_the_platform_s_zone(hours_east: int) -> None:
    local = datetime(2026, 3, 1, 1, 2, 3, tzinfo=timezone(timedelta(hours=hours_east)))
    reply = only(answer(up(0x0004, phone="0" * 9 + IDENTITY, version=1), time=local))
    utc = {0: "260301010203", 8: "260228170203", -5: "260301060203"}[hours_east]
    assert (reply.kind, reply.body.hex()) == (0x8004, utc)
    assert answer(up(0x0004))[5:11].hex() == PHONE


@pytest.mark.parametrize("id", [0x0004, 0x0801, 0x0A00, 0x1212])
def test_refused_is_what_is_answered_to_a_terminal_that_may_not_come_in(id: int) -> None:
    """Their own answers know success only, and 0x8800 would have the terminal forget its photo."""
    reply = only(answer(up(id, bytes.fromhex("0000007b 0000 0101") + bytes(40)), Outcome.REFUSED))
    assert (reply.kind, reply.body.hex()) == (0x8001, f"0007{id:04x}01")


@pytest.mark.parametrize(("id", "body"), [(0x0801, b"\0\0\0"), (0x1212, b""), (0x1212, b"\x04abc"), (0x0A00, bytes(132))])
def test_what_cannot_be_quoted_from_is_confirmed_generally(id: int, body: bytes) -> None:
    reply = only(answer(up(id, body), Outcome.QUARANTINED))
    assert (reply.kind, reply.body.hex()) == (0x8001, f"0007{id:04x}00")


def test_a_photo_in_pieces_has_one_answer_by_its_id_and_none_for_its_pieces() -> None:
    codec = JT808.codec()
    frames = [piece(0x0801, 3, number, 9 + number, bytes([0, 0, 1, number]) * 20) for number in (1, 2, 3)]
    (message,) = codec.receive(b"".join(frames), 0.0)
    assert isinstance(message, Message)
    reply = only(codec.ack(message, Outcome.STORED, NOON))
    assert (reply.kind, reply.body.hex()) == (0x8800, "00000101")


def test_request_in_the_edition_of_the_header() -> None:
    """The first is 2013's capture with nine pieces of a message that began with sequence 1099."""
    older = Missing(b"", Header(0x0704, "012345678901", 0x1099, is_part=True, total=9, number=1), 0x1099, b"", tuple(range(1, 10)))
    assert request(older).body.hex() == "1099" + "09" + "".join(f"{number:04x}" for number in range(1, 10))
    newer = older._replace(header=older.header._replace(version=1), numbers=(2, 260))
    assert (request(newer).id, request(newer).body.hex()) == (0x8003, "1099" + "0002" + "0002" + "0104")


def test_request_for_multimedia_goes_by_its_id_where_that_is_known() -> None:
    """The first is the capture of 0x8800: photo C15F with nine pieces missing."""
    header = Header(0x0801, "012345678901", 0x7FFF, is_part=True, total=9, number=1)
    numbers = tuple(range(1, 10))
    known = Missing(b"", header, 0x7FFF, bytes.fromhex("0000c15f 00000101"), numbers)
    indexes = "09000100020003000400050006000700080009"
    assert (request(known).id, request(known).body.hex()) == (0x8800, "0000c15f" + indexes)
    unknown = known._replace(first_body=b"\0\0\xc1")
    assert (request(unknown).id, request(unknown).body.hex()) == (0x8003, "7fff" + indexes)


@pytest.mark.parametrize("body", ["1099 0002 0002 0003", "1099 02 0002 0003"])
def test_terminal_s_request_is_read_with_either_count(body: str) -> None:
    sequence, numbers = wanted_pieces(only(up(0x0005, bytes.fromhex(body))))
    assert (sequence, list(numbers)) == (0x1099, [2, 3])


@pytest.mark.parametrize("body", ["1099 0002 0002", "1099 02 0002", "1099 ff", "10", ""])
def test_terminal_s_request_that_cannot_be_read_wants_nothing(body: str) -> None:
    assert list(wanted_pieces(only(up(0x0005, bytes.fromhex(body))))[1]) == []


def test_terminal_s_request_is_stored_and_has_no_answer_but_the_pieces() -> None:
    codec = JT808.codec()
    head = only(up(0x0002)).head
    sent_down(codec, head, 0x8108, bytes(2500))
    events = codec.receive(up(0x0005, bytes.fromhex("0000 0001 0002")), 0.0)
    assert [type(event) for event in events] == [Message, Send]
    assert codec.ack(events[0], Outcome.STORED, NOON) == b""
    assert not [event for event in codec.receive(up(0x0005, b"\x99\x99\0\1\0\1"), 0.0) if isinstance(event, Send | Malformed)]
