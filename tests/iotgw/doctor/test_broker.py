"""What is found of a broker, on Redis and on RabbitMQ: its queues, who takes from them, what was refused."""

from __future__ import annotations

from collections.abc import Callable

import redis
from kombu import Connection, Queue

from iotgw.doctor.broker import MOST_WAITING, examine_broker
from settings import Settings
from settings.findings import Finding, State
from tasks.contract import QUEUES
from tests.servers import Child, free_port
from tests.tasks.workers import broker_at, start_worker

SECRET = "not-this-one"


def look(broker_url: str, redis_url: str) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine_broker(Settings(broker_url=broker_url, redis_url=redis_url), {})}


def test_without_a_worker_it_is_a_fault_and_with_one_it_is_not(
    broker_url: str, redis_url: str, sqlite_url: str, start_child: Callable[..., Child]
) -> None:
    assert look(broker_url, redis_url)["workers"].state is State.FAULT
    urls = {"IOTGW_DATABASE_URL": sqlite_url, "IOTGW_REDIS_URL": redis_url, "IOTGW_BROKER_URL": broker_url}
    worker = start_worker(start_child, "-Q", "ingest,default", **urls)
    worker.wait_until(lambda: "ready." in worker.output(), "the worker is ready")
    found = look(broker_url, redis_url)
    assert found["workers"].found == "nobody takes media, command, compute, result: what is sent there waits"
    assert found["workers"].state is State.WARNING
    assert (found["queues"].state, found["dead letters"].state) == (State.OK, State.OK)
    with broker_at(broker_url, redis_url) as broker:
        broker.send("tests.unknown")
        worker.wait_until(lambda: broker.dead(), "it is a dead letter")
    letters = look(broker_url, redis_url)["dead letters"]
    assert (letters.state, letters.found, letters.do[:10]) == (State.WARNING, "1 are kept", "iotgw dead")


def test_a_long_queue_is_a_warning(redis_broker_url: str, redis_url: str) -> None:
    with redis.Redis.from_url(redis_broker_url) as client:
        client.rpush("media", *["task"] * (MOST_WAITING + 1))
    found = look(redis_broker_url, redis_url)["queues"]
    assert (found.state, found.found) == (State.WARNING, f"media {MOST_WAITING + 1}")


def test_queues_that_are_not_there_or_of_another_kind_are_told(rabbitmq_broker_url: str, redis_url: str) -> None:
    assert look(rabbitmq_broker_url, redis_url)["queues"].found.startswith("not there: ingest, media")
    with Connection(rabbitmq_broker_url) as connection:
        for name in QUEUES:
            Queue(name)(connection.channel()).declare()
    found = look(rabbitmq_broker_url, redis_url)["queues"]
    assert (found.state, "rabbitmqctl delete_queue" in found.do) == (State.FAULT, True)


def test_a_wrong_password_is_one_fault_and_is_not_told(broker_url: str, redis_url: str) -> None:
    place = broker_url.rpartition("@")[2].partition("//")[2] if "@" not in broker_url else broker_url.rpartition("@")[2]
    found = look(f"{broker_url.partition('://')[0]}://iotgw:{SECRET}@{place}", redis_url)
    assert (found["broker"].state, "refuses us" in found["broker"].found) == (State.FAULT, True)
    assert {each.state for name, each in found.items() if name != "broker"} == {State.SKIPPED}
    assert SECRET not in str(found)


def test_a_redis_of_its_own_is_looked_at_as_that_of_the_mailboxes_is(redis_broker_url: str, redis_url: str) -> None:
    assert "broker's Redis file" not in look(redis_broker_url, redis_url)
    other = look(redis_broker_url, f"redis://127.0.0.1:{free_port()}/0")
    assert other["broker's Redis file"].state is State.WARNING
