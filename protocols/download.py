"""Files of the platform on their way down to devices.

    whoever runs the link                 codec                              device
      ── offer ──────────────────────────▶ ── offer, where there is one ───────▶
      ◀── wanted (offset, length) ──────── ◀── a device that asks, or the codec's own pace
      ── hand_out (bytes) ────────────────▶ ── frames ─────────────────────────▶

Nothing of a file is kept in a codec, so that the largest one takes no memory on a link.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol, runtime_checkable

from protocols.message import Event, Wanted


class Offer(NamedTuple):
    """A file for a device."""

    delivery: int
    """The platform's number of this delivery of it: the same over all links and gateways."""
    file: int
    """The platform's number of the file."""
    size: int
    crc32: int
    """Of all its bytes, as in zip."""
    name: str
    """What it is for: ``firmware``."""
    version: str
    maker: str
    """Who makes the devices that it is for, where a protocol says so."""
    sent: int
    """Up to where its bytes have gone down before; 0 to begin anew."""

    @property
    def is_awaited(self) -> bool:
        """Whether all has gone down: the device's word is waited for, and only what it asks for leaves."""
        return self.sent >= self.size


class FileStatus(StrEnum):
    """What a device says of a file."""

    DONE = "done"
    FAILED = "failed"
    LATER = "later"
    """Not now: it is to be offered again."""


class FileResult(NamedTuple):
    """What became of a file on the device."""

    file: int | None
    """The platform's number of it; None where the protocol does not tell: it is the one under way."""
    status: FileStatus
    reason: str = ""
    """Why it failed, in the protocol's word."""


@runtime_checkable
class Carrier(Protocol):
    """What a codec has beside the rest if files go down on its link. A file that is offered takes the place of the one before."""

    def offer(self, head: bytes, offer: Offer, now: float) -> Sequence[Event]:
        """Begin, or go on, with a file for the device whose messages have a head like this; not with one that is awaited.

        Raises: ValueError when the device could not take it, with the reason.
        """

    def hand_out(self, wanted: Wanted, data: bytes, now: float) -> Sequence[Event]:
        """All bytes that were wanted; none where there are none to be had: then the file is offered no more."""

    def withdraw(self, identity: str) -> None:
        """A file is offered to a device no more."""
