"""Tasks that workers refused: what lies there, and having one tried again or dropped.

worker ── refused ──▶ iotgw.dead ── all ──▶ whoever looks; it stays there
                          └──────── again ──▶ the queue it came from
worker ── ends, again and again ──▶ iotgw.hopeless ── all, again ──▶ likewise, and it stays until it is stored
"""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

from amqp import Channel, Message
from amqp.exceptions import AMQPError, NotFound
from celery import Celery
from kombu import Connection
from kombu.exceptions import OperationalError
from redis import Redis, RedisError

from tasks.contract import (
    ANSWER_SECONDS,
    DEAD,
    EXCHANGE,
    HOPELESS,
    INGEST_QUEUE,
    INGEST_TASK,
    QUEUES,
    celery_configuration,
    decoding_key,
    ingest_task_id,
    unpack_hopeless,
)

OPTIONS: dict[str, Any] = {"retry": False, "ignore_result": True, "argsrepr": "", "kwargsrepr": ""}


class DeadLettersError(Exception):
    """The broker does not show or move dead letters; the text says why."""


class DeadLetter(NamedTuple):
    """A task that was refused."""

    id: str
    """The task's; empty if it says none."""
    task: str
    queue: str
    """Where it waited before."""
    reason: str
    """``rejected`` by a worker, whose log says why; ``delivery_limit``: workers ended with it, again and again;
    ``workers_ended``: with this batch, though nothing of it was decoded."""
    at: datetime
    bytes: int


class DeadLetters(ABC):
    """The dead letters of a broker, the oldest first."""

    @abstractmethod
    def all(self) -> list[DeadLetter]:
        """What lies there. It stays."""

    @abstractmethod
    def move(self, id: str, *, again: bool) -> int:
        """Drop those of one task, or have them tried again first; how many there were."""


@contextmanager
def dead_letters(broker_url: str, redis_url: str) -> Iterator[DeadLetters]:
    """Raises: DeadLettersError when the broker or the mailboxes' Redis is away."""
    app = Celery("iotgw", fixups=[], set_as_current=False)
    app.conf.update(celery_configuration(broker_url))
    try:
        with app.connection_for_write() as connection, Redis.from_url(redis_url) as client:
            connection.ensure_connection(max_retries=1, interval_start=0)
            channel: Any = connection.default_channel
            is_rabbitmq = connection.transport.driver_type == "amqp"
            refused = _OnRabbitMQ(channel) if is_rabbitmq else _OnRedis(channel.client)
            yield _Both(refused, _Hopeless(client, app, connection))
    except (OperationalError, RedisError, OSError, AMQPError) as error:
        raise DeadLettersError(f"the broker does not do it: {error}") from error


class _OnRedis(DeadLetters):
    def __init__(self, client: Redis) -> None:
        self._client = client

    def all(self) -> list[DeadLetter]:
        return [self._letter(json.loads(raw)) for raw in self._raws()]

    def move(self, id: str, *, again: bool) -> int:
        moved = 0
        for raw in self._raws():
            message = json.loads(raw)
            letter = self._letter(message)
            if letter.id != id or (again and letter.queue not in QUEUES):
                continue
            pipeline = self._client.pipeline()
            pipeline.lrem(DEAD, 1, raw)
            if again:
                pipeline.lpush(letter.queue, json.dumps({**message, "headers": _without_death(message["headers"])}))
            pipeline.execute()
            moved += 1
        return moved

    def _raws(self) -> list[Any]:
        found: Any = self._client.lrange(DEAD, 0, -1)
        return list(reversed(found))

    @staticmethod
    def _letter(message: dict[str, Any]) -> DeadLetter:
        is_base64 = message["properties"].get("body_encoding") == "base64"
        body = b64decode(message["body"]) if is_base64 else message["body"]
        return _letter(message["headers"], len(body))


class _OnRabbitMQ(DeadLetters):
    """Takes them, and gives back what is to stay by closing the channel: so they keep their order."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def all(self) -> list[DeadLetter]:
        with self._channel.connection.channel() as channel:
            return [self._letter(message) for message in self._taken(channel)]

    def move(self, id: str, *, again: bool) -> int:
        moved = 0
        with self._channel.connection.channel() as channel:
            for message in self._taken(channel):
                letter = self._letter(message)
                if letter.id != id or (again and letter.queue not in QUEUES):
                    continue
                if again:
                    properties: dict[str, Any] = {
                        **message.properties,
                        "application_headers": _without_death(message.headers or {}),
                    }
                    copy = Message(message.body, **properties)
                    self._channel.basic_publish(copy, EXCHANGE, letter.queue, mandatory=True, confirm_timeout=ANSWER_SECONDS)
                channel.basic_ack(message.delivery_tag)
                moved += 1
        return moved

    @staticmethod
    def _letter(message: Message) -> DeadLetter:
        return _letter(message.headers or {}, len(message.body))

    @staticmethod
    def _taken(channel: Channel) -> list[Message]:
        taken = []
        try:
            while (message := channel.basic_get(DEAD)) is not None:
                taken.append(message)
        except NotFound:
            # No worker has been there yet.
            return []
        return taken


class _Hopeless(DeadLetters):
    """Batches. Their messages are acked: one leaves when it is stored, or dropped by hand."""

    def __init__(self, client: Redis, app: Celery, connection: Connection) -> None:
        self._client = client
        self._app = app
        self._connection = connection

    def all(self) -> list[DeadLetter]:
        found: Any = self._client.hgetall(HOPELESS)
        letters = [self._letter(batch.decode(), kept) for batch, kept in found.items()]
        return sorted(letters, key=lambda letter: letter.at)

    def move(self, id: str, *, again: bool) -> int:
        kept: Any = self._client.hget(HOPELESS, id)
        if kept is None:
            return 0
        if not again:
            return int(self._client.hdel(HOPELESS, id))
        _, payload = unpack_hopeless(id, kept)
        self._client.delete(decoding_key(id))
        # As a copy, which is taken away from here when it is stored. None came under this number.
        task_id = ingest_task_id(id, time.time_ns())
        with self._app.amqp.Producer(self._connection) as producer:
            self._app.send_task(INGEST_TASK, kwargs=payload, task_id=task_id, producer=producer, **OPTIONS)
        return 1

    @staticmethod
    def _letter(batch: str, kept: bytes) -> DeadLetter:
        kept_ms, _ = unpack_hopeless(batch, kept)
        at = datetime.fromtimestamp(kept_ms / 1000, UTC)
        return DeadLetter(batch, INGEST_TASK, INGEST_QUEUE, "workers_ended", at, len(kept))


class _Both(DeadLetters):
    def __init__(self, *kinds: DeadLetters) -> None:
        self._kinds = kinds

    def all(self) -> list[DeadLetter]:
        return sorted((letter for kind in self._kinds for letter in kind.all()), key=lambda letter: letter.at)

    def move(self, id: str, *, again: bool) -> int:
        return sum(kind.move(id, again=again) for kind in self._kinds)


def _letter(headers: dict[str, Any], size: int) -> DeadLetter:
    death = headers["x-death"][0]
    time = death["time"]
    at = time.replace(tzinfo=UTC) if isinstance(time, datetime) else datetime.fromtimestamp(time, UTC)
    task, id = (str(headers.get(name) or "") for name in ("task", "id"))
    return DeadLetter(id, task, death["queue"], death["reason"], at, size)


def _without_death(headers: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in headers.items() if not name.startswith("x-")}
