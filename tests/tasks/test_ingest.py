"""The ingest task, called as a worker calls it, with a real mailbox and real databases."""

from __future__ import annotations

import gc
import logging
import sqlite3

import pytest
import redis
from amqp.exceptions import NotFound
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from celery.signals import worker_process_init
from django.db import connection
from kombu.exceptions import OperationalError

from protocols.catalogue import CATALOGUE, Entry
from protocols.message import Outcome
from protocols.native.messages import READINGS
from settings import Admission, Settings
from store.models import Channel, Device, Quarantine, Report
from tasks import admission, channels, ingest
from tasks.contract import (
    MAILBOX_EXPIRY_SECONDS,
    MAILBOX_LENGTH,
    RECEIPT_FIELD,
    IngestMessage,
    Receipt,
    ingest_payload,
    ingest_task_id,
    mailbox,
    pack_receipt,
    unpack_receipt,
)
from tasks.patience import Patience
from tests.protocols.native.frames import moment, only, reading
from tests.protocols.native.frames import readings as native_readings
from tests.records import NOON
from tests.servers import PostgreSQL, Redis
from tests.tasks.fakes import BAD, BUG, FAKE, GOOD, PARTIAL

RECEIVED_MS = int(NOON.timestamp() * 1000)


def message(body: bytes = GOOD, identity: str = "1", **fields: object) -> IngestMessage:
    return IngestMessage("fake", identity, 0x0200, 7, b"head", body, RECEIVED_MS)._replace(**fields)


def run(*messages: IngestMessage, batch: str = "b1") -> None:
    """What a worker does with a payload."""
    ingest.store_batch(**ingest_payload(batch, "gw", messages))


def run_copy(*messages: IngestMessage, batch: str = "b1") -> None:
    """The same when its gateway sends it again."""
    ingest.store_batch.push_request(id=ingest_task_id(batch, 2), kwargs={})
    try:
        ingest.store_batch.run(**ingest_payload(batch, "gw", messages))
    finally:
        ingest.store_batch.pop_request()


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The fake protocol in place, and pauses written down instead of slept."""
    pauses: list[float] = []
    monkeypatch.setitem(ingest.protocols, "fake", FAKE)
    monkeypatch.setattr(ingest, "_patience", Patience(sleep=pauses.append))
    # Each test has a database of its own.
    ingest.known_channels.forget()
    return pauses


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Batches that were published anew; the broker takes them."""
    anew: list[str] = []
    monkeypatch.setattr(ingest, "_publish", lambda request, payload: anew.append(payload["batch"]))
    return anew


@pytest.fixture
def client(worker_redis: redis.Redis) -> redis.Redis:
    """The task's mailboxes are in the test's Redis."""
    return worker_redis


def receipts(client: redis.Redis) -> list[Receipt]:
    return [unpack_receipt(fields[RECEIPT_FIELD]) for _, fields in client.xrange(mailbox("gw"))]


@pytest.mark.usefixtures("database_url", "client")
def test_quarantine_knows_by_which_definition_a_message_could_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ingest._versions, "fake", "1.2+abcdef" + "0" * 64)
    run(message(BAD), message(BUG), message(protocol="none"))
    kept = {bytes(row.body): row.version for row in Quarantine.objects.all()}
    assert kept == {BAD: ("1.2+abcdef" + "0" * 64)[:64], BUG: ("1.2+abcdef" + "0" * 64)[:64], GOOD: ""}


@pytest.mark.usefixtures("database_url")
def test_a_batch_is_stored_and_receipted(client: redis.Redis) -> None:
    run(message(GOOD), message(PARTIAL), message(BAD), message(BUG), message(GOOD, "2"), message(protocol="none"))
    q = Outcome.QUARANTINED
    assert receipts(client) == [Receipt("b1", {1: q, 2: q, 3: q, 5: q})]
    stored = Report.objects.values_list("device__identity", "kind", "body", "received_at")
    assert sorted((who, kind, bytes(body), at) for who, kind, body, at in stored) == [
        ("1", "location", GOOD, NOON), ("1", "location", PARTIAL, NOON), ("2", "location", GOOD, NOON)
    ]  # fmt: skip
    quarantined = Quarantine.objects.values_list("device__protocol", "body", "kind", "error_cause", "error_path")
    assert sorted((who, bytes(body), *rest) for who, body, *rest in quarantined) == [
        ("fake", BAD, "location", "truncated", "items[1]"),
        ("fake", BUG, "location", "decoder", ""),
        ("fake", PARTIAL, "location", "truncated", "items[1]"),
        ("none", GOOD, "0x0200", "unknown-protocol", ""),
    ]


