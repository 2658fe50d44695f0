"""The platform's own messages: numbered, cut, and sent again when a terminal asks."""

from __future__ import annotations

import pytest

from protocols import Message, Send
from protocols.jt808 import JT808
from protocols.jt808.codec import JT808Codec
from protocols.jt808.downlink import MAX_AGAIN, MAX_BYTES, MAX_KEPT, PIECE_BYTES
from protocols.jt808.header import open_frame, read_header
from tests.protocols.commands import sent_down
from tests.protocols.jt808.frames import PHONE, only, receive, up

# go-jt808 (MIT), parse_test, reply_test and terminal_test: frames that a platform sends.
DOWNLINKS = {
    "TestParse/2": "7e8001000501234567890100007fff0002008e7e",
    "TestParse/3": "7e8100000e01234567890100000000003132333435363738393031377e",
    "TestParse/12": "7e8104400001000000000144199999990003027e",
    "TestParse/14": "7e9003400001000000000144199999990003147e",
    "TestParse/16": "7e9101001712345678901200010f3132332e3132332e3132332e313233030440c60c0100a17e",
    "TestParse/18": "7e910240040112345678901234567890ffff08010203de7e",
    "TestParse/19": "7e9201002412345678901200010d31322e31322e3132332e313233a7b93c6c320200000000200707192359200707192359617e",
    "TestParse/20": "7e920500181234567890120001e720070719235920070719235900000000000000009b6e00167e",
    "TestParse/22": (
        "7e9206004512345678901200010b3139322e3136382e312e312b2d08757365726e616d650870617373776f72640b2f616c61726d5f"
        "66696c6501200726000000200726232359000000000000000000010101227e"
    ),
    "TestParse/24": "7e92070003123456789012000169fd028b7e",
    "TestParse/25": "7e800300150123456789017fff1099090001000200030004000500060007000800091f7e",
    "TestParse/26": "7e91050002123456789012000102031c7e",
    "TestParse/27": "7e920200091234567890120001110103200707192359427e",
    "TestParse/29": "7e8801400c0100000000017299841738ffff0100020003010405ff7f7fff857e",
    "TestParse/33": "7e880000170123456789017fff0000c15f09000100020003000400050006000700080009017e",
    "TestParse/34": (
        "7e9208005212345678901200010d34372e3130342e39372e313639200a200b37363534333231200707192359010101616437323133"
        "313537396535346265306230663733376366633732633564623800000000000000000000000000000000427e"
    ),
    "TestParse/40": "7e921240190112345678901234567890ffff0d7777772e6a74743830382e636e0001010000000000000400f17e",
    "TestParse/41": "7e830000150012562569271108ffb2e2cad431323340343536236162632bbde1caf8507e",
    "TestParse/42": (
        "7e830003e900125625692700bc00616263313131313131313131313131313131313131313131313131313131313131313131313131"
        "3131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131"
        "3131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131"
        "3131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131"
        "3131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131"
        "3131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131"
        "3131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131"
        "3131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131"
        "3131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131"
        "3131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131"
        "3131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131313131"
        "3131313131313131313131313131313131313131313131313131313131313131313131313132323232323232323232323232323232"
        "3232323232323232323232323232323232323232323232323232323232323232323232323232323232323232323232323232323232"
        "3232323232323232323232323232323232323232323232323232323232323232323232323232323232323232323232323232323232"
        "3232323232323232323232323232323232323232323232323232323232323232323232323232323232323232323232323232323232"
        "3232323232323232323232323232323232323232323232323232323232323232323232323232323232323232323232323232323232"
        "3232323232323232323232323232323232323232323232323232323232323232323232323232323232323232323232323232323232"
        "3232323232323232323232323232323232323232323232323232323232323232323232323232323232323232323232323232323232"
        "3232323232323232323232323232323232323232323232323232323232323232323232323232323232323232323232323232323232"
        "32323232323232ab7e"
    ),
    "TestParse/43": "7e8302000e001256256927001cff03313233010002414102000142327e",
    "TestParse/45": "7e82010000001256256927000fa37e",
    "TestParse/47": "7e820200060123456789017fff000500000258d17e",
    "TestReply/41": "7e830000180123456789017fff09b2e2cad43132334034353623616263212e2e2ebde1caf8b17e",
    "TestTerminal_CreateDefaultCommandData/16": "7e8001000512345678201100010001020000bf7e",
    "TestTerminal_CreateDefaultCommandData/17": "7e8001000512345678201300010001020000bd7e",
    "TestTerminal_CreateDefaultCommandData/18": "7e80014005011234567890123456201900010001020000167e",
    "TestTerminal_CreateDefaultCommandData/19": "7e810000181234567820110001000100313233343536373839306162636465666768696a6bc17e",
    "TestTerminal_CreateDefaultCommandData/20": "7e810000181234567820130001000100313233343536373839306162636465666768696a6bc37e",
    "TestTerminal_CreateDefaultCommandData/21": (
        "7e8100401801123456789012345620190001000100313233343536373839306162636465666768696a6b687e"
    ),
}
BODY = bytes(number % 251 for number in range(2500))
HEAD = only(up(0x0002)).head
HEAD_2019 = only(up(0x0002, phone="00000000013800000001", version=1)).head


