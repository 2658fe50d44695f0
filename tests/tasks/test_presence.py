"""What gateways tell is stored, and whom no gateway has any more is found, on real databases and a real Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import redis
from django.db import DatabaseError, connection
from django_celery_beat.models import PeriodicTask

from settings import Settings
from store.models import Device, Event, Presence
from tasks import connection as worker_connection
from tasks import presence
from tasks.contract import (
    ALIVE,
    MOST_CHANGES,
    PRESENCE_CHECKED,
    PRESENCE_TASK,
    REPLY_FIELD,
    ROUTES,
    BadPayloadError,
    PresenceChange,
    call_id,
    mailbox,
    unpack_reply,
)
from tasks.presence import check, tell
from tasks.schedule import defaults
from tests.records import NOON
from tests.servers import Child
from tests.tasks.workers import broker_at, start_worker

pytestmark = pytest.mark.usefixtures("database_url")

NOON_MS = int(NOON.timestamp() * 1000)


@pytest.fixture(autouse=True)
def shared(worker_redis: redis.Redis, redis_url: str) -> Iterator[redis.Redis]:
    """The Redis of gateways and workers."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


def change(identity: str, epoch: int = 10, ended_ms: int = 0, cause: str = "") -> list[Any]:
    return list(PresenceChange("fake", identity, epoch, NOON_MS, ended_ms, "10.2.3.4:51120", cause))


def here(client: redis.Redis, *identities: str, gateway: str = "a", epoch: int = 10) -> None:
    """Devices with a session on a gateway that lives."""
    run = f"run-of-{gateway}"
    for identity in identities:
        Device.objects.get_or_create(protocol="fake", identity=identity)
        client.hset(ROUTES, f"fake/{identity}", f"{gateway} {run} 7 {epoch} 5")
    client.set(ALIVE + run, gateway)
    tell(gateway, run, [change(identity, epoch) for identity in identities])


def look(client: redis.Redis) -> dict[str, str]:
    """Check, as if the time had come; who is not here any more, and why."""
    client.delete(PRESENCE_CHECKED)
    check()
    gone = Presence.objects.filter(is_online=False).select_related("device")
    return {row.device.identity: row.cause for row in gone}


def test_what_a_gateway_tells_is_stored_with_its_name_and_run() -> None:
    Device.objects.create(protocol="fake", identity="1")
    tell("a", "run-of-a", [change("1"), change("2")])
    row = Presence.objects.get()
    assert (row.is_online, row.since, row.gateway, row.run, row.epoch) == (True, NOON, "a", "run-of-a", 10)
    tell("a", "run-of-a", [change("1", ended_ms=NOON_MS + 1500, cause="idle")])
    row = Presence.objects.get()
    assert (row.is_online, row.since.microsecond, row.cause) == (False, 500_000, "idle")


@pytest.mark.parametrize(
    "changes",
    [
        None,
        "no",
        [["fake", "1"]],
        [[*change("1")[:-1], 5]],
        [change("1", epoch=0)],
        [change("1", epoch=1 << 63)],
        [change("1", ended_ms=-1)],
        [change("1", ended_ms=1 << 60)],
        [change("1")] * (MOST_CHANGES + 1),
    ],
)
def test_a_payload_that_is_none_of_ours_is_dropped(changes: object) -> None:
    with pytest.raises(BadPayloadError):
        tell("a", "run", changes)
    with pytest.raises(BadPayloadError):
        tell("a", 5, [])


def test_a_gateway_is_told_that_what_it_tells_is_none_and_nothing_is_kept_of_it(
    start_child: Callable[..., Child], sqlite_url: str, redis_url: str, broker_url: str, shared: redis.Redis
) -> None:
    urls = {"IOTGW_DATABASE_URL": sqlite_url, "IOTGW_REDIS_URL": redis_url, "IOTGW_BROKER_URL": broker_url}
    worker = start_worker(start_child, **urls)
    with broker_at(broker_url, redis_url) as broker, redis.Redis.from_url(redis_url) as client:
        broker.send(PRESENCE_TASK, "gw", "run", [["no", "change"]], task_id=call_id("gw", "1"))
        worker.wait_until(lambda: client.exists(mailbox("gw")), "there is a reply")
        replies = [unpack_reply(fields[REPLY_FIELD]) for _, fields in client.xrange(mailbox("gw"))]
        assert [reply.fault.type for reply in replies if reply.fault] == ["BadPayloadError"]
        assert broker.dead() == []
    assert "Traceback" not in worker.output()


def test_without_a_database_it_fails_and_its_gateway_tells_again() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE store_device RENAME TO elsewhere")
    try:
        with pytest.raises(DatabaseError):
            tell("a", "run", [change("1")])
        assert connection.connection is None
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE elsewhere RENAME TO store_device")


