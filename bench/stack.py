"""The parts of the gateway's stack as they run in production, started for a bench and gone after it.

Redis with its file, PostgreSQL with fsync, workers by ``celery -A tasks worker``, one beat, gateways by ``twistd -y twistd.tac``.
Nobody is bound to a core: that is the system's to decide, as in production.
"""

from __future__ import annotations

import json
import os
import random
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
from iotgw.stack import beat_command, gateway_command, redis_command, worker_command
from protocols.jt808 import JT808
from tests.processes import Child, children, free_port, wait_until
from tests.servers import PostgreSQL, RabbitMQ, ServerMissingError
from tests.stacks import listening

ROOT = Path(__file__).parent.parent
STATISTICS_SECONDS = 2.0


class Stack:
    """One Redis, one database, one worker of some processes, and some gateways, for JT/T 808.

    The broker is the same Redis or, if so asked for, a RabbitMQ; the database PostgreSQL or SQLite.
    """

    def __init__(
        self,
        gateways: int = 1,
        worker_processes: int = 1,
        *,
        has_rabbitmq: bool = False,
        has_postgresql: bool = True,
        **settings: str,
    ) -> None:
        # Asked to end, end as after Ctrl-C: with all parts stopped and their files removed.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        self.folder = Path(tempfile.mkdtemp(prefix="iotgw-bench-"))
        self._own = {f"IOTGW_{name.upper()}": value for name, value in settings.items()}
        self._children: list[Child] = []
        self._database: PostgreSQL | None = None
        self._rabbitmq: RabbitMQ | None = None
        self.gateways: list[Gateway] = []
        try:
            self._start(gateways, worker_processes, has_rabbitmq, has_postgresql)
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
        for server in (self._rabbitmq, self._database):
            if server is not None:
                server.close()
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
        """Whether no batch waits in a spool or in Redis, the broker."""
        with redis.Redis.from_url(self._redis_url(1), decode_responses=True) as client:
            return not list(self.folder.glob("spool-*/*.spool")) and not client.llen("ingest") and not client.hlen("unacked")

    def restart_gateway(self) -> Gateway:
        """Kill the only gateway and start it anew, on its port."""
        (gateway,) = self.gateways
        gateway.child.kill()
        self._children.remove(gateway.child)
        gateway.child.log.unlink()
        self.gateways = [self._gateway(gateway.name, "bench-1", gateway.port)]
        return self.gateways[0]

    def kill_worker_child(self) -> None:
        """Kill one of the worker's processes; its first one starts another."""
        os.kill(random.choice(children(self.worker.process.pid)), signal.SIGKILL)

    def restart_worker(self) -> None:
        """Kill the worker's first process alone, and start a worker anew while the others of the old one find out."""
        self.worker.process.kill()
        self.worker.process.wait()
        self.worker = self._child("worker", self._worker_command, self.environment)

    def restart_redis(self) -> None:
        self._redis.kill()
        self._children.remove(self._redis)
        self._start_redis()

    def restart_rabbitmq(self) -> None:
        assert self._rabbitmq is not None
        self._rabbitmq.kill()
        self._rabbitmq.start()

    def restart_postgresql(self) -> None:
        assert self._database is not None
        self._database.kill()
        self._database.start()

    def _one(self, statement: str, *values: object) -> int:
        assert self._database is not None
        with psycopg.connect(self._database_url) as connection:
            row = connection.execute(statement, values).fetchone()
        assert row is not None
        return int(row[0])

    def _start(self, gateways: int, worker_processes: int, has_rabbitmq: bool, has_postgresql: bool) -> None:
        self._database_url = f"sqlite:///{self.folder}/iotgw.db"
        try:
            if has_postgresql:
                self._database = PostgreSQL()
                self._database_url = self._database.create("iotgw")
            if has_rabbitmq:
                self._rabbitmq = RabbitMQ()
        except ServerMissingError as error:
            raise SystemExit(f"the bench needs {error}") from error
        self._start_redis()
        # Children run in the folder of their logs: the code is found by its path.
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self.environment = {
            **os.environ,
            "PYTHONPATH": path,
            "IOTGW_VAR": str(self.folder),
            "IOTGW_REDIS_URL": self._redis_url(0),
            "IOTGW_BROKER_URL": self._rabbitmq.url() if self._rabbitmq else "",
            "IOTGW_DATABASE_URL": self._database_url,
            "IOTGW_LOG_FORMAT": "json",
            "IOTGW_STATISTICS_SECONDS": str(STATISTICS_SECONDS),
            **self._own,
        }
        environment = {**self.environment, **ENVIRONMENT}
        subprocess.run(command_line("migrate", ["--verbosity", "0"]), env=environment, cwd=ROOT, check=True)
        self._worker_command = worker_command()
        self._worker_command[self._worker_command.index("--concurrency") + 1] = str(worker_processes)
        self.worker = self._child("worker", self._worker_command, self.environment)
        self._child("beat", beat_command(), self.environment)
        for number in range(gateways):
            name = f"gateway {number + 1}" if gateways > 1 else "gateway"
            self.gateways.append(self._gateway(name, f"bench-{number + 1}", free_port()))

    def _redis_url(self, database: int) -> str:
        return f"unix://{self._socket}?db={database}"

    def _start_redis(self) -> None:
        self._socket = self.folder / "redis.sock"
        self._redis = self._child("redis", redis_command(self.folder, self._socket), os.environ)
        wait_until(lambda: redis.Redis.from_url(self._redis_url(0)).ping(), "Redis answers")

    def _gateway(self, name: str, id: str, port: int) -> Gateway:
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
