"""Limits of a channel, and which of them a value is beyond. Without a database, for pages and rules alike."""

from __future__ import annotations

import math
from enum import StrEnum
from itertools import pairwise
from typing import Any, NamedTuple


class Beyond(StrEnum):
    """Which limit a value is beyond: of two on one side, the farther one."""

    LOW = "low"
    HIGH = "high"
    CRITICAL_LOW = "critical low"
    CRITICAL_HIGH = "critical high"

    @property
    def is_critical(self) -> bool:
        return self in (Beyond.CRITICAL_LOW, Beyond.CRITICAL_HIGH)


class Limits(NamedTuple):
    """Each in the channel's unit, None where there is none. A value that is just as high as its limit is within it."""

    low: float | None = None
    high: float | None = None
    critical_low: float | None = None
    critical_high: float | None = None

    @property
    def fault(self) -> str:
        """Why no value could be judged by them; empty if they are in order."""
        if not all(limit is None or math.isfinite(limit) for limit in self):
            return "a limit is a finite number"
        ladder = ("critical_low", "low", "high", "critical_high")
        named = [(name, limit) for name in ladder if (limit := getattr(self, name)) is not None]
        for (lower_name, lower), (upper_name, upper) in pairwise(named):
            if lower > upper:
                return f"{lower_name} is {lower:g}, above {upper_name}, which is {upper:g}"
        return ""


def out_of_limits(value: Any, limits: Limits) -> Beyond | None:
    """Which limit a value is beyond; None within them, and for what is no number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if limits.critical_low is not None and value < limits.critical_low:
        return Beyond.CRITICAL_LOW
    if limits.critical_high is not None and value > limits.critical_high:
        return Beyond.CRITICAL_HIGH
    if limits.low is not None and value < limits.low:
        return Beyond.LOW
    if limits.high is not None and value > limits.high:
        return Beyond.HIGH
    return None
