"""Telling gateways who may come in, on real databases and a real Redis."""

from __future__ import annotations

import pytest
import redis
from celery.exceptions import Reject, SoftTimeLimitExceeded
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext

from settings import Settings
from store.models import Device
from tasks import admission
from tasks import connection as worker_connection
from tasks.admission import look_up
from tasks.contract import KNOWN_SECONDS, MOST_DEVICES, UNKNOWN_SECONDS, Known, known_key, unpack_known

pytestmark = pytest.mark.usefixtures("database_url")


@pytest.fixture(autouse=True)
def memory(worker_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> redis.Redis:
    """The worker's Redis."""
    monkeypatch.setattr(admission, "settings", Settings(admission="known", admissions={"two": "open"}))
    return worker_redis


def devices() -> None:
    Device.objects.create(protocol="one", identity="7", credential="sealed")
    Device.objects.create(protocol="one", identity="8", is_enabled=False)
    Device.objects.create(protocol="two", identity="7")


def test_what_is_known_is_told_in_the_order_it_was_asked() -> None:
    devices()
    asked = [["two", "7"], ["one", "9"], ["one", "8"], ["one", "7"], ["two", "8"], ["one", "7"]]
    sealed = Known(True, "sealed")
    assert look_up(asked) == [Known(True, ""), None, Known(False, ""), sealed, Known(True, ""), sealed]


def test_where_everybody_may_come_in_a_new_device_is_there_from_then_on(memory: redis.Redis) -> None:
    new = [["two", "1"], ["two", "2"], ["two", "1"], ["one", "1"], ["two", "\0"], ["two", "x" * 65]]
    assert look_up(new) == [Known(True, "")] * 3 + [None] * 3
    assert {(device.protocol, device.identity) for device in Device.objects.all()} == {("two", "1"), ("two", "2")}
    assert unpack_known(memory.get(known_key("two", "1"))) == Known(True, "")
    assert memory.ttl(known_key("two", "1")) > UNKNOWN_SECONDS
    assert look_up(new[:1]) == [Known(True, "")]
    assert Device.objects.count() == 2


def test_it_is_one_question_a_protocol_however_many_are_asked_for() -> None:
    devices()
    with CaptureQueriesContext(connection) as queries:
        look_up([["one" if number % 2 else "three", str(number)] for number in range(MOST_DEVICES)])
    assert len(queries) == 2


def test_what_was_read_is_remembered_for_long_and_what_is_not_there_for_moments(memory: redis.Redis) -> None:
    devices()
    look_up([["one", "7"], ["one", "9"]])
    assert unpack_known(memory.get(known_key("one", "7"))) == Known(True, "sealed")
    assert unpack_known(memory.get(known_key("one", "9"))) is None
    assert KNOWN_SECONDS - 5 < memory.ttl(known_key("one", "7")) <= KNOWN_SECONDS
    assert 0 < memory.ttl(known_key("one", "9")) <= UNKNOWN_SECONDS


def test_names_that_no_column_takes_are_unknown_and_harm_nobody() -> None:
    devices()
    hostile = ["\0", "7\0", "x" * 65, "", "';DROP TABLE store_device;--", "%s", "\u202e"]
    assert look_up([["one", name] for name in hostile] + [["one", "7"]]) == [None] * len(hostile) + [Known(True, "sealed")]


@pytest.mark.parametrize(
    "payload",
    [None, "one", [["one"]], [["one", 7]], [["one", "7", "8"]], ["17"], [["one", "7"]] * (MOST_DEVICES + 1), {"one": "7"}],
)
def test_a_payload_that_is_none_of_ours_is_dropped(payload: object) -> None:
    with pytest.raises(Reject) as rejected:
        look_up(payload)
    assert not rejected.value.requeue


def test_it_fails_at_once_without_a_database(memory: redis.Redis) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE store_device RENAME TO elsewhere")
    try:
        with pytest.raises(DatabaseError):
            look_up([["one", "7"]])
        assert connection.connection is None, "it may lead nowhere after a failover"
        assert memory.get(known_key("one", "7")) is None
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE elsewhere RENAME TO store_device")


def test_a_time_limit_leaves_no_connection_with_a_statement_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: object) -> None:
        connection.ensure_connection()
        raise SoftTimeLimitExceeded

    monkeypatch.setattr(admission.queries, "known_devices", late)
    with pytest.raises(SoftTimeLimitExceeded):
        look_up([["one", "7"]])
    assert connection.connection is None


def test_the_answer_does_not_depend_on_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    devices()
    monkeypatch.setattr(worker_connection, "settings", Settings(redis_url="redis://127.0.0.1:1/0"))
    monkeypatch.setattr(worker_connection, "LONGEST_PAUSE_SECONDS", 0.001)
    worker_connection.redis.cache_clear()
    assert look_up([["one", "7"]]) == [Known(True, "sealed")]
