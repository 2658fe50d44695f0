"""How much waits in the broker's queues, minute by minute: kept for a day, and said when it grows.

beat, every minute -> measure()      broker: depth of each queue, dead letters; workers that answer
                                     Redis:  a line a minute, the newest first, of a day
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Self, cast

import msgpack
from amqp.exceptions import AMQPError, NotFound
from kombu import Connection
from kombu.exceptions import ChannelError, OperationalError
from redis import RedisError

from tasks.celery import app
from tasks.connection import redis
from tasks.contract import DEAD, HOPELESS, MEASURE_TASK, QUEUES

log = logging.getLogger(__name__)

SOFT_TIME_LIMIT_SECONDS = 30
"""It takes a second, for which workers are waited for."""
TIME_LIMIT_SECONDS = 40
WORKERS_SECONDS = 1.0
LINES = "iotgw:queues"
MOST_LINES = 1_440
CLAIM = "iotgw:queues:minute:"
TOLD = "iotgw:queues:told:"
TOLD_SECONDS = 600
GROWING_MINUTES = 5
MANY_TASKS = 1_000
"""Fewer come and go with a burst, or with the night's sums."""


class Line(NamedTuple):
    """How it was in a minute."""

    minute: int
    """Since 1970."""
    depths: dict[str, int]
    """Tasks that no worker has taken yet."""
    dead: int
    """Dead letters, and batches that workers end with."""
    workers: int
    """That answered within a second."""

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        return cls(*msgpack.unpackb(data))

    def pack(self) -> bytes:
        packed: bytes = msgpack.packb(tuple(self))
        return packed


@app.task(name=MEASURE_TASK, soft_time_limit=SOFT_TIME_LIMIT_SECONDS, time_limit=TIME_LIMIT_SECONDS)
def measure() -> None:
    """Note how much waits, and say which queues grow.

    Idempotent: of several within a minute the first does it. Bounded by the queues and the lines there are, in time by the limits
    above. What is lost with it, or falls into a time without Redis, is a line that is missing.
    """
    minute = int(time.time()) // 60
    try:
        if not redis().set(f"{CLAIM}{minute}", 1, nx=True, ex=120):
            return
        line = _look(minute)
        pipeline = redis().pipeline()
        pipeline.lpush(LINES, line.pack())
        pipeline.ltrim(LINES, 0, MOST_LINES - 1)
        pipeline.execute()
        _tell_growth(lines(GROWING_MINUTES + 1))
    except (RedisError, OperationalError, AMQPError, OSError) as error:
        log.warning("queues not measured, broker or Redis do not answer", extra={"cause": type(error).__name__})


def lines(count: int) -> list[Line]:
    """The newest first.

    Raises: redis.RedisError
    """
    found = cast("list[bytes]", redis().lrange(LINES, 0, count - 1))
    return [Line.unpack(data) for data in found]


def growing(newest: Sequence[Line]) -> dict[str, int]:
    """Queues that have many tasks and had fewer in each minute before, with how many there are."""
    if len(newest) <= GROWING_MINUTES or newest[0].minute - newest[GROWING_MINUTES].minute > 2 * GROWING_MINUTES:
        return {}
    depths = {queue: [line.depths.get(queue, 0) for line in newest[: GROWING_MINUTES + 1]] for queue in newest[0].depths}
    return {
        queue: then[0]
        for queue, then in depths.items()
        if then[0] >= MANY_TASKS and all(later > before for later, before in pairwise(then))
    }


def _look(minute: int) -> Line:
    with app.connection_for_read() as connection:
        depths = {queue: _depth(connection, queue) for queue in (*QUEUES, DEAD)}
    hopeless: Any = redis().hlen(HOPELESS)
    workers = app.control.inspect(timeout=WORKERS_SECONDS).ping() or {}
    return Line(minute, depths, depths.pop(DEAD) + hopeless, len(workers))


def _depth(connection: Connection, queue: str) -> int:
    """On Redis one that is empty is not there; and that it is not there costs the channel on which it was asked."""
    channel: Any = connection.channel()
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    except (NotFound, ChannelError):
        return 0
    finally:
        channel.close()


def _tell_growth(newest: Sequence[Line]) -> None:
    for queue, tasks in growing(newest).items():
        if redis().set(f"{TOLD}{queue}", 1, nx=True, ex=TOLD_SECONDS):
            log.warning("a queue grows", extra={"queue": queue, "tasks": tasks, "minutes": GROWING_MINUTES})
