"""A simulated terminal's photo: the upload's body, and the sub-packets it leaves in.

Source: JT/T 808-2013, 4.4.3 and 8.52; ITU-T T.81, B.2.4.5.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable

from protocols.jt808.header import Header, frame
from protocols.picture import jpeg

PHOTO_BYTES = 20_000
"""What a terminal's camera makes of 352 x 288 points."""
PIECE_BYTES = 800
COMMANDED = 0
"""The event of a picture that the platform has asked for."""
_IMAGE, _JPEG, _TIMED, _CHANNEL = 0, 0, 1, 1
_COMMENT_HEAD_BYTES = 4
_JFIF_BYTES = 20
"""Start of image, and the segment that says what it is."""
_BLOCKS_WIDE, _BLOCKS_HIGH = 44, 36
_COMMENT_BYTES = 65_533
"""Longest comment of a JPEG: its length has two bytes and counts them."""


def photo_body(media_id: int, location: bytes, size: int, seed: str, event: int = _TIMED, channel: int = _CHANNEL) -> bytes:
    """A multimedia upload of a picture, a timed one if nothing is said; ``size`` is the picture's. A seed gives the same again."""
    head = media_id.to_bytes(4, "big") + bytes((_IMAGE, _JPEG, event, channel))
    return head + location + picture(size, seed)


def picture(size: int, seed: str) -> bytes:
    """A picture that any viewer opens, of this many bytes, or as many as it takes; noise in comments fills it up."""
    noise = random.Random(seed)
    start, end = noise.randrange(40, 120), noise.randrange(120, 220)
    greys = [[start + (end - start) * row // _BLOCKS_HIGH] * _BLOCKS_WIDE for row in range(_BLOCKS_HIGH)]
    made = jpeg(greys)
    comments = []
    left = size - len(made)
    while left >= _COMMENT_HEAD_BYTES:
        text = noise.randbytes(min(left - _COMMENT_HEAD_BYTES, _COMMENT_BYTES))
        comments.append(b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text)
        left -= _COMMENT_HEAD_BYTES + len(text)
    return made[:_JFIF_BYTES] + b"".join(comments) + made[_JFIF_BYTES:]


class Photo:
    """A photo on its way. Its pieces have the same bytes each time they are sent."""

    def __init__(self, id: int, phone: str, sequence: int, body: bytes, lost: Collection[int]) -> None:
        self.total = -(-len(body) // PIECE_BYTES)
        self.media_id = body[:4]
        self._first = Header(id, phone, sequence & 0xFFFF, is_part=True, total=self.total)
        self._body = body
        self._lost = set(lost)

    @property
    def first_sequence(self) -> int:
        """On the wire."""
        return self._first.sequence

    def frames(self, numbers: Iterable[int] | None = None) -> bytes:
        """The frames of these pieces, or of all. One that is to be lost is left out, once."""
        every = range(1, self.total + 1)
        wanted = list(every) if numbers is None else [number for number in numbers if number in every]
        sent = [self._frame(number) for number in wanted if number not in self._lost]
        self._lost.difference_update(wanted)
        return b"".join(sent)

    def _frame(self, number: int) -> bytes:
        sequence = (self._first.sequence + number - 1) & 0xFFFF
        at = (number - 1) * PIECE_BYTES
        return frame(self._first._replace(sequence=sequence, number=number), self._body[at : at + PIECE_BYTES])
