"""What an operator can say about a fleet of GT06 devices."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

ACKS = ("needed", "all")
CHECKS = ("strict", "lenient")
_ZONE = re.compile(r"([+-])(\d\d):([0-5]\d)")
_MAX_MINUTES = 14 * 60


class Options(NamedTuple):
    """The table ``protocols.gt06``."""

    ack: str = "needed"
    """``all`` also answers what needs no answer, for devices that want one for everything."""
    check: str = "strict"
    """``lenient`` takes frames whose check or length is wrong, for clones that never compute them."""
    zone_minutes: int = 0
    """East of Greenwich: the clock of devices that send local times and do not tell their zone at login."""


def read_options(options: Mapping[str, Any]) -> Options:
    """Check what the operator wrote.

    Raises: ValueError, with the option's name and what it may be.
    """
    for name in options:
        if name not in ("ack", "check", "zone"):
            raise ValueError(f"{name}: GT06 has no such option, but ack, check, zone")
    ack, check = options.get("ack", ACKS[0]), options.get("check", CHECKS[0])
    if ack not in ACKS:
        raise ValueError(f"ack: {ack!r} is none of {', '.join(ACKS)}")
    if check not in CHECKS:
        raise ValueError(f"check: {check!r} is none of {', '.join(CHECKS)}")
    return Options(ack, check, _zone(options.get("zone", "+00:00")))


def _zone(text: Any) -> int:
    found = _ZONE.fullmatch(text) if isinstance(text, str) else None
    minutes = int(found[2]) * 60 + int(found[3]) if found else _MAX_MINUTES + 1
    if found is None or minutes > _MAX_MINUTES:
        raise ValueError(f"zone: {text!r} is no time zone like +08:00 or -03:30")
    return -minutes if found[1] == "-" else minutes
