"""Who may come in: what gateways ask of the database, and what Redis remembers of the answers.

A device that was known is remembered for a day, so that it can come in again while the database or the workers are away;
one that was not for seconds, since somebody may be adding it just now and strangers' inventions must not pile up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgpack

from tasks.contract.mailboxes import BadPayloadError

ADMISSION_TASK = "tasks.admission.look_up"
MOST_DEVICES = 500
"""In one question: a few milliseconds of a database's time."""
KNOWN_SECONDS = 86_400
UNKNOWN_SECONDS = 5


class Known(NamedTuple):
    """What the database knows of a device that may want to come in."""

    is_enabled: bool
    credential: str
    """As :func:`protocols.credential.seal` keeps it; empty if none was set."""


def known_key(protocol: str, identity: str) -> str:
    """The Redis key under which a device is remembered. How old it is its time to live says."""
    return f"iotgw:known:{protocol}/{identity}"


def pack_known(known: Known | None) -> bytes:
    packed: bytes = msgpack.packb(known)
    return packed


def unpack_known(data: bytes) -> Known | None:
    """Raises: BadPayloadError"""
    try:
        return read_known(msgpack.unpackb(data))
    except (ValueError, msgpack.UnpackException) as error:
        raise BadPayloadError(f"not what is known of a device: {error}") from error


def read_known(told: Any) -> Known | None:
    """What the task tells of one device; None for a device that there is not.

    Raises: BadPayloadError
    """
    if told is None:
        return None
    if not isinstance(told, (list, tuple)) or tuple(map(type, told[:2])) != (bool, str):
        raise BadPayloadError("not what is known of a device")
    # A later release may tell more.
    return Known(*told[:2])


def asked_devices(rows: Any) -> Sequence[tuple[str, str]]:
    """The devices of a question, as protocol and identity.

    Raises: BadPayloadError
    """
    if not isinstance(rows, (list, tuple)) or len(rows) > MOST_DEVICES:
        raise BadPayloadError(f"devices must be a list of {MOST_DEVICES} at the most")
    for index, row in enumerate(rows):
        if not isinstance(row, (list, tuple)) or tuple(map(type, row)) != (str, str):
            raise BadPayloadError(f"devices[{index}] is not (protocol, identity)")
    return [(protocol, identity) for protocol, identity in rows]