@pytest.mark.usefixtures("database_url", "client")
def test_values_become_channels_by_the_words_of_their_protocol(caplog: pytest.LogCaptureFixture) -> None:
    readings = only(native_readings(moment(NOON, reading(36, "f32", 1.5))))
    run(message(readings.body, protocol="native", kind=READINGS, head=readings.head))
    assert list(Channel.objects.values_list("name", "kind", "unit", "english", "chinese")) == [
        ("power_w", "number", "W", "Power", "功率")
    ]
    assert channels.described("none", "odometer_km").unit == "km"
    assert not caplog.records


def test_a_protocol_whose_tables_cannot_be_gone_through_keeps_its_values(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(ingest.protocols, "odd", object())
    channels._words.cache_clear()
    assert [channels.described("odd", name) for name in ("odometer_km", "mood")] == [CATALOGUE["odometer_km"], Entry("", "", "")]
    assert [record.getMessage() for record in caplog.records] == ["names of values cannot be read from the declarations"]


@pytest.mark.usefixtures("database_url")
def test_a_batch_that_comes_again_is_stored_once_and_receipted_again(client: redis.Redis) -> None:
    run(message(GOOD), message(BAD))
    run(message(GOOD), message(BAD))
    assert receipts(client) == [Receipt("b1", {1: Outcome.QUARANTINED})] * 2
    assert (Report.objects.count(), Quarantine.objects.count()) == (1, 1)


@pytest.mark.usefixtures("database_url")
def test_known_admission_refuses_unknown_devices(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "settings", Settings(admission=Admission.KNOWN))
    Device.objects.create(protocol="fake", identity="known")
    run(message(identity="unknown"), message(identity="known"), message(BAD, "unknown"))
    assert receipts(client) == [Receipt("b1", {0: Outcome.REFUSED, 2: Outcome.REFUSED})]
    assert (Device.objects.count(), Report.objects.count(), Quarantine.objects.count()) == (1, 1, 0)


@pytest.mark.usefixtures("sqlite_url")
def test_a_mailbox_is_bounded_and_expires(client: redis.Redis) -> None:
    with client.pipeline() as pipeline:
        for _ in range(MAILBOX_LENGTH + 500):
            pipeline.xadd(mailbox("gw"), {RECEIPT_FIELD: pack_receipt(Receipt("old", {}))})
        pipeline.execute()
    run(message())
    assert client.xlen(mailbox("gw")) < MAILBOX_LENGTH + 200  # Redis trims whole nodes of 100
    assert 0 < client.ttl(mailbox("gw")) <= MAILBOX_EXPIRY_SECONDS


@pytest.mark.usefixtures("sqlite_url")
@pytest.mark.parametrize(
    "payload",
    [
        {"batch": 7, "gateway": "gw", "messages": []},
        {"batch": "", "gateway": "gw", "messages": []},
        {"batch": "b", "gateway": "g w\n", "messages": []},
        {"batch": "b", "gateway": None, "messages": []},
        {"batch": "b", "gateway": "gw", "messages": None},
        {"batch": "b", "gateway": "gw", "messages": [["fake"]]},
        {"batch": "b", "gateway": "gw", "messages": [["fake", "1", "0x0200", 7, b"", b"", 0]]},
        {"batch": "b", "gateway": "gw", "messages": [message(), message(received_ms=2**62)]},
        {"batch": "b", "gateway": "gw", "messages": [message(received_ms=-1)]},
    ],
)
def test_a_bad_payload_is_dropped_with_one_line(
    payload: dict[str, object], client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Reject) as rejection:
        ingest.store_batch(**payload)
    assert rejection.value.requeue is False
    assert [(record.levelno, record.getMessage().splitlines()[1:]) for record in caplog.records] == [(logging.ERROR, [])]
    assert not Report.objects.exists()
    assert not receipts(client)


def test_postgresql_away_and_back(
    postgresql_url: str,
    postgresql_server: PostgreSQL,
    client: redis.Redis,
    pauses: list[float],
    anew: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    run(message(GOOD + b"1"), batch="before")
    postgresql_server.stop()
    try:
        for _ in range(12):
            with pytest.raises(Ignore):
                run(message(GOOD + b"2"), batch="meanwhile")
    finally:
        postgresql_server.start()
    assert anew == ["meanwhile"] * 12
    assert [receipt.batch for receipt in receipts(client)] == ["before"]
    assert len(pauses) == 12
    assert pauses[0] <= 0.2
    assert 5 <= pauses[-1] <= 10
    assert postgresql_url.split(":")[2].split("@")[0] not in caplog.text
    run(message(GOOD + b"2"), batch="after")
    assert [receipt.batch for receipt in receipts(client)] == ["before", "after"]
    assert Report.objects.count() == 2
    assert ingest._patience.failures == 0


@pytest.mark.usefixtures("client")
def test_channels_that_a_restored_database_does_not_have_are_added_again(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "timeout", 0.05)
    readings = only(native_readings(moment(NOON, reading(36, "f32", 1.5))))
    row = message(readings.body, protocol="native", kind=READINGS, head=readings.head)
    run(row)
    Channel.objects.all().delete()
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Reject):
        run(row)
    other.execute("ROLLBACK")
    other.close()
    run(row)
    assert [channel.name for channel in Channel.objects.all()] == ["power_w"]


def test_sqlite_locked_and_free_again(
    sqlite_url: str, client: redis.Redis, pauses: list[float], anew: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "timeout", 0.05)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Ignore):
        run(message())
    other.execute("ROLLBACK")
    other.close()
    assert (receipts(client), len(pauses), anew) == ([], 1, ["b1"])
    run(message())
    assert len(receipts(client)) == Report.objects.count() == 1


