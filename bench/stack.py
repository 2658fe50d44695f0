"""The parts of the gateway's stack as they run in production, started for a bench and gone after it.

Redis with its file, PostgreSQL with fsync, workers by ``celery -A tasks worker``, gateways by ``twistd -y twistd.tac``.
Nobody is bound to a core: that is the system's to decide, as in production.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import redis

from iotgw.commands import ENVIRONMENT, command_line
from iotgw.stack import gateway_command, redis_command, worker_command
from protocols.jt808 import JT808
from tests.processes import Child, free_port, wait_until
from tests.servers import PostgreSQL, ServerMissingError
from tests.stacks import listening

ROOT = Path(__file__).parent.parent
STATISTICS_SECONDS = 2.0


class Stack:
    """One Redis, one PostgreSQL, one worker of some processes, and some gateways, for JT/T 808."""

    def __init__(self, gateways: int = 1, worker_processes: int = 1, **settings: str) -> None:
        # Asked to end, end as after Ctrl-C: with all parts stopped and their files removed.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        self.folder = Path(tempfile.mkdtemp(prefix="iotgw-bench-"))
        self._own = {f"IOTGW_{name.upper()}": value for name, value in settings.items()}
        self._children: list[Child] = []
        self._database: PostgreSQL | None = None
        self.gateways: list[Gateway] = []
        try:
            self._start(gateways, worker_processes)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all parts and remove what they have written."""
        for child in reversed(self._children):
            child.stop()
        if self._database is not None:
            self._database.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def pids(self) -> dict[str, int]:
        """The first process of each part."""
        assert self._database is not None
        names = {gateway.name: gateway.pid for gateway in self.gateways}
        database = int((self._database.folder / "data" / "postmaster.pid").read_text().split()[0])
        return {**names, "worker": self.worker.process.pid, "Redis": self._redis.process.pid, "PostgreSQL": database}

    def count(self, kind: str = "location") -> int:
        """Stored reports."""
        return self._one("SELECT count(*) FROM store_report WHERE kind = %s", kind)

    def duplicates(self) -> int:
        """Reports that are stored more than once, by what makes them one report: its device and its body."""
        return self._one("SELECT count(*) - count(DISTINCT (device_id, body)) FROM store_report WHERE kind = 'location'")

    def verify(self, ledger: Path) -> str:
        """The last line of ``iotgw verify``."""
        environment = {**self.environment, **ENVIRONMENT}
        command = command_line("verify", ["--ledger", str(ledger)])
        child = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
        lines = (child.stdout or child.stderr).splitlines()
        return lines[-1] if lines else f"verify ended with status {child.returncode} and no word"

    def spool_bytes(self) -> int:
        """Size of the gateways' spools on the disk."""
        total = 0
        for path in self.folder.glob("spool-*/*.spool"):
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def is_settled(self) -> bool:
        """Whether no batch waits in a spool or in the broker."""
        with redis.Redis.from_url(self._broker_url, decode_responses=True) as client:
            return not list(self.folder.glob("spool-*/*.spool")) and not client.llen("ingest") and not client.hlen("unacked")

    def restart_gateway(self) -> Gateway:
        """Kill the only gateway and start it anew."""
        (gateway,) = self.gateways
        gateway.child.kill()
        self._children.remove(gateway.child)
        gateway.child.log.unlink()
        self.gateways = [self._gateway(gateway.name, "bench-1")]
        return self.gateways[0]

    def _one(self, statement: str, *values: object) -> int:
        assert self._database is not None
        with psycopg.connect(self._database_url) as connection:
            row = connection.execute(statement, values).fetchone()
        assert row is not None
        return int(row[0])

    def _start(self, gateways: int, worker_processes: int) -> None:
        try:
            self._database = PostgreSQL()
        except ServerMissingError as error:
            raise SystemExit(f"the bench needs {error}") from error
        self._database_url = self._database.create("iotgw")
        socket = self.folder / "redis.sock"
        self._redis = self._child("redis", redis_command(self.folder, socket), os.environ)
        url = f"unix://{socket}?db=0"
        self._broker_url = f"unix://{socket}?db=1"
        wait_until(lambda: redis.Redis.from_url(url).ping(), "Redis answers")
        # Children run in the folder of their logs: the code is found by its path.
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self.environment = {
            **os.environ,
            "PYTHONPATH": path,
            "IOTGW_VAR": str(self.folder),
            "IOTGW_REDIS_URL": url,
            "IOTGW_DATABASE_URL": self._database_url,
            "IOTGW_LOG_FORMAT": "json",
            "IOTGW_STATISTICS_SECONDS": str(STATISTICS_SECONDS),
            **self._own,
        }
        environment = {**self.environment, **ENVIRONMENT}
        subprocess.run(command_line("migrate", ["--verbosity", "0"]), env=environment, cwd=ROOT, check=True)
        command = worker_command()
        command[command.index("--concurrency") + 1] = str(worker_processes)
        self.worker = self._child("worker", command, self.environment)
        for number in range(gateways):
            self.gateways.append(self._gateway(f"gateway {number + 1}" if gateways > 1 else "gateway", f"bench-{number + 1}"))

    def _gateway(self, name: str, id: str) -> Gateway:
        port = free_port()
        endpoints = listening(jt808=f"tcp:{port}:backlog=4096:interface=127.0.0.1")
        child = self._child(id, gateway_command(), {**self.environment, **endpoints, **self._own, "IOTGW_GATEWAY_ID": id})
        child.wait_until(lambda: '"listening"' in child.output(), f"{name} listens")
        return Gateway(name, child, port)

    def _child(self, name: str, command: list[str], environment: Mapping[str, str]) -> Child:
        child = Child(command, self.folder / f"{name}.log", environment)
        self._children.append(child)
        return child


class Gateway:
    """A gateway process."""

    def __init__(self, name: str, child: Child, port: int) -> None:
        self.name = name
        self.port = port
        self.child = child
        self.pid = child.process.pid
        self._log = child.log
        self._offset = 0
        self._snapshot: dict[str, Any] = {}

    def statistics(self) -> dict[str, Any]:
        """What it logged last of its gauges and counters: at most STATISTICS_SECONDS old."""
        for line in self._new_lines():
            with suppress(ValueError):
                entry = json.loads(line)
                if entry.get("event") == "statistics":
                    self._snapshot = entry
        return self._snapshot

    def _new_lines(self) -> Iterator[str]:
        with self._log.open() as log:
            log.seek(self._offset)
            # A line that is being written is left for the next time.
            for line in iter(log.readline, ""):
                if not line.endswith("\n"):
                    break
                self._offset = log.tell()
                yield line


def simulated(port: int, ledger: Path, **options: object) -> list[str]:
    """The command of a simulator: ``iotgw simulate jt808`` with options, ``_`` for ``-`` in their names."""
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    return [sys.executable, "-m", "iotgw", "simulate", JT808.name, "--port", str(port), "--ledger", str(ledger), *words]
