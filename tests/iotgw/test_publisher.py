"""The publisher, on real brokers: what arrives, what happens while the broker is away."""

from __future__ import annotations

import queue
from typing import Any

import pytest
from kombu import Connection

from iotgw.batch import Batch, Entry
from iotgw.publisher import Publisher
from protocols import Message
from tasks.contract import INGEST_QUEUE, INGEST_TASK, IngestMessage, ingest_messages
from tests.servers import Redis, wait_until


class DirectReactor:
    def callFromThread(self, function: Any, *arguments: Any) -> None:
        function(*arguments)


class Post:
    def __init__(self, broker_url: str) -> None:
        self.broker_url = broker_url
        self.publisher = Publisher(broker_url, "gw", DirectReactor())
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
    return Batch(f"run-{number}", [Entry(None, Message("", 0, 0, b"", b""), payload)])


def tasks(broker_url: str, number: int) -> list[dict[str, Any]]:
    """The keyword arguments of the tasks that wait in the queue."""
    with Connection(broker_url) as connection, connection.SimpleQueue(INGEST_QUEUE, no_ack=True, accept=["msgpack"]) as waiting:
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


def test_publishing_again_declares_a_queue_that_was_deleted(post: Post):
    first = batch(1)
    post.publish(first)
    assert post.result() is None
    with Connection(post.broker_url) as connection:
        connection.channel().queue_delete(INGEST_QUEUE)
    post.publish(first)
    assert post.result() is None
    assert [task["batch"] for task in tasks(post.broker_url, 1)] == ["run-1"]


def test_a_connection_is_kept_while_its_batches_have_receipts(post: Post):
    for number in range(5):
        post.publish(batch(number))
    assert [post.result() for _ in range(5)] == [None] * 5
    assert post.publisher._connections == 1
    again = batch(7)
    post.publish(again)
    post.publish(again)
    assert [post.result() for _ in range(2)] == [None] * 2
    assert post.publisher._connections == 2
