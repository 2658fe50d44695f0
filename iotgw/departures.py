"""Why devices are not here: how the newest of those that went away did."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

MOST_KEPT = 50_000
"""Some 20 MB at the most. A fleet's devices that are away at one time are fewer, and strangers' inventions push out each other."""


class Departure(NamedTuple):
    """How a device's session ended, or that it was not let in."""

    at: float
    """Units: seconds since 1970 UTC."""
    cause: str
    peer: str
    ack_seconds: float | None
    """How long its link's last ack had taken; None if it never had one that waited."""


class Departures:
    """The last departure of each device, for as many devices as there is room for."""

    def __init__(self, limit: int = MOST_KEPT) -> None:
        self._limit = limit
        # Plain tuples, which garbage collection leaves alone; and not a plain dict, whose first key takes the longer to be
        # found the more have gone before it.
        self._by_device: OrderedDict[tuple[str, str], tuple[float, str, str, float | None]] = OrderedDict()

    def add(self, protocol: str, identity: str, departure: Departure) -> None:
        device = (protocol, identity)
        if self._by_device.pop(device, None) is None and len(self._by_device) >= self._limit:
            self._by_device.popitem(last=False)
        self._by_device[device] = tuple(departure)  # type: ignore[assignment]

    def get(self, protocol: str, identity: str) -> Departure | None:
        kept = self._by_device.get((protocol, identity))
        return kept and Departure(*kept)

    def __len__(self) -> int:
        return len(self._by_device)
