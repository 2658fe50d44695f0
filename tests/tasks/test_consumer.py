"""What a worker does with what it should never have been sent, and with brokers that are not as they should be."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgpack
import pytest
import redis
from click.testing import CliRunner
from kombu import Connection, Queue
from kombu.simple import SimpleQueue

from iotgw.cli import main
from tasks.celery import app
from tasks.consumer import redis_warning
from tasks.contract import (
    DEAD,
    DEFAULT_QUEUE,
    EXPORT_TASK,
    INGEST_TASK,
    MOST_DEAD,
    MOST_DELIVERIES,
    QUEUES,
    REPLY_FIELD,
    SUMMARY_TASK,
    UPKEEP_TASK,
    call_id,
    mailbox,
    unpack_reply,
)
from tests.servers import Child, Redis, wait_until
from tests.tasks.workers import Broker, broker_at, start_worker

SECRET = "013800138000"


@pytest.fixture
def broker(broker_url: str, redis_url: str) -> Iterator[Broker]:
    with broker_at(broker_url, redis_url) as broker:
        yield broker


@pytest.fixture
def worker(start_child: Callable[..., Child], sqlite_url: str, redis_url: str, broker_url: str) -> Child:
    urls = {"IOTGW_DATABASE_URL": sqlite_url, "IOTGW_REDIS_URL": redis_url, "IOTGW_BROKER_URL": broker_url}
    return start_worker(start_child, **urls)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def told(client: redis.Redis) -> dict[str, str]:
    """The faults that callers were told, by the numbers of their calls."""
    replies = [unpack_reply(fields[REPLY_FIELD]) for _, fields in client.xrange(mailbox("gw"))]
    return {reply.call.rpartition(":")[2]: reply.fault.type if reply.fault else "" for reply in replies}


def call(number: int) -> str:
    return call_id("gw", str(number))


class Trap:
    """Would run code when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return exec, ("raise SystemExit(99)",)


def test_what_is_no_task_is_a_dead_letter_once_told_in_a_line_and_stops_nothing(
    broker: Broker, worker: Child, client: redis.Redis
) -> None:
    headers = {"task": SUMMARY_TASK, "id": call(1), "argsrepr": SECRET}
    good = msgpack.packb([["jt808", SECRET], {}, {}])
    broker.send_bytes("default", pickle.dumps([[Trap()], {}, {}]), "application/x-python-serialize", headers)
    broker.send_bytes("default", b"\xc1" + SECRET.encode(), "application/x-msgpack", {**headers, "id": call(2)})
    broker.send_bytes("default", good[:9], "application/x-msgpack", {**headers, "id": call(3)})
    broker.send_bytes("default", msgpack.packb(SECRET), "application/x-msgpack", {**headers, "id": call(4)})
    broker.send_bytes("default", msgpack.packb([SECRET, 1, 2]), "application/x-msgpack", {**headers, "id": call(5)})
    broker.send_bytes("default", good, "application/x-msgpack", {"id": call(6)})
    broker.send_bytes("default", good, "application/x-msgpack", {**headers, "compression": "application/x-gzip", "id": call(7)})
    broker.send_bytes("default", good, "application/x-msgpack", {**headers, "timelimit": 5, "id": call(8)})
    broker.send_bytes("default", good, "application/x-msgpack", {**headers, "expires": "never", "id": call(9)})
    broker.send_bytes("default", good, "application/x-msgpack", {**headers, "stamped_headers": 5, "id": call(15)})
    broker.send_bytes("default", good, "application/x-msgpack", {**headers, "expires": 5, "id": call(16)})
    broker.send("tests.unknown", SECRET, task_id=call(10))
    broker.send(SUMMARY_TASK, SECRET, task_id=call(11))
    broker.send(SUMMARY_TASK, SECRET, named={"protocol": 1, "no_such": SECRET}, task_id=call(12))
    broker.send(INGEST_TASK, named={"batch": "b", "gateway": "gw", "messages": SECRET}, task_id=call(13))
    worker.wait_until(lambda: len(told(client)) == 15, "all callers are told")
    broker.send("tests.echo", "on it goes", task_id=call(14))
    worker.wait_until(lambda: told(client).get("14") == "", "a good task is run")
    faults = told(client)
    assert faults.pop("14") == ""
    assert all(faults.values())
    assert (faults["1"], faults["10"], faults["11"]) == ("ContentDisallowed", "NotRegistered", "TypeError")
    dead = {letter.id.rpartition(":")[2]: letter for letter in broker.dead()}
    assert len(dead) == len(broker.dead()) == 15
    assert {(letter.queue, letter.reason) for letter in dead.values()} == {("default", "rejected"), ("ingest", "rejected")}
    assert (dead["13"].queue, dead["13"].task) == ("ingest", INGEST_TASK)
    assert abs(dead["13"].at - datetime.now(UTC)) < timedelta(minutes=5)
    assert (dead["3"].bytes, dead["6"].task) == (9, "")
    output = worker.output()
    assert (output.count("refused a task"), output.count("dropped a bad payload")) == (14, 1)
    assert SECRET not in output
    assert "Traceback" not in output
    assert worker.stop() == 0