def frames_of(data: bytes) -> list[bytes]:
    return [b"\x7e" + run + b"\x7e" for run in data.split(b"\x7e") if run]


def ask(codec: JT808Codec, original: int, *numbers: int, phone: str = PHONE) -> bytes:
    body = b"".join(number.to_bytes(2, "big") for number in (original, len(numbers), *numbers))
    sends = [event.data for event in codec.receive(up(0x0005, body, phone=phone), 0.0) if isinstance(event, Send)]
    return b"".join(sends)


@pytest.mark.parametrize("frame", DOWNLINKS.values(), ids=DOWNLINKS.keys())
def test_single_frames_are_those_of_the_captures_byte_for_byte(frame: str) -> None:
    opened = open_frame(bytes.fromhex(frame)[1:-1])
    assert isinstance(opened, tuple)
    head, body = opened
    header = read_header(head)
    codec = JT808.codec()
    codec._downlink._next = header.sequence
    asked = only(up(0x0002, phone=header.phone, **({} if header.version is None else {"version": header.version})))
    assert sent_down(codec, asked.head, header.id, body).hex() == frame


def test_a_body_is_cut_where_a_frame_does_not_hold_it() -> None:
    assert len(frames_of(sent_down(JT808.codec(), HEAD, 0x8300, bytes(1023)))) == 1
    assert len(frames_of(sent_down(JT808.codec(), HEAD, 0x8300, bytes(1024)))) == 2


@pytest.mark.parametrize("head", [HEAD, HEAD_2019], ids=["2013", "2019"])
def test_pieces_are_numbered_one_after_the_other_and_come_together_again(head: bytes) -> None:
    codec = JT808.codec()
    codec._downlink._next = 65534
    sent = sent_down(codec, head, 0x8108, BODY)
    headers = [
        read_header(opened[0]) for opened in (open_frame(frame[1:-1]) for frame in frames_of(sent)) if isinstance(opened, tuple)
    ]
    assert [(header.number, header.total, header.sequence) for header in headers] == [(1, 3, 65534), (2, 3, 65535), (3, 3, 0)]
    assert {(header.id, header.phone, header.version) for header in headers} == {
        (0x8108, read_header(head).phone, read_header(head).version)
    }
    (whole,) = receive(sent)
    assert isinstance(whole, Message)
    assert whole.body == BODY
    assert only(sent_down(codec, head, 0x8300, b"next")).sequence == 1


def test_what_a_terminal_asks_for_is_sent_again_byte_for_byte() -> None:
    codec = JT808.codec()
    sent_down(codec, HEAD, 0x8300, b"one before")
    first, second, third = frames_of(sent_down(codec, HEAD, 0x8108, BODY))
    sent_down(codec, HEAD, 0x8300, b"one behind")
    assert ask(codec, 1, 2) == second
    assert ask(codec, 1, 3, 1, 3) == third + first
    assert ask(codec, 3, 2) == second, "some tell the sequence of another piece"


def test_what_was_never_sent_is_not_sent_again() -> None:
    codec = JT808.codec()
    sent_down(codec, HEAD, 0x8108, BODY)
    assert ask(codec, 0, 0, 4, 65535) == b""
    assert ask(codec, 3, 1) == b""
    assert ask(codec, 0, 1, phone="000000000042") == b"", "another terminal of the same link"
    assert ask(JT808.codec(), 0, 1) == b""


def test_what_is_kept_is_bounded_in_messages_and_in_bytes() -> None:
    codec = JT808.codec()
    for _ in range(MAX_KEPT + 1):
        sent_down(codec, HEAD, 0x8108, BODY)
    assert ask(codec, 0, 1) == b""
    assert ask(codec, 3, 1) != b""
    sent_down(codec, HEAD, 0x8108, bytes(MAX_BYTES))
    assert len(codec._downlink._sent) == 1
    assert ask(codec, 15, MAX_BYTES // PIECE_BYTES + 1) != b""
    with pytest.raises(ValueError, match="longer than"):
        sent_down(codec, HEAD, 0x8108, bytes(MAX_BYTES + 1))


def test_of_two_messages_that_began_with_a_sequence_the_newer_is_meant() -> None:
    codec = JT808.codec()
    sent_down(codec, HEAD, 0x8108, BODY)
    codec._downlink._next = 0
    newer = frames_of(sent_down(codec, HEAD, 0x8108, BODY[::-1]))
    assert ask(codec, 0, 2) == newer[1]


def test_a_piece_is_sent_again_only_so_often() -> None:
    codec = JT808.codec()
    sent_down(codec, HEAD, 0x8108, BODY)
    assert [bool(ask(codec, 0, 1)) for _ in range(MAX_AGAIN + 2)] == [True] * MAX_AGAIN + [False] * 2
    assert ask(codec, 0, 2) != b""
