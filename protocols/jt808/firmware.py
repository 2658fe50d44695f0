"""What a simulated terminal does with a file that comes down in sub-packets.

Source: JT/T 808-2019, 4.4.3, 8.5, 8.19 and 8.20.
"""

from __future__ import annotations

from typing import NamedTuple

from protocols.jt808.header import Header
from protocols.jt808.rows import TERMINAL_GENERAL_RESPONSE
from protocols.jt808.terminal_management import (
    PLAIN_GENERAL_RESPONSE,
    SUB_PACKET_REQUEST,
    SUB_PACKET_REQUEST_2013,
    UPGRADE_PACKAGE,
    UPGRADE_PACKAGE_BODY,
    UPGRADE_RESULT_BODY,
)

MOST_ASKED = 64
"""Pieces in one request."""


class Said(NamedTuple):
    """A message of the terminal's."""

    id: int
    body: bytes


class Arriving:
    """The pieces of the newest file, kept from link to link until they are all there, and then the file."""

    def __init__(self) -> None:
        self.firmware = b""
        """What the last whole file was."""
        self.software = ""
        """Its version."""
        self.result: bytes | None = None
        """The body of the result of the newest file, once that is whole."""
        self._key: tuple[int, int] | None = None
        """First sequence and number of its pieces."""
        self._pieces: dict[int, bytes] = {}
        self._asked: set[int] = set()

    def take(self, header: Header, body: bytes) -> list[Said]:
        """A piece: it is confirmed, and when the last one has come those are asked for that have not."""
        key = (header.sequence - header.number + 1) & 0xFFFF, header.total
        if key != self._key:
            self._key, self._pieces, self._asked, self.result = key, {}, set(), None
        said = [Said(TERMINAL_GENERAL_RESPONSE, PLAIN_GENERAL_RESPONSE.build(_success(header.sequence)))]
        if self.result is not None:
            return said
        self._pieces[header.number] = body
        self._asked.discard(header.number)
        if len(self._pieces) == header.total:
            self._finish()
        elif header.number == header.total or (self._is_behind and not self._asked):
            said += self.ask()
        return said

    def ask(self) -> list[Said]:
        """Ask for what is missing, if the last piece has come."""
        if self._key is None or self.result is not None or not self._is_behind:
            return []
        first, total = self._key
        missing = [number for number in range(1, total) if number not in self._pieces][:MOST_ASKED]
        self._asked = set(missing)
        fields = {"original_sequence": first, "count": len(missing), "indexes": missing, "extra": b""}
        return [Said(SUB_PACKET_REQUEST, SUB_PACKET_REQUEST_2013.build(fields))]

    @property
    def _is_behind(self) -> bool:
        return self._key is not None and self._key[1] in self._pieces

    def _finish(self) -> None:
        package = UPGRADE_PACKAGE_BODY.parse(b"".join(self._pieces[number] for number in sorted(self._pieces)))
        self._pieces = {}
        is_whole = len(package.data) == package.size_bytes
        if is_whole:
            self.firmware, self.software = bytes(package.data), str(package.software)
        result = "success" if is_whole else "failure"
        self.result = UPGRADE_RESULT_BODY.build({"upgraded": package.upgraded, "result": result, "extra": b""})


def _success(sequence: int) -> dict[str, object]:
    return {"answered_sequence": sequence, "answered_kind": UPGRADE_PACKAGE, "result": "success"}
