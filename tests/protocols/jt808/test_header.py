from __future__ import annotations

import pytest

from protocols import Malformed
from protocols.jt808.header import HEADERS, Header, close_frame, frame, frame_to, is_2019, read_header
from tests.protocols.jt808.frames import PHONE, only, receive, up

PHONE_2019 = "00000000013800000001"


def head(id: int = 0x0200, *, length: int, phone: str = PHONE, version: int | None = None, words: str = "", bits: int = 0) -> bytes:
    """A header made by hand: ``bits`` are those of the attributes beside the length."""
    text = f"{id:04x}{length | bits:04x}" + ("" if version is None else f"{version:02x}") + f"{phone}0007{words}"
    return bytes.fromhex(text)


PART, NEW = 0x2000, 0x4000


@pytest.mark.parametrize(
    ("raw", "body", "new"),
    [
        pytest.param(head(length=3), b"abc", False, id="2013"),
        pytest.param(head(length=3, bits=NEW, version=1, phone=PHONE_2019), b"abc", True, id="2019"),
        pytest.param(head(length=3, bits=NEW, version=0, phone=PHONE_2019), b"abc", True, id="2019, version 0"),
        pytest.param(head(length=3, bits=0x8000), b"abc", False, id="reserved bit"),
        pytest.param(head(length=3, bits=NEW), b"abc", False, id="version flag on an old header"),
        pytest.param(head(length=3, version=1, phone=PHONE_2019), b"abc", True, id="new header without version flag"),
        pytest.param(head(length=3, bits=PART), b"abc", False, id="sub-packet bit without words"),
        pytest.param(head(length=0), b"abc", False, id="length 0"),
        pytest.param(head(length=0), b"abcde", False, id="length 0, five bytes like a new header's"),
        pytest.param(head(length=2, bits=NEW, version=1, phone=PHONE_2019), b"abc", True, id="2019, length wrong"),
        pytest.param(head(length=3), bytes(4) + b"abc", False, id="four more bytes that are no sub-packet words"),
    ],
)
def test_layout_is_the_one_that_fits_the_frame(raw: bytes, body: bytes, new: bool) -> None:
    message = only(close_frame(raw, body))
    assert (message.head, message.body, is_2019(message.head)) == (raw, body, new)
    assert (message.kind, message.identity, message.sequence, message.parts) == (0x0200, "13800000001", 7, ())


@pytest.mark.parametrize("bits", [PART, 0])
def test_sub_packet_words_are_found_even_unannounced(bits: int) -> None:
    message = only(close_frame(head(length=3, bits=bits, words="00010001"), b"abc"))
    assert (message.body, message.parts) == (b"abc", (7,))


@pytest.mark.parametrize(
    ("raw", "cause"),
    [
        (b"\x7e\x01\x01\x7e", "header"),
        (b"\x7e" + bytes(12) + b"\x7e", "header"),
        (close_frame(head(length=1, bits=NEW), b""), "length"),
        (close_frame(head(length=2, bits=PART), b"abc"), "length"),
        (close_frame(head(length=7), b"abc"), "length"),
        (close_frame(head(length=4), b"abc"), "length"),
        (bytes.fromhex("7e000200000123456789017fff7e"), "header"),
        (bytes.fromhex("7e000200000123456789017fff0b7e"), "checksum"),
        (bytes.fromhex("7e0002007d00012345678901000a007e"), "escape"),
    ],
)
def test_what_is_no_frame_is_told_by_its_cause(raw: bytes, cause: str) -> None:
    (event,) = receive(raw)
    assert isinstance(event, Malformed)
    assert event.cause == cause
    assert event.raw == raw[1:-1]


def test_check_byte_may_come_unescaped() -> None:
    message = only(bytes.fromhex("7e0002000000000000067900007d7e"))
    assert (message.kind, message.identity) == (0x0002, "679")


@pytest.mark.parametrize(
    ("phone", "identity"),
    [("013800000001", "13800000001"), ("000000000000", "0"), ("A1B2C3D4E5F6", "A1B2C3D4E5F6"), ("00000000000A", "00000000000A")],
)
def test_identity_is_the_digits_without_zeros_in_front_or_the_hex(phone: str, identity: str) -> None:
    assert only(up(0x0002, phone=phone)).identity == identity


@pytest.mark.parametrize("version", [None, 0, 1, 200])
@pytest.mark.parametrize("part", [{}, {"is_part": True, "total": 3, "number": 2}])
def test_header_read_is_the_header_built(version: int | None, part: dict[str, int]) -> None:
    header = Header(0x0704, PHONE if version is None else PHONE_2019, 65535, 1, version, **part)
    declared = HEADERS[version is not None, bool(part)]
    built = frame(header, b"abc")[1 : 1 + declared.sizeof()]
    assert read_header(built) == header
    assert declared.build(declared.parse(built)) == built


@pytest.mark.parametrize("version", [None, 0, 1, 200])
@pytest.mark.parametrize("part", [{}, {"is_part": True, "total": 3, "number": 2}])
def test_frame_to_a_terminal_is_addressed_as_its_own_are(version: int | None, part: dict[str, int]) -> None:
    header = Header(0x0704, PHONE if version is None else PHONE_2019, 9, 0, version, **part)
    head = frame(header, b"")[1 : 1 + HEADERS[version is not None, bool(part)].sizeof()]
    assert frame_to(head, 0x8001, 0xFFFF, b"abc") == frame(Header(0x8001, header.phone, 0xFFFF, 0, version), b"abc")


def test_phone_number_too_long_for_its_header_is_refused() -> None:
    with pytest.raises(ValueError, match="13 digits"):
        up(0x0002, phone="1234567890123")


def test_body_too_long_for_a_frame_is_refused() -> None:
    assert only(up(0x0900, bytes(1023))).body == bytes(1023)
    with pytest.raises(ValueError, match="1024"):
        up(0x0900, bytes(1024))


@pytest.mark.parametrize(("body", "damaged"), [(b"a\x7eb", b"\x7d\x02"), (b"a\x7db", b"\x7d\x01")])
@pytest.mark.parametrize("wrong", [b"\x7c", b"\x7d"])
def test_damaged_escape_is_noticed_though_the_check_byte_is_right(body: bytes, damaged: bytes, wrong: bytes) -> None:
    good = up(0x0900, body)
    bad = good.replace(damaged, wrong + (damaged[1:] if wrong == b"\x7c" else bytes([damaged[1] ^ 0x7C ^ 0x7D])))
    assert only(good).body == body
    (event,) = receive(bad)
    assert isinstance(event, Malformed)


def test_escape_that_damage_made_is_noticed() -> None:
    (event,) = receive(up(0x0900, b"a\x7c\x02b").replace(b"\x7c\x02", b"\x7d\x02"))
    assert isinstance(event, Malformed)
    assert event.cause == "escape"
