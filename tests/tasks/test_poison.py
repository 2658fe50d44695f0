"""Batches that end the worker which decodes them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
import redis
from celery.exceptions import Ignore, WorkerLostError
from celery.signals import task_failure
from click.testing import CliRunner

from iotgw.cli import main
from protocols.message import Message, Outcome
from protocols.report import Decoded, DecodeError
from store.bulk import writer
from store.models import Quarantine, Report
from store.rows import Incoming
from tasks import hopeless, ingest, poison
from tasks.contract import HOPELESS, INGEST_TASK, IngestMessage, decoding_key, ingest_payload, ingest_task_id, unpack_hopeless
from tasks.poison import (
    BEGUN_SECONDS,
    MOST_BEGUN,
    MOST_QUARANTINED,
    MOST_TRIED,
    NOT_TRIED,
    SHORTEST_SECONDS,
    Notes,
    Trial,
    in_time,
)
from tests.servers import Child, Redis, wait_until
from tests.tasks.fakes import BAD, FAKE, GOOD, HEAVY, KILL, LOOP
from tests.tasks.test_ingest import message, receipts, run_copy
from tests.tasks.workers import broker_at

Q = Outcome.QUARANTINED


@pytest.fixture
def client(worker_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> redis.Redis:
    """What this process notes is in the test's Redis."""
    monkeypatch.setitem(ingest.protocols, "fake", FAKE)
    return worker_redis


def seen(trial: Trial, rows: Sequence[IngestMessage]) -> list[str]:
    """What becomes of each message: ``good`` if it was decoded, else why not."""
    errors = [incoming.decoded.error for incoming in trial.decoded(rows, ingest.decoded, ingest.undecoded)]
    return [error.cause if error else "good" for error in errors]


ROWS = [message(), message(GOOD + b"2"), message(GOOD + b"3")]


def begin(attempt: int, batch: str = "b1") -> Trial:
    return Notes(batch, ingest_task_id(batch, attempt)).begin()


def end_a_worker(attempt: int, at: int | None = None) -> None:
    """A copy begins, comes to a message, and its worker's process ends."""
    notes = Notes("b1", ingest_task_id("b1", attempt))
    notes.begin()
    if at is not None:
        notes.at(at)
    task_failure.send(sender=ingest.store_batch, task_id=ingest_task_id("b1", attempt), exception=WorkerLostError("killed"))


@pytest.mark.usefixtures("client")
def test_where_a_worker_ended_is_the_culprit_and_the_others_are_decoded() -> None:
    end_a_worker(1)
    end_a_worker(2, at=1)
    second = begin(3)
    assert (second.ended, second.culprits) == (2, {1})
    end_a_worker(4, at=2)
    assert seen(begin(5), ROWS) == ["good", "worker-lost", "worker-lost"]


@pytest.mark.usefixtures("client")
def test_a_worker_that_ended_behind_the_decoding_blames_no_message() -> None:
    end_a_worker(1)
    notes = Notes("b1", "b1.2")
    assert seen(notes.begin(), ROWS) == ["good"] * 3
    notes.has_ended()
    assert begin(3).culprits == frozenset()


def test_copies_that_are_under_way_are_no_workers_that_ended(client: redis.Redis) -> None:
    """As with a database that is locked, in whose write each copy waits."""
    for attempt in range(2, 2 + 2 * MOST_BEGUN):
        trial = begin(attempt)
        assert (trial.ended, trial.culprits, trial.is_hopeless) == (0, frozenset(), False)
        Notes("b1", f"b1.{attempt}").at(1)
    assert client.hlen(decoding_key("b1")) == 2 * MOST_BEGUN


def test_a_beginning_that_is_older_than_anything_may_take_is_a_worker_that_ended(client: redis.Redis) -> None:
    begin(2)
    Notes("b1", "b1.2").at(1)
    assert begin(3).ended == 0
    client.hincrby(decoding_key("b1"), "begun:b1.2", -BEGUN_SECONDS)
    trial = begin(4)
    assert (trial.ended, trial.living, trial.culprits) == (1, 1, {1})
    assert BEGUN_SECONDS > ingest.TIME_LIMIT_SECONDS


def test_what_has_come_to_an_end_is_not_counted_and_what_is_stored_is_forgotten(client: redis.Redis) -> None:
    for attempt in range(2, 12):
        trial = begin(attempt)
        assert (trial.ended, trial.living) == (0, 0)
        trial.end(is_stored=False)
    end_a_worker(12)
    trial = begin(13)
    assert trial.ended == 1
    assert BEGUN_SECONDS < client.ttl(decoding_key("b1")) <= poison.NOTES_SECONDS
    trial.end(is_stored=True)
    trial.end(is_stored=False)
    assert client.keys("iotgw:decoding:*") == []


