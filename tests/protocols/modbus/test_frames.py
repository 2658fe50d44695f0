from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.checksum import crc16_modbus
from protocols.modbus.frame import FRAMINGS, Asked, seal
from protocols.modbus.pdu import (
    ANSWERS,
    EXCEPTION,
    MORE,
    REQUESTS,
    Function,
    Request,
    identification_request,
    layout,
    read_request,
    request_size,
    sizes,
)
from tests.protocols.modbus.station import FOREIGN, LOOK_ALIKE, OTHERS, POLLS, WRITES, exchanges, lines, request

ALL = [frame for text in (POLLS, WRITES, OTHERS, FOREIGN, LOOK_ALIKE) for _, frame in lines(text)]
ASKED = [frame for text in (POLLS, WRITES, OTHERS, FOREIGN, LOOK_ALIKE) for who, frame in lines(text) if who == "v"]
ANSWERED = [pair for text in (POLLS, WRITES, OTHERS, FOREIGN, LOOK_ALIKE) for pair in exchanges(text)]
RTU, MBAP = FRAMINGS["rtu"], FRAMINGS["mbap"]


def test_crc_of_the_catalogue_and_its_order_on_the_wire() -> None:
    assert crc16_modbus(b"123456789") == 0x4B37
    assert seal(b"123456789")[-2:] == b"\x37\x4b"


@pytest.mark.parametrize("frame", ALL, ids=[frame.hex() for frame in ALL])
def test_every_frame_is_read_and_built_again(frame: bytes) -> None:
    assert RTU.is_frame(frame)
    assert RTU.wrap(frame[0], RTU.unframed(frame)[1:]) == frame
    found = layout(frame[1:-2])
    assert found is not None
    declared, _ = found
    assert declared.build(declared.parse(frame[2:-2])) == frame[2:-2]


@pytest.mark.parametrize(("asked", "answer"), ANSWERED, ids=[asked.hex() for asked, _ in ANSWERED])
def test_an_answer_is_found_by_its_request_and_by_no_other(asked: bytes, answer: bytes) -> None:
    one = Asked(request(asked), asked)
    assert RTU.answer_at(bytearray(answer), 0, one) == len(answer)
    assert len(answer) == 5 or one.request.function == 0x2B or one.request.longest_answer + 3 == len(answer)
    for other in ASKED:
        fits = RTU.answer_at(bytearray(answer), 0, Asked(request(other), other)) > 0
        is_alike = request(other).answer_head == one.request.answer_head and other[0] == asked[0]
        assert not fits or is_alike or answer[1] == asked[1] | 0x80
    for cut in range(len(answer)):
        assert cut == 0 or RTU.answer_at(bytearray(answer[:cut]), 0, one) == MORE


@pytest.mark.parametrize(("asked", "answer"), ANSWERED, ids=[asked.hex() for asked, _ in ANSWERED])
def test_no_flipped_bit_gets_past_the_crc(asked: bytes, answer: bytes) -> None:
    one = Asked(request(asked), asked)
    for bit in range(8 * len(answer)):
        bad = bytearray(answer)
        bad[bit // 8] ^= 1 << bit % 8
        assert RTU.answer_at(bad, 0, one) <= 0


def test_what_is_asked_has_the_lengths_of_the_specification() -> None:
    assert read_request(1, 1, 0, 2000).longest_answer + 3 == 255
    assert read_request(1, 3, 0, 125).longest_answer + 3 == 255
    assert read_request(4, 1, 10, 13).longest_answer + 3 == 7
    assert read_request(1, 2, 0, 9).longest_answer + 3 == 7
    for frame in ASKED:
        assert request_size(frame[1:]) == len(frame) - 3
        assert RTU.request_at(bytearray(frame), 0) == len(frame)
        for cut in range(1, len(frame)):
            assert RTU.request_at(bytearray(frame[:cut]), 0) == MORE
        assert len(frame) - 3 in sizes(frame[1:])
    assert request_size(b"\x07") == 0


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("03 0000 0002", "03 06 000000000000"),
        ("03 0000 0002", "03 02 0000"),
        ("03 0000 0002", "04 04 00000000"),
        ("01 0000 0008", "01 02 0000"),
        ("05 0001 ff00", "05 0001 0000"),
        ("06 0100 00c8", "06 0101 00c8"),
        ("0f 0000 0008 01 81", "0f 0000 0009"),
        ("10 0012 0001 02 0019", "10 0013 0001"),
        ("16 0010 fff0 0005", "16 0010 fff0 0004"),
        ("2b 0e 01 00", "2b 0e 02 81 00 00 00"),
        ("2b 0e 01 00", "2b 0d 01 81 00 00 00"),
    ],
)
def test_a_good_frame_that_is_not_the_answer_is_none(asked: str, answer: str) -> None:
    pdu = bytes.fromhex(asked)
    one = Request(1, pdu[0], pdu[1:])
    assert RTU.answer_at(bytearray(seal(b"\1" + bytes.fromhex(answer))), 0, Asked(one, b"")) == 0


