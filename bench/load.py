"""The load generator of echo.c, built where it is used: in Python it would be the bottleneck."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).with_name("echo.c")


class Outcome(NamedTuple):
    """What came back in one run."""

    answered: int
    seconds: float
    rate: float
    """Answers a second."""
    p50_us: float
    p99_us: float
    busy: float
    """Which part of its core the generator itself took: near 1, it is what was measured."""


class Cores(NamedTuple):
    """Who runs where, so that neither takes time from the other."""

    server: int
    load: int


def cores() -> Cores:
    """Two cores of this machine; the same one twice where there is one only."""
    available = sorted(os.sched_getaffinity(0))
    return Cores(available[-1], available[0])


def build(folder: Path) -> Path:
    """Compile echo.c into a folder."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise SystemExit("no C compiler on this machine: install gcc or clang")
    program = folder / "echo"
    subprocess.run([compiler, "-O2", "-o", program, SOURCE], check=True)
    return program


def run(program: Path, core: int, port: int, puts: Sequence[str] = (), **options: object) -> Outcome:
    """Put load on a server. Options and ``puts`` are those at the head of echo.c: ``run(..., in_flight=8, report="7e02...")``."""
    words = [f"{name}={value}" for name, value in options.items()] + [f"put={put}" for put in puts]
    command = [program, "load", str(port), *words]
    child = subprocess.run(command, preexec_fn=_pinned(core), stdout=subprocess.PIPE, check=True)
    return Outcome(**json.loads(child.stdout))


@contextmanager
def server(command: Sequence[str | Path], core: int) -> Iterator[int]:
    """A server that prints its port; gone when the block ends."""
    with subprocess.Popen(command, preexec_fn=_pinned(core), stdout=subprocess.PIPE, cwd=SOURCE.parent.parent) as child:
        try:
            assert child.stdout is not None
            yield int(child.stdout.readline())
        finally:
            child.kill()


def _pinned(core: int) -> Callable[[], None]:
    return lambda: os.sched_setaffinity(0, {core})
