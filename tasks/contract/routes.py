"""Which gateway has a device's session, as Redis keeps it, and the word that it has changed."""

from __future__ import annotations

from typing import NamedTuple

import msgpack

from tasks.contract.mailboxes import BadPayloadError

ROUTES = "iotgw:routes"
"""The Redis hash of routes, by :func:`route_field`."""
ALIVE = "iotgw:alive:"
"""Before a run's id: the key that a running gateway keeps from expiring."""
ROUTES_SWEPT = "iotgw:routes:swept"
"""There while a gateway has lately begun to remove routes of runs that are gone."""
LAST_RUN = "iotgw:run:"
"""Before a gateway's name: the run that wrote it last."""
HEARD = "iotgw:heard:"
"""Before a gateway's name: up to when workers have stored all that it has received. Units: milliseconds since 1970 UTC, by Redis'
clock."""
HEARD_SECONDS = 60
"""So long after it was told last. Of a gateway that is gone for longer nothing more is waited for."""
KICK_FIELD = b"kick"


class Kick(NamedTuple):
    """Word to a gateway that a newer link elsewhere has a device's session."""

    protocol: str
    identity: str
    run: str
    """Of the gateway that had the session. Another run of it has no such link."""
    epoch: int
    """Of the route that won: a session of this epoch or a later one is newer than the kick."""


def route_field(protocol: str, identity: str) -> str:
    """Under which name a device's route is in :data:`ROUTES`. Protocols have no slash in their names."""
    return f"{protocol}/{identity}"


def route_run(route: bytes | None) -> str:
    """The run that has a route, as Redis keeps it; empty for none."""
    words = (route or b"").split(b" ")
    return words[1].decode(errors="replace") if len(words) > 1 else ""


def unpack_kicks(data: bytes) -> list[Kick]:
    """What the script that takes routes has packed: a run, and devices with the epochs that won.

    Raises: BadPayloadError when the bytes are no kicks.
    """
    try:
        run, *devices = msgpack.unpackb(data)
        kicks = []
        for field, epoch in zip(devices[::2], devices[1::2], strict=True):
            protocol, _, identity = field.partition("/")
            kicks.append(Kick(protocol, identity, run, int(epoch)))
        return kicks
    except (ValueError, TypeError, AttributeError, msgpack.UnpackException) as error:
        raise BadPayloadError(f"not kicks: {error}") from error
