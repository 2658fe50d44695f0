"""The one-machine stack as a child process, and its own children to be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.servers import Child, free_port

MARKS = {"redis": "redis-server", "worker": "celery", "gateway": "twistd"}


class RunningStack:
    """``iotgw up`` in a folder of its own, on a port of its own."""

    def __init__(self, start_child: Callable[..., Child], folder: Path, **environment: str) -> None:
        self.port = free_port()
        self.folder = folder
        self.environment = {"IOTGW_VAR": str(folder), "IOTGW_LISTEN__JT808": f"tcp:{self.port}:interface=127.0.0.1", **environment}
        self.child = start_child("-m", "iotgw", "up", name="up", **self.environment)
        self.child.wait_until(lambda: "listening" in self.child.output(), "the stack listens")

    def pid(self, part: str) -> int:
        """The process of a part, as it is now.

        Raises: LookupError while it is not running.
        """
        parent = self.child.process.pid
        for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            if MARKS[part] in Path(f"/proc/{child}/cmdline").read_text():
                return int(child)
        raise LookupError(part)

    def kill(self, part: str) -> None:
        """End a part as a power cut would, with the processes it has started."""
        pid = self.pid(part)
        os.killpg(pid, signal.SIGKILL)

    def command(self, *words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run ``iotgw ...`` against this stack."""
        line = [sys.executable, "-m", "iotgw", *map(str, words)]
        environment = {**os.environ, **self.environment}
        return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=300, check=False, **options)

    def simulate(self, start_child: Callable[..., Child], ledger: Path, **options: object) -> Child:
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        command = ["-m", "iotgw", "simulate", "jt808", "--port", str(self.port), "--ledger", str(ledger), *words]
        return start_child(*command, name="simulate", **self.environment)

    def reports(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.command("reports", "--limit", "100000", "--json").stdout.splitlines()]
