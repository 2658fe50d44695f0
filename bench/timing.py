"""Timing that can be believed: one core, its own processor time, all rivals by turns, medians with their spread."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Mapping
from statistics import median
from time import process_time_ns
from typing import NamedTuple

ROUND_NS = 5_000_000
"""How long a round of one rival takes: long enough for the clock, short enough for the machine to stay as it is."""


class Timing(NamedTuple):
    """Nanoseconds of one call, round by round."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.rounds)

    @property
    def spread(self) -> float:
        """From the fastest round to the slowest, as a part of the median."""
        return (max(self.rounds) - min(self.rounds)) / self.median

    def over(self, other: Timing) -> float:
        """How many times the other's: the median of the rounds' ratios, for a round's two ran side by side."""
        return median(own / its for own, its in zip(self.rounds, other.rounds, strict=True))


def pin() -> int:
    """Keep to one core, for a move to another costs as much as what is measured. Returns its number."""
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def time_all(rivals: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Timing]:
    """Time each, taking turns, so that a slow moment of the machine falls on all of them."""
    counts = {name: max(1, ROUND_NS // max(1, _round(rival, 20) // 20)) for name, rival in rivals.items()}
    taken: dict[str, list[float]] = {name: [] for name in rivals}
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, rival in rivals.items():
                taken[name].append(_round(rival, counts[name]) / counts[name])
    finally:
        gc.enable()
    return {name: Timing(tuple(times)) for name, times in taken.items()}


def _round(rival: Callable[[], object], count: int) -> int:
    start = process_time_ns()
    for _ in range(count):
        rival()
    return process_time_ns() - start
