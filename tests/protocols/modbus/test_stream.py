from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from protocols.modbus.frame import FRAMINGS, Asked, seal
from protocols.modbus.pdu import read_request
from protocols.modbus.stream import MAX_HELD_BYTES, QUIET_SECONDS, Found, Kind, Stream
from tests.protocols.modbus.station import FOREIGN, LOOK_ALIKE, POLLS, exchanges, lines, request

BEAT = b"www.usr.cn"
NAME = b"PS0001"
RTU = FRAMINGS["rtu"]
FAST, RELAYS, INPUTS = (exchanges(POLLS)[at] for at in (2, 4, 5))


def stream(asked: bytes = b"", *texts: bytes) -> Stream:
    found = Stream(RTU, texts or (BEAT, NAME))
    if asked:
        found.ask(Asked(request(asked), asked))
    return found


def kinds(found: list[Found]) -> list[tuple[Kind, bytes]]:
    return [(kind, data) for kind, data in found]


def fed(one: Stream, *chunks: bytes) -> list[tuple[Kind, bytes]]:
    found = [found for chunk in chunks for found in one.feed(chunk, 0.0)]
    return kinds(found + one.quiet(QUIET_SECONDS))


def splits(data: bytes) -> list[list[bytes]]:
    return [[data], [data[at : at + 1] for at in range(len(data))], *([data[:at], data[at:]] for at in range(1, len(data)))]


ANSWER, TEXT, NOISE, LATE, STRANGE, ECHO = Kind.ANSWER, Kind.TEXT, Kind.NOISE, Kind.LATE, Kind.STRANGE, Kind.ECHO
FOREIGN_PAIR = exchanges(FOREIGN)[0]
RAW = {
    "heartbeat and an answer": (FAST[0], BEAT + FAST[1], [(TEXT, BEAT), (ANSWER, FAST[1])]),
    "an answer behind the registration": (RELAYS[0], NAME + RELAYS[1], [(TEXT, NAME), (ANSWER, RELAYS[1])]),
    "an answer and a heartbeat": (INPUTS[0], INPUTS[1] + BEAT, [(ANSWER, INPUTS[1]), (TEXT, BEAT)]),
    "illegal start": (FOREIGN_PAIR[0], b"\x20TT\xff" + FOREIGN_PAIR[1], [(NOISE, b"\x20TT\xff"), (ANSWER, FOREIGN_PAIR[1])]),
    "illegal end": (FOREIGN_PAIR[0], FOREIGN_PAIR[1] + b"\x20TT\xff", [(ANSWER, FOREIGN_PAIR[1]), (NOISE, b"\x20TT\xff")]),
    "exception": (FOREIGN_PAIR[0], lines(FOREIGN)[2][1], [(ANSWER, lines(FOREIGN)[2][1])]),
    "look-alikes": (*exchanges(LOOK_ALIKE)[0], [(ANSWER, exchanges(LOOK_ALIKE)[0][1])]),
    "the half of one, noise and the whole": (RELAYS[0], b"\2\2" + RELAYS[1], [(NOISE, b"\2\2"), (ANSWER, RELAYS[1])]),
    "echo of a read": (FAST[0], FAST[0] + FAST[1], [(ECHO, FAST[0]), (ANSWER, FAST[1])]),
}


@pytest.mark.parametrize("case", RAW.values(), ids=list(RAW))
def test_raw_reads_however_they_are_split(case: tuple[bytes, bytes, list[tuple[Kind, bytes]]]) -> None:
    asked, data, expected = case
    for chunks in splits(data):
        assert fed(stream(asked), *chunks) == expected, chunks


def test_the_captured_reads_in_their_order() -> None:
    beat_and_half = BEAT + FAST[1][:12]
    one = stream(FAST[0])
    assert kinds(one.feed(beat_and_half, 0.0)) == [(TEXT, BEAT)]
    assert kinds(one.feed(FAST[1][12:], 0.1)) == [(ANSWER, FAST[1])]
    assert one.pending == b""
    assert one.asked is None


def test_ddp_frames_on_a_transparent_port_are_noise() -> None:
    data = bytes.fromhex("7B0100163133393030303031323334 0A141E2813897B")
    assert fed(stream(FAST[0]), data + FAST[1]) == [(NOISE, data), (ANSWER, FAST[1])]


