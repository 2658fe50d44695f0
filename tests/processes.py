"""Child processes of tests: each in a group of its own, waited for, and gone when the tests are."""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

READY_SECONDS = 60.0
STOP_SECONDS = 50.0
"""Longer than a process of a worker waits, when it ends, for its results to be taken: after others were killed that may be its
full 30 s (billiard's GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT), for one that nobody waits for any more."""
CRY_SECONDS = 1.0
PR_SET_PDEATHSIG = 1


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(is_so: Callable[[], object], what: str, seconds: float = READY_SECONDS) -> None:
    """Ask again and again until something is so. Errors count as "not yet"; the last one is told at the deadline."""
    deadline = time.monotonic() + seconds
    pause = 0.005
    while True:
        fault: Exception | None = None
        try:
            if is_so():
                return
        except AssertionError:
            raise
        except Exception as error:
            fault = error
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not so after {seconds:g} s") from fault
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)


def children(pid: int) -> list[int]:
    """The processes that a process has started, as they are now."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked after does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Child:
    """A child process in a group of its own, its output in a file."""

    def __init__(
        self, command: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None, user: str | None = None
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                env=dict(os.environ if environment is None else environment),
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
                **as_user(user),
            )

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_until(self, is_so: Callable[[], object], what: str, seconds: float = READY_SECONDS) -> None:
        """Like :func:`wait_until`, but a child that has ended is told at once, with what it said last."""

        def check() -> object:
            assert self.process.poll() is None, f"{what}: ended with status {self.process.returncode}\n{self.output()[-4000:]}"
            return is_so()

        try:
            wait_until(check, what, seconds)
        except AssertionError as error:
            error.add_note(self.output()[-4000:])
            raise

    def stop(self, how: signal.Signals = signal.SIGTERM, seconds: float = STOP_SECONDS) -> int:
        """End it, by force after ``seconds`` and with all that it started; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._cry()
                self.kill()
        self._kill_group()
        return self.process.wait()

    def _cry(self) -> None:
        """Show where it is: a worker of Celery tells by this signal what each of its threads is at, others end."""
        self.process.send_signal(signal.SIGUSR1)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(CRY_SECONDS)
        print(f"{self.log.name}: did not stop\n{self.output()[-8000:]}")

    def kill(self) -> None:
        """End it and all that it started as a power cut would."""
        self._kill_group()
        self.process.wait()

    def _kill_group(self) -> None:
        # The group outlives its first process as long as anything it started is left, and its number stays taken.
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def _end_with_parent() -> None:
    """In a new child on Linux: be killed when the tests are, so that nothing is left running even then."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def as_user(name: str | None) -> dict[str, Any]:
    """What makes :mod:`subprocess` start a program as somebody else."""
    if name is None:
        return {}
    entry = pwd.getpwnam(name)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
