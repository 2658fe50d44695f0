"""The load generator of echo.c, built where it is used: in Python it would be the bottleneck."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.processes import Child

SOURCE = Path(__file__).with_name("echo.c")
ROOT = SOURCE.parent.parent


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
    sent: int
    """Reports from the start of the run to its end."""
    acked: int
    """How many of these were answered."""


class Cores(NamedTuple):
    """Who runs where, so that neither takes time from the other."""

    server: int
    load: int


def cores() -> Cores:
    """Two cores of this machine; the same one twice where there is one only."""
    available = sorted(os.sched_getaffinity(0))
    return Cores(available[-1], available[0])


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """What this thread starts in the block stays on this core, from its first instruction on."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


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
    with on_core(core):
        load = Load(program, port, puts, **options)
    with load:
        return load.outcome()


class Load:
    """Load on a server in the background, gone when the block ends."""

    def __init__(self, program: Path, port: int, puts: Sequence[str] = (), **options: object) -> None:
        words: list[str] = [f"{name}={value}" for name, value in options.items()] + [f"put={put}" for put in puts]
        command = [str(program), "load", str(port), *words]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def wait_until(self, word: str) -> None:
        """Until it says that it is "ready" (with ``wait=1``) or "measuring" (with ``announce=1``)."""
        assert self.process.stdout is not None
        if self.process.stdout.readline() != f"{word}\n":
            raise RuntimeError("the load generator ended; what it said is above")

    def go_on(self) -> None:
        """Let it report, after ``wait=1``."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def outcome(self) -> Outcome:
        """What came back, when the run is over."""
        output, _ = self.process.communicate()
        if self.process.returncode:
            raise RuntimeError(f"the load generator ended with status {self.process.returncode}")
        return Outcome(**json.loads(output))


@contextmanager
def server(command: Sequence[str | Path], core: int, log: Path) -> Iterator[int]:
    """A server that prints its port; gone when the block ends."""
    with on_core(core):
        child = Child(command, log, {**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        child.wait_until(lambda: child.output().endswith("\n"), "the server listens")
        yield int(child.output().splitlines()[-1])
    finally:
        child.stop()
