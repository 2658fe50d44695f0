"""A worker process and what is in its broker, for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from kombu import Connection, Producer

from iotgw.deadletters import DeadLetter, dead_letters
from tasks.contract import celery_configuration
from tests.servers import Child


class Broker:
    """Sends what it is told to, and looks at dead letters.

    It holds a connection of its own: Celery's pools outlive a test and remember queues that are gone.
    """

    def __init__(self, url: str, redis_url: str) -> None:
        self.url = url
        self.redis_url = redis_url
        self._app = Celery("sender", fixups=[], set_as_current=False)
        self._app.conf.update(celery_configuration(url))
        self._connection: Connection = self._app.connection_for_write()
        self._producer: Producer = self._app.amqp.Producer(self._connection)

    def send(self, task: str, *args: Any, **options: Any) -> None:
        self._app.send_task(task, args, options.pop("named", {}), producer=self._producer, **options)

    def send_bytes(self, queue: str, body: bytes, content_type: str, headers: dict[str, Any]) -> None:
        """Anything at all, straight into a queue."""
        declared = self._app.amqp.queues[queue]
        self._producer.maybe_declare(declared)
        kind = {"content_type": content_type, "content_encoding": "binary"}
        self._producer.publish(body, exchange="", routing_key=queue, headers=headers, **kind)

    def dead(self) -> list[DeadLetter]:
        """The oldest first. They stay."""
        with dead_letters(self.url, self.redis_url) as letters:
            return letters.all()

    def depth(self, queue: str) -> int:
        with Connection(self.url) as connection:
            channel: Any = connection.channel()
            return int(channel.queue_declare(queue, passive=True).message_count)

    def close(self) -> None:
        self._connection.release()
        self._app.close()


@contextmanager
def broker_at(url: str, redis_url: str) -> Iterator[Broker]:
    broker = Broker(url, redis_url)
    yield broker
    broker.close()


def start_worker(start_child: Callable[..., Child], *words: str, **environment: str) -> Child:
    options = ("--concurrency", "1", "--without-mingle", "--without-gossip")
    return start_child("-m", "celery", "-A", "tests.control.tasks", "worker", *options, *words, name="worker", **environment)
