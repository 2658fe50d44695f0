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

from protocols.registry import PROTOCOLS
from tests.processes import children
from tests.servers import Child, free_port

MARKS = {"redis": "redis-server", "worker": "worker", "beat": "beat", "gateway": "twistd", "forward": "django"}


def listening(**endpoints: str) -> dict[str, str]:
    """Settings for these listeners, by protocol, and none for the others and for control: their own ports may be taken."""
    listen = {f"IOTGW_LISTEN__{name.upper()}": endpoints.get(name, "off") for name in PROTOCOLS}
    return {"IOTGW_CONTROL_LISTEN": "off", **listen}


class RunningStack:
    """``iotgw up`` in a folder of its own, on ports of its own."""

    def __init__(self, start_child: Callable[..., Child], folder: Path, **environment: str) -> None:
        self.ports = {name: free_port() for name in PROTOCOLS}
        self.folder = folder
        endpoints = {name: f"tcp:{port}:interface=127.0.0.1" for name, port in self.ports.items()}
        self.environment = {"IOTGW_VAR": str(folder), **listening(**endpoints), **environment}
        self.child = start_child("-m", "iotgw", "up", name="up", **self.environment)
        wanted = sum(value != "off" for name, value in self.environment.items() if name.startswith("IOTGW_LISTEN__"))
        self.child.wait_until(lambda: self.child.output().count("listening") >= wanted, "the stack listens")

    def pid(self, part: str) -> int:
        """The process of a part, as it is now.

        Raises: LookupError while it is not running.
        """
        for child in children(self.child.process.pid):
            if MARKS[part] in Path(f"/proc/{child}/cmdline").read_text():
                return child
        raise LookupError(part)

    def kill(self, part: str) -> None:
        """End a part as a power cut would, with the processes it has started."""
        pid = self.pid(part)
        os.killpg(pid, signal.SIGKILL)

    def spooled(self) -> list[Path]:
        """Files of batches that are acked, or may be, and not in the database yet."""
        return list(self.folder.glob("spool-*/*.spool"))

    def command(self, *words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run ``iotgw ...`` against this stack."""
        line = [sys.executable, "-m", "iotgw", *map(str, words)]
        environment = {**os.environ, **self.environment}
        return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=300, check=False, **options)

    def simulate(self, start_child: Callable[..., Child], ledger: Path, protocol: str = "jt808", **options: object) -> Child:
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        command = ["-m", "iotgw", "simulate", protocol, "--port", str(self.ports[protocol]), "--ledger", str(ledger), *words]
        return start_child(*command, name="simulate", **self.environment)

    def reports(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.command("reports", "--limit", "100000", "--json").stdout)
        return rows
