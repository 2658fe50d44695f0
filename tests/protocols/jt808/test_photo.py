"""A terminal's photo in sub-packets, lost ones and all, between both ends of a link."""

from __future__ import annotations

from io import BytesIO
from typing import NamedTuple

import pytest
from PIL import Image

from protocols import Camera, Message, Outcome, Send
from protocols.jt808 import JT808
from protocols.jt808.codec import JT808Codec
from protocols.jt808.parts import QUIET_SECONDS
from protocols.jt808.photo import PIECE_BYTES
from protocols.jt808.terminal import JT808Terminal
from tests.protocols.commands import sent_down
from tests.protocols.jt808.frames import IDENTITY, NOON, location, only, photo, told


class Talk(NamedTuple):
    """What both ends said until neither had anything to say: messages that the platform got, what the terminal was told."""

    messages: list[Message]
    told: list[Message]
    acked: list[int]


def talk(terminal: JT808Terminal, codec: JT808Codec, data: bytes, outcome: Outcome = Outcome.STORED) -> Talk:
    """With a platform that stores at once, and time that passes while both are silent."""
    done = Talk([], [], [])
    now = 0.0
    while data or codec.deadline is not None:
        events = codec.receive(data, now)
        if not data and codec.deadline is not None:
            now = codec.deadline
            events = codec.wake(now)
        down = b""
        for event in events:
            if isinstance(event, Message):
                done.messages.append(event)
                down += codec.ack(event, outcome, NOON)
            elif isinstance(event, Send):
                down += event.data
        done.told.extend(only(b"\x7e" + run + b"\x7e") for run in down.split(b"\x7e") if run)
        data, acked = told(terminal.receive(down))
        done.acked.extend(acked)
    return done


@pytest.fixture
def ends() -> tuple[JT808Terminal, JT808Codec]:
    terminal, codec = JT808.terminal(IDENTITY), JT808.codec()
    talk(terminal, codec, terminal.connect())
    assert terminal.is_online
    return terminal, codec


def test_a_photo_looks_like_one(ends: tuple[JT808Terminal, JT808Codec]) -> None:
    terminal, _ = ends
    assert isinstance(terminal, Camera)
    _, kind, body = photo(terminal, size=5000)
    assert (kind, body[:8].hex()) == ("multimedia_data", "0000000100000101")
    picture = body[36:]
    assert len(picture) == 5000
    assert (picture[:4].hex(), picture[6:10], picture[-2:].hex()) == ("ffd8ffe0", b"JFIF", "ffd9")
    shown = Image.open(BytesIO(picture))
    shown.load()
    assert (shown.format, shown.size) == ("JPEG", (352, 288))
    assert photo(terminal, size=5000)[2][:4].hex() == "00000002"


