"""Files on their way down to a device, which asks for them piece by piece."""

from __future__ import annotations

from typing import Any
from zlib import crc32

from protocols.body import read
from protocols.native.messages import OFFER_BODY, RESULT_BODY
from protocols.report import DecodeError

MAX_OFFER_BYTES = 8 << 20
"""Flash of the boards that this is for ends at 16 MiB, and holds two firmwares. A link holds one file at a time."""
OFFER_SECONDS = 600.0
"""How long a file is held that nobody asks for."""
_UNFINISHED = ("busy",)


class Downloads:
    """The file that was offered last, for as long as the device may ask for it."""

    def __init__(self) -> None:
        self.now = 0.0
        """When something last came over the link."""
        self.deadline: float | None = None
        self._file = 0
        self._data = memoryview(b"")

    def offer(self, body: bytes) -> None:
        """Hold the bytes of an offer.

        Raises: ValueError when they are too many, or others than the offer says.
        """
        offer = _read_offer(body)
        # A view, so that links to which the same file is offered hold its bytes once.
        data = memoryview(body)[len(body) - len(offer.data) :]
        if len(data) > MAX_OFFER_BYTES:
            raise ValueError(f"a file of {len(data)} bytes, where {MAX_OFFER_BYTES} is the most")
        if (len(data), crc32(data)) != (offer.size, offer.crc32):
            raise ValueError(f"a file of {len(data)} bytes with the CRC-32 {crc32(data):08x}, which is not the one offered")
        self._file, self._data = offer.file, data
        self.deadline = self.now + OFFER_SECONDS

    def chunk(self, file: int, offset: int, length: int) -> bytes:
        """A chunk's payload; without bytes where there is nothing to give."""
        data = b""
        if self.deadline is not None and file == self._file:
            data = bytes(self._data[offset : offset + length])
            self.deadline = self.now + OFFER_SECONDS
        return file.to_bytes(4, "big") + offset.to_bytes(4, "big") + data

    def settle(self, body: bytes) -> None:
        """The device has said what became of a file, or of something else."""
        try:
            result = read(RESULT_BODY, body)
        except DecodeError:
            return
        if result.answered == "offer" and result.id == self._file and result.status not in _UNFINISHED:
            self.forget()

    def wake(self, now: float) -> None:
        if self.deadline is not None and self.deadline <= now:
            self.forget()

    def forget(self) -> None:
        self.deadline = None
        self._file, self._data = 0, memoryview(b"")


def without_data(body: bytes) -> bytes:
    """An offer as it goes on the wire.

    Raises: ValueError when it is none.
    """
    return body[: len(body) - len(_read_offer(body).data)]


def _read_offer(body: bytes) -> Any:
    """Open an offer.

    Raises: ValueError when it is none.
    """
    try:
        return read(OFFER_BODY, body)
    except DecodeError as error:
        raise ValueError(f"offer: {error}") from error
