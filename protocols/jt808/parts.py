"""Putting messages together from their sub-packets (分包).

Source: JT/T 808-2019, 4.4.3 and 4.5.2.
"""

from __future__ import annotations

from typing import NamedTuple

from protocols.framing import SAMPLE_BYTES
from protocols.jt808.header import Header
from protocols.message import Event, Malformed, Message

MAX_OPEN = 4
"""Unfinished messages a link may hold. A device sends one after the other; a few may be stuck behind a lost piece."""
MAX_TOTAL = 1024
"""Pieces a message may announce: a megabyte of full ones. The field itself would allow 65,535."""
MAX_BYTES = 1 << 20
"""Bytes of all pieces that a link may hold."""
MAX_AGE_SECONDS = 60.0
"""How long an unfinished message waits for its next piece."""
_MAX_SLIP = 64
"""How many other messages a terminal may number between two pieces of one."""


class Piece(NamedTuple):
    """A sub-packet, opened."""

    head: bytes
    header: Header
    body: bytes


class Held(NamedTuple):
    """What a link has of unfinished messages."""

    messages: int
    pieces: int
    bytes: int


class _Unfinished:
    """A message of which some pieces are missing."""

    def __init__(self, piece: Piece, now: float) -> None:
        self.pieces: dict[int, tuple[int, bytes]] = {}
        """Sequence and body by the piece's number."""
        self.size = 0
        self._lowest = piece
        self.add(piece, now)

    def add(self, piece: Piece, now: float) -> None:
        """Take a piece; of one that comes twice, the first is kept."""
        number, sequence = piece.header.number, piece.header.sequence
        if number in self.pieces:
            return
        self.pieces[number] = sequence, piece.body
        self.size += len(piece.body)
        self.touched = now
        self._last = number, sequence
        if number < self._lowest.header.number:
            self._lowest = piece

    def is_begun_anew_by(self, piece: Piece) -> bool:
        """Whether this is a first piece other than the one at hand: a terminal that numbers nothing starts over."""
        return piece.header.number == 1 and 1 in self.pieces and self.pieces[1][1] != piece.body

    def continues_with(self, piece: Piece) -> bool:
        """Whether a piece whose sequence is not the one to be expected may still be one of these.

        Terminals are known that number other messages in between, or give all the same number. Otherwise sequences
        rise with the pieces' numbers, and number 1 begins a new message.
        """
        number, sequence = piece.header.number, piece.header.sequence
        if number == 1 or number in self.pieces:
            return False
        away = number - self._last[0]
        ahead = (sequence - self._last[1]) * (1 if away > 0 else -1) & 0xFFFF
        return ahead == 0 or abs(away) <= ahead <= abs(away) + _MAX_SLIP

    def message(self) -> Message:
        ordered = [self.pieces[number] for number in range(1, len(self.pieces) + 1)]
        head, header, _ = self._lowest
        parts, bodies = zip(*ordered, strict=True)
        return Message(header.identity, header.id, header.sequence, head, b"".join(bodies), parts)

    def malformed(self) -> Malformed:
        """What there is of it: the header of its lowest piece, and the beginnings of all."""
        bodies = b"".join(self.pieces[number][1] for number in sorted(self.pieces))
        return Malformed("incomplete", (self._lowest.head + bodies)[:SAMPLE_BYTES])


_Kind = tuple[str, int, int]
"""Phone, message id and number of pieces."""
_Key = tuple[_Kind, int]
"""With the sequence that the first piece has, or should have."""


class Reassembly:
    """The unfinished messages of one link, bounded in number, bytes and time."""

    def __init__(self) -> None:
        self._open: dict[_Key, _Unfinished] = {}
        self._bytes = 0

    @property
    def held(self) -> Held:
        return Held(len(self._open), sum(len(unfinished.pieces) for unfinished in self._open.values()), self._bytes)

    def add(self, piece: Piece, now: float) -> list[Event]:
        """The message that a piece completes, and those that had to make way for it."""
        if not 1 <= piece.header.number <= piece.header.total <= MAX_TOTAL:
            return [Malformed("parts", (piece.head + piece.body)[:SAMPLE_BYTES])]
        events: list[Event] = []
        key = self._find(piece)
        if key in self._open and self._open[key].is_begun_anew_by(piece):
            events.append(self._close(key).malformed())
        unfinished = self._open.get(key)
        if unfinished is None:
            unfinished = self._open[key] = _Unfinished(piece, now)
            self._bytes += unfinished.size
        else:
            before = unfinished.size
            unfinished.add(piece, now)
            self._bytes += unfinished.size - before
        if len(unfinished.pieces) == piece.header.total:
            return [*events, self._close(key).message()]
        return events + self._make_room()

    def expire(self, now: float) -> list[Malformed]:
        """Give up what has waited too long."""
        old = [key for key, unfinished in self._open.items() if now - unfinished.touched > MAX_AGE_SECONDS]
        return [self._close(key).malformed() for key in old]

    def end(self) -> list[Malformed]:
        """Give up everything."""
        return [self._close(key).malformed() for key in list(self._open)]

    def _find(self, piece: Piece) -> _Key:
        header = piece.header
        kind = (header.phone, header.id, header.total)
        key = (kind, (header.sequence - header.number + 1) & 0xFFFF)
        if key in self._open:
            return key
        for candidate in reversed(self._open):
            if candidate[0] == kind and self._open[candidate].continues_with(piece):
                return candidate
        return key

    def _make_room(self) -> list[Event]:
        lost: list[Event] = []
        while len(self._open) > MAX_OPEN or self._bytes > MAX_BYTES:
            stalest = min(self._open, key=lambda key: self._open[key].touched)
            lost.append(self._close(stalest).malformed())
        return lost

    def _close(self, key: _Key) -> _Unfinished:
        unfinished = self._open.pop(key)
        self._bytes -= unfinished.size
        return unfinished
