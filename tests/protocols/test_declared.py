"""Declared protocols: frames, explanations and answers of three that have between them all that can be declared."""

from __future__ import annotations

from random import Random

import pytest
from construct import Int8ub, Struct
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols import Message, Outcome, Send
from protocols.checksum import xor
from protocols.declared import Answer, Answered, Check, DeclaredProtocol, Downlink, Frame, Uplink
from protocols.fields import BCD, Text
from tests.held import held_bytes
from tests.protocols.commands import sent_down
from tests.protocols.declared_frames import (
    FRAMES,
    HELLO,
    LEVEL,
    NOW,
    POSITION,
    SMALL,
    WEIGHTS,
    causes,
    each_frame,
    hexed,
    only,
    receive,
    sealed,
    small,
)
from tests.protocols.declared_samples import ALPHA, BETA, GAMMA, SAMPLES
from tests.protocols.test_explain import check_cover


@each_frame
def test_reads_may_end_anywhere(protocol: DeclaredProtocol, frame: bytes):
    whole = receive(protocol, frame)
    assert causes(whole) == ["message"]
    assert receive(protocol, *(frame[at : at + 1] for at in range(len(frame)))) == whole
    for cut in range(1, len(frame)):
        assert receive(protocol, frame[:cut], frame[cut:]) == whole
    assert receive(protocol, frame * 3) == whole * 3