@pytest.mark.parametrize(
    "beat",
    [BEAT, b"ping", b"Q", b"\xfe", b"\xff\xff\x80\x80", b"\1\3", b"\2\1\1", FAST[1][:9], bytes.fromhex("aa01") + b"13900001234\r"],
    ids=bytes.hex,
)
def test_any_heartbeat_before_and_after_an_answer(beat: bytes) -> None:
    """An answer proves itself by unit, function, length and CRC; so it comes first, and a heartbeat may be any bytes."""
    after = stream(RELAYS[0], beat)
    assert fed(after, RELAYS[1] + beat) == [(ANSWER, RELAYS[1]), (TEXT, beat)]
    before = stream(RELAYS[0], beat)
    found = fed(before, beat) + fed(before, RELAYS[1])
    assert [pair for pair in found if pair[0] is not NOISE] == [(TEXT, beat), (ANSWER, RELAYS[1])]
    glued = stream(RELAYS[0], beat)
    assert (ANSWER, RELAYS[1]) in fed(glued, beat + RELAYS[1])


def test_random_exchanges_with_texts_and_noise_glued_and_split() -> None:
    random = Random(5502)
    for _ in range(1500):
        unit, quantity = random.randrange(1, 64), random.randrange(1, 20)
        asked = read_request(unit, 3, random.randrange(100), quantity)
        answer = seal(bytes((unit, 3, 2 * quantity)) + random.randbytes(2 * quantity))
        one = Stream(RTU, (BEAT, NAME))
        one.ask(Asked(asked, seal(bytes((unit,)) + asked.pdu)))
        texts = [random.choice((b"", BEAT, NAME, BEAT + NAME)) for _ in range(2)]
        data = texts[0] + answer + texts[1]
        edges = [0, *sorted(random.randrange(len(data) + 1) for _ in range(random.randrange(4))), len(data)]
        found = fed(one, *(data[start:end] for start, end in pairwise(edges)))
        assert [data for kind, data in found if kind is ANSWER] == [answer]
        assert not [data for kind, data in found if kind is NOISE]


def test_a_false_start_is_passed_over_after_a_silence_and_a_slow_answer_is_not() -> None:
    false_start = FAST[1][:4]
    one = stream(FAST[0])
    refusal = seal(b"\1\x83\2")
    assert kinds(one.feed(false_start + refusal, 0.0)) == []
    assert one.deadline == QUIET_SECONDS
    assert kinds(one.quiet(QUIET_SECONDS)) == [(NOISE, false_start), (ANSWER, refusal)]
    slow = stream(FAST[0])
    slow.feed(FAST[1][:10], 0.0)
    assert slow.quiet(QUIET_SECONDS) == []
    assert slow.deadline is None, "it was looked at: only bytes, or the time-out, change anything now"
    assert kinds(slow.feed(FAST[1][10:], 1.0)) == [(ANSWER, FAST[1])]


def test_after_a_time_out_the_answer_is_late_and_no_answer() -> None:
    one = stream(RELAYS[0])
    assert one.give_up() == []
    assert fed(one, RELAYS[1]) == [(LATE, RELAYS[1])]
    again = stream(RELAYS[0])
    again.give_up()
    again.ask(Asked(request(INPUTS[0]), INPUTS[0]))
    assert fed(again, RELAYS[1] + INPUTS[1]) == [(LATE, RELAYS[1]), (ANSWER, INPUTS[1])]


def test_on_an_echoing_line_the_second_of_two_equal_frames_is_the_answer() -> None:
    write = bytes.fromhex("0205 0001 ff00 ddc9")
    plain = stream(write)
    assert fed(plain, write) == [(ANSWER, write)]
    echoing = stream(FAST[0])
    fed(echoing, FAST[0] + FAST[1])
    assert echoing.is_echoing
    echoing.ask(Asked(request(write), write))
    assert fed(echoing, write) == [(ECHO, write)]
    assert fed(echoing, write) == [(ANSWER, write)]


def test_while_nothing_is_asked_good_frames_are_strange_and_the_rest_is_noise() -> None:
    for chunks in splits(RELAYS[1] + FAST[0] + BEAT):
        assert fed(stream(), *chunks) == [(STRANGE, RELAYS[1]), (STRANGE, FAST[0]), (TEXT, BEAT)]
    unknown = seal(b"\x07\x41\1\2\3")
    assert fed(stream(), unknown) == [(STRANGE, unknown)], "a function without a known length, with silence around it"
    assert fed(stream(), unknown[:-1]) == [(NOISE, unknown[:-1])]


def test_it_holds_a_bounded_number_of_bytes_and_finds_what_follows() -> None:
    random, one = Random(1), stream(FAST[0])
    for _ in range(200):
        one.feed(random.randbytes(5000), 0.0)
        assert len(one.pending) <= MAX_HELD_BYTES
    assert (ANSWER, FAST[1]) in fed(stream(FAST[0]), bytes(3000) + FAST[1])


def test_what_was_held_before_a_request_is_no_answer_to_it() -> None:
    one = stream()
    one.feed(FAST[1][:20], 0.0)
    one.ask(Asked(request(FAST[0]), FAST[0]))
    assert all(kind is not ANSWER for kind, _ in fed(one, FAST[1][20:]))
