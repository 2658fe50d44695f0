"""The mailbox, on a real Redis."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest
import redis
import structlog

from iotgw.mailbox import RECONNECT_SECONDS, Mailbox
from protocols import Outcome
from tasks.contract import (
    COMMANDS_FIELD,
    ENDED_FIELD,
    FACTS_FIELD,
    KICK_FIELD,
    RECEIPT_FIELD,
    REPLY_FIELD,
    TAP_FIELD,
    CommandEnded,
    CommandsWaiting,
    FactsWanted,
    Fault,
    Kick,
    Receipt,
    Reply,
    Tap,
    mailbox,
    pack_commands_waiting,
    pack_ended,
    pack_facts_wanted,
    pack_receipt,
    pack_reply,
    pack_tap,
)
from tests.servers import Redis, wait_until


class DirectReactor:
    """Runs on the calling thread what should run in the reactor's."""

    def callFromThread(self, function: Any, *arguments: Any) -> None:
        function(*arguments)


class Post:
    """A mailbox, and a pen to write into it."""

    def __init__(self, url: str) -> None:
        self.received: queue.Queue[Any] = queue.Queue()
        self.client = redis.Redis.from_url(url)
        self.mailbox = Mailbox(url, "gw", DirectReactor(), lambda told: [self.received.put(entry) for entry in told])

    def write(self, *batches: str, **outcomes: Outcome) -> None:
        for batch in batches:
            self.client.xadd(mailbox("gw"), {RECEIPT_FIELD: pack_receipt(Receipt(batch, {0: Outcome.REFUSED}))})

    def read(self, number: int) -> list[str]:
        return [self.received.get(timeout=10).batch for _ in range(number)]


@pytest.fixture
def post(redis_url: str) -> Iterator[Post]:
    post = Post(redis_url)
    post.mailbox.start()
    yield post
    post.mailbox.stop()
    post.mailbox._thread.join(10)
    assert not post.mailbox._thread.is_alive()


def test_receipts_come_in_whole_and_in_order(post: Post):
    post.write("a", "b")
    assert post.received.get(timeout=10) == Receipt("a", {0: Outcome.REFUSED})
    assert post.read(1) == ["b"]
    post.write("c")
    assert post.read(1) == ["c"]
    assert post.received.empty()


def test_an_unreadable_entry_is_passed_over(post: Post):
    post.client.xadd(mailbox("gw"), {"other": "x"})
    post.client.xadd(mailbox("gw"), {RECEIPT_FIELD: b"\xff\x00"})
    post.write("a")
    assert post.read(1) == ["a"]


def test_kicks_come_in_between_receipts_in_their_order(post: Post):
    post.write("a")
    post.client.xadd(mailbox("gw"), {KICK_FIELD: msgpack.packb(["run", "jt808/138/00", 1_700_000_000_000_000, "jt808/2", 7])})
    post.write("b")
    assert post.read(1) == ["a"]
    assert post.received.get(timeout=10) == Kick("jt808", "138/00", "run", 1_700_000_000_000_000)
    assert post.received.get(timeout=10) == Kick("jt808", "2", "run", 7)
    assert post.read(1) == ["b"]


def test_questions_after_devices_come_in_one_by_one(post: Post):
    post.client.xadd(mailbox("gw"), {FACTS_FIELD: pack_facts_wanted([FactsWanted("jt808", "1"), FactsWanted("gt06", "2")])})
    post.client.xadd(mailbox("gw"), {FACTS_FIELD: b"\xff"})
    post.write("a")
    assert [post.received.get(timeout=10) for _ in range(2)] == [FactsWanted("jt808", "1"), FactsWanted("gt06", "2")]
    assert post.read(1) == ["a"]


def test_word_of_commands_comes_in_device_by_device(post: Post):
    told = [CommandsWaiting("jt808", "1"), CommandsWaiting("native", "a")]
    post.client.xadd(mailbox("gw"), {COMMANDS_FIELD: b"?"})
    post.client.xadd(mailbox("gw"), {COMMANDS_FIELD: pack_commands_waiting(told)})
    assert [post.received.get(timeout=10) for _ in told] == told


def test_ends_of_commands_come_in_one_by_one(post: Post):
    post.client.xadd(mailbox("gw"), {ENDED_FIELD: pack_ended([7, 8])})
    assert [post.received.get(timeout=10) for _ in range(2)] == [CommandEnded(7), CommandEnded(8)]


