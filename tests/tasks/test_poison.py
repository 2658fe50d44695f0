"""Batches that end the worker which decodes them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import pytest
import redis
from celery.exceptions import Reject

from protocols.message import Outcome
from protocols.report import DecodeError
from store.models import Quarantine, Report
from store.rows import Incoming
from tasks import connection as worker_connection
from tasks import ingest, poison
from tasks.contract import INGEST_TASK, IngestMessage, ingest_payload, ingest_task_id
from tasks.poison import MOST_QUARANTINED, MOST_TRIED, NOT_TRIED, Notes, Trial
from tests.servers import Child, Redis, wait_until
from tests.tasks.fakes import BAD, FAKE, GOOD, HEAVY, KILL, LOOP
from tests.tasks.test_ingest import message, receipts, run_copy
from tests.tasks.workers import broker_at

Q = Outcome.QUARANTINED


@pytest.fixture
def client(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    """What this process notes is in the test's Redis, and counts at once."""
    monkeypatch.setattr(worker_connection, "settings", worker_connection.settings.model_copy(update={"redis_url": redis_url}))
    monkeypatch.setattr(poison, "ALIVE_MS", 0)
    monkeypatch.setitem(ingest.protocols, "fake", FAKE)
    worker_connection.redis.cache_clear()
    with redis.Redis.from_url(redis_url) as client:
        yield client
    worker_connection.redis().close()
    worker_connection.redis.cache_clear()


def seen(trial: Trial, rows: Sequence[IngestMessage]) -> list[str]:
    """What becomes of each message: ``good`` if it was decoded, else why not."""
    errors = [incoming.decoded.error for incoming in trial.decoded(rows, ingest.decoded, ingest.undecoded)]
    return [error.cause if error else "good" for error in errors]


ROWS = [message(), message(GOOD + b"2"), message(GOOD + b"3")]


@pytest.mark.usefixtures("client")
def test_where_a_worker_ended_is_the_culprit_and_the_others_are_decoded() -> None:
    Notes("b").begin()
    assert Notes("b").begin().left == 1
    Notes("b").at(1)
    second = Notes("b").begin()
    assert (second.left, second.culprits) == (2, {1})
    Notes("b").at(2)
    assert seen(Notes("b").begin(), ROWS) == ["good", "worker-lost", "worker-lost"]


@pytest.mark.usefixtures("client")
def test_a_worker_that_ended_behind_the_decoding_blames_no_message() -> None:
    Notes("b").begin()
    assert seen(Notes("b").begin(), ROWS) == ["good"] * 3
    assert Notes("b").begin().culprits == frozenset()


def test_one_that_another_worker_is_at_now_is_no_culprit(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poison, "ALIVE_MS", 5000)
    Notes("b").begin()
    Notes("b").at(1)
    assert Notes("b").begin().culprits == frozenset()
    client.hincrby("iotgw:decoding:b", "since", -5001)
    assert Notes("b").begin().culprits == {1}


def test_what_has_ended_is_not_counted_and_what_is_stored_is_forgotten(client: redis.Redis) -> None:
    for _ in range(10):
        trial = Notes("b").begin()
        assert trial.left == 0
        trial.end(is_stored=False)
    Notes("b").begin()
    trial = Notes("b").begin()
    assert trial.left == 1
    assert 0 < client.ttl("iotgw:decoding:b") <= poison.NOTES_SECONDS
    trial.end(is_stored=True)
    trial.end(is_stored=False)
    assert client.keys("iotgw:decoding:*") == []


@pytest.mark.usefixtures("client")
def test_after_four_workers_nothing_is_decoded_any_more() -> None:
    def decode(row: IngestMessage) -> Incoming:
        raise AssertionError("decoded")

    for _ in range(MOST_TRIED):
        Notes("b").begin()
    trial = Notes("b").begin()
    assert [incoming.decoded.error for incoming in trial.decoded(ROWS, decode, ingest.undecoded)] == [NOT_TRIED] * 3


@pytest.mark.usefixtures("sqlite_url")
def test_after_seven_workers_a_batch_is_a_dead_letter_and_does_not_come_again(client: redis.Redis) -> None:
    for _ in range(MOST_QUARANTINED):
        Notes("b1").begin()
    with pytest.raises(Reject) as rejection:
        run_copy(*ROWS)
    assert rejection.value.requeue is False
    assert [dict(receipt.outcomes) for receipt in receipts(client)] == [{0: Q, 1: Q, 2: Q}]
    assert not Report.objects.exists()
    assert client.keys("iotgw:decoding:*") == []


