"""What gateways tell of devices and of strangers, so that any of them, and a page, can say why a device is not here.

Two tables in Redis, each a hash of entries and a sorted set of when each was written, by Redis' clock in milliseconds.
Both are bounded in number and in age, whoever writes and whatever is claimed: the oldest entries go.

==================  =========================================  =====================================================
hash                field                                      value
==================  =========================================  =====================================================
iotgw:evidence      ``<protocol>/<identity>``                  ``<opened_ms> <facts>``: of the device's newest link
iotgw:strangers     the same; of one that names nobody, its    ``<first_ms> <times> <stranger>``
                    address: ``<protocol>@<address>``
==================  =========================================  =====================================================

Facts and strangers are msgpack maps without what is as by default. Names that a reader does not know are of a newer
release and passed over, and one that is missing has its default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import msgpack

from tasks.contract.mailboxes import BadPayloadError
from tasks.contract.routes import route_field

EVIDENCE = "iotgw:evidence"
EVIDENCE_TIMES = "iotgw:evidence:times"
MOST_EVIDENCE = 200_000
"""Devices whose facts are kept: some 110 MB of Redis. Under open admission strangers may invent as many as they like."""
EVIDENCE_SECONDS = 7 * 86_400
STRANGERS = "iotgw:strangers"
STRANGERS_TIMES = "iotgw:strangers:times"
MOST_STRANGERS = 1_000
STRANGERS_SECONDS = 7 * 86_400
FIRST_BYTES = 64
"""Of what a stranger sent. A first frame may hold a password or a token: it is for who may have the control token."""
CLAIM_LENGTH = 64
"""Characters of an identity that somebody claims; no device's is longer."""
FACTS_FIELD = b"facts"
"""In a mailbox: write now what you know of these devices, for somebody who looks at them."""

_NONE: Mapping[str, int] = MappingProxyType({})
_Told = TypeVar("_Told", "Facts", "Stranger")


class Facts(NamedTuple):
    """A device as the gateway knows it that has its newest link, or had.

    Units: times in milliseconds since 1970 UTC, by the gateway's clock; 0 for never.
    """

    gateway: str = ""
    written_ms: int = 0
    port: int = 0
    """Of the listener."""
    peer: str = ""
    devices: int = 0
    """Devices on the link. What follows is counted for the link, and so for all of them."""
    opened_ms: int = 0
    begun_ms: int = 0
    """When the session began: the device was let in."""
    messages: int = 0
    malformed: Mapping[str, int] = _NONE
    """Bytes that were no message, by cause."""
    heard_ms: int = 0
    """When bytes came last."""
    message_ms: int = 0
    """When a message came last."""
    kind: str = ""
    """Of that message."""
    resends: int = 0
    """How often the number of the message before came again: the device had no ack. Of protocols that number them."""
    waiting: int = 0
    """Messages that were handed over and have no outcome yet."""
    waiting_ms: int = 0
    """Since when at the latest."""
    is_broker_away: bool = False
    settled_ms: int = 0
    outcome: str = ""
    """Of the message that was settled last: stored (or in the spool), refused, quarantined."""
    acked_ms: int = 0
    ack_seconds: float = 0.0
    """How long that ack took from when the message was there whole."""
    ended_ms: int = 0
    cause: str = ""
    """What the session ended for, as in links.closed.<cause>; logout, refused as well."""


class Stranger(NamedTuple):
    """A link that closed, or whose device was refused, without ever having had a session.

    Units: times in milliseconds since 1970 UTC, by the gateway's clock.
    """

    protocol: str = ""
    identity: str = ""
    """As it was claimed; empty if no message was opened."""
    gateway: str = ""
    port: int = 0
    peer: str = ""
    reason: str = ""
    """``refused.<cause>`` or ``closed.<cause>``."""
    first: bytes = b""
    """What it sent first."""
    messages: int = 0
    malformed: Mapping[str, int] = _NONE
    at_ms: int = 0
    first_ms: int = 0
    times: int = 1
    """How often it was refused, or its link closed."""


class FactsWanted(NamedTuple):
    """Word to a gateway that somebody looks at a device."""

    protocol: str
    identity: str


def stranger_field(stranger: Stranger) -> str:
    """Under which name it is kept: one that comes again takes the place that it has."""
    if stranger.identity:
        return route_field(stranger.protocol, stranger.identity)
    return f"{stranger.protocol}@{stranger.peer.rpartition(':')[0]}"


def pack_facts(facts: Facts) -> bytes:
    return _pack(facts)


def pack_stranger(stranger: Stranger) -> bytes:
    """Without what its place in the table tells: since when, how often."""
    return _pack(stranger._replace(first_ms=0, times=1))


def read_facts(value: bytes) -> Facts:
    """Raises: BadPayloadError when a value of the table is none."""
    return _unpack(Facts, value.partition(b" ")[2])


def read_stranger(value: bytes) -> Stranger:
    """Raises: BadPayloadError when a value of the table is none."""
    first_ms, _, rest = value.partition(b" ")
    times, _, data = rest.partition(b" ")
    try:
        return _unpack(Stranger, data)._replace(first_ms=int(first_ms), times=int(times))
    except ValueError as error:
        raise BadPayloadError(f"not a stranger: {error}") from error


def pack_facts_wanted(devices: Sequence[FactsWanted]) -> bytes:
    packed: bytes = msgpack.packb(devices)
    return packed


def unpack_facts_wanted(data: bytes) -> list[FactsWanted]:
    """Raises: BadPayloadError when the bytes name no devices."""
    try:
        return [FactsWanted(str(protocol), str(identity)) for protocol, identity in msgpack.unpackb(data)]
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise BadPayloadError(f"no devices: {error}") from error


def _pack(told: Facts | Stranger) -> bytes:
    defaults = told._field_defaults
    packed: bytes = msgpack.packb({name: value for name, value in told._asdict().items() if value != defaults[name]})
    return packed


def _unpack(shape: type[_Told], data: bytes) -> _Told:
    try:
        given = dict(msgpack.unpackb(data))
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise BadPayloadError(f"not {shape.__name__.lower()}: {error}") from error
    known = {name: given[name] for name in shape._fields if name in given}
    for name, value in known.items():
        is_right = _is_counted(value) if name == "malformed" else isinstance(value, type(shape._field_defaults[name]))
        if not is_right:
            raise BadPayloadError(f"not {shape.__name__.lower()}: {name} is {type(value).__name__}")
    return shape(**known)


def _is_counted(value: Any) -> bool:
    return isinstance(value, dict) and all(type(count) is int for count in value.values())