@pytest.mark.usefixtures("database_url")
def test_a_database_that_is_not_migrated_has_the_batch_published_anew(client: redis.Redis, anew: list[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE store_report")
    with pytest.raises(Ignore):
        run(message(), message(BAD))
    assert anew == ["b1"]
    assert not receipts(client)
    assert not Quarantine.objects.exists()


@pytest.mark.usefixtures("sqlite_url", "client")
@pytest.mark.parametrize("fault", [OperationalError("away"), NotFound("no route"), ConnectionResetError(), SoftTimeLimitExceeded()])
def test_while_database_and_broker_are_away_the_broker_keeps_what_it_had(fault: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def publish(*_: object) -> None:
        raise fault

    monkeypatch.setattr(ingest, "_publish", publish)
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE store_report")
    with pytest.raises(Reject) as rejection:
        run(message())
    assert rejection.value.requeue is True


@pytest.mark.usefixtures("sqlite_url")
def test_a_database_that_keeps_a_worker_until_its_time_is_over_is_no_fault_of_the_batch(
    client: redis.Redis, anew: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(*_: object, **__: object) -> None:
        raise SoftTimeLimitExceeded

    monkeypatch.setattr(ingest, "write", write)
    for _ in range(10):
        with pytest.raises(Ignore):
            run_copy(message())
    assert anew == ["b1"] * 10
    assert not client.keys("iotgw:decoding:*")


@pytest.mark.usefixtures("sqlite_url")
def test_a_batch_is_done_though_the_mailbox_is_away(
    client: redis.Redis, redis_server: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    redis_server.stop()
    try:
        run(message(), batch="lost")
    finally:
        redis_server.start()
    assert Report.objects.count() == 1
    assert "no receipt sent" in caplog.text
    run(message(), batch="lost")
    assert receipts(client) == [Receipt("lost", {})]
    assert Report.objects.count() == 1


def test_pauses_grow_to_a_bound_and_start_anew() -> None:
    pauses: list[float] = []
    patience = Patience(sleep=pauses.append)
    for _ in range(50):
        patience.wait()
    assert all(0.1 <= pause <= 10 for pause in pauses)
    assert pauses[0] <= 0.2
    assert pauses[-1] >= 5
    patience.reset()
    patience.wait()
    assert pauses[-1] <= 0.2


def test_a_worker_process_keeps_what_is_loaded_out_of_garbage_collection_and_collects_seldom() -> None:
    before = gc.get_threshold()
    try:
        worker_process_init.send(None)
        assert gc.get_freeze_count() > 10_000
        assert gc.get_threshold()[0] > 10 * before[0]
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
