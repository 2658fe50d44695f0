"""What comes out of a link's bytes: messages, bytes that are none, what is to be sent at once, what is wanted of files, and
frames for who watches."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Message(NamedTuple):
    """An opened frame: who sends what, with the body still as it came.

    ``head`` is what the body's meaning and its ack depend on beside ``kind`` and ``sequence``: for JT/T 808
    the header's bytes, for a login-once protocol whatever its login settled (a time zone, a codec). A message
    is decoded, answered and rebuilt from these fields alone, on any host and years later.
    """

    identity: str
    """The device's name within its protocol: a phone number, an IMEI, a VIN."""
    kind: int
    """The message id, or what stands for it in the protocol."""
    sequence: int
    """The sender's number of this message; 0 where the protocol has none."""
    head: bytes
    body: bytes
    parts: tuple[int, ...] = ()
    """Sequences of the sub-packets that the message was put together from; empty for a whole message."""


class Malformed(NamedTuple):
    """Bytes that are no message. The link goes on behind them."""

    cause: str
    """One word that counters use: ``checksum``, ``oversized``, ``escape``, ``header``, ``length``...

    In all protocols ``cut`` is the beginning of a frame whose rest did not come, and ``incomplete`` a message of
    several frames of which some did not come.
    """
    raw: bytes


class Send(NamedTuple):
    """Bytes to write now: a handshake's answer, a poll, a re-request. They promise nothing of what is stored."""

    data: bytes


class RawFrame(NamedTuple):
    """Bytes between two boundaries, as they came. The events that came of them follow; there may be none.

    Only a codec that is watched tells of frames.
    """

    raw: bytes

    @classmethod
    def of(cls, found: bytes | Malformed) -> RawFrame:
        """Of what was cut out of a stream: whole, or as much as is kept of what is no frame."""
        return cls(found.raw if isinstance(found, Malformed) else found)


class Wanted(NamedTuple):
    """Bytes of a file of the platform that are to go down next. Whoever runs the link hands them to its codec."""

    identity: str
    """The device that they are for."""
    file: int
    """The platform's number of the file."""
    offset: int
    length: int
    """At most so many: fewer where the file ends."""
    tag: int
    """By which the codec knows what it wanted them for."""


Event = Message | Malformed | Send | RawFrame | Wanted


class Outcome(IntEnum):
    """What became of a message; it decides which ack leaves."""

    STORED = 0
    """Its rows are committed."""
    REFUSED = 1
    """The device may not come in: nothing was stored."""
    QUARANTINED = 2
    """The body could not be decoded whole: its bytes are committed, to be decoded again later."""
    DECLINED = 3
    """The device may come in, but this is part of a file beyond what is kept: it was not stored and never will be."""
