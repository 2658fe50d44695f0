"""The publisher, on real brokers: what arrives, what happens while the broker is away."""

from __future__ import annotations

import queue
from datetime import UTC, datetime
from typing import Any

import pytest
from celery import Celery
from kombu import Connection, Queue

from iotgw.batch import Batch, Entry
from iotgw.publisher import Publisher
from protocols import Message
from tasks.contract import INGEST_QUEUE, INGEST_TASK, MEDIA_TASK, IngestMessage, celery_configuration, ingest_messages, queue_of
from tests.servers import Redis, wait_until


class DirectReactor:
    def callFromThread(self, function: Any, *arguments: Any) -> None:
        function(*arguments)


class Post:
    def __init__(self, broker_url: str) -> None:
        self.broker_url = broker_url
        self.publisher = Publisher(broker_url, "gw", DirectReactor(), RECEIPT_TIMEOUT_SECONDS)
        self.publisher.start()
        self.results: queue.Queue[Any] = queue.Queue()

    def publish(self, batch: Batch) -> None:
        self.publisher.publish(batch).addBoth(self.results.put)

    def result(self) -> Any:
        return self.results.get(timeout=60)

    def close(self) -> None:
        self.publisher.stop()
        self.publisher._thread.join(30)
        assert not self.publisher._thread.is_alive()


def batch(number: int) -> Batch:
    payload = IngestMessage("jt808", "13800138000", 0x0200, number, b"head", bytes(range(256)), 1_700_000_000_000)
    return Batch(f"run-{number}", [Entry(None, Message("", 0, 0, b"", b""), payload)], attempts=1)


RECEIPT_TIMEOUT_SECONDS = 10


def headers(broker_url: str) -> dict[str, Any]:
    """Of the task that waits in the queue."""
    queue = Queue(INGEST_QUEUE, no_declare=True)
    with Connection(broker_url) as connection, connection.SimpleQueue(queue, no_ack=True, accept=["msgpack"]) as waiting:
        task = waiting.get(timeout=10)
        assert "expiration" not in task.properties, "RabbitMQ would make a dead letter of it"
        return dict(task.headers)


def tasks(broker_url: str, number: int) -> list[dict[str, Any]]:
    """The keyword arguments of the tasks that wait in the queue."""
    queue = Queue(INGEST_QUEUE, no_declare=True)
    with Connection(broker_url) as connection, connection.SimpleQueue(queue, no_ack=True, accept=["msgpack"]) as waiting:
        found = []
        for _ in range(number):
            task = waiting.get(timeout=10)
            assert task.headers["task"] == INGEST_TASK
            assert task.content_type == "application/x-msgpack"
            assert "13800138000" not in str(task.headers), "headers show nothing of a device"
            found.append(task.payload[1])
        return found


@pytest.fixture
def post(broker_url: str):
    post = Post(broker_url)
    yield post
    post.close()


def test_a_batch_arrives_as_the_contract_says(post: Post):
    post.publish(batch(1))
    assert post.result() is None
    (task,) = tasks(post.broker_url, 1)
    assert (task["batch"], task["gateway"]) == ("run-1", "gw")
    assert ingest_messages(task["messages"]) == [batch(1).entries[0].payload]


def test_copies_expire_and_the_first_attempt_does_not(post: Post):
    lives = {}
    for attempt in (1, 2, 5, 9):
        copy = batch(1)
        copy.attempts = attempt
        post.publish(copy)
        assert post.result() is None
        expires = headers(post.broker_url)["expires"]
        lives[attempt] = expires and (datetime.fromisoformat(expires) - datetime.now(UTC)).total_seconds()
    assert lives.pop(1) is None
    assert lives == pytest.approx({2: 120, 5: 600, 9: 240}, abs=30)


def test_batches_arrive_in_order(post: Post):
    for number in range(20):
        post.publish(batch(number))
    assert [post.result() for _ in range(20)] == [None] * 20
    assert [task["batch"] for task in tasks(post.broker_url, 20)] == [f"run-{number}" for number in range(20)]


def test_a_broker_that_is_away_fails_the_publish_and_not_the_publisher(redis_broker_url: str, redis_server: Redis):
    post = Post(redis_broker_url)
    post.publish(batch(1))
    assert post.result() is None
    redis_server.stop()
    post.publish(batch(2))
    failure = post.result()
    assert failure is not None
    assert failure.check(Exception)
    redis_server.start()
    wait_until(lambda: post.publish(batch(3)) or post.result() is None, "publishes again")
    assert [task["batch"] for task in tasks(redis_broker_url, 1)] == ["run-3"]
    post.close()


def test_a_queue_that_was_deleted_fails_the_publish_and_the_next_one_declares_it(rabbitmq_broker_url: str):
    post = Post(rabbitmq_broker_url)
    post.publish(batch(1))
    assert post.result() is None
    with Connection(rabbitmq_broker_url) as connection:
        connection.channel().queue_delete(INGEST_QUEUE)
    post.publish(batch(2))
    assert "NO_ROUTE" in post.result().getErrorMessage()
    post.publish(batch(2))
    assert post.result() is None
    assert [task["batch"] for task in tasks(rabbitmq_broker_url, 1)] == ["run-2"]
    post.close()


def test_a_queue_of_another_kind_is_told_with_what_to_do(rabbitmq_broker_url: str):
    with Connection(rabbitmq_broker_url) as connection:
        Queue(INGEST_QUEUE)(connection.channel()).declare()
    post = Post(rabbitmq_broker_url)
    post.publish(batch(1))
    assert "rabbitmqctl delete_queue" in post.result().getErrorMessage()
    post.close()


def test_every_task_has_its_queue_by_its_module(broker_url: str):
    app = Celery("routes", fixups=[], set_as_current=False)
    app.conf.update(celery_configuration(broker_url))
    for name, waits_in in {
        INGEST_TASK: "ingest",
        MEDIA_TASK: "media",
        "tasks.commands.send": "command",
        "tasks.compute.mileage": "compute",
        "tasks.results.store": "result",
        "tasks.devices.summary": "default",
        "anything": "default",
    }.items():
        assert (app.amqp.router.route({}, name)["queue"].name, queue_of(name)) == (waits_in, waits_in)