def test_identification_is_walked_by_its_objects() -> None:
    one = identification_request(5, 1)
    good = bytes.fromhex("2b0e01810000 02 00 02 4142 01 00")
    assert one.answer_size(good) == len(good)
    for cut in range(len(good)):
        assert one.answer_size(good[:cut]) == MORE
    assert one.answer_size(bytes.fromhex("2b0e01810000 02 00 fa") + bytes(250) + b"\0\1") == 0


@pytest.mark.parametrize(("asked", "answer"), ANSWERED, ids=[asked.hex() for asked, _ in ANSWERED])
def test_the_same_answers_in_mbap(asked: bytes, answer: bytes) -> None:
    one = request(asked)
    wire = MBAP.wrap(one.unit, answer[1:-2], 0x1234)
    assert wire[:6] == b"\x12\x34\0\0" + (len(answer) - 2).to_bytes(2, "big")
    pending = Asked(one, b"", 0x1234)
    assert MBAP.answer_at(bytearray(wire), 0, pending) == len(wire)
    assert MBAP.unframed(wire) == answer[:-2]
    assert MBAP.answer_at(bytearray(wire), 0, Asked(one, b"", 0x1235)) == 0
    for cut in range(1, len(wire)):
        assert MBAP.answer_at(bytearray(wire[:cut]), 0, pending) == MORE
    longer = bytearray(wire)
    longer[5] += 1
    assert MBAP.answer_at(longer + b"\0", 0, pending) == 0
    assert MBAP.is_frame(wire)
    assert not MBAP.is_frame(wire + b"\0")


def test_mbap_frames_are_told_from_what_is_none() -> None:
    wire = MBAP.wrap(1, bytes.fromhex("0302abcd"), 7)
    assert MBAP.frame_at(bytearray(wire), 0) == len(wire)
    assert MBAP.frame_at(bytearray(wire[:6]), 0) == MORE
    assert MBAP.frame_at(bytearray(wire[:-1]), 0) == MORE
    assert MBAP.frame_at(bytearray(b"\0\7\1\0\0\5\1\3\2\0\0"), 0) == 0
    assert MBAP.frame_at(bytearray(b"\0\7\0\0\0\1\1\3\2\0\0"), 0) == 0
    assert MBAP.frame_at(bytearray(b"\0\7\0\0\0\5\1\x63\2\0\0"), 0) == 0


def test_a_frame_nobody_asked_for_is_found_by_what_it_says_of_its_length() -> None:
    for frame in ALL:
        assert RTU.frame_at(bytearray(frame), 0) == len(frame)
        assert RTU.frame_at(bytearray(frame + b"junk"), 0) == len(frame)
    for bad in (b"\0" + ALL[0], b"\xf8" + ALL[0], seal(b"\1\x63\1\2")):
        assert RTU.frame_at(bytearray(bad), 0) == 0
    assert RTU.is_frame(seal(b"\1\x63\1\2"))


@given(st.binary(max_size=300), st.sampled_from(sorted(REQUESTS)))
def test_no_bytes_raise(data: bytes, function: int) -> None:
    one = Request(data[0] if data else 1, function, data[:5].ljust(5, b"\0"))
    assert one.answer_size(data) <= 253
    for at in range(min(len(data), 20)):
        for framing in (RTU, MBAP):
            framing.frame_at(bytearray(data), at)
            framing.request_at(bytearray(data), at)
            framing.answer_at(bytearray(data), at, Asked(one, data))
    layout(data)
    assert set(REQUESTS) == set(ANSWERS) == {int(one) for one in Function}
    assert EXCEPTION.parse(b"\x02").exception == "illegal_data_address"
