"""A real worker process on real brokers and databases."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from celery import Celery
from django.db import connection
from kombu import Connection, Queue

from protocols.jt808 import JT808
from protocols.message import Outcome
from store.bulk import write
from store.models import Alarm, Quarantine, Report
from tasks.contract import (
    INGEST_QUEUE,
    INGEST_TASK,
    RECEIPT_FIELD,
    RULES_TASK,
    IngestMessage,
    celery_configuration,
    copy_options,
    mailbox,
    unpack_receipt,
)
from tests.protocols.jt808.frames import HERE, location, only, up
from tests.records import anybody, incoming, report
from tests.servers import Child, PostgreSQL, Redis
from tests.store.rules.written import add as add_rule
from tests.tasks.workers import broker_at

IDENTITY = "013800138000"
RECEIVED_MS = 1_772_366_400_000


class Sender:
    """Sends tasks over a connection of its own; Celery's pools outlive a test and remember queues that are gone."""

    def __init__(self, app: Celery, connection: Connection) -> None:
        self._app = app
        self._producer = app.amqp.Producer(connection)

    def send(self, batch: str, *messages: object, **options: Any) -> None:
        payload = {"batch": batch, "gateway": "gw", "messages": messages}
        self._app.send_task(INGEST_TASK, kwargs=payload, producer=self._producer, **options)

    def ask(self, task: str) -> None:
        self._app.send_task(task, producer=self._producer)


@pytest.fixture
def sender(broker_url: str) -> Iterator[Sender]:
    app = Celery("sender", fixups=[], set_as_current=False)
    app.conf.update(celery_configuration(broker_url))
    with app.connection_for_write() as held:
        yield Sender(app, held)
    app.close()


@pytest.fixture
def start_worker(start_child: Callable[..., Child], database_url: str, redis_url: str, broker_url: str) -> Callable[[], Child]:
    def start() -> Child:
        words = ("-m", "celery", "-A", "tasks", "worker", "--concurrency", "1", "--without-mingle", "--without-gossip")
        urls = {"IOTGW_DATABASE_URL": database_url, "IOTGW_REDIS_URL": redis_url, "IOTGW_BROKER_URL": broker_url}
        return start_child(*words, name="worker", **urls)

    return start


@pytest.fixture
def mailbox_client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def device_message(number: int) -> IngestMessage:
    """A location as a device frames it and a gateway opens it."""
    _, _, body = location(JT808.terminal(IDENTITY), HERE._replace(time=datetime(2026, 3, 1, 12, number, tzinfo=UTC)))
    return IngestMessage("jt808", *only(up(0x0200, body, number))[:5], RECEIVED_MS)


def receipts(client: redis.Redis) -> dict[str, dict[int, Outcome]]:
    found = [unpack_receipt(fields[RECEIPT_FIELD]) for _, fields in client.xrange(mailbox("gw"))]
    return {receipt.batch: dict(receipt.outcomes) for receipt in found}


def test_an_expired_copy_is_forgotten_and_one_of_its_id_that_has_not_is_stored(
    sender: Sender,
    start_worker: Callable[[], Child],
    mailbox_client: redis.Redis,
    broker_url: str,
    redis_url: str,
) -> None:
    past, coming = ((datetime.now(UTC) + timedelta(minutes=minutes)).isoformat() for minutes in (-1, 5))
    sender.send("b1", device_message(1), task_id="b1.2", **copy_options(past))
    sender.send("b2", device_message(2), task_id="b2.2", **copy_options(coming))
    worker = start_worker()
    worker.wait_until(lambda: set(receipts(mailbox_client)) == {"b2"}, "what has not expired is stored")
    sender.send("b1", device_message(1), task_id="b1.2", **copy_options(coming))
    worker.wait_until(lambda: set(receipts(mailbox_client)) == {"b1", "b2"}, "it comes again under its id")
    assert worker.stop() == 0
    assert " error " not in worker.output().lower()
    with broker_at(broker_url, redis_url) as broker:
        assert broker.dead() == []


def test_a_worker_s_reports_are_held_against_rules_and_silent_devices_are_looked_for(
    sender: Sender, start_worker: Callable[[], Child], mailbox_client: redis.Redis
) -> None:
    anywhere = {"fence": "inside", "circle": {"center": [HERE.latitude, HERE.longitude], "radius_m": 10}}
    add_rule("here", anywhere)
    received = datetime.now(UTC) - timedelta(hours=1)
    write([incoming(report(time=received), received_at=received)], is_open=anybody)
    add_rule("silent", {"no_data_minutes": 30}, scope={"protocol": "fake"})
    sender.send("b1", device_message(1))
    worker = start_worker()
    worker.wait_until(lambda: set(receipts(mailbox_client)) == {"b1"}, "the batch is stored")
    assert Alarm.objects.get(kind="rule:here").device.protocol == "jt808"
    sender.ask(RULES_TASK)
    worker.wait_until(Alarm.objects.filter(kind="rule:silent", is_ongoing=True).exists, "the silent device is found")
    assert worker.stop() == 0
    assert " error " not in worker.output().lower()


