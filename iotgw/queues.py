"""How much waits in the broker's queues, asked for by a thread of its own every few seconds.

It is how a gateway knows, too, whether the broker can be reached while there is nothing to publish.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import structlog
from amqp.exceptions import NotFound
from celery import Celery
from kombu import Connection
from kombu.exceptions import ChannelError

from tasks.contract import DEAD, QUEUES, celery_configuration

log = structlog.get_logger(__name__)

EVERY_SECONDS = 5.0
_ABSENT = (NotFound, ChannelError)


class QueueState(NamedTuple):
    """What a broker tells of a queue."""

    tasks: int
    """That wait in it."""
    consumers: int
    """Who takes from it; Redis does not tell."""


def queue_state(connection: Connection, queue: str) -> QueueState | None:
    """Of a queue, None if it is not there."""
    # A channel for each question: that a queue is not there costs the channel on which it was asked.
    channel: Any = connection.channel()
    try:
        told = channel.queue_declare(queue, passive=True)
        return QueueState(int(told.message_count), int(told.consumer_count))
    except _ABSENT:
        return None
    finally:
        channel.close()


class Queues:
    """The last known depths. Each value is replaced whole, so that the event loop may read them at any time."""

    def __init__(self, broker_url: str, queues: Sequence[str] = (*QUEUES, DEAD)) -> None:
        self.depths: dict[str, int] = {}
        """Tasks in each queue that no worker has taken yet, and dead letters."""
        self.unacked: int | None = None
        """Tasks that workers have taken and not finished, where the broker tells it (Redis)."""
        self.asked_at: float | None = None
        """When the broker has answered last, by the monotonic clock."""
        self._queues = queues
        self._app = Celery("iotgw", fixups=[], set_as_current=False)
        self._app.conf.update(celery_configuration(broker_url))
        self._connection: Connection | None = None
        self._is_away = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="queues", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the question it is at. It is not waited for: a broker may hang."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._ask()
            except Exception as error:
                if not self._is_away:
                    log.debug("queues cannot be asked after", cause=str(error))
                self._is_away = True
                self._disconnect()
            else:
                self._is_away = False
            self._stopping.wait(EVERY_SECONDS)
        self._disconnect()

    def _ask(self) -> None:
        if self._connection is None:
            self._connection = self._app.connection_for_write()
            self._connection.ensure_connection(max_retries=1, interval_start=0)
        states = {queue: queue_state(self._connection, queue) for queue in self._queues}
        # On Redis one that is empty is not there either.
        self.depths = {queue: state.tasks if state else 0 for queue, state in states.items()}
        self.unacked = self._unacked(self._connection)
        self.asked_at = time.monotonic()

    @staticmethod
    def _unacked(connection: Connection) -> int | None:
        channel: Any = connection.default_channel
        key = getattr(channel, "unacked_key", None)
        return None if key is None else int(channel.client.hlen(key))

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.release()
            except Exception as error:
                log.debug("broker connection did not close cleanly", cause=str(error))
