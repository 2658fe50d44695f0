"""Photos under way: which have been announced on a link, and what is still to come of them."""

from __future__ import annotations

from collections import OrderedDict

from protocols.compiler import compile
from protocols.gt06.transfers import PHOTO, PHOTO_LAYOUT, PHOTO_PART_BYTES, PHOTO_WANTED, is_photo

MAX_PHOTOS = 8
"""On one link at a time. The one announced first is asked for no longer when there are more."""


class Photos:
    """The sizes of photos by their numbers. Of their bytes nothing is held."""

    def __init__(self) -> None:
        self._sizes: OrderedDict[bytes, int] = OrderedDict()

    def announce(self, body: bytes) -> None:
        """A photo has been announced."""
        if not is_photo(body):
            return
        photo = compile(PHOTO_LAYOUT).parse(body)
        self._sizes[photo.picture_id.to_bytes(4, "big")] = photo.size_bytes
        while len(self._sizes) > MAX_PHOTOS:
            self._sizes.popitem(last=False)

    def wanted(self, kind: int, body: bytes) -> bytes:
        """What to ask for when this much is stored; empty if a photo has come whole or nobody announced it."""
        number = body[-4:] if kind == PHOTO else body[:4]
        offset = 0 if kind == PHOTO else int.from_bytes(body[4:8], "big") + int.from_bytes(body[8:10], "big")
        size = self._sizes.get(number)
        if size is None:
            return b""
        if offset >= size:
            del self._sizes[number]
            return b""
        part = {"offset": offset, "wanted_bytes": min(PHOTO_PART_BYTES, size - offset)}
        return compile(PHOTO_WANTED).build({"picture_id": int.from_bytes(number, "big"), **part, "extra": b""})
