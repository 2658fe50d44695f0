"""PROXY headers of both versions, as they come: whole, byte by byte, with what follows, and spoilt."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotgw.proxyheader import LONGEST_BODY, LONGEST_LINE, Header, HeaderReader, ProxyHeaderError, Source

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
TCP4 = bytes([192, 0, 2, 7, 198, 51, 100, 1]) + struct.pack("!HH", 4711, 6808)
TCP6 = bytes.fromhex("20010db8" + "00" * 11 + "07" + "20010db8" + "00" * 11 + "01") + struct.pack("!HH", 4711, 6808)
EXTENSIONS = bytes.fromhex("04 0003 aabbcc 05 0002 6869")
DEVICE, DEVICE6 = Source("192.0.2.7", 4711), Source("2001:db8::7", 4711)


def binary(command: int, family: int, body: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


HEADERS = {
    b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 6808\r\n": DEVICE,
    b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n": Source("255.255.255.255", 65535),
    b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n": Source("0.0.0.0", 0),
    b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 6808\r\n": DEVICE6,
    b"PROXY UNKNOWN\r\n": None,
    b"PROXY UNKNOWN ffff:f...f:ffff whatever else 65535\r\n": None,
    b"PROXY UNKNOWN " + b"f" * (LONGEST_LINE - 16) + b"\r\n": None,
    binary(0x21, 0x11, TCP4): DEVICE,
    binary(0x21, 0x21, TCP6): DEVICE6,
    binary(0x21, 0x11, TCP4 + EXTENSIONS): DEVICE,
    binary(0x21, 0x11, TCP4.ljust(LONGEST_BODY, b"x")): DEVICE,
    binary(0x20, 0x00, b""): None,
    binary(0x20, 0x11, TCP4): None,
    binary(0x20, 0xEE, b"anything"): None,
    binary(0x21, 0x00, b""): None,
    binary(0x21, 0x00, EXTENSIONS): None,
    binary(0x21, 0x31, bytes(216)): None,
}

SPOILT = [
    b"GET / HTTP/1.1\r\n",
    b"PROXZ",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 6808 \r\n",
    b"PROXY TCP4  192.0.2.7 198.51.100.1 4711 6808\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 04711 6808\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 6808\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 port\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 -1 6808\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 \xd9\xa1 6808\r\n",
    b"PROXY TCP4 192.0.2.777 198.51.100.1 4711 6808\r\n",
    b"PROXY TCP4 192.0.2.7\0 198.51.100.1 4711 6808\r\n",
    b"PROXY TCP4 \xff\xfe 198.51.100.1 4711 6808\r\n",
    b"PROXY TCP4 2001:db8::7 2001:db8::1 4711 6808\r\n",
    b"PROXY TCP6 192.0.2.7 198.51.100.1 4711 6808\r\n",
    b"PROXY TCP6 fe80::1%eth0 2001:db8::1 4711 6808\r\n",
    b"PROXY UDP4 192.0.2.7 198.51.100.1 4711 6808\r\n",
    b"PROXY NONE\r\n",
    b"PROXY \r\n",
    b"PROXY UNKNOWN " + b"f" * LONGEST_LINE,
    b"PROXY UNKNOWN " + b"f" * (LONGEST_LINE - 15) + b"\r\n",
    SIGNATURE[:-1] + b"\r",
    binary(0x11, 0x11, TCP4),
    binary(0x22, 0x11, TCP4),
    binary(0x21, 0x12, TCP4),
    binary(0x21, 0x41, TCP4),
    binary(0x21, 0x11, TCP4[:-1]),
    binary(0x21, 0x21, TCP6[:-1]),
    binary(0x21, 0x31, bytes(215)),
    binary(0x21, 0x11, TCP4.ljust(LONGEST_BODY + 1, b"x")),
]


@pytest.mark.parametrize("text", HEADERS)
def test_a_header_names_its_source_whole_or_byte_by_byte_and_what_follows_is_kept(text):
    assert HeaderReader().feed(text) == Header(HEADERS[text], b"")
    assert HeaderReader().feed(text + b"\r\ndevice's") == Header(HEADERS[text], b"\r\ndevice's")
    reader = HeaderReader()
    assert [reader.feed(text[at : at + 1]) for at in range(len(text) - 1)] == [None] * (len(text) - 1)
    assert reader.feed(text[-1:] + b"!") == Header(HEADERS[text], b"!")


def read_byte_by_byte(text: bytes) -> list[Header]:
    reader = HeaderReader()
    return [header for byte in text if (header := reader.feed(bytes([byte])))]


@pytest.mark.parametrize("text", SPOILT)
def test_what_is_no_header_is_refused_however_it_comes(text):
    with pytest.raises(ProxyHeaderError):
        HeaderReader().feed(text)
    with pytest.raises(ProxyHeaderError):
        assert not read_byte_by_byte(text)


def test_a_line_that_never_ends_is_given_up_and_so_is_a_length_that_is_too_long():
    reader = HeaderReader()
    assert reader.feed(b"PROXY UNKNOWN".ljust(LONGEST_LINE - 1)) is None
    with pytest.raises(ProxyHeaderError):
        reader.feed(b" ")
    with pytest.raises(ProxyHeaderError):
        HeaderReader().feed(SIGNATURE + b"\x21\x11\xff\xff")


@given(st.sampled_from(sorted(HEADERS)), st.data())
def test_a_spoilt_header_is_a_header_or_refused_and_nothing_else(text, data):
    spoilt = bytearray(text)
    for _ in range(data.draw(st.integers(1, 3))):
        spoilt[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    try:
        header = HeaderReader().feed(bytes(spoilt))
    except ProxyHeaderError:
        return
    assert header is None or header.source is None or 0 <= header.source.port < 1 << 16
