"""What Redis knows of who has something waiting."""

from __future__ import annotations

from typing import Any

import redis

from iotgw.marks import Marked, RedisMarks
from tasks.contract import COMMANDS_WAITING, FILES_WAITING, route_field
from tests.iotgw.test_routetable import DirectReactor

DEVICES = [("native", "a"), ("native", "b"), ("jt808", "b")]


def looked(url: str) -> Any:
    """What comes of a question that is asked on this thread."""
    marks, results = RedisMarks("marks", url, DirectReactor()), []  # type: ignore[var-annotated]
    marks.look(DEVICES).addBoth(results.append)
    marks.stop()
    marks._run()
    return results[0]


def test_of_each_device_it_is_told_which_set_it_is_in(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.sadd(FILES_WAITING, route_field("native", "b"))
        client.sadd(COMMANDS_WAITING, route_field("native", "b"), route_field("jt808", "b"))
    assert looked(redis_url) == [Marked(False, False), Marked(True, True), Marked(False, True)]


def test_a_redis_that_is_away_is_a_failure() -> None:
    assert looked("redis://127.0.0.1:1").check(redis.RedisError)