def test_a_dead_letter_is_tried_again_or_dropped_and_the_others_stay(
    broker: Broker, worker: Child, client: redis.Redis, redis_url: str
) -> None:
    def run(*words: str) -> tuple[int, list[str]]:
        environment = {"IOTGW_BROKER_URL": broker.url, "IOTGW_REDIS_URL": redis_url}
        done = CliRunner().invoke(main, ["dead", *words], env=environment)
        return done.exit_code, done.output.splitlines()

    for name in ("one", "two", "three"):
        broker.send("tests.unknown", name, task_id=name)
    worker.wait_until(lambda: worker.output().count("refused a task") == 3, "all are refused")
    status, lines = run("--json")
    assert (status, [json.loads(line)["id"] for line in lines]) == (0, ["one", "two", "three"])
    assert run("--drop", "one") == (0, ["1 dropped"])
    assert run("--again", "two") == (0, ["1 to be tried again"])
    worker.wait_until(lambda: worker.output().count("refused a task") == 4, "it was tried again")
    wait_until(lambda: [letter.id for letter in broker.dead()] == ["three", "two"], "it is a dead letter again")
    assert run("--again", "nobody") == (1, ["0 to be tried again"])
    assert len(run()[1]) == 2


def test_dead_letters_are_bounded_and_the_newest_stay(broker: Broker, worker: Child) -> None:
    for number in range(MOST_DEAD + 20):
        broker.send(f"tests.unknown{number}")
    worker.wait_until(lambda: worker.output().count("refused a task") == MOST_DEAD + 20, "all are refused")
    assert [letter.task for letter in broker.dead()] == [f"tests.unknown{number}" for number in range(20, MOST_DEAD + 20)]


def test_a_worker_of_one_queue_makes_all_of_them(
    rabbitmq_broker_url: str, redis_url: str, sqlite_url: str, start_child: Callable[..., Child]
) -> None:
    urls = {"IOTGW_DATABASE_URL": sqlite_url, "IOTGW_REDIS_URL": redis_url, "IOTGW_BROKER_URL": rabbitmq_broker_url}
    worker = start_worker(start_child, "-Q", "compute", **urls)
    worker.wait_until(lambda: "ready" in worker.output(), "the worker is ready")
    with broker_at(rabbitmq_broker_url, redis_url) as broker:
        # Its own requests for work on the disk and for retention wait for other workers; those for sums and the like it does.
        others = [queue for queue in (*QUEUES, DEAD) if queue != DEFAULT_QUEUE]
        worker.wait_until(lambda: [broker.depth(queue) for queue in others] == [0] * len(QUEUES), "there are all, and empty")


