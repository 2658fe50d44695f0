"""Which devices are here: what gateways tell of their sessions' begins and ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tasks.contract.mailboxes import LATEST_MS, BadPayloadError

PRESENCE_TASK = "tasks.presence.tell"
PRESENCE_CHECK_TASK = "tasks.presence.check"
MOST_CHANGES = 1_000
"""In one task: some tens of milliseconds of a database's time."""
PRESENCE_CHECKED = "iotgw:presence:checked"
"""There while a worker has lately looked whether those that are told to be here are."""
PRESENCE_MISSED = "iotgw:presence:missed"
"""What it missed then. Lost with the routes, so that nobody is missed because Redis has forgotten him."""


class PresenceChange(NamedTuple):
    """A session of a device, as far as it has gone: the last word on it says all of it.

    Of two the one of the later epoch counts, of one epoch the end.
    """

    protocol: str
    identity: str
    epoch: int
    """Of its route."""
    begun_ms: int
    """In milliseconds since 1970 UTC, by its gateway's clock."""
    ended_ms: int
    """0 while it lasts."""
    peer: str
    cause: str
    """Why it ended; empty while it lasts."""


def presence_changes(rows: Any) -> Sequence[PresenceChange]:
    """The changes of a payload.

    Raises: BadPayloadError
    """
    if not isinstance(rows, (list, tuple)) or len(rows) > MOST_CHANGES:
        raise BadPayloadError(f"changes must be a list of {MOST_CHANGES} at the most")
    for index, row in enumerate(rows):
        if not isinstance(row, (list, tuple)) or tuple(map(type, row)) != (str, str, int, int, int, str, str):
            raise BadPayloadError(f"changes[{index}] is not (protocol, identity, epoch, begun_ms, ended_ms, peer, cause)")
        if not all(0 <= ms <= LATEST_MS for ms in row[3:5]) or not 0 < row[2] < 1 << 63:
            raise BadPayloadError(f"changes[{index}] has a time or an epoch that is none")
    return [PresenceChange(*row) for row in rows]
