"""Cutting what a Teltonika device sends into frames.

    000F | 15 digits                              IMEI, first of all
    00000000 | length | codec id ... | CRC        AVL packet or answer to a command
    FF                                            ping, at any place between these

Source: Teltonika, "Data Sending Protocols", section 1, and "Network ping".
"""

from __future__ import annotations

import re

from protocols.checksum import crc16_arc
from protocols.framing import SAMPLE_BYTES
from protocols.message import Malformed

PING = b"\xff"
PREAMBLE = bytes(4)
HEAD_BYTES = 8
"""Preamble and length."""
CRC_BYTES = 4
MIN_DATA_BYTES = 3
"""A codec id and two counts of no records."""
MAX_IMEI_DIGITS = 64
"""An IMEI has 15; the length is what tells an IMEI from a packet, which begins with two zeros."""
PACKET_LIMIT_BYTES = 16 << 10
"""Devices send 1,280 bytes of records at most, and answers to commands of somewhat more than 2,000 bytes were seen."""
MAX_FAULTS = 16
"""In one read: each may have cost the check of a whole packet, and a link has been given up by then."""

_LIKELY_FRAME = re.compile(
    rb"\0{6}..(?:[\x08\x10\x8e](?:\0\0|.\0\0)"  # Records: none, or the first one's time, whose first bytes are 0.
    rb"|[\x0c-\x0f]..\0\0)"  # A command's answer: quantity, type, size.
    rb"|\0\x0f[0-9]{15}",
    re.DOTALL,
)
"""Where to go on behind what is no frame. Four zeros alone occur inside of nearly every record."""
_LIKELY_BYTES = 17


def crc(data: bytes) -> bytes:
    """The four bytes of check that stand behind a packet's data."""
    return crc16_arc(data).to_bytes(CRC_BYTES, "big")


def frame(data: bytes) -> bytes:
    """A packet around its data, which begins with the codec id."""
    return PREAMBLE + len(data).to_bytes(4, "big") + data + crc(data)


class Stream:
    """What comes over one link, cut into IMEI packets and checked AVL packets. Pings are passed over.

    What is wrong with a packet that fails its check may be its length, or its end may be missing. So the next place that
    looks like the beginning of a frame is looked for behind its own beginning, and not behind its end.
    """

    def __init__(self, limit: int = PACKET_LIMIT_BYTES) -> None:
        self._limit = limit
        self._held = b""
        self._is_lost = False

    @property
    def pending(self) -> bytes:
        """What has come of a frame that has not ended."""
        return b"" if self._is_lost else self._held

    def feed(self, data: bytes) -> list[bytes | Malformed]:
        """The frames that ``data`` completes, as they came and in order; a read may end anywhere."""
        data, at, faults = self._held + data, 0, 0
        found: list[bytes | Malformed] = []
        while at < len(data):
            if self._is_lost:
                at = self._likely_place(data, at)
                if self._is_lost:
                    break
            if data[at : at + 1] == PING:
                at += 1
                continue
            size, fault = self._size(data, at)
            if not fault:
                if size is None or at + size > len(data):
                    break
                whole = data[at : at + size]
                fault = self._fault(whole)
                if not fault:
                    found.append(whole)
                    at += size
                    continue
            found.append(Malformed(fault, data[at : at + min(size or SAMPLE_BYTES, SAMPLE_BYTES)]))
            at, self._is_lost = at + 1, True
            faults += 1
            if faults == MAX_FAULTS:
                at = len(data)
        self._held = data[at:]
        return found

    def _size(self, data: bytes, at: int) -> tuple[int | None, str]:
        """How long the frame that begins here is, None while that cannot be told; and why there can be none."""
        first = int.from_bytes(data[at : at + 2].ljust(2, b"\0"), "big")
        if first:
            digits = data[at + 2 : at + 2 + first]
            is_imei = first <= MAX_IMEI_DIGITS and (digits.isdigit() or not digits)
            return (2 + first, "") if is_imei else (None, "garbage")
        if data[at : at + 4].strip(b"\0"):
            return None, "garbage"
        if at + HEAD_BYTES > len(data):
            return None, ""
        length = int.from_bytes(data[at + 4 : at + HEAD_BYTES], "big")
        size = HEAD_BYTES + length + CRC_BYTES
        if size > self._limit:
            return None, "oversized"
        return (size, "") if length >= MIN_DATA_BYTES else (None, "length")

    def _fault(self, frame: bytes) -> str:
        if not frame.startswith(PREAMBLE):
            return ""
        if frame[-CRC_BYTES:] != crc(frame[HEAD_BYTES:-CRC_BYTES]):
            return "checksum"
        # Nothing but zeros has a check of zeros.
        return "" if frame[HEAD_BYTES] else "codec"

    def _likely_place(self, data: bytes, at: int) -> int:
        """Where a frame may begin; or where one may that the read has cut, with the search still on."""
        likely = _LIKELY_FRAME.search(data, at)
        if likely:
            self._is_lost = False
            return likely.start()
        return max(at, len(data) - _LIKELY_BYTES + 1)