@pytest.mark.parametrize("data", [b"\xff\x00", b"", msgpack.packb(["run", "jt808/1"]), msgpack.packb(["run", 1, 2])])
def test_unreadable_kicks_are_passed_over(post: Post, data: bytes):
    post.client.xadd(mailbox("gw"), {KICK_FIELD: data})
    post.write("a")
    assert post.read(1) == ["a"]


def test_unknown_fields_are_passed_over_with_one_warning(post: Post):
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            post.client.xadd(mailbox("gw"), {"later": "x"})
        receipt = pack_receipt(Receipt("a", {}))
        post.client.xadd(mailbox("gw"), {"later": "x", RECEIPT_FIELD: receipt})
        assert post.read(1) == ["a"]
    assert [(line["event"], line["field"]) for line in logs] == [("unknown entries in the mailbox, passed over", b"later")]


def test_it_reads_on_when_redis_is_back(post: Post, redis_server: Redis):
    post.write("a")
    assert post.read(1) == ["a"]
    redis_server.stop()
    redis_server.start()
    post.write("b")
    assert post.read(1) == ["b"]


def test_a_redis_that_comes_back_without_its_data_and_with_an_earlier_clock_is_heard(post: Post, redis_server: Redis):
    ahead = int(time.time() * 1000) + 3_600_000
    post.client.xadd(mailbox("gw"), {RECEIPT_FIELD: pack_receipt(Receipt("a", {}))}, id=f"{ahead}-0")
    assert post.read(1) == ["a"]
    post.client.delete(mailbox("gw"))
    redis_server.stop()
    redis_server.start()
    post.write("b")
    assert post.read(1) == ["b"]


@pytest.mark.parametrize("url", ["redis://a..b:6379/0", "redis://127.0.0.1:1/0?unknown=1"])
def test_a_url_that_reaches_nothing_does_not_end_the_thread(url: str):
    with structlog.testing.capture_logs() as logs:
        post = Post(url)
        post.mailbox.start()
        post.mailbox._thread.join(1.5 * RECONNECT_SECONDS)
        assert post.mailbox._thread.is_alive()
        post.mailbox.stop()
        post.mailbox._thread.join(10)
    assert [line["event"] for line in logs] == ["mailbox away, waiting for it"]


def test_it_waits_for_a_redis_that_is_not_there_yet(redis_url: str, redis_server: Redis):
    redis_server.stop()
    post = Post(redis_url)
    post.mailbox.start()
    redis_server.start()
    post.write("a")
    assert post.read(1) == ["a"]
    post.mailbox.stop()
    post.mailbox._thread.join(10)


def test_replies_come_in_and_are_deleted(post: Post):
    reply = Reply("call:gw:1", {"a": [1, b"\x00"]})
    failed = Reply("call:gw:2", None, Fault("ValueError", "no", "File x"))
    for each in (reply, failed):
        post.client.xadd(mailbox("gw"), {REPLY_FIELD: pack_reply(each)})
    post.write("a")
    assert [post.received.get(timeout=10) for _ in range(2)] == [reply, failed]
    assert post.read(1) == ["a"]
    wait_until(lambda: post.client.xlen(mailbox("gw")) == 1, "only the receipt is kept")


def test_taps_come_in_and_are_deleted(post: Post):
    post.client.xadd(mailbox("gw"), {TAP_FIELD: pack_tap(Tap("jt808", "13800138000"))})
    assert post.received.get(timeout=10) == Tap("jt808", "13800138000")
    wait_until(lambda: post.client.xlen(mailbox("gw")) == 0, "nothing is kept that a gateway would find when it starts")


@pytest.mark.parametrize(
    "data", [b"\xff\x00", b"", msgpack.packb(["jt808"]), msgpack.packb(["jt808", ""]), msgpack.packb([1, "2"])]
)
def test_unreadable_taps_are_passed_over(post: Post, data: bytes):
    post.client.xadd(mailbox("gw"), {TAP_FIELD: data})
    post.write("a")
    assert post.read(1) == ["a"]


@pytest.mark.parametrize(
    "data", [b"\xff\x00", b"", msgpack.packb(["call"]), msgpack.packb([1, 2, None]), msgpack.packb(["c", 1, [2]])]
)
def test_unreadable_replies_are_passed_over(post: Post, data: bytes):
    post.client.xadd(mailbox("gw"), {REPLY_FIELD: data})
    post.write("a")
    assert post.read(1) == ["a"]
