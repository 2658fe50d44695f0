from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols import Malformed, Message
from protocols.checksum import crc16_arc
from protocols.teltonika import TELTONIKA
from protocols.teltonika.stream import MAX_FAULTS, PACKET_LIMIT_BYTES, Stream, crc, frame
from tests.protocols.teltonika.frames import ALL, EMPTY, EVENT, IMEI, INPUTS, LOGIN, TWO_RECORDS, VARIABLE, causes, packed, receive

each_frame = pytest.mark.parametrize("data", ALL, ids=range(len(ALL)))


def test_check_is_the_documented_one() -> None:
    assert crc16_arc(b"123456789") == 0xBB3D
    assert crc(b"123456789") == bytes.fromhex("0000bb3d")


@each_frame
def test_reads_may_end_anywhere(data: bytes) -> None:
    whole = receive(data)
    assert len(whole) == 1
    assert isinstance(whole[0], Message)
    assert receive(*(data[at : at + 1] for at in range(len(data)))) == whole
    for cut in range(1, len(data)):
        assert receive(data[:cut], data[cut:]) == whole
    assert receive(data + b"\xff") == receive(b"\xff\xff" + data) == whole


def test_many_frames_in_one_read_come_in_order() -> None:
    assert receive(b"".join(ALL)) == [event for data in ALL for event in receive(data)] == receive(b"\xff".join(ALL))


@each_frame
def test_a_frame_that_is_cut_is_told_at_the_end_and_costs_no_other(data: bytes) -> None:
    for cut in range(1, len(data)):
        codec = TELTONIKA.codec(IMEI)
        assert codec.receive(data[:cut], 0.0) == []
        assert [event.cause for event in codec.end()] == ["cut"]
        codec = TELTONIKA.codec(IMEI)
        codec.receive(data[:cut], 0.0)
        assert [event for event in codec.receive(data, 0.0) if isinstance(event, Message)] == receive(data), cut
        assert codec.end() == []


@each_frame
def test_a_wrong_bit_makes_no_other_message(data: bytes) -> None:
    for bit in range(8 * len(data)):
        bad = bytearray(data)
        bad[bit // 8] ^= 1 << bit % 8
        messages = [event for event in receive(bytes(bad)) if isinstance(event, Message)]
        if data is LOGIN:
            # Digits have no check: but for a damaged length, what comes is the packet as it is.
            assert all(bad.startswith(message.body) and message.body[2:].isdigit() for message in messages)
        else:
            assert messages == [], bit


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (EVENT[:-1] + b"\x98", ["checksum"]),
        (EVENT[:-4] + b"\x01\x00" + EVENT[-2:], ["checksum"]),
        (bytes.fromhex("00000100") + EVENT[4:], ["garbage"]),
        (packed("080100")[:-4] + crc(bytes.fromhex("080100")), ["count"]),
        (packed(EVENT[8:-5].hex() + "05"), ["count"]),
        (packed("ff0000"), ["message"]),
        (packed("000000"), ["codec"]),
        (bytes.fromhex("00000000 00000003") + bytes(7), ["codec"]),
        (bytes.fromhex("00000000 00000002 0800 00000000"), ["length"]),
        (bytes.fromhex("00000000 00004000") + bytes(20), ["oversized"]),
        (bytes.fromhex("00000000 ffffffff") + bytes(20), ["oversized"]),
        (bytes.fromhex("000f") + b"49015420323751x", ["garbage"]),
        (bytes.fromhex("0041") + b"1" * 65, ["garbage"]),
        (b"GET / HTTP/1.1\r\n\r\n", ["garbage"]),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", ["garbage"]),
    ],
)
def test_what_is_no_frame_is_told_in_a_word(data: bytes, expected: list[str]) -> None:
    assert causes(data) == expected
    assert causes(data + EVENT) == [*expected, "message"]
    assert causes(data + LOGIN)[-1] == "message"


def test_a_length_that_is_one_too_long_waits_and_then_fails() -> None:
    longer = EVENT[:7] + b"\x31" + EVENT[8:]
    assert causes(longer) == []
    assert causes(longer + b"\0") == ["checksum"]
    assert causes(longer + EVENT) == ["checksum", "message"]


@pytest.mark.parametrize("length", [3, 0x2F, 0x100, 0x3FF])
def test_behind_a_wrong_length_the_next_frame_is_found(length: int) -> None:
    bad = EVENT[:4] + length.to_bytes(4, "big") + EVENT[8:]
    assert causes(bad + VARIABLE + EVENT * 20)[-19:] == ["message"] * 19


def test_the_longest_packet_is_taken_and_no_longer() -> None:
    longest = frame(b"\x0c" + bytes(PACKET_LIMIT_BYTES - 13))
    assert len(longest) == PACKET_LIMIT_BYTES
    assert causes(longest) == ["message"]
    assert causes(frame(b"\x0c" + bytes(PACKET_LIMIT_BYTES - 12)))[0] == "oversized"


def test_unidentified_packets_are_none() -> None:
    codec = TELTONIKA.codec()
    (event,) = codec.receive(EVENT, 0.0)
    assert isinstance(event, Malformed)
    assert event.cause == "unidentified"
    login, packet = codec.receive(LOGIN + EVENT, 0.0)
    assert (login.identity, packet.identity) == (IMEI, IMEI)


def test_faults_in_one_read_are_counted_and_the_rest_dropped() -> None:
    bad = EVENT[:-1] + b"\0"
    assert causes(bad * (MAX_FAULTS + 5)) == ["checksum"] * MAX_FAULTS
    codec = TELTONIKA.codec(IMEI)
    codec.receive(bad * (MAX_FAULTS + 5), 0.0)
    assert isinstance(codec.receive(TWO_RECORDS, 0.0)[0], Message)


def test_little_is_held_of_what_never_becomes_a_frame() -> None:
    random, stream = Random(5027), Stream()
    for _ in range(200):
        stream.feed(random.randbytes(1000))
        assert len(stream._held) <= 16
    stream = Stream()
    for _ in range(200):
        stream.feed(bytes(1000))
        assert len(stream._held) <= 16
    assert stream.pending == b""


pieces = st.one_of(st.binary(max_size=40), st.sampled_from([*ALL, EVENT[:30], EVENT[5:], b"\xff", bytes(4), bytes(9)]))


@given(st.lists(pieces, max_size=6), st.lists(st.integers(0, 400), max_size=6))
@settings(max_examples=300, deadline=None)
def test_any_bytes_come_to_the_same_messages_however_reads_end(given_pieces: list[bytes], cuts: list[int]) -> None:
    data = b"".join(given_pieces)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    chunks = [data[start:end] for start, end in pairwise(edges)]
    whole = [event for event in receive(data) if isinstance(event, Message)]
    parts = [event for event in receive(b"", *chunks) if isinstance(event, Message)]
    assert whole == parts


def test_an_answer_may_be_longer_than_records_are() -> None:
    long = packed(f"0c 01 06 {2067:08x} {'41' * 2067} 01")
    assert causes(INPUTS + long + EMPTY) == ["message"] * 3
