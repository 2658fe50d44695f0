"""What a proxy says about the connection that it passes on, before anything else: versions 1 and 2.

1   b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 6808\\r\\n"
2   signature (12), version and command (1), family (1), length (2), addresses, then anything: type, length, value

Source: The PROXY protocol, versions 1 & 2, HAProxy, sections 2.1 and 2.2.
"""

from __future__ import annotations

import struct
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import NamedTuple

LONGEST_LINE = 107
"""Section 2.1: with its end, and no longer with any address."""
LONGEST_BODY = 4096
"""Of 65,535 that version 2 could have. Addresses take 216 bytes at the most; the rest is extensions, which nobody here reads."""
_LINE = b"PROXY "
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_HEAD = struct.Struct("!12sBBH")
_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21
_ADDRESSES = {_TCP4: struct.Struct("!4s4sHH"), _TCP6: struct.Struct("!16s16sHH")}
_NOBODY = {0x00: 0, 0x31: 216, 0x32: 216}
"""Families that name no address of the network: unspecified, and sockets in a file system. With the bytes they need."""


class ProxyHeaderError(Exception):
    """This is no header, or none that may be sent on a TCP connection. Its text has nothing in it that a peer chose."""


class Source(NamedTuple):
    """Who connected to the proxy."""

    host: str
    port: int


class Header(NamedTuple):
    """``source`` is None for the proxy itself: its check of our health, or a peer without an address."""

    source: Source | None
    rest: bytes
    """What came behind the header."""


class HeaderReader:
    """Takes bytes as they come, until the header is whole."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> Header | None:
        """The header, once all of it has come.

        Raises: ProxyHeaderError as soon as it can be none.
        """
        self._data += data
        if self._data.startswith(_LINE):
            return self._line()
        if self._data.startswith(_SIGNATURE):
            return self._binary()
        if _LINE.startswith(self._data) or _SIGNATURE.startswith(self._data):
            return None
        raise ProxyHeaderError("no PROXY header")

    def _line(self) -> Header | None:
        end = self._data.find(b"\r\n", 0, LONGEST_LINE)
        if end < 0:
            if len(self._data) >= LONGEST_LINE:
                raise ProxyHeaderError("a line without an end")
            return None
        return Header(_source_of_line(self._data[len(_LINE) : end]), self._data[end + 2 :])

    def _binary(self) -> Header | None:
        if len(self._data) < _HEAD.size:
            return None
        _, command, family, length = _HEAD.unpack_from(self._data)
        if length > LONGEST_BODY:
            raise ProxyHeaderError("more than addresses and extensions take")
        if command not in (_LOCAL, _PROXY):
            raise ProxyHeaderError("another version or command")
        end = _HEAD.size + length
        if len(self._data) < end:
            return None
        # Section 2.2: whatever stands in the header of a LOCAL connection is to be passed over.
        source = None if command == _LOCAL else _source_of_body(family, self._data[_HEAD.size : end])
        return Header(source, self._data[end:])


def _source_of_line(line: bytes) -> Source | None:
    family, *words = line.split(b" ")
    if family == b"UNKNOWN":
        return None
    address = {b"TCP4": IPv4Address, b"TCP6": IPv6Address}.get(family)
    if address is None or len(words) != 4:
        raise ProxyHeaderError("no TCP4, TCP6 or UNKNOWN with its four words")
    try:
        source, target, port, target_port = (word.decode("ascii") for word in words)
        host = str(address(source))
        address(target)
    except (UnicodeDecodeError, AddressValueError) as error:
        raise ProxyHeaderError("an address that is none") from error
    if "%" in host:
        raise ProxyHeaderError("an address with a zone")
    _port(target_port)
    return Source(host, _port(port))


def _port(word: str) -> int:
    number = int(word) if word.isdecimal() and len(word) <= 5 else 1 << 16
    if number >= 1 << 16 or str(number) != word:
        raise ProxyHeaderError("a port that is none")
    return number


def _source_of_body(family: int, body: bytes) -> Source | None:
    if family in _NOBODY:
        if len(body) < _NOBODY[family]:
            raise ProxyHeaderError("addresses cut short")
        return None
    addresses = _ADDRESSES.get(family)
    if addresses is None:
        raise ProxyHeaderError("a family that is not of TCP")
    if len(body) < addresses.size:
        raise ProxyHeaderError("addresses cut short")
    source, _, port, _ = addresses.unpack_from(body)
    return Source(str(IPv4Address(source) if family == _TCP4 else IPv6Address(source)), port)
