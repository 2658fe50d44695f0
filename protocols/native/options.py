"""What an operator may set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from protocols.native.frame import MAX_PAYLOAD_BYTES


class Options(NamedTuple):
    """What WELCOME tells a device."""

    payload_bytes: int = 1024
    """The longest payload that it should send: what a board without external memory holds a few of."""
    window: int = 8
    """How many of its messages may wait for their acks: a link of 1 s there and back still carries 8 KiB/s."""
    keep_alive_seconds: int = 60
    """How often it says something at least: five times before the gateway takes it for gone, and often enough for
    the address translation of mobile networks."""

    def with_changes(self, options: Mapping[str, Any]) -> Self:
        """These options with others in their place.

        Raises: ValueError, with the option's name and what it may be.
        """
        for name, value in options.items():
            if name not in _RANGES:
                raise ValueError(f"{name}: there is no such option, but {', '.join(_RANGES)}")
            lowest, highest = _RANGES[name]
            if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
                raise ValueError(f"{name}: {value!r} is no whole number from {lowest} to {highest}")
        return self._replace(**options)


_RANGES = {"payload_bytes": (128, MAX_PAYLOAD_BYTES), "window": (1, 64), "keep_alive_seconds": (10, 3600)}
