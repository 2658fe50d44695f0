"""The platform's own messages on a link: numbered, cut into sub-packets, and kept in case some are asked for again.

    terminal                                    platform
      ◀──────── piece 1, 2, 3 of 3 ──────────────
      ── 0x0005 (first sequence, [2]) ──────────▶
      ◀──────── piece 2, the same bytes ─────────

Source: JT/T 808-2019, 4.4.3, 4.5.2, 5.2 and 8.5.
"""

from __future__ import annotations

from collections.abc import Sequence

from protocols.command import Prepared
from protocols.jt808.header import FLAG, MAX_BODY_BYTES, Header, frame, frame_to, open_frame, read_header
from protocols.message import Malformed

PIECE_BYTES = 1000
"""Of the body, in each piece but the last: what terminals are known to take, some less than the frame would hold."""
MAX_BYTES = 8 << 20
"""Of one body, and of all that is kept: the longest upgrade packages have a few megabytes."""
MAX_KEPT = 4
"""Messages in pieces that are kept, the newest."""
MAX_AGAIN = 8
"""Times that one piece is sent again. A request has a few bytes and its answer may have megabytes."""


class _Sent:
    """A message that left in pieces. Its frames are made anew when they are asked for: the body may be shared by many links."""

    def __init__(self, first: Header, body: bytes) -> None:
        self.first = first
        self.body = body
        self._times: dict[int, int] = {}

    def has(self, phone: str, sequence: int) -> bool:
        return self.first.phone == phone and (sequence - self.first.sequence) & 0xFFFF < self.first.total

    def frame(self, number: int) -> bytes:
        sequence = (self.first.sequence + number - 1) & 0xFFFF
        at = (number - 1) * PIECE_BYTES
        return frame(self.first._replace(sequence=sequence, number=number), self.body[at : at + PIECE_BYTES])

    def again(self, number: int) -> bytes:
        """A piece's frame, as it left; empty for one that is none, or was asked for too often."""
        times = self._times.get(number, 0)
        if not 1 <= number <= self.first.total or times == MAX_AGAIN:
            return b""
        self._times[number] = times + 1
        return self.frame(number)


class Downlink:
    """Numbers messages from 0 on and around."""

    __slots__ = ("_next", "_sent")

    def __init__(self) -> None:
        self._next = 0
        self._sent: list[_Sent] = []

    def prepare(self, head: bytes, id: int, body: bytes) -> Prepared:
        """The frame or frames of a message to the terminal that has sent this header, under numbers of their own.

        Of one in pieces terminals differ in which number they answer: its kind tells.

        Raises: ValueError when the body is longer than any terminal would take.
        """
        if len(body) <= MAX_BODY_BYTES:
            sequence = self._take(1)
            return Prepared(id, frame_to(head, id, sequence, body), sequence)
        if len(body) > MAX_BYTES:
            raise ValueError(f"a body of {len(body)} bytes is longer than {MAX_BYTES}")
        total = -(-len(body) // PIECE_BYTES)
        asked = read_header(head)
        sent = _Sent(Header(id, asked.phone, self._take(total), version=asked.version, is_part=True, total=total), body)
        return Prepared(id, b"".join([sent.frame(number) for number in range(1, total + 1)]), None, body)

    def send(self, head: bytes, id: int, body: bytes) -> bytes:
        """The frame or frames of a message that leaves at once.

        Raises: ValueError when the body is longer than any terminal would take.
        """
        if len(body) <= MAX_BODY_BYTES:
            return frame_to(head, id, self._take(1), body)
        prepared = self.prepare(head, id, body)
        self.keep(prepared)
        return prepared.data

    def keep(self, prepared: Prepared) -> None:
        """A message leaves: of one in pieces some may be asked for again."""
        opened = open_frame(prepared.data[1 : prepared.data.index(FLAG, 1)])
        if isinstance(opened, Malformed) or not (first := read_header(opened[0])).is_part:
            return
        self._sent.append(_Sent(first, prepared.body))
        while len(self._sent) > MAX_KEPT or sum(len(kept.body) for kept in self._sent) > MAX_BYTES:
            del self._sent[0]

    def again(self, phone: str, sequence: int, numbers: Sequence[int]) -> bytes:
        """The wanted pieces of the message to this terminal that began with a sequence, as they left."""
        for sent in reversed(self._sent):
            if sent.has(phone, sequence):
                return b"".join([sent.again(number) for number in dict.fromkeys(numbers)])
        return b""

    def _take(self, count: int) -> int:
        sequence, self._next = self._next, (self._next + count) & 0xFFFF
        return sequence
