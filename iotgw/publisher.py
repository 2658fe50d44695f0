"""Handing batches and calls to the broker, on a thread of its own.

A publish costs about a millisecond, and as long as the broker wants when it is ill: the event loop must not wait
for it. One thread and one held producer do it; kombu's connections are not to be shared among threads. Which queue
a task goes to its route says; the first task for it declares the queue, so that it waits for workers yet to come.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from queue import SimpleQueue
from typing import Any, NamedTuple

import structlog
from amqp.exceptions import PreconditionFailed
from celery import Celery
from kombu import Connection, Producer
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads

from iotgw.batch import Batch
from iotgw.copies import life_seconds
from iotgw.offload import Call
from tasks.contract import INGEST_TASK, OTHER_QUEUE, celery_configuration, copy_options, ingest_payload, ingest_task_id

log = structlog.get_logger(__name__)

OPTIONS: dict[str, Any] = {"retry": False, "ignore_result": True, "argsrepr": "", "kwargsrepr": ""}
"""No second try that would keep the thread, no result to store, and headers that show nothing of a device."""


class _Job(NamedTuple):
    what: Batch | Call
    published: Deferred[None]


class Publisher:
    """Publishes batches and calls in the order they are given."""

    def __init__(self, broker_url: str, gateway_id: str, reactor: IReactorFromThreads, receipt_timeout_seconds: float) -> None:
        self._gateway_id = gateway_id
        self._receipt_timeout_seconds = receipt_timeout_seconds
        self._reactor = reactor
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._app = Celery("iotgw", fixups=[], set_as_current=False)
        self._app.conf.update(celery_configuration(broker_url))
        self._connection: Connection | None = None
        self._producer: Producer | None = None
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the jobs it has. It is not waited for: it may be stuck with a broker that hangs."""
        self._jobs.put(None)

    def publish(self, batch: Batch) -> Deferred[None]:
        """Fires when the broker has the batch; fails when it may not have it."""
        return self._put(batch)

    def call(self, call: Call) -> Deferred[None]:
        """Fires when the broker has the call; fails when it may not have it."""
        return self._put(call)

    def _put(self, what: Batch | Call) -> Deferred[None]:
        published: Deferred[None] = Deferred()
        self._jobs.put(_Job(what, published))
        return published

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                if isinstance(job.what, Batch):
                    self._send(job.what)
                else:
                    self._send_call(job.what)
            except Exception as error:
                self._disconnect()
                told = ConnectionError(OTHER_QUEUE) if isinstance(error, PreconditionFailed) else error
                self._reactor.callFromThread(job.published.errback, told)
            else:
                self._reactor.callFromThread(job.published.callback, None)
        self._disconnect()

    def _send(self, batch: Batch) -> None:
        self._connect()
        payload = ingest_payload(batch.id, self._gateway_id, [entry.payload for entry in batch.entries])
        task_id = ingest_task_id(batch.id, batch.attempts)
        options = {**OPTIONS, **copy_options(self._expires(batch.attempts))}
        self._app.send_task(INGEST_TASK, kwargs=payload, task_id=task_id, producer=self._producer, **options)

    def _expires(self, attempt: int) -> str | None:
        seconds = life_seconds(attempt, self._receipt_timeout_seconds)
        return None if seconds is None else (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()

    def _send_call(self, call: Call) -> None:
        self._connect()
        self._app.send_task(
            call.task,
            args=call.arguments,
            kwargs=dict(call.named),
            task_id=call.id,
            expires=call.expires,
            producer=self._producer,
            **OPTIONS,
        )

    def _connect(self) -> None:
        if self._producer is None:
            self._connection = self._app.connection_for_write()
            self._producer = self._app.amqp.Producer(self._connection)

    def _disconnect(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            try:
                connection.release()
            except Exception as error:
                log.debug("broker connection did not close cleanly", cause=str(error))