def test_a_photo_arrives_whole_and_is_acked_once(ends: tuple[JT808Terminal, JT808Codec]) -> None:
    terminal, codec = ends
    sequence, _, body = photo(terminal)
    done = talk(terminal, codec, terminal.frame(sequence, body))
    assert [message.body for message in done.messages] == [body]
    assert [(message.kind, message.body) for message in done.told] == [(0x8800, body[:4])]
    assert done.acked == [sequence]
    total = -(-len(body) // PIECE_BYTES)
    assert len(done.messages[0].parts) == total
    assert location(terminal)[0] == sequence + total, "each piece has a sequence of its own"
    assert told(terminal.receive(sent_down(codec, done.messages[0].head, 0x8800, body[:4]))) == (b"", []), "an ack counts once"


@pytest.mark.parametrize("lost", [(3, 7), (25, 26), (1, 13), (1, 2), range(1, 26), range(2, 27)])
def test_lost_pieces_are_asked_for_and_the_photo_is_whole(ends: tuple[JT808Terminal, JT808Codec], lost: tuple[int, ...]) -> None:
    terminal, codec = ends
    sequence, _, body = photo(terminal, lost=lost)
    done = talk(terminal, codec, terminal.frame(sequence, body))
    assert [message.body for message in done.messages] == [body]
    assert done.acked == [sequence]
    request, answer = done.told
    indexes = b"".join(number.to_bytes(2, "big") for number in lost)
    if 1 in lost:
        first = sequence.to_bytes(2, "big")
        assert (request.kind, request.body) == (0x8003, first + bytes([len(lost)]) + indexes)
    else:
        assert (request.kind, request.body) == (0x8800, body[:4] + bytes([len(lost)]) + indexes)
    assert (answer.kind, answer.body) == (0x8800, body[:4])


def test_what_is_sent_again_is_the_same_bytes(ends: tuple[JT808Terminal, JT808Codec]) -> None:
    terminal, codec = ends
    sequence, _, body = photo(terminal, lost=(2, 5))
    first, again = terminal.frame(sequence, body), terminal.frame(sequence, body)
    assert len(again) > len(first)
    codec.receive(first, 0.0)
    (asked,) = codec.wake(QUIET_SECONDS)
    assert isinstance(asked, Send)
    repeated, _ = told(terminal.receive(asked.data))
    assert repeated
    assert all(b"\x7e" + run + b"\x7e" in again for run in repeated.split(b"\x7e") if run)
    assert not set(repeated.split(b"\x7e")) - {b""} & set(first.split(b"\x7e"))


def test_a_photo_that_was_not_acked_is_sent_again_over_a_new_link(ends: tuple[JT808Terminal, JT808Codec]) -> None:
    terminal, codec = ends
    sequence, _, body = photo(terminal, lost=(2,))
    codec.receive(terminal.frame(sequence, body), 0.0)
    codec = JT808.codec()
    talk(terminal, codec, terminal.connect())
    done = talk(terminal, codec, terminal.frame(sequence, body))
    assert [message.body for message in done.messages] == [body]
    assert done.acked == [sequence]


def test_a_refused_photo_is_kept(ends: tuple[JT808Terminal, JT808Codec]) -> None:
    terminal, codec = ends
    sequence, _, body = photo(terminal)
    assert talk(terminal, codec, terminal.frame(sequence, body), Outcome.REFUSED).acked == []
    assert talk(terminal, codec, terminal.frame(sequence, body)).acked == [sequence]


def test_reports_between_the_pieces_are_acked_by_themselves(ends: tuple[JT808Terminal, JT808Codec]) -> None:
    terminal, codec = ends
    first, _, body = photo(terminal, lost=(2,))
    report, _, place = location(terminal)
    second, _, other = photo(terminal)
    data = terminal.frame(first, body) + terminal.frame(report, place) + terminal.frame(second, other)
    done = talk(terminal, codec, data)
    assert [message.body for message in done.messages] == [place, other, body]
    assert done.acked == [report, second, first]


def test_sequences_of_pieces_go_round(ends: tuple[JT808Terminal, JT808Codec]) -> None:
    terminal, codec = ends
    terminal._next = 65530
    sequence, _, body = photo(terminal, lost=(1, 20))
    done = talk(terminal, codec, terminal.frame(sequence, body))
    assert [message.body for message in done.messages] == [body]
    assert done.acked == [65530]


def test_a_request_for_no_photo_of_the_terminal_s_is_passed_over(ends: tuple[JT808Terminal, JT808Codec]) -> None:
    terminal, codec = ends
    photo(terminal)
    head = codec.receive(terminal.connect(), 0.0)[0].head
    for id, body in ((0x8800, "00000063"), (0x8800, ""), (0x8800, "00000063 01 0001"), (0x8003, "0999 01 0001"), (0x8003, "")):
        assert told(terminal.receive(sent_down(codec, head, id, bytes.fromhex(body)))) == (b"", [])
    assert told(terminal.receive(sent_down(codec, head, 0x8800, bytes.fromhex("00000001 01 ffff")))) == (b"", [])


def test_what_is_decoded_says_where_the_picture_is(ends: tuple[JT808Terminal, JT808Codec]) -> None:
    terminal, codec = ends
    sequence, _, body = photo(terminal, size=5000)
    (message,) = talk(terminal, codec, terminal.frame(sequence, body)).messages
    (report,) = JT808.decode(message).reports
    piece = report.piece
    assert piece is not None
    assert (piece.file, piece.kind, piece.channel, piece.cause, piece.is_last) == ("", "photo", 1, "timed", True)
    assert (piece.offset, piece.size) == (0, 5000)
    assert report.body[piece.data_at : piece.data_at + piece.data_size] == body[36:]
