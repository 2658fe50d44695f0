"""Where tasks go on Redis that a worker refuses: RabbitMQ does by itself what is done here.

unacked ── reject ──▶ list iotgw.dead, the newest first and no more than so many
"""

from __future__ import annotations

import time
from typing import Any

from kombu.transport import redis, virtual
from kombu.utils.json import dumps
from redis.exceptions import ConnectionError as RedisConnectionError

from tasks.contract import DEAD, MOST_DEAD


class DeadLettering(redis.QoS):
    """How a worker settles what it has taken: what is refused for good is kept, under the headers that RabbitMQ gives it."""

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        self._check()
        if requeue:
            super().reject(delivery_tag, requeue=True)
            return
        letter = dumps(dead_letter(self.get(delivery_tag)._raw, int(time.time())))
        with self.pipe_or_acquire() as pipe:
            # In one step: a worker that is killed has it in one place or in the other.
            pipe.zrem(self.unacked_index_key, delivery_tag).hdel(self.unacked_key, delivery_tag)
            pipe.lpush(DEAD, letter).ltrim(DEAD, 0, MOST_DEAD - 1).execute()
        virtual.QoS.ack(self, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        self._check()
        super().ack(delivery_tag)

    def restore_unacked(self, client: Any = None) -> None:
        if not self._is_gone:
            super().restore_unacked(client)
        elif self._delivered:
            # They come back by themselves.
            self._delivered.clear()

    @property
    def _is_gone(self) -> bool:
        """Whether kombu has taken the connection apart, with tasks of it still at work."""
        transport = self.channel.connection
        return transport is None or transport.client is None

    def _check(self) -> None:
        """Raises: ConnectionError, which Celery expects; what kombu raises of itself would end the worker."""
        if self._is_gone:
            raise RedisConnectionError("the connection that brought the task is gone; the task comes again")


def dead_letter(raw: dict[str, Any], now: int) -> dict[str, Any]:
    """A message as kombu keeps it in Redis, with where it was refused and when, in seconds since 1970."""
    queue = raw["properties"]["delivery_info"]["routing_key"]
    death = {"queue": queue, "reason": "rejected", "time": now, "count": 1}
    headers = {**raw["headers"], "x-first-death-queue": queue, "x-first-death-reason": "rejected", "x-death": [death]}
    return {**raw, "headers": headers}
