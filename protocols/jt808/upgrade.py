"""A file on its way down to a terminal: 0x8108, of which one body may have 65 MB, in sub-packets as they are confirmed.

    terminal                                    platform
      ◀──────── piece 1 to 16 of 8,389 ──────────
      ── 0x0001 (sequence of the 16th) ─────────▶  or without it after 1 s
      ◀──────── piece 17 to 32 ──────────────────
      ── 0x0005 (first sequence, [3, 4]) ───────▶
      ◀──────── piece 3 and 4, the same bytes ───
      ── 0x0108 (result) ───────────────────────▶  when it has started anew

The sequence of the first piece follows from the delivery, so that pieces have the same over every link of every gateway.
After a lost link it goes on from about where it was: a terminal that keeps what it has asks for the few between, one that
does not for all of them.

Source: JT/T 808-2019, 4.4.3, 8.5 and 8.19; the 2013 edition has no 0x0005, some of its terminals do.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from protocols.download import Offer
from protocols.filling import fill
from protocols.jt808.downlink import PIECE_BYTES
from protocols.jt808.header import Header, frame, read_header
from protocols.jt808.terminal_management import PACKAGE_HEAD, UPGRADE_PACKAGE, UPGRADED
from protocols.message import Wanted

STRIDE = 16
"""Pieces that leave at a time. Whatever waits on a slow link delays the acks behind it."""
CONFIRM_SECONDS = 1.0
"""How long the next ones wait for the terminal to confirm the last: many confirm a message as a whole, at its end."""
FETCH_SECONDS = 15.0
"""How long bytes are waited for before they are wanted once more."""
MOST_PIECES = 65_535
MOST_ASKED = 64
"""Pieces that are sent again for one request."""
MOST_AGAIN = 2
"""Times that all of a file may be sent again over one link. A request has a few bytes and its answer may have megabytes."""
_SPREAD = 0x9E37
"""Odd, so that all deliveries of a while begin with different sequences, far from each other."""
_SEQUENCES = 1 << 16
_UPGRADED = {"firmware": 0, **{option.name: number for number, option in UPGRADED.items()}}


class Upgrade:
    """One file for one terminal.

    Raises: ValueError when 0x8108 has no place for it.
    """

    def __init__(self, head: bytes, offer: Offer) -> None:
        if offer.name not in _UPGRADED:
            raise ValueError(f"name: {offer.name!r} is nothing that JT/T 808 renews, but {', '.join(_UPGRADED)}")
        fields = {
            "upgraded": _UPGRADED[offer.name],
            "manufacturer_id": offer.maker,
            "software": offer.version,
            "size_bytes": offer.size,
        }
        asked = read_header(head)
        self._before = fill(PACKAGE_HEAD, fields)
        self._offer = offer
        self._identity = asked.identity
        self._size = len(self._before) + offer.size
        total = -(-self._size // PIECE_BYTES)
        if total > MOST_PIECES:
            raise ValueError(f"a file of {offer.size} bytes, where {MOST_PIECES} pieces of {PIECE_BYTES} are the most")
        first = offer.delivery * _SPREAD % _SEQUENCES
        self._first = Header(UPGRADE_PACKAGE, asked.phone, first, version=asked.version, is_part=True, total=total)
        self._next = 1
        if offer.is_awaited:
            self._next = total + 1
        elif offer.sent:
            self._next = (len(self._before) + offer.sent) // PIECE_BYTES + 1
        self._confirmed_by: int | None = None
        """The sequence whose confirmation lets the next pieces leave."""
        self._left = MOST_AGAIN * total
        self.deadline: float | None = None

    def has(self, sequence: int) -> bool:
        """Whether a sequence is that of one of its pieces."""
        return (sequence - self._first.sequence) % _SEQUENCES < self._first.total

    def go_on(self, now: float) -> list[Wanted]:
        """What the next pieces are made of; nothing when all have left."""
        self._confirmed_by = None
        if self._next > self._first.total:
            self.deadline = None
            return []
        self.deadline = now + FETCH_SECONDS
        return [self._wanted(self._next, min(self._next + STRIDE - 1, self._first.total))]

    def confirmed(self, sequence: int, now: float) -> list[Wanted]:
        """The terminal has a piece, or the whole message."""
        return self.go_on(now) if sequence == self._confirmed_by else []

    def again(self, numbers: Sequence[int]) -> list[Wanted]:
        """What pieces are made of that the terminal asks for. For more than are answered it asks anew."""
        asked = sorted({number for number in numbers if 1 <= number <= self._first.total})[: min(MOST_ASKED, self._left)]
        self._left -= len(asked)
        # Those next to each other together, as far as a stride goes.
        runs = groupby(enumerate(asked), lambda placed: (placed[1] - placed[0], placed[1] // STRIDE))
        together = [[number for _, number in run] for _, run in runs]
        return [self._wanted(run[0], run[-1]) for run in together]

    def frames(self, wanted: Wanted, data: bytes, now: float) -> bytes:
        """Pieces of bytes that were wanted."""
        number, body = wanted.tag, data if wanted.tag > 1 else self._before + data
        frames = []
        for at in range(0, len(body), PIECE_BYTES):
            header = self._first._replace(sequence=self._sequence(number), number=number)
            frames.append(frame(header, body[at : at + PIECE_BYTES]))
            number += 1
        if wanted.tag == self._next and self._confirmed_by is None:
            self._next = number
            self._confirmed_by = self._sequence(number - 1)
            self.deadline = now + CONFIRM_SECONDS
        return b"".join(frames)

    def _wanted(self, first: int, last: int) -> Wanted:
        start = max((first - 1) * PIECE_BYTES - len(self._before), 0)
        end = min(last * PIECE_BYTES, self._size) - len(self._before)
        return Wanted(self._identity, self._offer.file, start, end - start, first)

    def _sequence(self, number: int) -> int:
        return (self._first.sequence + number - 1) % _SEQUENCES
