"""What processes take, by /proc: processor time, memory, open files."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def family(pid: int) -> list[int]:
    """A process and what it has started, down to the last generation. Those that end meanwhile are left out."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in children.read_text().split()]
            except OSError:
                continue
    return found


def resident_bytes(pid: int) -> int:
    """Memory of one process, without its children."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


class Usage:
    """Which part of a core each of some processes takes, from when this is made on."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._began, self._at_first = time.monotonic(), self._now()
        self._all_at_first = _all_seconds()

    def shares(self) -> dict[str, float]:
        """By name; ``others`` is what the rest of the machine took meanwhile."""
        taken = time.monotonic() - self._began
        seconds = {name: now - self._at_first[name] for name, now in self._now().items()}
        ours = {member for pid in self._pids.values() for member in family(pid)}
        # Not from /proc/stat: it samples, and misses what runs for less than a tick at a time.
        others = {pid: value - self._all_at_first.get(pid, 0.0) for pid, value in _all_seconds().items() if pid not in ours}
        seconds["others"] = sum(value for value in others.values() if value > 0)
        return {name: value / taken for name, value in seconds.items()}

    def _now(self) -> dict[str, float]:
        return {name: sum(map(_seconds, family(pid))) for name, pid in self._pids.items()}


def _all_seconds() -> dict[int, float]:
    return {int(path.name): _seconds(int(path.name), False) for path in Path("/proc").glob("[0-9]*")}


def _seconds(pid: int, has_ended: bool = True) -> float:
    """Processor time of a process, with that of its children that have ended; 0 for one that is gone."""
    try:
        # The second field is the name in brackets, which may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11 : 15 if has_ended else 13])) / TICKS_A_SECOND
