"""Fixtures of real servers and fresh databases.

Tests ask for ``database_url``, ``redis_url`` and ``broker_url``. The first is a migrated, empty database that Django's
default connection in this process points at and that child processes take as ``IOTGW_DATABASE_URL``; it runs a test
once on each database, the last once on each broker. What is not installed is left out and said so at the end, or
fails with ``IOTGW_TEST_REQUIRE=all``.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from zlib import crc32

import pytest

for _name in [name for name in os.environ if name.startswith("IOTGW_") and not name.startswith("IOTGW_TEST_")]:
    del os.environ[_name]
# Tests start hundreds of processes of the house, and each would compile all of it again; so would pytest every test, every time.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
_FOLDER = Path(tempfile.mkdtemp(prefix="iotgw-test-"))
# A folder without settings file or data: a developer's own must not reach the tests.
os.environ |= {"DJANGO_SETTINGS_MODULE": "store.settings", "IOTGW_VAR": str(_FOLDER / "var")}

import django  # noqa: E402
import redis  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connections  # noqa: E402

from store.database import database  # noqa: E402
from tasks import connection as worker_connection  # noqa: E402
from tasks.contract import DEAD, QUEUES  # noqa: E402
from tests.servers import Child, Mosquitto, Nginx, PostgreSQL, RabbitMQ, Redis, ServerMissingError  # noqa: E402

ROOT = Path(__file__).parent.parent
_left_out: dict[str, int] = {}
_Server = TypeVar("_Server", Redis, PostgreSQL, RabbitMQ, Nginx, Mosquitto)


def pytest_configure() -> None:
    # Asked to end, end as after Ctrl-C: with fixtures torn down and servers stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Scatter the files, so that tests that wait for servers run beside tests that compute, and not all at the end."""
    items.sort(key=lambda item: crc32(item.nodeid.partition("::")[0].encode()))


def pytest_unconfigure() -> None:
    shutil.rmtree(_FOLDER, ignore_errors=True)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for reason, count in _left_out.items():
        terminalreporter.write_line(f"left out: {reason}: {count} {'test' if count == 1 else 'tests'}", yellow=True)


class _Servers:
    """The servers of this session, each started when a test first asks for it."""

    def __init__(self) -> None:
        self._running: dict[type, Redis | PostgreSQL | RabbitMQ | Nginx | Mosquitto] = {}
        self._missing: dict[type, str] = {}

    def get(self, server: type[_Server]) -> _Server:
        if server not in self._running and server not in self._missing:
            try:
                self._running[server] = server()
            except ServerMissingError as error:
                self._missing[server] = str(error)
        if server in self._missing:
            _leave_out(self._missing[server])
        return self._running[server]  # type: ignore[return-value]

    def close(self) -> None:
        for server in self._running.values():
            server.close()


def _leave_out(reason: str) -> None:
    if os.environ.get("IOTGW_TEST_REQUIRE") == "all":
        pytest.fail(f"needed by IOTGW_TEST_REQUIRE=all: {reason}", pytrace=False)
    _left_out[reason] = _left_out.get(reason, 0) + 1
    pytest.skip(reason)


@pytest.fixture(scope="session")
def servers() -> Iterator[_Servers]:
    servers = _Servers()
    yield servers
    servers.close()


@pytest.fixture
def redis_server(servers: _Servers) -> Redis:
    """A Redis with nothing in it."""
    server = servers.get(Redis)
    server.flush()
    return server


@pytest.fixture
def nginx(servers: _Servers) -> Nginx:
    return servers.get(Nginx)


@pytest.fixture
def mosquitto(servers: _Servers) -> Mosquitto:
    return servers.get(Mosquitto)


@pytest.fixture
def redis_url(redis_server: Redis) -> str:
    """An empty Redis for mailboxes."""
    return redis_server.url(0)


@pytest.fixture
def worker_redis(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    """An empty Redis that tasks in this process use."""
    monkeypatch.setattr(worker_connection, "settings", worker_connection.settings.model_copy(update={"redis_url": redis_url}))
    worker_connection.redis.cache_clear()
    with redis.Redis.from_url(redis_url) as client:
        yield client
    worker_connection.redis().close()
    worker_connection.redis.cache_clear()


@pytest.fixture
def redis_broker_url(redis_server: Redis) -> str:
    """The same Redis as a broker, in the database next to the mailboxes'."""
    return redis_server.url(1)


@pytest.fixture
def rabbitmq_broker_url(servers: _Servers) -> str:
    """A RabbitMQ with no message of ours in it."""
    server = servers.get(RabbitMQ)
    server.clear((*QUEUES, DEAD))
    return server.url()


@pytest.fixture(params=["redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    """An empty broker, once of each kind."""
    url: str = request.getfixturevalue(f"{request.param}_broker_url")
    return url


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "template.sqlite3"
    with _default_database(f"sqlite:///{path}"):
        call_command("migrate", verbosity=0)
    return path


@pytest.fixture
def sqlite_url(_sqlite_template: Path, tmp_path: Path) -> Iterator[str]:
    """A migrated, empty SQLite database that Django is pointed at."""
    path = tmp_path / "iotgw.sqlite3"
    shutil.copy(_sqlite_template, path)
    with _default_database(f"sqlite:///{path}") as url:
        yield url


@pytest.fixture(scope="session")
def _postgresql_template(servers: _Servers) -> str:
    server = servers.get(PostgreSQL)
    with _default_database(server.create("template_iotgw")):
        call_command("migrate", verbosity=0)
    return "template_iotgw"


@pytest.fixture
def postgresql_server(servers: _Servers) -> PostgreSQL:
    return servers.get(PostgreSQL)


@pytest.fixture
def postgresql_url(postgresql_server: PostgreSQL, _postgresql_template: str) -> Iterator[str]:
    """A migrated, empty PostgreSQL database that Django is pointed at."""
    with _default_database(postgresql_server.create("iotgw", _postgresql_template)) as url:
        yield url
    postgresql_server.drop("iotgw")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A migrated, empty database that Django is pointed at, once of each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


class _default_database:  # noqa: N801
    """Point Django's default connection at a database for a while."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> str:
        self._settings = connections.settings["default"]
        self._set(connections.configure_settings({"default": database(self._url)})["default"])
        return self._url

    def __exit__(self, *_: object) -> None:
        self._set(self._settings)

    def _set(self, settings: dict[str, Any]) -> None:
        connections["default"].close()
        del connections["default"]
        connections.settings["default"] = settings


@pytest.fixture
def start_child(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    """Start a Python program of the house: ``start_child("-m", "celery", ..., IOTGW_REDIS_URL=...)``; all end with the test."""
    children: list[Child] = []

    def start(*words: str | Path, name: str = "", **environment: str) -> Child:
        folder = tmp_path / f"child-{len(children)}"
        folder.mkdir()
        log = folder / f"{name or 'output'}.log"
        paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        # A folder for each test: what a gateway left in its spool is not to come out in another one.
        inherited = {**os.environ, "IOTGW_VAR": str(tmp_path / "var"), "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"}
        children.append(Child([sys.executable, *words], log, inherited | environment))
        return children[-1]

    yield start
    for child in children:
        child.stop()
