"""Frames with a start mark and a length: GT06's two shapes and GB/T 32960's, found again in every kind of stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.checksum import xor
from protocols.framing import Marked, MarkedSplitter
from protocols.message import Malformed

LIMIT = 512
SHORT = Marked(b"\x78\x78", ">B", 2, 5, b"\r\n")
LONG = Marked(b"\x79\x79", ">H", 2, 6, b"\r\n")
ELECTRIC = Marked(b"##", ">H", 22, 25)
# Real frames: a GT06 login (source: gt06_server, packet_test) and a GB/T 32960 heartbeat (source: terryhart-32960).
LOGIN = bytes.fromhex("78780d01012345678901234500018cdd0d0a")
HEARTBEAT = bytes.fromhex("232307fe4838323230363530303030303030303030010000bb")


def crc_x25(data: bytes) -> int:
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0x8408 if value & 1 else value >> 1
    return value ^ 0xFFFF


def check_gt06(frame: bytes) -> str:
    return "" if crc_x25(frame[2:-4]) == int.from_bytes(frame[-4:-2], "big") else "checksum"


def check_electric(frame: bytes) -> str:
    return "" if xor(frame[2:]) == 0 else "checksum"


def gt06(content: bytes, is_long: bool = False) -> bytes:
    start, width = (b"\x79\x79", 2) if is_long else (b"\x78\x78", 1)
    counted = (len(content) + 5 - 1).to_bytes(width, "big") + content + b"\x00\x01"
    return start + counted + crc_x25(counted).to_bytes(2, "big") + b"\r\n"


def splitter() -> MarkedSplitter:
    return MarkedSplitter((SHORT, LONG), LIMIT, check_gt06)


def feed(stream: bytes, step: int | None = None) -> list[bytes | Malformed]:
    split = splitter()
    found = []
    for at in range(0, len(stream), step or max(len(stream), 1)):
        found += split.feed(stream[at : at + (step or len(stream))])
        assert len(split.pending) <= LIMIT
    return found


def frames(found: list[bytes | Malformed]) -> list[bytes]:
    return [each for each in found if isinstance(each, bytes)]


def causes(found: list[bytes | Malformed]) -> list[str]:
    return [each.cause for each in found if isinstance(each, Malformed)]


contents = st.binary(min_size=1, max_size=120)
built = st.builds(gt06, contents, st.booleans())


def test_real_frames_are_found() -> None:
    assert feed(LOGIN + LOGIN) == [LOGIN, LOGIN]
    electric = MarkedSplitter((ELECTRIC,), LIMIT, check_electric)
    assert electric.feed(HEARTBEAT * 3) == [HEARTBEAT] * 3


@given(st.lists(built, max_size=6), st.integers(1, 7))
def test_reads_may_end_anywhere(wanted: list[bytes], step: int) -> None:
    assert feed(b"".join(wanted), step) == wanted


def test_marks_and_stops_inside_a_frame_mean_nothing() -> None:
    tricky = gt06(b"\x01\x78\x78\x0d\x0a\x79\x79\r\n\x78\x78")
    assert feed(tricky + LOGIN, 1) == [tricky, LOGIN]


@given(
    st.lists(st.tuples(st.binary(max_size=40).map(lambda data: data.replace(b"x", b".").replace(b"y", b".")), built), max_size=5)
)
def test_garbage_between_frames_is_reported_once_and_costs_no_frame(parts: list[tuple[bytes, bytes]]) -> None:
    found = feed(b"".join(garbage + frame for garbage, frame in parts), 3)
    assert frames(found) == [frame for _, frame in parts]
    assert causes(found) == ["garbage"] * sum(bool(garbage) for garbage, _ in parts)


def test_the_nearest_mark_counts_whichever_shape_it_begins() -> None:
    long = gt06(b"long", is_long=True)
    for wanted in ([LOGIN, long], [long, LOGIN]):
        assert frames(feed(b"..." + b"".join(wanted))) == wanted


def test_a_damaged_frame_is_dropped_alone_when_its_length_is_right() -> None:
    damaged = LOGIN[:8] + b"\xff" + LOGIN[9:]
    found = feed(LOGIN + damaged + LOGIN)
    assert frames(found) == [LOGIN, LOGIN]
    assert causes(found) == ["checksum"]


@pytest.mark.parametrize("length", [0x00, 0x04, 0x0E, 0x20])
def test_after_a_wrong_length_the_next_frame_is_found(length: int) -> None:
    found = feed(LOGIN[:2] + bytes((length,)) + LOGIN[3:] + LOGIN * 3)
    assert frames(found)[-2:] == [LOGIN, LOGIN]
    assert causes(found)


def test_a_length_beyond_the_limit_is_not_waited_for() -> None:
    found = feed(b"\x79\x79\xff\xff" + LOGIN, 1)
    assert found[0] == Malformed("oversized", b"\x79\x79\xff\xff")
    assert frames(found) == [LOGIN]


def test_a_frame_without_its_stop_is_told() -> None:
    assert causes(feed(LOGIN[:-1] + b"!")) == ["stop"]


def test_half_a_frame_and_half_a_mark_are_waited_for() -> None:
    split = splitter()
    assert split.feed(LOGIN[:9]) == []
    assert split.pending == LOGIN[:9]
    assert split.feed(LOGIN[9:] + b"\x78") == [LOGIN]
    assert split.feed(LOGIN[1:]) == [LOGIN]
    assert split.pending == b""


@given(st.binary(max_size=3000), st.integers(1, 64))
def test_whatever_comes_nothing_raises_and_little_is_held(data: bytes, step: int) -> None:
    feed(data, step)


def test_a_read_full_of_faults_is_given_up() -> None:
    hostile = b"\x79\x79\x01\x00" * 4000
    calls = []
    split = MarkedSplitter((SHORT, LONG), LIMIT, lambda frame: calls.append(1) or "checksum")
    found = split.feed(hostile)
    assert len(found) <= MarkedSplitter.MAX_FAULTS + 1
    assert len(calls) <= MarkedSplitter.MAX_FAULTS
    assert split.pending == b""
