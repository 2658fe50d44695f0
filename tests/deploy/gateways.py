"""Several gateways and a worker as they run in earnest, a simulated fleet, and what became of its reports."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from iotgw.stack import gateway_command
from tests.processes import Child, wait_until
from tests.stacks import listening


class Gateways:
    """Gateways by name on one Redis, and a worker that stores for all."""

    def __init__(self, start_child: Callable[..., Child], folder: Path, **environment: str) -> None:
        self._start_child = start_child
        self._environment = {
            "IOTGW_VAR": str(folder / "var"),
            "IOTGW_LOG_FORMAT": "json",
            "IOTGW_RECEIPT_TIMEOUT_SECONDS": "2",
            **environment,
        }
        self._folder = folder
        self.ledger = folder / "ledger.jsonl"
        self.running: dict[str, Child] = {}
        start_child("-m", "celery", "-A", "tasks", "worker", "-c", "1", name="worker", **self._environment)

    def start(self, name: str, endpoint: str) -> int:
        """Start a gateway; the port it listens on."""
        environment = {**self._environment, **listening(jt808=endpoint), "IOTGW_GATEWAY_ID": name}
        gateway = self._start_child(*gateway_command()[1:], name=name, **environment)
        gateway.wait_until(lambda: '"listening"' in gateway.output(), f"gateway {name} listens")
        self.running[name] = gateway
        (line,) = [line for line in gateway.output().splitlines() if '"listening"' in line]
        port: int = json.loads(line)["port"]
        return port

    def stop(self, name: str) -> dict[str, int]:
        """End a gateway in order; what it had counted."""
        gateway = self.running.pop(name)
        assert gateway.stop(signal.SIGTERM) == -signal.SIGTERM, gateway.output()
        counted: dict[str, int] = [json.loads(line) for line in gateway.output().splitlines() if '"statistics"' in line][-1]
        return counted

    def kill(self, name: str) -> None:
        self.running.pop(name).kill()

    def sessions(self, name: str) -> set[str]:
        """The devices that have begun a session on a gateway; it has to log at level debug."""
        return set(re.findall(r'"device": "(\d+)"[^\n]*"event": "session begun"', self.running[name].output()))

    @property
    def acked(self) -> int:
        return self.ledger.read_text().count("\n") if self.ledger.exists() else 0

    def simulate(self, port: int, **plan: object) -> Child:
        words = [word for name, value in plan.items() for word in (f"--{name}", str(value))]
        command = ["-m", "iotgw", "simulate", "jt808", "--port", str(port), "--ledger", str(self.ledger), *words]
        return self._start_child(*command, name="simulate", **self._environment)

    def wait_for_acks(self, simulator: Child, further: int) -> None:
        goal = self.acked + further
        simulator.wait_until(lambda: self.acked >= goal, f"{goal} acks")

    def verify(self, simulator: Child) -> str:
        """Wait until the fleet has all of its acks, and compare them with the database; verify's last line."""
        wait_until(lambda: simulator.process.poll() is not None, "the simulator ends", 120)
        assert simulator.process.returncode == 0, simulator.output()[-2000:]
        wait_until(lambda: not list(self._folder.glob("var/spool-*/*.spool")), "the spools are empty")
        command = [sys.executable, "-m", "iotgw", "verify", "--ledger", str(self.ledger)]
        environment = {**os.environ, **self._environment}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        return done.stdout.strip().splitlines()[-1] if done.stdout else done.stderr
