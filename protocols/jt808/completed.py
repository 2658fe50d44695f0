"""The messages that a link has put together lately, so that a piece which comes once more begins no new one.

A terminal sends a piece again when its answer was late, or when it was asked for just as it arrived. Before the
message is stored nothing needs saying, for the answer is still to come. Afterwards the terminal seems to wait for
one that it has missed: every copy is answered, as of whole messages.

Source: JT/T 808-2019, 4.4.3 and 5.2.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

from protocols.jt808.header import Header
from protocols.message import Message, Outcome

MAX_REMEMBERED = 8
"""Messages. A terminal sends one after the other, and repeats the newest."""
_BEGINNING_BYTES = 16
"""Of a message's body, for answers that quote from it. The rest is not held."""


class Piece(NamedTuple):
    """A sub-packet, opened."""

    head: bytes
    header: Header
    body: bytes


class _Whole:
    """What is remembered of a message: some ten bytes a piece."""

    def __init__(self, message: Message, bodies: Sequence[bytes]) -> None:
        self.unsettled: Message | None = message
        """The message itself until its receipt comes; so long its batch holds it as well."""
        self.beginning = message._replace(body=message.body[:_BEGINNING_BYTES], parts=())
        self.is_stored = False
        self._sequences = array("H", message.parts)
        self._checks = array("I", map(crc32, bodies))

    def has(self, piece: Piece) -> bool:
        header = piece.header
        at = header.number - 1
        return (
            header.id == self.beginning.kind
            and header.identity == self.beginning.identity
            and header.total == len(self._sequences)
            and header.sequence == self._sequences[at]
            and crc32(piece.body) == self._checks[at]
        )


class Completed:
    """A link's memory of whole messages, the newest ones."""

    __slots__ = ("_messages",)

    def __init__(self) -> None:
        # A list, for most links have none, and an empty deque takes half a kilobyte.
        self._messages: list[_Whole] = []

    def __len__(self) -> int:
        return len(self._messages)

    def remember(self, message: Message, bodies: Sequence[bytes]) -> None:
        self._messages.append(_Whole(message, bodies))
        del self._messages[:-MAX_REMEMBERED]

    def settle(self, message: Message, outcome: Outcome) -> None:
        """Learn what became of a message. One that was refused is forgotten: sent again, it is a new attempt."""
        for whole in list(self._messages):
            # The very object: a terminal that numbers nothing makes messages which look alike.
            if whole.unsettled is message:
                whole.unsettled = None
                whole.is_stored = outcome is not Outcome.REFUSED
                if outcome is Outcome.REFUSED:
                    self._messages.remove(whole)

    def has(self, piece: Piece) -> bool:
        """Whether this very piece was part of one of them."""
        return self._find(piece) is not None

    def stored(self, piece: Piece) -> Message | None:
        """The stored message that a piece was part of, as if it had come in that piece alone; of its body the beginning."""
        whole = self._find(piece)
        if whole is None or not whole.is_stored:
            return None
        return whole.beginning._replace(head=piece.head, sequence=piece.header.sequence)

    def _find(self, piece: Piece) -> _Whole | None:
        return next((whole for whole in self._messages if whole.has(piece)), None)
