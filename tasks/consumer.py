"""What a worker does before a task runs: see to the broker, and look at each message.

broker ── message ──▶ is it a task of ours, whole, with the arguments it takes? ──▶ its process
                          └─ no ─▶ one line in the log, a dead letter, and whoever waits for it is told
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from amqp.exceptions import PreconditionFailed
from celery.exceptions import NotRegistered, WorkerShutdown
from celery.signals import task_revoked
from celery.worker.consumer import consumer
from celery.worker.state import revoked as revoked_tasks
from kombu import Connection, Exchange, Queue
from kombu.exceptions import ContentDisallowed
from kombu.transport.redis import Channel
from redis import Redis, ResponseError

from tasks.contract import DEAD, MOST_DEAD, OTHER_QUEUE, SAFE_REDIS, Fault, unsafe_redis
from tasks.deadletters import DeadLettering
from tasks.replies import reply

log = logging.getLogger(__name__)

CAUSE_LENGTH = 200
_HEADER_FAULTS = (TypeError, ValueError, LookupError, AttributeError)

Channel.QoS = DeadLettering


@task_revoked.connect
def _forget_expired(request: Any = None, expired: bool = False, **_: Any) -> None:
    """Celery takes an id whose task has expired for revoked, for hours. A gateway that starts again sends its batches under the
    ids that they had."""
    if expired:
        revoked_tasks.discard(request.id)


class RefusedError(Exception):
    """A message that no task can be made of; the text says why, without what is in it."""


class Consumer(consumer.Consumer):
    """Celery's, which would print a bad message whole, and stop at some."""

    connection_errors: tuple[type[Exception], ...]

    class Blueprint(consumer.Consumer.Blueprint):  # type: ignore[valid-type,misc]
        # Without what makes 28 queues on RabbitMQ for tasks that are to run later: there are none.
        default_steps = tuple(step for step in consumer.Consumer.Blueprint.default_steps if not step.endswith(":DelayedDelivery"))

    def connect(self) -> Connection:
        connection: Connection = super().connect()
        channel: Any = connection.default_channel
        if connection.transport.driver_type == "amqp":
            self._declare(connection)
        elif self.restart_count == 0 and (warning := redis_warning(channel.client)):
            log.warning(warning)
        return connection

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        handle = super().create_task_handler(*args, **kwargs)

        def on_task_received(message: Any) -> None:
            try:
                check(message, self.app.tasks)
                handle(message)
            except RefusedError as error:
                self._refuse(message, error)
            except _HEADER_FAULTS as error:
                # Of headers that only Celery looks at.
                self._refuse(message, RefusedError(f"a header is not as it should be: {type(error).__name__}"))

        return on_task_received

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        self._refuse(message, exc)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        self._refuse(message, RefusedError(f"its bytes cannot be read: {type(exc).__name__}"))

    def _refuse(self, message: Any, error: Exception) -> None:
        headers = message.headers if isinstance(message.headers, dict) else {}
        told = {name: str(headers.get(name))[:CAUSE_LENGTH] for name in ("task", "id")}
        queue = message.delivery_info.get("routing_key")
        log.error(
            "refused a task: %s", str(error)[:CAUSE_LENGTH], extra={**told, "queue": queue, "bytes": len(message.body or b"")}
        )
        message.reject_log_error(log, self.connection_errors)
        fault = type(error.__cause__ or error).__name__
        reply(told["id"], None, Fault(fault, str(error)[:CAUSE_LENGTH], ""))

    def _declare(self, connection: Connection) -> None:
        """Make all queues, whichever of them are taken here, and that of dead letters: RabbitMQ drops what has none.

        Raises: WorkerShutdown when queues of another kind have the names.
        """
        try:
            with connection.channel() as channel:
                dead = Queue(DEAD, Exchange(DEAD, "fanout"), queue_arguments={"x-max-length": MOST_DEAD})
                for queue in (dead, *self.app.amqp.queues.values()):
                    queue(channel).declare()
        except PreconditionFailed as error:
            log.critical(OTHER_QUEUE, extra={"cause": str(error)[:CAUSE_LENGTH]})
            raise WorkerShutdown(1) from error


def check(message: Any, tasks: Any) -> None:
    """Raises: RefusedError when the message is no call of one of the tasks."""
    headers = message.headers
    name, id = (headers.get("task"), headers.get("id")) if isinstance(headers, dict) else (None, None)
    if not isinstance(name, str) or not isinstance(id, str):
        raise RefusedError("it names no task")
    if not _are_limits(headers.get("timelimit")):
        raise RefusedError("its time limits are no two numbers")
    if headers.get("stamped_headers"):
        raise RefusedError("it is stamped, which none of ours is")
    if name not in tasks:
        text = f"no worker that takes its queue has the task {name[:CAUSE_LENGTH]}: is it of another release?"
        raise RefusedError(text) from NotRegistered(name)
    arguments, named = _arguments(message)
    try:
        tasks[name].__header__(*arguments, **named)
    except TypeError as error:
        raise RefusedError(f"not the arguments of the task: {error}") from error


def _are_limits(given: Any) -> bool:
    """Whether Celery can do with what a task says of its time limits: it looks when the task has its turn, and would stop."""
    if given is None:
        return True
    return (
        isinstance(given, (list, tuple)) and len(given) == 2 and all(isinstance(limit, (int, float, type(None))) for limit in given)
    )


def _arguments(message: Any) -> tuple[list[Any], dict[str, Any]]:
    try:
        payload = message.payload
    except ContentDisallowed as error:
        raise RefusedError(f"content of type {str(message.content_type)[:64]} is not taken") from error
    except Exception as error:
        raise RefusedError(f"its bytes cannot be read: {type(error).__name__}") from error
    if not isinstance(payload, (list, tuple)) or [*map(type, payload)] != [list, dict, dict]:
        raise RefusedError("its payload is not [arguments, named arguments, options]")
    if not all(isinstance(key, str) for key in payload[1]):
        raise RefusedError("a named argument's name is no text")
    return payload[0], payload[1]


def redis_warning(client: Redis) -> str | None:
    """What to do about a Redis that may lose tasks; None if there is nothing, or it does not tell its configuration."""
    try:
        unsafe = unsafe_redis({name: client.config_get(name).get(name) for name in SAFE_REDIS})
    except ResponseError:
        return None
    return None if unsafe is None else f"the broker's Redis may lose tasks, {unsafe.found}: {unsafe.do}"
