"""Which devices are here, from their links to the database: gateways and a worker as they run in earnest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from store.models import Device, Event, Presence
from tasks.contract import ALIVE, PRESENCE_CHECKED
from tasks.presence import check
from tests.protocols.jt808.frames import up
from tests.servers import Child, Redis, wait_until
from tests.stacks import RunningStack
from tests.test_takeover import HEARTBEAT, PHONES, Fleet

ONE_PHONE = PHONES[0]
ONE, TWO = (phone[1:] for phone in PHONES)


class Told(Fleet):
    """A fleet, and what the database has of it."""

    def stands(self, identity: str = ONE) -> tuple[bool, str, str] | None:
        row = Presence.objects.filter(device__identity=identity).first()
        return row and (row.is_online, row.gateway, row.cause)

    def wait_until_stands(self, is_online: bool, gateway: str, cause: str = "", identity: str = ONE) -> None:
        wanted = (is_online, gateway, cause)
        wait_until(lambda: self.stands(identity) == wanted, f"{identity} stands as {wanted}")

    def timeline(self, identity: str = ONE) -> list[str]:
        rows = Event.objects.filter(device__identity=identity).order_by("time", "id")
        return [f"{row.kind} {row.detail['gateway']} {row.detail.get('cause', '')}".strip() for row in rows]

    def look(self) -> None:
        """Check, as if the time had come."""
        self.redis.delete(PRESENCE_CHECKED)
        check()

    def bury(self, name: str) -> None:
        """Have the key of a killed gateway expire."""
        (dead,) = [key for key in self.redis.keys(f"{ALIVE}*") if self.redis.get(key) == name]
        self.redis.delete(dead)


@pytest.fixture
def fleet(start_child: Callable[..., Child], database_url: str, broker_url: str, redis_url: str) -> Iterator[Told]:
    fleet = Told(start_child, database_url, broker_url, redis_url)
    yield fleet
    fleet.close()


on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_redis = pytest.mark.parametrize("broker_url", ["redis"], indirect=True)


def test_a_device_is_online_where_its_newest_link_is_and_offline_with_the_cause(fleet: Told):
    fleet.connect("a", ONE_PHONE)
    fleet.wait_until_stands(True, "a")
    second = fleet.connect("b", ONE_PHONE)
    fleet.wait_until_stands(True, "b")
    fleet.stop("a")
    assert fleet.stands() == (True, "b", ""), "what it left behind there is not its end"
    second.close()
    fleet.wait_until_stands(False, "b", "peer")
    assert fleet.timeline() == ["online a", "online b", "offline b peer"]
    fleet.connect("b", *PHONES)
    fleet.wait_until_stands(True, "b", identity=TWO)
    counted = fleet.stop("b")
    assert fleet.stands() == fleet.stands(TWO) == (False, "b", "shutdown"), "a gateway that stops has told it before it ends"
    assert (counted["presence_waiting"], counted.get("presence.dropped", 0)) == (0, 0)


@on_sqlite
@on_redis
@pytest.mark.usefixtures("worker_redis")
def test_the_devices_of_a_killed_gateway_are_offline_unless_another_one_has_them(fleet: Told):
    fleet.connect("a", *PHONES)
    fleet.wait_until_stands(True, "a")
    fleet.wait_until_stands(True, "a", identity=TWO)
    fleet.gateways["a"].kill()
    fleet.connect("b", ONE_PHONE)
    fleet.wait_until_stands(True, "b")
    fleet.bury("a")
    fleet.look()
    fleet.look()
    assert (fleet.stands(), fleet.stands(TWO)) == ((True, "b", ""), (False, "a", "gateway_lost"))
    fleet.gateways["b"].kill()
    fleet.bury("b")
    fleet.start("b")
    fleet.connect("b", PHONES[1])
    fleet.wait_until_stands(True, "b", identity=TWO)
    fleet.look()
    fleet.look()
    assert (fleet.stands(), fleet.stands(TWO)) == ((False, "b", "gateway_lost"), (True, "b", ""))
    assert fleet.timeline(TWO) == ["online a", "offline a gateway_lost", "online b"]


@on_sqlite
@on_redis
def test_what_happens_while_the_broker_is_away_is_told_when_it_is_back(fleet: Told, redis_server: Redis):
    first = fleet.connect("a", ONE_PHONE)
    fleet.wait_until_stands(True, "a")
    redis_server.stop()
    try:
        first.close()
        gateway = fleet.gateways["a"]
        gateway.wait_until(lambda: "presence not told" in gateway.output(), "it could not be told")
        assert fleet.stands() == (True, "a", "")
    finally:
        redis_server.start()
    fleet.wait_until_stands(False, "a", "peer")
    assert fleet.timeline() == ["online a", "offline a peer"]


@on_sqlite
@on_redis
@pytest.mark.usefixtures("worker_redis")
def test_a_flushed_redis_changes_nobody_s_timeline(fleet: Told):
    link = fleet.connect("a", ONE_PHONE)
    fleet.wait_until_stands(True, "a")
    before = Presence.objects.get()
    fleet.redis.flushdb()
    fleet.look()
    fleet.wait_until_held_by("a")
    fleet.look()
    wait_until(lambda: Presence.objects.get().epoch > before.epoch, "it is told under its new epoch")
    after = Presence.objects.get()
    assert (after.is_online, after.since) == (True, before.since)
    assert fleet.timeline() == ["online a"]
    assert link.ask(up(HEARTBEAT, phone=ONE_PHONE))


@on_sqlite
@on_redis
def test_a_device_that_is_deleted_meanwhile_is_passed_over(fleet: Told):
    link = fleet.connect("a", *PHONES)
    fleet.wait_until_stands(True, "a", identity=TWO)
    Device.objects.get(identity=ONE).delete()
    link.close()
    fleet.wait_until_stands(False, "a", "peer", identity=TWO)
    assert fleet.stands() is None


def test_simulated_devices_are_online_while_they_are_linked_and_offline_with_the_cause_after(
    start_child: Callable[..., Child], tmp_path: Path
):
    stack = RunningStack(start_child, tmp_path / "var")

    def standing() -> list[tuple[str, str]]:
        rows = json.loads(stack.command("devices", "--json").stdout)
        return [(row["state"], row["cause"]) for row in rows]

    fleet = stack.simulate(start_child, tmp_path / "ledger", devices=3, interval=0.5, duration=600)
    stack.child.wait_until(lambda: standing() == [("online", "")] * 3, "all are online")
    fleet.stop()
    stack.child.wait_until(lambda: standing() == [("offline", "peer")] * 3, "all are offline")
    first = json.loads(stack.command("devices", "--json").stdout)[0]["identity"]
    events = json.loads(stack.command("events", first, "--kind", "online", "--kind", "offline", "--json").stdout)
    assert [event["kind"] for event in events] == ["offline", "online"]
    assert events[0]["time"] > events[1]["time"]