@pytest.mark.usefixtures("sqlite_url")
def test_a_batch_that_comes_for_the_first_time_asks_nobody(monkeypatch: pytest.MonkeyPatch, client: redis.Redis) -> None:
    monkeypatch.setattr(Notes, "_run", lambda *_: pytest.fail("Redis was asked"))
    ingest.store_batch(**ingest_payload("b1", "gw", ROWS))
    assert len(receipts(client)) == 1


@pytest.mark.usefixtures("client")
def test_while_redis_is_away_batches_are_decoded_as_always(redis_server: Redis) -> None:
    redis_server.stop()
    try:
        trial = Notes("b").begin()
    finally:
        redis_server.start()
    assert seen(trial, ROWS) == ["good"] * 3
    trial.end(is_stored=True)


def test_a_decoder_without_end_costs_its_message_and_so_do_many_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(row: IngestMessage) -> Incoming:
        end = time.monotonic() + 5
        while row.body.startswith(LOOP) and time.monotonic() < end:
            try:
                time.sleep(0.001)
            except Exception:
                continue
        return ingest.decoded(row)

    def causes(rows: Sequence[IngestMessage]) -> list[str]:
        errors: list[DecodeError | None] = [one.decoded.error for one in Trial().decoded(rows, decode, ingest.undecoded)]
        return [error.cause if error else "good" for error in errors]

    monkeypatch.setitem(ingest.protocols, "fake", FAKE)
    monkeypatch.setattr(poison, "BATCH_SECONDS", 0.05)
    monkeypatch.setattr(poison, "MESSAGE_SECONDS", 0.05)
    assert causes([ROWS[0], message(LOOP), ROWS[1]]) == ["good", "time-limit", "good"]
    monkeypatch.setattr(poison, "SEARCH_SECONDS", 0.01)
    assert causes([message(LOOP), ROWS[0], message(LOOP)]) == ["time-limit", "not-tried", "not-tried"]


def test_a_batch_with_killers_in_it_ends_few_workers_and_everything_else_is_stored(
    start_child: Callable[..., Child], sqlite_url: str, redis_url: str, broker_url: str
) -> None:
    """As its gateway sends it: again, while there is no receipt."""
    urls = {"IOTGW_DATABASE_URL": sqlite_url, "IOTGW_REDIS_URL": redis_url, "IOTGW_BROKER_URL": broker_url}
    words = ("-m", "celery", "-A", "tests.tasks.poisoned", "worker", "-c", "1", "--without-mingle", "--without-gossip")
    worker = start_child(*words, name="worker", **urls)
    bodies = [GOOD, KILL + b"1", LOOP, BAD, GOOD + b"2", KILL + b"2", HEAVY, GOOD + b"3"]
    payload = ingest_payload("b1", "gw", [message(body) for body in bodies])
    with redis.Redis.from_url(redis_url) as client, broker_at(broker_url) as broker:
        for attempt in range(1, 6):
            broker.send(INGEST_TASK, named=payload, task_id=ingest_task_id("b1", attempt))
            if attempt < 5:
                worker.wait_until(lambda n=attempt: worker.output().count("WorkerLostError: ") >= n, "a process has ended")
        worker.wait_until(lambda: receipts(client), "the receipt is in the mailbox")
        assert [dict(receipt.outcomes) for receipt in receipts(client)] == [{1: Q, 2: Q, 3: Q, 5: Q, 6: Q}]
        wait_until(lambda: client.keys("iotgw:decoding:*") == [], "nothing is noted any more")
        assert broker.dead() == []
    assert sorted(map(bytes, Report.objects.values_list("body", flat=True))) == sorted([GOOD, GOOD + b"2", GOOD + b"3"])
    causes = {bytes(body): cause for body, cause in Quarantine.objects.values_list("body", "error_cause")}
    assert causes == {
        KILL + b"1": "worker-lost",
        KILL + b"2": "worker-lost",
        LOOP: "time-limit",
        BAD: "truncated",
        HEAVY: "decoder",
    }
