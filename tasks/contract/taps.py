"""Looking at what one device says and is told: what a watcher asks of the gateways, and what they publish.

watcher                     Redis                            each gateway
  ── subscribe ─────────────▶ channel of the device
  ── tap ───────────────────▶ mailbox of each that lives ─────▶ taps the device for 30 s
  ◀── gateway, lines, not shown ── channel ◀───────────────────── the one that has it
  ── tap, every 20 s ───────▶ mailboxes
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgpack

from tasks.contract.mailboxes import BadPayloadError
from tasks.contract.routes import route_field

TAP_FIELD = b"tap"
TAP_SECONDS = 30
"""How long a gateway taps a device after it was asked to."""
RENEW_SECONDS = 20
"""How often a watcher asks."""
FRAMES_A_SECOND = 50
"""What is above is counted: nobody could read it, and it would cost what the devices need."""
SHOWN_BYTES = 4096
"""Of a frame. Nearly all are shorter, so that they can be decoded from what is shown."""
_CHANNEL = "iotgw:tap:"


class Tap(NamedTuple):
    """A device that somebody wants to look at."""

    protocol: str
    identity: str

    @property
    def channel(self) -> str:
        """Where its lines are published in Redis."""
        return _CHANNEL + route_field(self.protocol, self.identity)


class TapLine(NamedTuple):
    """A frame, or an answer to one."""

    time_ms: int
    """When the gateway read or wrote it, in milliseconds since 1970 UTC."""
    direction: str
    """As in :class:`protocols.rows.Direction`."""
    kind: str
    """Of the message that it is; ``ack`` for what answers one; empty for what is none by itself, such as a sub-packet."""
    cause: str
    """Why it is no message; of an ack, why it is not the plain one. Empty where all is well."""
    data: bytes
    """At most :data:`SHOWN_BYTES` of it."""
    length: int


class Tapped(NamedTuple):
    """What a gateway has to show of a device."""

    gateway: str
    lines: Sequence[TapLine]
    not_shown: int
    """Lines that were left out since the last that was published: too many in a second, or Redis was away."""


def pack_tap(tap: Tap) -> bytes:
    packed: bytes = msgpack.packb(tap)
    return packed


def unpack_tap(data: bytes) -> Tap:
    """Raises: BadPayloadError when the bytes ask for no tap."""
    try:
        tap = Tap(*msgpack.unpackb(data))
        if not all(isinstance(word, str) and word for word in tap):
            raise TypeError("a device is named by two texts")
        return tap
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise BadPayloadError(f"not a tap: {error}") from error


def pack_tapped(tapped: Tapped) -> bytes:
    packed: bytes = msgpack.packb(tapped)
    return packed


def unpack_tapped(data: bytes) -> Tapped:
    """Raises: BadPayloadError when the bytes are nothing that a gateway publishes of a device."""
    shape = (int, str, str, str, bytes, int)
    try:
        gateway, lines, not_shown = msgpack.unpackb(data)
        if not isinstance(gateway, str) or type(not_shown) is not int or any(tuple(map(type, line)) != shape for line in lines):
            raise TypeError("not (gateway, lines, not_shown)")
        return Tapped(gateway, [TapLine(*line) for line in lines], not_shown)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise BadPayloadError(f"not what a gateway shows of a device: {error}") from error