@pytest.mark.parametrize("expires", [None, "2999-01-01T00:00:00+00:00"])
def test_a_batch_that_is_published_anew_expires_when_it_would_have(expires: str | None, broker_url: str) -> None:
    publish = (
        "import sys, tasks.celery; from types import SimpleNamespace as Request; from tasks import ingest;"
        "ingest._publish(Request(id='b1.2', expires=sys.argv[1] or None), {'batch': 'b1', 'gateway': 'gw', 'messages': []})"
    )
    environment = {**os.environ, "IOTGW_BROKER_URL": broker_url}
    subprocess.run([sys.executable, "-c", publish, expires or ""], env=environment, check=True, timeout=60)
    queue = Queue(INGEST_QUEUE, no_declare=True)
    with Connection(broker_url) as held, held.SimpleQueue(queue, no_ack=True, accept=["msgpack"]) as waiting:
        task = waiting.get(timeout=10)
        assert (task.headers["id"], task.headers["expires"]) == ("b1.2", expires)
        assert "expiration" not in task.properties


def test_a_batch_sent_to_the_broker_is_stored_and_receipted(
    sender: Sender, start_worker: Callable[[], Child], mailbox_client: redis.Redis
) -> None:
    worker = start_worker()
    unknown = device_message(3)._replace(protocol="none")
    sender.send("b1", device_message(1), device_message(2), unknown)
    worker.wait_until(lambda: receipts(mailbox_client), "the receipt is in the mailbox")
    assert receipts(mailbox_client) == {"b1": {2: Outcome.QUARANTINED}}
    rows = Report.objects.filter(device__identity=device_message(1).identity).order_by("time")
    assert [(row.time.minute, round(row.latitude or 0, 4), row.speed_kmh) for row in rows] == [(1, 31.2, 36), (2, 31.2, 36)]
    assert Quarantine.objects.get().error_cause == "unknown-protocol"
    assert worker.stop() == 0
    assert "Traceback" not in worker.output()


def test_a_worker_lives_through_a_bad_payload(
    sender: Sender, start_worker: Callable[[], Child], mailbox_client: redis.Redis
) -> None:
    sender.send("bad", ["nonsense"])
    sender.send("good", device_message(1))
    worker = start_worker()
    worker.wait_until(lambda: receipts(mailbox_client), "the receipt is in the mailbox")
    assert list(receipts(mailbox_client)) == ["good"]
    assert worker.output().count("dropped a bad payload") == 1
    assert "Traceback" not in worker.output()


@pytest.mark.parametrize("broker_url", ["redis", "rabbitmq"], indirect=True)
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_worker_takes_up_its_work_when_the_database_is_back(
    sender: Sender, start_worker: Callable[[], Child], mailbox_client: redis.Redis, postgresql_server: PostgreSQL
) -> None:
    worker = start_worker()
    sender.send("before", device_message(1))
    worker.wait_until(lambda: receipts(mailbox_client), "the first receipt is in the mailbox")
    postgresql_server.stop()
    try:
        sender.send("meanwhile", device_message(2))
        worker.wait_until(lambda: worker.output().count("database does not take the batch") >= 2, "the worker tried twice")
        assert list(receipts(mailbox_client)) == ["before"]
    finally:
        postgresql_server.start()
    worker.wait_until(lambda: "meanwhile" in receipts(mailbox_client), "the batch was stored after all")
    assert Report.objects.count() == 2


@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_batches_arrive_after_the_broker_has_forgotten_everything(
    sender: Sender, start_worker: Callable[[], Child], mailbox_client: redis.Redis, redis_server: Redis
) -> None:
    worker = start_worker()
    sender.send("before", device_message(1))
    worker.wait_until(lambda: receipts(mailbox_client), "the first receipt is in the mailbox")
    redis_server.flush()
    sender.send("after", device_message(2))
    worker.wait_until(lambda: receipts(mailbox_client), "the second receipt is in the mailbox", 15)
    assert Report.objects.count() == 2


@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_worker_keeps_its_connection_between_tasks(
    sender: Sender, start_worker: Callable[[], Child], mailbox_client: redis.Redis
) -> None:
    def backends() -> list[int]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
            return [pid for (pid,) in cursor.fetchall()]

    worker = start_worker()
    seen = []
    for batch in ("1", "2", "3"):
        sender.send(batch, device_message(int(batch)))
        worker.wait_until(lambda batch=batch: batch in receipts(mailbox_client), "the receipt is in the mailbox")
        seen.append(backends())
    assert len(seen[0]) == 1
    assert seen == seen[:1] * 3
