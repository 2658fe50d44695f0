"""One session a device in the whole fleet: two gateways as they run in earnest, over one Redis."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator

import pytest
import redis

from iotgw.stack import gateway_command
from tasks.contract import ROUTES, ROUTES_SWEPT
from tests.protocols.jt808.frames import up
from tests.servers import Child, Redis, wait_until
from tests.stacks import listening
from tests.test_end_to_end import Terminal

HEARTBEAT = 0x0002
PHONES = ("013800000001", "013800000002")
FIELDS = tuple(f"jt808/{phone[1:]}" for phone in PHONES)


class Fleet:
    """Gateways ``a`` and ``b`` and a worker."""

    def __init__(self, start_child: Callable[..., Child], database_url: str, broker_url: str, redis_url: str) -> None:
        self._start_child = start_child
        self._environment = {
            "IOTGW_DATABASE_URL": database_url,
            "IOTGW_BROKER_URL": broker_url,
            "IOTGW_REDIS_URL": redis_url,
            **listening(jt808="tcp:0:interface=127.0.0.1"),
            "IOTGW_LOG_FORMAT": "json",
            "IOTGW_RECEIPT_TIMEOUT_SECONDS": "2",
        }
        self.redis = redis.Redis.from_url(redis_url, decode_responses=True)
        start_child("-m", "celery", "-A", "tasks", "worker", "-c", "1", name="worker", **self._environment)
        self.gateways: dict[str, Child] = {}
        self.ports: dict[str, int] = {}
        self.terminals: list[Terminal] = []
        for name in "ab":
            self.start(name)

    def start(self, name: str) -> None:
        gateway = self._start_child(*gateway_command()[1:], name=name, **self._environment, IOTGW_GATEWAY_ID=name)
        gateway.wait_until(lambda: '"listening"' in gateway.output(), f"gateway {name} listens")
        (line,) = [line for line in gateway.output().splitlines() if '"listening"' in line]
        self.gateways[name], self.ports[name] = gateway, json.loads(line)["port"]

    def connect(self, name: str, *phones: str) -> Terminal:
        """A new link with devices on it, each of which has its answer."""
        self.terminals.append(Terminal(self.ports[name]))
        for phone in phones:
            assert self.terminals[-1].ask(up(HEARTBEAT, phone=phone))
        return self.terminals[-1]

    def holder(self, field: str = FIELDS[0]) -> str | None:
        """Which gateway has the route."""
        route = self.redis.hget(ROUTES, field)
        return route.split()[0] if route else None

    def wait_until_held_by(self, name: str, field: str = FIELDS[0]) -> None:
        wait_until(lambda: self.holder(field) == name, f"the route of {field} is {name}'s")

    def stop(self, name: str) -> dict[str, int]:
        """End a gateway in order; what it had counted."""
        gateway = self.gateways[name]
        assert gateway.stop(signal.SIGTERM) == -signal.SIGTERM, gateway.output()
        counted: dict[str, int] = [json.loads(line) for line in gateway.output().splitlines() if '"statistics"' in line][-1]
        return counted

    def close(self) -> None:
        for terminal in self.terminals:
            terminal.close()
        self.redis.close()


@pytest.fixture
def fleet(start_child, sqlite_url, redis_broker_url, redis_url) -> Iterator[Fleet]:
    fleet = Fleet(start_child, sqlite_url, redis_broker_url, redis_url)
    yield fleet
    fleet.close()


def test_the_newest_link_wins_on_whichever_gateway_it_is(fleet: Fleet):
    first = fleet.connect("a", PHONES[0])
    fleet.wait_until_held_by("a")
    second = fleet.connect("b", PHONES[0])
    assert first.answer() == b"", "the first is closed"
    assert fleet.holder() == "b"
    assert second.ask(up(HEARTBEAT, phone=PHONES[0]))
    third = fleet.connect("a", PHONES[0])
    assert second.answer() == b""
    assert third.ask(up(HEARTBEAT, phone=PHONES[0]))
    assert fleet.holder() == "a"
    counted = {name: fleet.stop(name) for name in "ab"}
    assert [counted[name]["links.closed.replaced"] for name in "ab"] == [1, 1]
    assert fleet.redis.hlen(ROUTES) == 0, "gateways that stop leave no routes"
    assert not fleet.redis.keys("iotgw:alive:*")


def test_a_link_is_closed_only_when_its_last_device_is_elsewhere(fleet: Fleet):
    shared = fleet.connect("a", *PHONES)
    for field in FIELDS:
        fleet.wait_until_held_by("a", field)
    fleet.connect("b", PHONES[0])
    fleet.wait_until_held_by("b")
    for _ in range(3):
        assert shared.ask(up(HEARTBEAT, phone=PHONES[1])), "the other device goes on"
    assert (fleet.holder(FIELDS[0]), fleet.holder(FIELDS[1])) == ("b", "a")
    fleet.connect("b", PHONES[1])
    assert shared.answer() == b""


def test_a_device_that_goes_to_and_fro_a_hundred_times_has_one_session(fleet: Fleet):
    for round_ in range(100):
        last = fleet.connect("ba"[round_ % 2], PHONES[0])
    for terminal in fleet.terminals[:-1]:
        assert terminal.answer() == b""
    assert last.ask(up(HEARTBEAT, phone=PHONES[0]))
    fleet.wait_until_held_by("a")
    assert fleet.redis.hlen(ROUTES) == 1
    # The one that is left keeps its link from the other gateway's end.
    fleet.stop("b")
    assert last.ask(up(HEARTBEAT, phone=PHONES[0]))
    assert fleet.holder() == "a"
    counted = fleet.stop("a")
    assert counted["links.closed.shutdown"] == 1
    assert counted["links.opened"] == 50


def test_a_killed_gateway_holds_nobody(fleet: Fleet):
    fleet.connect("a", PHONES[0])
    fleet.connect("a", PHONES[1])
    for field in FIELDS:
        fleet.wait_until_held_by("a", field)
    fleet.gateways["a"].kill()
    last = fleet.connect("b", PHONES[0])
    fleet.wait_until_held_by("b")
    (dead,) = [key for key in fleet.redis.keys("iotgw:alive:*") if fleet.redis.get(key) == "a"]
    # As time would.
    fleet.redis.delete(dead, ROUTES_SWEPT)
    fleet.start("a")
    wait_until(lambda: fleet.holder(FIELDS[1]) is None, "the route that nobody has is swept")
    assert fleet.holder() == "b"
    assert last.ask(up(HEARTBEAT, phone=PHONES[0]))


def test_when_redis_was_away_and_has_forgotten_all_a_device_still_has_one_session(fleet: Fleet, redis_server: Redis):
    old = fleet.connect("a", PHONES[0])
    other = fleet.connect("a", PHONES[1])
    fleet.wait_until_held_by("a")
    redis_server.stop()
    try:
        new = Terminal(fleet.ports["b"])
        fleet.terminals.append(new)
        new.send(up(HEARTBEAT, phone=PHONES[0]))
        for name in "ab":
            gateway = fleet.gateways[name]
            gateway.wait_until(lambda gateway=gateway: "routes away" in gateway.output(), f"gateway {name} misses Redis")
    finally:
        redis_server.start()
    assert new.answer(), "it is let in when Redis is back"
    assert old.answer() == b""
    fleet.wait_until_held_by("b")
    fleet.wait_until_held_by("a", FIELDS[1])
    assert other.ask(up(HEARTBEAT, phone=PHONES[1]))
    for name in "ab":
        assert fleet.gateways[name].output().count("routes away") == 1
        assert fleet.gateways[name].output().count("routes back") == 1