@pytest.mark.usefixtures("client")
def test_after_four_workers_nothing_is_decoded_any_more() -> None:
    def decode(row: IngestMessage) -> Incoming:
        raise AssertionError("decoded")

    for attempt in range(1, 1 + MOST_TRIED):
        end_a_worker(attempt)
    errors = [incoming.decoded.error for incoming in begin(9).decoded(ROWS, decode, ingest.undecoded)]
    assert errors == [NOT_TRIED] * 3


@pytest.fixture
def hopeless_batch(client: redis.Redis) -> Iterator[redis.Redis]:
    """Seven workers have ended with it; Redis keeps a file."""
    client.config_set("appendonly", "yes")
    for attempt in range(1, 1 + MOST_QUARANTINED):
        end_a_worker(attempt)
    yield client
    client.config_set("appendonly", "no")


def come_again() -> None:
    """A copy of it, which does nothing to the worker."""
    with pytest.raises(Ignore):
        run_copy(*ROWS)


@pytest.mark.usefixtures("sqlite_url")
def test_after_seven_workers_a_batch_is_kept_and_acked_when_it_is_on_the_disk(
    hopeless_batch: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    come_again()
    come_again()
    assert receipts(hopeless_batch) == []
    (kept,) = hopeless_batch.hvals(HOPELESS)
    assert unpack_hopeless("b1", kept)[1] == ingest_payload("b1", "gw", ROWS)
    monkeypatch.setattr(hopeless, "ON_DISK_MS", 0)
    come_again()
    assert [dict(receipt.outcomes) for receipt in receipts(hopeless_batch)] == [{0: Q, 1: Q, 2: Q}]
    assert hopeless_batch.hvals(HOPELESS) == [kept], "once, and it stays"
    assert begin(9).is_hopeless, "copies that are still under way end nobody"
    assert not Report.objects.exists()


@pytest.mark.usefixtures("sqlite_url")
def test_a_batch_is_not_hopeless_while_a_copy_of_it_may_be_alive(hopeless_batch: redis.Redis) -> None:
    hopeless_batch.hset(decoding_key("b1"), "begun:b1.8", hopeless_batch.time()[0])
    come_again()
    assert not hopeless_batch.exists(HOPELESS)
    assert begin(9).living == 1, "the copy that made way is none"


@pytest.mark.usefixtures("sqlite_url")
@pytest.mark.parametrize("bound", ["MOST_HOPELESS", "MOST_HOPELESS_BYTES"])
def test_what_finds_no_room_among_hopeless_batches_is_not_acked(
    bound: str, hopeless_batch: redis.Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hopeless, "ON_DISK_MS", 0)
    monkeypatch.setattr(hopeless, bound, 0)
    come_again()
    come_again()
    assert receipts(hopeless_batch) == []
    assert "no room for a batch that workers end with, its devices are not answered" in caplog.text
    assert not hopeless_batch.exists(HOPELESS)


@pytest.mark.usefixtures("sqlite_url")
def test_a_redis_without_a_file_is_no_place_for_what_is_acked(
    hopeless_batch: redis.Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hopeless, "ON_DISK_MS", 0)
    hopeless_batch.config_set("appendonly", "no")
    come_again()
    come_again()
    assert receipts(hopeless_batch) == []
    assert "Redis keeps no file" in caplog.text


@pytest.mark.usefixtures("sqlite_url", "hopeless_batch")
def test_while_redis_is_away_nothing_of_a_hopeless_batch_is_acked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hopeless, "redis", lambda: redis.Redis(port=1))
    assert not hopeless.keep("b1", "gw", ROWS)


def test_a_hopeless_batch_is_shown_tried_again_and_dropped(
    start_child: Callable[..., Child], sqlite_url: str, redis_url: str, broker_url: str, hopeless_batch: redis.Redis
) -> None:
    def run(*words: str) -> str:
        environment = {"IOTGW_BROKER_URL": broker_url, "IOTGW_REDIS_URL": redis_url}
        return CliRunner().invoke(main, ["dead", *words], env=environment).output

    come_again()
    hopeless.keep("b2", "gw", ROWS)
    assert [json.loads(line)["reason"] for line in run("--json").splitlines()] == ["workers_ended"] * 2
    assert run("--drop", "b2") == "1 dropped\n"
    assert run("--again", "b1") == "1 to be tried again\n"
    assert hopeless_batch.hkeys(HOPELESS) == [b"b1"], "it is nowhere else until it is stored"
    urls = {"IOTGW_DATABASE_URL": sqlite_url, "IOTGW_REDIS_URL": redis_url, "IOTGW_BROKER_URL": broker_url}
    worker = start_poisoned(start_child, urls)
    worker.wait_until(lambda: receipts(hopeless_batch), "it is stored")
    assert Report.objects.count() == 3
    assert run() == "There are no dead letters.\n"


