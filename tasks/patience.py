"""Waiting longer each time something that is away is tried again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

FIRST_SECONDS = 0.2
LONGEST_SECONDS = 10.0
"""Short enough that a worker takes up its work soon after the database does, and well under a task's time limit."""


class Patience:
    """A process's failures in a row, and the pause that they call for."""

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep
        self.failures = 0

    def wait(self) -> None:
        """Another failure: pause for twice as long as the last time, half of it by chance so that workers part."""
        longest = min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** min(self.failures, 16))
        self.failures += 1
        self._sleep(random.uniform(longest / 2, longest))

    def reset(self) -> None:
        self.failures = 0
