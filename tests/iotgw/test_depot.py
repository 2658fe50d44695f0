"""What Redis and the workers are asked of files, and what of their answers is taken."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from twisted.internet.defer import Deferred, succeed

from iotgw.depot import ANSWER_SECONDS, RedisDepot
from protocols import Offer
from tasks.contract import (
    FILES_WAITING,
    NOTE_TASK,
    OFFERS_TASK,
    SLICE_BYTES,
    SLICE_TASK,
    BadPayloadError,
    DeliveryNote,
    Shelved,
    route_field,
)
from tests.iotgw.test_routetable import DirectReactor

OFFER = Offer(3, 5, 1000, 0xCBF43926, "firmware", "2.0", "", 0)
DEVICES = [("native", "a"), ("native", "b")]


class Asked(RedisDepot):
    """A depot that asks Redis on the calling thread, and answers itself what workers would."""

    def __init__(self, url: str, answer: Any = None) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._answer = answer
        super().__init__(url, DirectReactor(), self._call)

    def _call(self, *arguments: Any, timeout_seconds: float) -> Deferred[Any]:
        self.calls.append(arguments)
        assert timeout_seconds == ANSWER_SECONDS
        return succeed(self._answer)

    def end(self) -> None:
        self.stop()
        self._run()


def got(asked: Deferred[Any]) -> Any:
    results: list[Any] = []
    asked.addBoth(results.append)
    return results[0]


def test_who_is_in_the_set_is_marked(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.sadd(FILES_WAITING, route_field("native", "b"))
    depot, results = Asked(redis_url), []
    depot.is_marked(DEVICES).addBoth(results.append)
    depot.end()
    assert results == [[False, True]]


def test_a_redis_that_is_away_is_a_failure() -> None:
    depot, results = Asked("redis://127.0.0.1:1"), []
    depot.is_marked(DEVICES).addBoth(results.append)
    depot.end()
    assert results[0].check(redis.RedisError)


def test_offers_are_those_of_the_devices_in_their_order() -> None:
    # As msgpack brings it.
    depot = Asked("redis://none", [None, [list(OFFER), "ab"]])
    assert got(depot.next_offers(DEVICES)) == [None, Shelved(OFFER, "ab")]
    assert depot.calls == [(OFFERS_TASK, [["native", "a"], ["native", "b"]])]


@pytest.mark.parametrize("answer", [None, [], [None], "no", [None, 5], [None, [[1], "ab"]], [None, ["ab"]]])
def test_an_answer_that_is_none_of_ours_is_a_failure(answer: Any) -> None:
    assert got(Asked("redis://none", answer).next_offers(DEVICES)).check(BadPayloadError)


@pytest.mark.parametrize("answer", ["text", 5, bytes(SLICE_BYTES + 1)], ids=["text", "number", "too long"])
def test_a_slice_that_is_none_is_a_failure(answer: Any) -> None:
    assert got(Asked("redis://none", answer).read_slice("ab", 0)).check(BadPayloadError)


def test_slices_and_notes_go_by_their_tasks() -> None:
    depot = Asked("redis://none", b"bytes")
    assert got(depot.read_slice("ab", SLICE_BYTES)) == b"bytes"
    assert got(depot.note([DeliveryNote(3, 500, "why")])) is None
    assert depot.calls == [(SLICE_TASK, "ab", SLICE_BYTES), (NOTE_TASK, [[3, 500, "why"]])]