@pytest.mark.usefixtures("sqlite_url")
def test_a_batch_that_comes_for_the_first_time_asks_nobody(monkeypatch: pytest.MonkeyPatch, client: redis.Redis) -> None:
    monkeypatch.setattr(Notes, "_run", lambda *_: pytest.fail("Redis was asked"))
    ingest.store_batch(**ingest_payload("b1", "gw", ROWS))
    assert len(receipts(client)) == 1


@pytest.mark.usefixtures("client")
def test_while_redis_is_away_batches_are_decoded_as_always(redis_server: Redis) -> None:
    redis_server.stop()
    try:
        trial = begin(2)
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
    monkeypatch.setattr(poison, "MESSAGE_SECONDS", 0.05)
    assert causes([ROWS[0], message(LOOP), ROWS[1]]) == ["good", "time-limit", "good"]
    monkeypatch.setattr(poison, "SEARCH_SECONDS", 0.01)
    assert causes([message(LOOP), ROWS[0], message(LOOP)]) == ["time-limit", "not-tried", "not-tried"]


def test_parts_of_a_batch_have_a_time_for_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that takes a moment for each message, and more of them than there is time for."""
    clock = iter(range(100))
    monkeypatch.setattr(poison, "BATCH_SECONDS", 5.0)
    monkeypatch.setattr(poison.time, "monotonic", lambda: float(next(clock)))
    set_for: list[float] = []

    def note(_: int, seconds: float) -> None:
        set_for.append(seconds)

    monkeypatch.setattr(poison.signal, "setitimer", note)
    decode = in_time(ingest.decoded)
    assert [len(decode(ROWS)) for _ in range(7)] == [3] * 7
    assert [seconds for seconds in set_for if seconds] == [5.0, 4.0, 3.0, 2.0, 1.0, SHORTEST_SECONDS, SHORTEST_SECONDS]


@pytest.mark.usefixtures("client", "database_url")
def test_a_part_that_takes_too_long_leaves_nothing_half_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts before it are on their way into the database then."""
    monkeypatch.setattr(poison, "BATCH_SECONDS", 1.0)
    monkeypatch.setattr(poison, "MESSAGE_SECONDS", 0.05)
    monkeypatch.setattr(writer, "SMALLEST_PART", 1)
    decode = FAKE.decode

    def slowly(sent: Message) -> Decoded:
        while sent.body.startswith(LOOP):
            try:
                time.sleep(0.001)
            except Exception:
                continue
        return decode(sent)

    monkeypatch.setattr(FAKE, "decode", slowly)
    rows = [message(GOOD + b"%d" % number, identity=f"{number}") for number in range(8)]
    rows[6] = message(LOOP, identity="6")
    ingest.store_batch(**ingest_payload("b1", "gw", rows))
    assert Report.objects.count() == 7
    assert list(Quarantine.objects.values_list("error_cause", flat=True)) == ["time-limit"]


def start_poisoned(start_child: Callable[..., Child], urls: dict[str, str]) -> Child:
    words = ("-m", "celery", "-A", "tests.tasks.poisoned", "worker", "-c", "1", "--without-mingle", "--without-gossip")
    return start_child(*words, name="worker", **urls)


def test_a_batch_with_killers_in_it_ends_few_workers_and_everything_else_is_stored(
    start_child: Callable[..., Child], sqlite_url: str, redis_url: str, broker_url: str
) -> None:
    """As its gateway sends it: again, while there is no receipt."""
    urls = {"IOTGW_DATABASE_URL": sqlite_url, "IOTGW_REDIS_URL": redis_url, "IOTGW_BROKER_URL": broker_url}
    worker = start_poisoned(start_child, urls)
    bodies = [GOOD, KILL + b"1", LOOP, BAD, GOOD + b"2", KILL + b"2", HEAVY, GOOD + b"3"]
    payload = ingest_payload("b1", "gw", [message(body) for body in bodies])
    with redis.Redis.from_url(redis_url) as client, broker_at(broker_url, redis_url) as broker:
        for attempt in range(1, 5):
            broker.send(INGEST_TASK, named=payload, task_id=ingest_task_id("b1", attempt))
            if attempt < 4:
                ended = str(attempt).encode()
                worker.wait_until(lambda n=ended: client.hget(decoding_key("b1"), "ended") == n, "its end is noted")
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