@each_frame
def test_a_wrong_bit_is_seen(protocol: DeclaredProtocol, frame: bytes):
    good = receive(protocol, frame)
    for bit in range(8 * len(frame)):
        damaged = bytearray(frame)
        damaged[bit // 8] ^= 1 << bit % 8
        if protocol is GAMMA and bit // 8 < 11:
            continue  # Its sum begins with the body.
        if protocol is BETA and frame[bit // 8] == 0x7D and bit % 8 == 0:
            continue  # 7C 01 is 7D by exclusive or, and without a length nothing else tells the two apart.
        codec = protocol.codec("SN7")
        found = [*codec.receive(bytes(damaged), 0.0), *codec.end()]
        assert [event for event in found if isinstance(event, Message)] in ([], good), bit


@each_frame
def test_the_link_goes_on_behind_garbage_and_cuts(protocol: DeclaredProtocol, frame: bytes):
    good = receive(protocol, frame)
    if protocol is not GAMMA:
        # Without a mark nothing says where the next frame begins; the check finds it most of the time.
        assert receive(protocol, b"garbage~", frame)[-1:] == good
    for cut in range(1, len(frame) - 1):
        codec = protocol.codec("SN7")
        codec.receive(frame[:cut], 0.0)
        # A lone flag is the end of nothing.
        assert causes(codec.end()) == ([] if frame[:cut] == b"~" else ["cut"])


@each_frame
def test_every_byte_is_explained(protocol: DeclaredProtocol, frame: bytes):
    tree = protocol.explain(frame)
    check_cover(tree, tree.raw)
    assert not [leaf for leaf in tree.leaves() if leaf.error]
    assert not tree.error
    assert only(protocol, frame).body in tree.raw
    assert all(leaf.value is None for leaf in tree.leaves() if leaf.is_secret)
    assert [leaf.name for leaf in tree.leaves()].count("check") == 1
    for cut in range(len(frame)):
        part = protocol.explain(frame[:cut])
        check_cover(part, part.raw)
        assert part.error, cut
        assert cut < 4 or part.error == "the frame does not end"
    for bit in range(8 * len(frame)):
        damaged = bytearray(frame)
        damaged[bit // 8] ^= 1 << bit % 8
        explained = protocol.explain(bytes(damaged))
        check_cover(explained, explained.raw)
        errors = [explained.error, *(leaf.error for leaf in explained.leaves())]
        assert any(errors) or isinstance(receive(protocol, bytes(damaged))[0], Message), bit


@pytest.mark.parametrize(
    ("protocol", "frame", "error"),
    [
        (ALPHA, LEVEL.replace("e5a5", "0000"), "the check does not fit"),
        (ALPHA, LEVEL.replace("0d0a", "0d0b"), "does not end with 0d0a"),
        (ALPHA, LEVEL.replace("414c", "424c"), "does not begin with 414c"),
        (ALPHA, LEVEL.replace("0a00", "ffff"), "a frame of 65552 bytes announced"),
        (BETA, "7e 02 7d 05 7e", "escape"),
        (BETA, "7e 02 7e", "no header"),
        (BETA, "7e 02 01", "does not end"),
        (GAMMA, "0001 00", "a frame of 3 bytes announced"),
        (GAMMA, "00", "does not end"),
    ],
)
def test_an_explanation_says_what_is_wrong(protocol: DeclaredProtocol, frame: str, error: str):
    tree = protocol.explain(hexed(frame))
    check_cover(tree, tree.raw)
    assert error in tree.error


def test_nothing_and_too_much_are_explained():
    assert ALPHA.explain(b"").error == "there are no bytes"
    tree = ALPHA.explain(sealed(LEVEL) + b"xyz")
    check_cover(tree, sealed(LEVEL) + b"xyz")
    assert [leaf.error for leaf in tree.leaves() if leaf.error] == ["bytes behind the frame's end"]


def test_answers_say_what_became_of_the_message():
    message = only(ALPHA, sealed(LEVEL))
    time = NOW.replace(microsecond=500)
    for outcome, code in ((Outcome.STORED, "00"), (Outcome.REFUSED, "01"), (Outcome.QUARANTINED, "02")):
        ack = ALPHA.codec().ack(message, outcome, time)
        at = int(NOW.timestamp()).to_bytes(4, "big").hex()
        assert ack == sealed(f"414c 0700 20240007 05 6a1d7a07 14 81 {code} {at} 0000 0d0a")
        assert not ALPHA.explain(ack).error


def test_answers_of_the_own_kind_go_through_escaping():
    message = only(BETA, sealed(WEIGHTS))
    codec = BETA.codec()
    assert codec.ack(message, Outcome.STORED, NOW) == sealed("7e 02 01 00 00 7e")
    assert codec.ack(message, Outcome.QUARANTINED, NOW) == sealed("7e 02 01 00 00 7e"), "like stored, if nothing else is said"
    assert codec.ack(message, Outcome.REFUSED, NOW) == sealed("7e 02 01 01 00 7e")
    assert codec.ack(message._replace(kind=0x77), Outcome.QUARANTINED, NOW) == sealed("7e 77 01 00 00 7e")
    # The check of these is the flag, and the check of those the escape.
    assert codec.ack(message._replace(kind=0x7F), Outcome.STORED, NOW) == hexed("7e 7f 01 00 7d02 7e")
    assert codec.ack(message._replace(kind=0x7C), Outcome.STORED, NOW) == hexed("7e 7c 01 00 7d01 7e")


def test_a_platform_with_frames_of_its_own_repeats_what_it_is_to_repeat():
    message = only(GAMMA, sealed(POSITION))
    assert GAMMA.codec().ack(message, Outcome.STORED, NOW) == hexed("aa55 90 07 0102 10")
    assert GAMMA.codec().ack(message, Outcome.REFUSED, NOW) == b"", "an answer that can only say stored is not for the refused"
    tree = GAMMA.explain(hexed("aa55 90 07 0102 10"))
    check_cover(tree, hexed("aa55900701 0210"))
    assert not tree.error


def test_an_answer_that_cannot_be_written_does_not_leave():
    ack = Answer(2, Struct("to" / BCD(4) * "Station"), {"to": Answered.IDENTITY})
    header = Struct("length" / Int8ub * "Length", "identity" / Text(8, "ascii") * "Id", "kind" / Int8ub * "Kind")
    protocol = small(Frame(header), answer=ack)
    numbered, named = receive(protocol, b"\x0020240007\x01", b"\x00LONDON 7\x01")
    assert protocol.codec().ack(numbered, Outcome.STORED, NOW) == b"\x0420240007\x02\x20\x24\x00\x07"
    assert protocol.codec().ack(named, Outcome.STORED, NOW) == b""


def test_what_has_no_answer_gets_none():
    message = only(ALPHA, sealed(LEVEL))
    for outcome in Outcome:
        assert ALPHA.codec().ack(message._replace(kind=0x04), outcome, NOW) == b""
        assert ALPHA.codec().ack(message._replace(kind=0x81), outcome, NOW) == b"", "an echo is not answered, or it would echo"


def test_commands_are_numbered_and_answered():
    codec, terminal = ALPHA.codec(), BETA.terminal("SN7")
    message = only(ALPHA, sealed(LEVEL))
    frames = [
        sent_down(codec, message.head, 0x81, ALPHA.build("ack", {"result": "stored", "time": NOW.isoformat()})) for _ in range(257)
    ]
    assert [frame[8] for frame in (frames[0], frames[1], frames[256])] == [0, 1, 0]
    beta = BETA.codec("SN7")
    terminal.connect()
    terminal.receive(beta.ack(only(BETA, sealed(HELLO))._replace(body=b"SN7\0\0\0SN7\0"), Outcome.STORED, NOW))
    assert terminal.is_online
    (answer,) = terminal.receive(sent_down(beta, b"\x05\x01", 0x05, BETA.build("tare", {"hive": 3})))
    assert isinstance(answer, Send)
    assert BETA.kind_name(only(BETA, answer.data).kind) == "tared"


@pytest.mark.parametrize(("head", "body"), [(b"", b""), (b"AL" + bytes(13), bytes(200))])
def test_a_command_that_cannot_leave_says_why(head: bytes, body: bytes):
    with pytest.raises(ValueError, match=r"nothing yet|does not fit a frame of 200"):
        sent_down(ALPHA.codec(), head, 0x90, body)


def test_what_begins_with_its_length_is_found_behind_garbage():
    good = receive(GAMMA, sealed(POSITION))
    assert receive(GAMMA, b"\xff\xff" + sealed(POSITION))[-1:] == good
    damaged = sealed(POSITION)[:-1] + b"\0"
    assert causes(receive(GAMMA, damaged + sealed(POSITION))) == ["checksum", "message"]


def test_delimited_frames_may_tell_their_length_too():
    frame = Frame(Struct("length" / Int8ub * "Bytes of the body", "identity" / Int8ub * "Id", "kind" / Int8ub * "Kind"), flag=b"~")
    delta = DeclaredProtocol("delta", "Delta", 7104, frame, [Uplink(1, "alive", "Still there")])
    assert causes(receive(delta, b"~\x00\x07\x01~")) == ["message"]
    assert causes(receive(delta, b"~\x02\x07\x01ab~~\x01\x07\x01~")) == ["message", "length"]
    assert delta.explain(b"~\x01\x07\x01~").error == "the length in the header does not fit the frame"


@pytest.mark.parametrize(("counts", "length"), [("body", 0), ("body and check", 1), ("rest", 4), ("frame", 6), (4, 2)])
def test_a_length_counts_what_it_is_told_to(counts: str | int, length: int):
    protocol = small(Frame(SMALL, Check(xor, Int8ub * "Check"), counts=counts, stop=b"\n"))
    frame = bytes((0x53, length, 7, 1))
    frame += bytes((xor(frame),)) + b"\n"
    assert causes(receive(protocol, frame, frame)) == ["message", "message"]


def test_an_answer_may_stand_in_the_table():
    ack = Struct("result" / Int8ub * "Result")
    protocol = small(
        Frame(SMALL), Uplink(1, "alive", "Alive"), Downlink(2, "fine", "Fine", ack), answer=Answer(2, ack, {"result": 0})
    )
    assert [row.name for row in protocol.messages.values()] == ["alive", "fine"]


def test_a_run_without_an_end_is_given_up():
    assert causes(receive(BETA, b"x" * 600)) == []
    assert causes(receive(BETA, b"x" * 601)) == ["oversized"]


def test_a_link_holds_little_whatever_comes():
    for protocol in SAMPLES:
        random, codec = Random(1), protocol.codec()
        for _ in range(200):
            codec.receive(random.randbytes(2048), 0.0)
            assert held_bytes(codec) <= 4096
            codec.receive(b"\0" * 2048, 0.0)
            assert held_bytes(codec) <= 4096


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=80), kind=st.integers(0, 0x20), head=st.binary(max_size=16))
def test_nothing_raises_on_a_peers_bytes(data: bytes, kind: int, head: bytes):
    for protocol, frame in FRAMES:
        events = receive(protocol, data + frame[:4] + data, frame)
        for event in (*events, Message("x", kind, 1, head, data), Message("x", kind, 1, only(protocol, frame).head, data)):
            if isinstance(event, Message):
                for report in protocol.decode(event).reports:
                    assert report.time is None or report.time.tzinfo is not None
        tree = protocol.explain(frame[:5] + data)
        check_cover(tree, tree.raw)
        terminal = protocol.terminal(protocol.simulated_identity(0))
        terminal.connect()
        terminal.receive(data + frame)


def test_the_table_says_what_is_answered_how():
    assert ALPHA.messages[2].answer.value == "`0x81`"
    assert ALPHA.messages[4].answer.value == "none"
    assert (ALPHA.messages[2].english, ALPHA.messages[2].chinese) == ("Water level", "水位")
    assert BETA.messages[2].answer.value == "the same kind"
    assert BETA.messages[5].answered_by == (6,)
    assert BETA.ends_session(4)
    assert not BETA.ends_session(2)
    assert ALPHA.kind_name(0x81) == "ack"
    assert ALPHA.kind_name(0x33) == "0x33"
    with pytest.raises(ValueError, match="maps: Alpha has no such option"):
        ALPHA.configure({"maps": 1})