def test_the_devices_of_a_gateway_that_is_gone_are_gone_when_it_was_missed_twice(shared: redis.Redis) -> None:
    here(shared, "1", "2")
    here(shared, "3", gateway="b")
    assert look(shared) == {}
    shared.delete(f"{ALIVE}run-of-a")
    assert look(shared) == {}, "missed once"
    # Meanwhile one of them has come to the other gateway.
    here(shared, "2", gateway="b", epoch=11)
    assert look(shared) == {"1": "gateway_lost"}
    offline = Event.objects.get(kind="offline")
    assert (offline.device.identity, offline.detail) == ("1", {"gateway": "a", "cause": "gateway_lost"})
    assert look(shared) == {"1": "gateway_lost"}
    assert Event.objects.filter(kind="offline").count() == 1


def test_many_devices_of_a_gateway_that_is_gone_go_together(shared: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "DEVICES_AT_ONCE", 3)
    here(shared, *map(str, range(10)))
    shared.delete(f"{ALIVE}run-of-a")
    look(shared)
    assert len(look(shared)) == 10


@pytest.mark.parametrize("is_swept", [True, False])
def test_a_device_whose_end_was_never_told_is_found(shared: redis.Redis, is_swept: bool) -> None:
    """Its route was released, or is of a gateway that took the device over and was killed before it could say so."""
    here(shared, "1", "2", "3")
    shared.hdel(ROUTES, "fake/1")
    if not is_swept:
        shared.hset(ROUTES, "fake/1", "b run-of-b 3 11 6")
    assert look(shared) == {}
    assert look(shared) == {"1": "unknown"}


def test_who_comes_back_before_the_second_look_was_never_gone(shared: redis.Redis) -> None:
    here(shared, "1", "2")
    shared.hdel(ROUTES, "fake/1", "fake/2")
    shared.delete(f"{ALIVE}run-of-a")
    look(shared)
    here(shared, "1")
    here(shared, "2", epoch=11)
    shared.hdel(ROUTES, "fake/2")
    assert look(shared) == {}, "the second was missed in another session"
    assert look(shared) == {"2": "unknown"}


def test_a_redis_that_has_forgotten_everything_makes_nobody_gone(shared: redis.Redis) -> None:
    here(shared, "1")
    for _ in range(3):
        shared.flushdb()
        assert look(shared) == {}, "gateways have to claim their routes anew"
        here(shared, "1")
        assert look(shared) == {}


def test_a_fleet_is_gone_through_slice_by_slice(shared: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "DEVICES_A_CHECK", 3)
    monkeypatch.setattr(presence, "DEVICES_AT_ONCE", 2)
    here(shared, *map(str, range(7)))
    shared.hdel(ROUTES, "fake/0", "fake/5", "fake/6")
    found = [len(look(shared)) for _ in range(8)]
    assert found == [0, 1, 2, 3, 3, 3, 3, 3]
    shared.hdel(ROUTES, "fake/1")
    for _ in range(5):
        look(shared)
    assert set(look(shared)) == {"0", "1", "5", "6"}, "it begins again"


def test_of_many_workers_one_looks(shared: redis.Redis) -> None:
    here(shared, "1")
    shared.delete(f"{ALIVE}run-of-a")
    for _ in range(5):
        check()
    assert Presence.objects.get().is_online, "it has been missed once only"


def test_without_redis_nobody_is_missed(
    shared: redis.Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    here(shared, "1")
    monkeypatch.setattr(worker_connection, "settings", Settings(redis_url="redis://127.0.0.1:1/0"))
    monkeypatch.setattr(worker_connection, "LONGEST_PAUSE_SECONDS", 0.001)
    worker_connection.redis.cache_clear()
    check()
    check()
    assert Presence.objects.get().is_online
    assert {record.message for record in caplog.records} == {"presence not checked, Redis does not answer"}


def test_a_database_that_does_not_answer_is_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE store_presence")
    check()
    assert [record.message for record in caplog.records] == ["presence not checked, the database does not answer"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_beat_has_a_worker_look(
    start_child: Callable[..., Child], database_url: str, redis_url: str, broker_url: str, shared: redis.Redis
) -> None:
    urls = {"IOTGW_DATABASE_URL": database_url, "IOTGW_REDIS_URL": redis_url, "IOTGW_BROKER_URL": broker_url}
    words = ("-m", "celery", "-A", "tasks", "worker", "--concurrency", "1", "--without-mingle", "--without-gossip")
    here(shared, "1", "2")
    shared.delete(f"{ALIVE}run-of-a")
    look(shared)
    shared.delete(PRESENCE_CHECKED)
    defaults.install(ZoneInfo("UTC"))
    PeriodicTask.objects.update(last_run_at=datetime.now(UTC) - timedelta(seconds=60))
    beat = start_child("-m", "celery", "-A", "tasks", "beat", name="beat", **urls)
    running = start_child(*words, name="worker", **urls)
    running.wait_until(lambda: not Presence.objects.filter(is_online=True).exists(), "beat asks, and a worker looks")
    running.wait_until(lambda: "devices taken for gone" in running.output(), "the worker says so", 10)
    assert (beat.stop(), running.stop()) == (0, 0)
    assert "Traceback" not in running.output() + beat.output()
