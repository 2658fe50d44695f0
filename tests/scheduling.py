"""What a measured time is not to blame for: that others had the core."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
STOLEN = 8
"""The field of the first line of /proc/stat that counts ticks in which a virtual machine had no core of its host."""


def kept_seconds(pids: Iterable[int]) -> float:
    """For how long threads of these processes were ready to run and had no core so far, and this machine none of its host.

    A thread that waits for anything else, such as for a lock, for bytes or for its time, is not ready to run.
    """
    nanoseconds = 0
    for pid in pids:
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with suppress(OSError):
                nanoseconds += int(path.read_text().split()[1])
    with open("/proc/stat") as stat:
        stolen = int(stat.readline().split()[STOLEN])
    return nanoseconds / 1e9 + stolen / TICKS_A_SECOND
