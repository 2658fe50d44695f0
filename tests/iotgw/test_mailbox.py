"""The mailbox, on a real Redis."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from iotgw.mailbox import Mailbox
from protocols import Outcome
from tasks.contract import RECEIPT_FIELD, Receipt, mailbox, pack_receipt
from tests.servers import Redis


class DirectReactor:
    """Runs on the calling thread what should run in the reactor's."""

    def callFromThread(self, function: Any, *arguments: Any) -> None:
        function(*arguments)


class Post:
    """A mailbox, and a pen to write into it."""

    def __init__(self, url: str) -> None:
        self.received: queue.Queue[Receipt] = queue.Queue()
        self.client = redis.Redis.from_url(url)
        self.mailbox = Mailbox(url, "gw", DirectReactor(), lambda receipts: [self.received.put(receipt) for receipt in receipts])

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


def test_it_reads_on_when_redis_is_back(post: Post, redis_server: Redis):
    post.write("a")
    assert post.read(1) == ["a"]
    redis_server.stop()
    redis_server.start()
    post.write("b")
    assert post.read(1) == ["b"]


def test_it_waits_for_a_redis_that_is_not_there_yet(redis_url: str, redis_server: Redis):
    redis_server.stop()
    post = Post(redis_url)
    post.mailbox.start()
    redis_server.start()
    post.write("a")
    assert post.read(1) == ["a"]
    post.mailbox.stop()
    post.mailbox._thread.join(10)