def test_a_task_that_comes_back_to_rabbitmq_again_and_again_is_a_dead_letter(
    rabbitmq_broker_url: str, redis_url: str, sqlite_url: str, start_child: Callable[..., Child]
) -> None:
    urls = {"IOTGW_DATABASE_URL": sqlite_url, "IOTGW_REDIS_URL": redis_url, "IOTGW_BROKER_URL": rabbitmq_broker_url}
    worker = start_worker(start_child, "-Q", "compute", **urls)
    worker.wait_until(lambda: "ready" in worker.output(), "the worker is ready")
    with broker_at(rabbitmq_broker_url, redis_url) as broker, Connection(rabbitmq_broker_url) as connection:
        broker.send("tasks.results.any", task_id="returned")
        for _ in range(MOST_DELIVERIES + 1):
            taken: list[Any] = []
            wait_until(lambda taken=taken: taken.append(connection.default_channel.basic_get("result")) or taken[-1], "it is there")
            connection.default_channel.basic_reject(taken[-1].delivery_tag, requeue=True)
        wait_until(lambda: broker.dead(), "it is a dead letter")
        assert [(letter.id, letter.queue, letter.reason) for letter in broker.dead()] == [("returned", "result", "delivery_limit")]


def test_queues_of_another_kind_end_the_worker_with_what_to_do(
    rabbitmq_broker_url: str, redis_url: str, sqlite_url: str, start_child: Callable[..., Child]
) -> None:
    with Connection(rabbitmq_broker_url) as connection:
        Queue("ingest")(connection.channel()).declare()
    urls = {"IOTGW_DATABASE_URL": sqlite_url, "IOTGW_REDIS_URL": redis_url, "IOTGW_BROKER_URL": rabbitmq_broker_url}
    worker = start_worker(start_child, **urls)
    assert worker.process.wait(60) == 1
    assert worker.output().count("rabbitmqctl delete_queue") == 1
    assert "Traceback" not in worker.output()


def test_a_redis_that_may_lose_tasks_is_told_with_what_to_do_and_one_that_does_not_say_is_not(redis_server: Redis) -> None:
    with redis.Redis.from_url(redis_server.url()) as client:
        warning = redis_warning(client)
        assert warning is not None
        assert "redis-cli config set appendonly yes" in warning
        assert "maxmemory-policy" not in warning
        client.config_set("appendonly", "yes")
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            assert "config set maxmemory-policy noeviction" in (redis_warning(client) or "")
            client.config_set("maxmemory-policy", "noeviction")
            assert redis_warning(client) is None
            client.execute_command("ACL", "SETUSER", "guarded", "on", "nopass", "~*", "+@all", "-config")
            with redis.Redis.from_url(redis_server.url(), username="guarded", password="any") as guarded:
                assert redis_warning(guarded) is None
        finally:
            client.execute_command("ACL", "DELUSER", "guarded")
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("appendonly", "no")


def test_every_task_has_its_time_limits_takes_no_pickle_and_is_acked_late() -> None:
    app.loader.import_default_modules()
    ours = {name: task for name, task in app.tasks.items() if name.startswith("tasks.")}
    assert len(ours) >= 6
    # Of these, a copy that is given out meanwhile finds somebody at it.
    long = {EXPORT_TASK, UPKEEP_TASK}
    for name, task in ours.items():
        assert 0 < task.soft_time_limit < task.time_limit <= (1_860 if name in long else 600), name
        assert task.acks_late, name
        assert task.max_retries == 2, name
    assert app.conf.accept_content == ["msgpack"]


def test_a_task_that_outlives_its_connection_to_redis_is_left_to_come_again(redis_broker_url: str) -> None:
    """What kombu raises of itself then, Celery takes for its own end."""
    with Connection(redis_broker_url) as connection:
        channel: Any = connection.default_channel
        SimpleQueue(channel, "ingest").put("task")
        message = SimpleQueue(channel, "ingest").get(timeout=5)
        connection.transport.client = None
        with pytest.raises(connection.connection_errors):
            message.ack()
        with pytest.raises(connection.connection_errors):
            message.reject()
        channel.qos.restore_unacked_once()
        connection.transport.client = connection
    with redis.Redis.from_url(redis_broker_url) as client:
        assert client.hlen("unacked") == 1
