"""How queues stand, minute by minute, on real brokers."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
import redis
import time_machine
from celery import Celery
from django.core.management import CommandError, call_command
from kombu.exceptions import OperationalError

from tasks import health
from tasks.contract import COMPUTE_QUEUE, DEAD, HOPELESS, INGEST_QUEUE, KEEP_UP_TASK, MEASURE_TASK, celery_configuration
from tasks.health import GROWING_MINUTES, MANY_TASKS, MOST_LINES, Line, growing, lines, measure
from tests.servers import Child
from tests.tasks.workers import Broker, broker_at

NOON = 1_772_366_400


@pytest.fixture
def shared(worker_redis: redis.Redis) -> redis.Redis:
    """The Redis of workers."""
    return worker_redis


@pytest.fixture
def broker(broker_url: str, redis_url: str) -> Iterator[Broker]:
    with broker_at(broker_url, redis_url) as broker:
        yield broker


@pytest.fixture
def asking(broker_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The task asks the test's broker."""
    app = Celery("health", fixups=[], set_as_current=False)
    app.conf.update(celery_configuration(broker_url))
    monkeypatch.setattr(health, "app", app)
    monkeypatch.setattr(health, "WORKERS_SECONDS", 0.1)
    yield
    app.close()


@pytest.fixture
def minute() -> Iterator[Any]:
    with time_machine.travel(NOON, tick=True) as clock:
        yield clock


@pytest.mark.usefixtures("asking")
def test_what_waits_and_what_was_refused_is_noted_once_a_minute(shared: redis.Redis, broker: Broker, minute: Any) -> None:
    for _ in range(3):
        broker.send(KEEP_UP_TASK)
    shared.hset(HOPELESS, "batch", "x")
    measure()
    measure()
    broker.send(KEEP_UP_TASK)
    minute.shift(60)
    measure()
    newest, before = lines(10)
    assert (newest.minute - before.minute, newest.depths[COMPUTE_QUEUE], before.depths[COMPUTE_QUEUE]) == (1, 4, 3)
    assert (before.depths[INGEST_QUEUE], before.dead, before.workers) == (0, 1, 0)
    assert DEAD not in before.depths


def grown(*depths: int, every: int = 1) -> list[Line]:
    """Minutes of one queue, the newest last."""
    return [Line(number * every, {"ingest": depth, "media": 5_000}, 0, 1) for number, depth in enumerate(depths)][::-1]


def test_a_queue_grows_that_is_long_and_longer_each_minute() -> None:
    rising = [MANY_TASKS - GROWING_MINUTES + number for number in range(GROWING_MINUTES + 1)]
    assert growing(grown(*rising)) == {"ingest": MANY_TASKS}
    assert growing(grown(*rising[1:])) == {}, "not for long enough"
    assert growing(grown(*(depth - 1 for depth in rising))) == {}, "not many"
    assert growing(grown(*rising[:-2], MANY_TASKS, MANY_TASKS)) == {}, "not each minute"
    assert growing(grown(*rising, every=30)) == {}, "beat was away meanwhile"


@pytest.mark.usefixtures("asking")
@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_one_that_grows_is_said_once_in_a_while(
    shared: redis.Redis, minute: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    depths = iter(range(MANY_TASKS, 10 * MANY_TASKS, 100))
    monkeypatch.setattr(health, "_depth", lambda connection, queue: next(depths) if queue == INGEST_QUEUE else 0)
    for _ in range(9):
        measure()
        minute.shift(60)
    (line,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert (line.message, line.queue, line.tasks) == ("a queue grows", INGEST_QUEUE, MANY_TASKS + 500)
    assert shared.ttl(f"{health.TOLD}{INGEST_QUEUE}") > 0


@pytest.mark.usefixtures("asking")
@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_a_day_is_kept(shared: redis.Redis) -> None:
    for number in range(MOST_LINES + 5):
        shared.lpush(health.LINES, Line(number, {}, 0, 0).pack())
    measure()
    assert shared.llen(health.LINES) == MOST_LINES


def test_a_redis_or_broker_that_is_away_is_a_line_in_the_log(
    shared: redis.Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: Any) -> None:
        raise OperationalError("refused")

    monkeypatch.setattr(health, "_look", away)
    measure()
    assert [record.message for record in caplog.records] == ["queues not measured, broker or Redis do not answer"]
    assert lines(10) == []


def run(*words: str) -> str:
    out = StringIO()
    call_command("queues", *words, stdout=out)
    return out.getvalue()


def test_the_command_shows_the_newest(shared: redis.Redis) -> None:
    assert run() == "Nothing was measured yet: do beat and a worker run?\n"
    for line in grown(*range(20))[::-1]:
        shared.lpush(health.LINES, line.pack())
    told = json.loads(run("--minutes", "3", "--json"))
    assert [(one["minute"], one["ingest"], one["workers"]) for one in told] == [
        ("1970-01-01T00:19:00+00:00", 19, 1),
        ("1970-01-01T00:18:00+00:00", 18, 1),
        ("1970-01-01T00:17:00+00:00", 17, 1),
    ]
    with pytest.raises(CommandError, match="number from 1 to 1440"):
        run("--minutes", "1441")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_real_worker_counts_itself(
    start_child: Callable[..., Child], database_url: str, redis_url: str, broker_url: str, broker: Broker, shared: redis.Redis
) -> None:
    urls = {"IOTGW_DATABASE_URL": database_url, "IOTGW_REDIS_URL": redis_url, "IOTGW_BROKER_URL": broker_url}
    words = ("-m", "celery", "-A", "tasks", "worker", "--concurrency", "1", "--without-mingle", "--without-gossip")
    running = start_child(*words, name="worker", **urls)
    broker.send(MEASURE_TASK)
    running.wait_until(lambda: lines(1), "it is measured")
    assert lines(1)[0].workers == 1
    assert running.stop() == 0
    assert "Traceback" not in running.output()
