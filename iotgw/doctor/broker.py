"""The broker: its queues, who takes from them, and what workers have refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from amqp.exceptions import AccessRefused, AMQPError, NotAllowed, PreconditionFailed
from celery import Celery
from kombu import Connection
from kombu.exceptions import OperationalError
from redis import AuthenticationError, Redis, RedisError

from iotgw.doctor.redisserver import ANSWER_SECONDS, examine_server, ok_if_none
from iotgw.queues import QueueState, queue_state
from protocols import DeviceProtocol
from settings import Settings
from settings.findings import Finding, Verdict, after, fault, finding, first_line, ok, warning
from tasks.contract import DEAD, INGEST_QUEUE, OTHER_QUEUE, QUEUES, celery_configuration

MOST_WAITING = 1_000
"""Tasks: a gateway without receipts has ``batches_in_flight`` and some copies of them there, and spools the rest."""
WORKERS_SECONDS = 2.0
"""Workers on Redis answer in some milliseconds; of how many to wait for is not known."""
START_WORKER = "start a worker: celery -A tasks worker, or with -Q and the queue"


class Broker(NamedTuple):
    """A broker, and what asks it."""

    app: Celery
    connection: Connection

    @property
    def is_rabbitmq(self) -> bool:
        return bool(self.connection.transport.driver_type == "amqp")

    def states(self) -> dict[str, QueueState | None]:
        return {queue: queue_state(self.connection, queue) for queue in QUEUES}

    def taken(self) -> set[str]:
        """The queues that workers take from. RabbitMQ knows; on Redis the workers are asked."""
        if self.is_rabbitmq:
            return {queue for queue, state in self.states().items() if state is not None and state.consumers}
        asking = self.app.control.inspect(timeout=WORKERS_SECONDS, connection=self.connection)
        return {queue["name"] for queues in (asking.active_queues() or {}).values() for queue in queues}


def examine_broker(settings: Settings, _: Mapping[str, DeviceProtocol]) -> Iterator[Finding]:
    app = Celery("iotgw", fixups=[], set_as_current=False)
    app.conf.update(celery_configuration(settings.effective_broker_url), broker_connection_timeout=ANSWER_SECONDS)
    with app.connection_for_write() as connection:
        broker = Broker(app, connection)
        connection.transport_options = {**(connection.transport_options or {}), **_limits(broker)}
        reached = finding("broker", _reach, broker)
        yield reached
        if not broker.is_rabbitmq:
            yield from _examine_redis(settings, broker, reached)
        yield from after(reached, {"queues": _queues, "workers": _workers, "dead letters": _dead}, broker)


def _limits(broker: Broker) -> dict[str, Any]:
    if broker.is_rabbitmq:
        return {"read_timeout": ANSWER_SECONDS, "write_timeout": ANSWER_SECONDS}
    return {"socket_timeout": ANSWER_SECONDS, "socket_connect_timeout": ANSWER_SECONDS}


def _reach(broker: Broker) -> Verdict:
    name, setting = ("RabbitMQ", "broker_url") if broker.is_rabbitmq else ("Redis", "broker_url, or redis_url beside which it is,")
    try:
        broker.connection.ensure_connection(max_retries=1, interval_start=0)
    except (OperationalError, AMQPError, RedisError, OSError) as error:
        # kombu says some in its own words.
        if isinstance(error.__cause__ or error, (AccessRefused, NotAllowed, AuthenticationError)):
            do = f"set user, password and virtual host in {setting} as it knows them"
            return fault(f"{name} refuses us: {first_line(error)}", do)
        return fault(f"{name} does not answer: {first_line(error)}", f"start it, or is {setting} right? Gateways spool meanwhile")
    return ok(f"{name} answers")


def _examine_redis(settings: Settings, broker: Broker, reached: Finding) -> Iterator[Finding]:
    """If it is not that of the mailboxes, which is looked at anyway."""
    with Redis.from_url(settings.redis_url) as mailboxes:
        channel: Any = broker.connection.default_channel if reached.state == "ok" else None
        if channel is not None and _server(channel.client) != _server(mailboxes):
            yield from examine_server("broker's Redis", "broker_url", channel.client, {})


def _server(client: Redis) -> tuple[Any, ...]:
    kept = client.connection_pool.connection_kwargs
    return tuple(kept.get(name) for name in ("host", "port", "path"))


def _queues(broker: Broker) -> Verdict:
    states = broker.states()
    absent = [queue for queue, state in states.items() if state is None]
    if broker.is_rabbitmq and absent:
        return warning(f"not there: {', '.join(absent)}", "start a gateway or a worker: whoever comes first makes them")
    try:
        for queue in broker.app.amqp.queues.values() if broker.is_rabbitmq else ():
            # One that is there as it should be stays as it is.
            with broker.connection.channel() as channel:
                queue(channel).declare()
    except PreconditionFailed:
        return fault("RabbitMQ has queues of another kind under our names", OTHER_QUEUE)
    depths = {queue: state.tasks for queue, state in states.items() if state}
    long = [queue for queue, tasks in depths.items() if tasks > MOST_WAITING]
    found = ", ".join(f"{queue} {tasks}" for queue, tasks in depths.items() if tasks) or "nothing waits"
    if long:
        do = f"more workers for {', '.join(long)}, or look why they are slow: database, disk? {START_WORKER}"
        return warning(found, do)
    return ok(found)


def _workers(broker: Broker) -> Verdict:
    taken = broker.taken()
    idle = [queue for queue in QUEUES if queue not in taken]
    if INGEST_QUEUE in idle:
        return fault("no worker takes ingest: nothing is stored, gateways spool", START_WORKER)
    if idle:
        return warning(f"nobody takes {', '.join(idle)}: what is sent there waits", START_WORKER)
    return ok("all queues are taken")


def _dead(broker: Broker) -> Verdict:
    state = queue_state(broker.connection, DEAD)
    return ok_if_none(state.tasks if state else 0)
