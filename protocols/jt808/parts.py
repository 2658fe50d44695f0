"""Putting messages together from their sub-packets (分包), and asking for those that did not come.

    terminal                                    platform
      ── piece 1, 2, 4 of 4 ────────────────────▶
                                                  5 s without another
      ◀──────── 0x8003 (first sequence, [3]) ────  of 0x0801: 0x8800 (media id, [3])
      ── piece 3, the same bytes ───────────────▶ a message

Source: JT/T 808-2013 and JT/T 808-2019, 4.4.3, 4.5.2, 8.4 and 8.50.
"""

from __future__ import annotations

from typing import NamedTuple

from protocols.framing import SAMPLE_BYTES
from protocols.jt808.completed import Completed, Piece
from protocols.jt808.header import Header
from protocols.message import Malformed, Message, Outcome

MAX_OPEN = 4
"""Unfinished messages a link may hold. A device sends one after the other; a few may be stuck behind a lost piece."""
MAX_TOTAL = 1024
"""Pieces a message may announce: a megabyte of full ones. The field itself would allow 65,535."""
MAX_BYTES = 1 << 20
"""Bytes of all pieces that a link may hold."""
MAX_AGE_SECONDS = 60.0
"""How long an unfinished message waits for its next piece."""
QUIET_SECONDS = 5.0
"""How long no new piece has to come before the missing ones are asked for."""
MAX_ASKED = 3
"""Times that pieces are asked for without one coming."""
MAX_WANTED = 125
"""Pieces to ask for at a time, as the standard limits it for multimedia. When they have come it is the others' turn."""
_MAX_SLIP = 64
"""How many other messages a terminal may number between two pieces of one."""


class Missing(NamedTuple):
    """Pieces to ask a terminal for."""

    head: bytes
    header: Header
    """Both of a piece that came, the one closed, the other opened."""
    first_sequence: int
    """That the message's first piece has, or should have."""
    first_body: bytes
    """The body of the first piece; empty if that is missing."""
    numbers: tuple[int, ...]
    """Of the missing pieces, ascending."""


class Repeated(NamedTuple):
    """A piece of a message that is stored already, to be answered again."""

    message: Message


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

    @property
    def gives_up_at(self) -> float:
        return self.touched + MAX_AGE_SECONDS

    @property
    def deadline(self) -> float:
        if self._asked == MAX_ASKED:
            return self.gives_up_at
        return min(self._quiet_since + QUIET_SECONDS, self.gives_up_at)

    def add(self, piece: Piece, now: float) -> None:
        """Take a piece; of one that comes twice, the first is kept."""
        number, sequence = piece.header.number, piece.header.sequence
        if number in self.pieces:
            return
        self.pieces[number] = sequence, piece.body
        self.size += len(piece.body)
        self.touched = self._quiet_since = now
        self._asked = 0
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

    def ask(self, now: float) -> Missing:
        """What to ask for now."""
        self._asked += 1
        self._quiet_since = now
        head, header, _ = self._lowest
        first_sequence = (header.sequence - header.number + 1) & 0xFFFF
        numbers = [number for number in range(1, header.total + 1) if number not in self.pieces]
        _, first_body = self.pieces.get(1, (0, b""))
        return Missing(head, header, first_sequence, first_body, tuple(numbers[:MAX_WANTED]))

    def bodies(self) -> list[bytes]:
        return [self.pieces[number][1] for number in sorted(self.pieces)]

    def message(self) -> Message:
        head, header, _ = self._lowest
        parts = tuple(self.pieces[number][0] for number in sorted(self.pieces))
        return Message(header.identity, header.id, header.sequence, head, b"".join(self.bodies()), parts)

    def malformed(self) -> Malformed:
        """What there is of it: the header of its lowest piece, and the beginnings of all."""
        return Malformed("incomplete", (self._lowest.head + b"".join(self.bodies()))[:SAMPLE_BYTES])


_Kind = tuple[str, int, int]
"""Phone, message id and number of pieces."""
_Key = tuple[_Kind, int]
"""With the sequence that the first piece has, or should have."""


class Reassembly:
    """The unfinished messages of one link, bounded in number, bytes and time, and the memory of finished ones."""

    __slots__ = ("_bytes", "_completed", "_open")

    def __init__(self) -> None:
        self._open: dict[_Key, _Unfinished] = {}
        self._bytes = 0
        self._completed = Completed()

    @property
    def held(self) -> Held:
        return Held(len(self._open), sum(len(unfinished.pieces) for unfinished in self._open.values()), self._bytes)

    @property
    def deadline(self) -> float | None:
        """When :meth:`wake` has something to do; None while nothing is unfinished."""
        return min([unfinished.deadline for unfinished in self._open.values()]) if self._open else None

    def add(self, piece: Piece, now: float) -> list[Message | Malformed | Repeated]:
        """The message that a piece completes or has completed before, and those that had to make way for it."""
        if not 1 <= piece.header.number <= piece.header.total <= MAX_TOTAL:
            return [Malformed("parts", (piece.head + piece.body)[:SAMPLE_BYTES])]
        key = self._find(piece)
        if key not in self._open and self._completed.has(piece):
            stored = self._completed.stored(piece)
            return [Repeated(stored)] if stored else []
        events: list[Message | Malformed | Repeated] = []
        if key in self._open and self._open[key].is_begun_anew_by(piece):
            events.append(self._close(key).malformed())
        unfinished = self._put(key, piece, now)
        if len(unfinished.pieces) < piece.header.total:
            return events + self._make_room()
        message = self._close(key).message()
        self._completed.remember(message, unfinished.bodies())
        return [*events, message]

    def settle(self, message: Message, outcome: Outcome) -> None:
        """Learn what became of a message that was put together here."""
        self._completed.settle(message, outcome)

    def wake(self, now: float) -> list[Malformed | Missing]:
        """Give up what has waited too long, and ask for what is missing of the rest."""
        due = [key for key, unfinished in self._open.items() if unfinished.deadline <= now]
        return [self._close(key).malformed() if self._open[key].gives_up_at <= now else self._open[key].ask(now) for key in due]

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

    def _put(self, key: _Key, piece: Piece, now: float) -> _Unfinished:
        unfinished = self._open.get(key)
        if unfinished is None:
            unfinished = self._open[key] = _Unfinished(piece, now)
            self._bytes += unfinished.size
        else:
            before = unfinished.size
            unfinished.add(piece, now)
            self._bytes += unfinished.size - before
        return unfinished

    def _make_room(self) -> list[Malformed]:
        lost: list[Malformed] = []
        while len(self._open) > MAX_OPEN or self._bytes > MAX_BYTES:
            stalest = min(self._open, key=lambda key: self._open[key].touched)
            lost.append(self._close(stalest).malformed())
        return lost

    def _close(self, key: _Key) -> _Unfinished:
        unfinished = self._open.pop(key)
        self._bytes -= unfinished.size
        return unfinished
