"""What an operator can set for GB/T 32960."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from protocols.gb32960.header import FRAME_BYTES, MAX_DATA_BYTES


@dataclass(frozen=True)
class Options:
    """The table ``protocols.gb32960`` of the configuration."""

    answer: str = "time"
    """What an answer to a message of 2016 holds: its ``time``, as the standard's text has it, or as an ``echo`` all of
    it, as its annex B has it. Vehicles mostly want the first."""
    answers_reports: bool = True
    """Whether reports are answered when they are stored. By annex B of 2016 vehicles do without, and lose what they
    do not know to be lost."""
    datum: str = "wgs84"
    """What the coordinates of 2016 are in, which names none: ``wgs84``, or ``gcj02``, which is then converted."""
    frame_limit_bytes: int = 8192
    """The longest frame that is taken. Vehicles stay below 2 KiB; the standard allows 65,556 bytes."""


_ALLOWED: dict[str, Any] = {
    "answer": ("time", "echo"),
    "answers_reports": (True, False),
    "datum": ("wgs84", "gcj02"),
    "frame_limit_bytes": range(1024, MAX_DATA_BYTES + FRAME_BYTES + 1),
}


def configured(options: Options, table: Mapping[str, Any]) -> Options:
    """The options with those of a table in their place.

    Raises: ValueError, with the option's name and what it may be.
    """
    for name, value in table.items():
        if name not in _ALLOWED:
            raise ValueError(f"{name}: GB/T 32960 has no such option, but {', '.join(_ALLOWED)}")
        allowed = _ALLOWED[name]
        if value not in allowed or type(value) is not type(getattr(options, name)):
            words = (
                f"{allowed[0]} to {allowed[-1]}" if isinstance(allowed, range) else " or ".join(str(one).lower() for one in allowed)
            )
            raise ValueError(f"{name}: {value!r} is not {words}")
    return replace(options, **table)
