"""What Redis remembers of devices, and what workers are asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from twisted.internet.defer import Deferred

from iotgw.admissions import Remembered
from iotgw.directory import RedisDirectory
from iotgw.redisthread import ANSWER_SECONDS
from tasks.contract import ADMISSION_TASK, KNOWN_SECONDS, UNKNOWN_SECONDS, BadPayloadError, Known, known_key, pack_known
from tests.iotgw.test_routetable import DirectReactor

FINE = Known(True, "sealed")


class Asked(RedisDirectory):
    """A directory that asks Redis on the calling thread, and remembers what it would have workers do."""

    def __init__(self, url: str) -> None:
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any], Deferred[Any]]] = []
        super().__init__(url, DirectReactor(), self._call)

    def _call(self, *arguments: Any, **named: Any) -> Deferred[Any]:
        reply: Deferred[Any] = Deferred()
        self.calls.append((arguments, named, reply))
        return reply

    def remember(self, *devices: tuple[str, str]) -> Any:
        """The answer, or the failure."""
        results: list[Any] = []
        self.remembered(devices).addBoth(results.append)
        self.stop()
        self._run()
        return results[0]


@pytest.fixture
def memory(redis_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(redis_url)
    yield client
    client.close()


def test_what_is_remembered_has_its_age(redis_url: str, memory: redis.Redis) -> None:
    memory.set(known_key("line", "old"), pack_known(FINE), ex=KNOWN_SECONDS - 3600)
    memory.set(known_key("line", "new"), pack_known(FINE), ex=KNOWN_SECONDS)
    memory.set(known_key("line", "unknown"), pack_known(None), ex=UNKNOWN_SECONDS - 2)
    memory.set(known_key("line", "for ever"), pack_known(FINE))
    memory.set(known_key("line", "garbage"), b"\xc1\xff", ex=60)
    names = ("new", "never", "old", "unknown", "for ever", "garbage")
    new, never, old, unknown, forever, garbage = Asked(redis_url).remember(*(("line", name) for name in names))
    assert new == Remembered(FINE, pytest.approx(0, abs=5))
    assert old == Remembered(FINE, pytest.approx(3600, abs=5))
    assert unknown == Remembered(None, pytest.approx(2, abs=5))
    assert never is forever is garbage is None


def test_what_a_later_release_remembers_beside_is_passed_over(redis_url: str, memory: redis.Redis) -> None:
    memory.set(known_key("line", "dev"), pack_known((*FINE, "more", {"still": "more"})), ex=KNOWN_SECONDS)  # type: ignore[arg-type]
    (told,) = Asked(redis_url).remember(("line", "dev"))
    assert told.known == FINE


def test_a_redis_that_is_away_is_a_failure() -> None:
    failure = Asked("redis://127.0.0.1:1/0").remember(("line", "dev"))
    assert failure.check(redis.RedisError)


def test_workers_are_asked_with_a_time_out_and_what_they_tell_is_read() -> None:
    directory = Asked("redis://127.0.0.1:1/0")
    told: list[Any] = []
    directory.looked_up([("line", "a"), ("line", "b")]).addCallback(told.append)
    ((arguments, named, reply),) = directory.calls
    assert arguments == (ADMISSION_TASK, [["line", "a"], ["line", "b"]])
    assert named == {"timeout_seconds": ANSWER_SECONDS}
    reply.callback([[True, "sealed"], None])
    assert told == [[FINE, None]]


@pytest.mark.parametrize("told", [None, [], [None], [None] * 3, [[True], None], [["yes", ""], None], "ab", [7, None]])
def test_an_answer_that_is_none_of_ours_is_a_failure(told: object) -> None:
    directory = Asked("redis://127.0.0.1:1/0")
    failures: list[Any] = []
    directory.looked_up([("line", "a"), ("line", "b")]).addErrback(failures.append)
    directory.calls[0][2].callback(told)
    assert failures[0].check(BadPayloadError)
