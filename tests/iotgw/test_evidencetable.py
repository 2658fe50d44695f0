"""The fleet's evidence in a real Redis: what is kept, how much, for how long, and the thread that does it."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from iotgw import evidencetable
from iotgw.evidence import EvidenceAwayError, Seen
from iotgw.evidencetable import DAY_MS, EvidenceTable
from tasks.contract import (
    ALIVE,
    EVIDENCE,
    EVIDENCE_SECONDS,
    EVIDENCE_TIMES,
    FACTS_FIELD,
    MAILBOX_EXPIRY_SECONDS,
    ROUTES,
    STRANGERS,
    STRANGERS_TIMES,
    Facts,
    FactsWanted,
    Stranger,
    mailbox,
    unpack_facts_wanted,
)
from tests.iotgw.test_mailbox import DirectReactor
from tests.servers import Redis

DEVICE = FactsWanted("line", "dev")
FIELD = "line/dev"


class Table(EvidenceTable):
    """A table that works on the calling thread."""

    def put(self, do: Any) -> Any:
        done = super().put(do)
        job = self._jobs.get_nowait()
        assert job is not None
        self.work(job)
        return done

    def tell(self, field: str = FIELD, **facts: Any) -> None:
        self.write([(field, Facts(**facts))], [])

    def meet(self, identity: str = "", **stranger: Any) -> None:
        self.write([], [Stranger("line", identity, **{"peer": "192.0.2.7:1", **stranger})])


def result(deferred: Any) -> Any:
    results: list[Any] = []
    deferred.addBoth(results.append)
    return results[0]


@pytest.fixture
def table(redis_url: str) -> Iterator[Table]:
    table = Table(redis_url, DirectReactor())
    yield table
    table._client.close()


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def test_what_is_told_is_found(table: Table):
    facts = Facts("gw", 9, 6808, "192.0.2.7:1", malformed={"checksum": 2}, opened_ms=5, ack_seconds=0.25)
    table.write([(FIELD, facts)], [])
    assert result(table.find(DEVICE)) == Seen(facts, "", [])
    assert result(table.facts(DEVICE)) == facts
    assert result(table.find(FactsWanted("line", "other"))) == Seen(None, "", [])


def test_the_end_of_an_old_link_does_not_hide_the_new_one(table: Table):
    table.tell(gateway="b", opened_ms=20)
    table.tell(gateway="a", opened_ms=10, cause="replaced")
    assert result(table.facts(DEVICE)).gateway == "b"
    table.tell(gateway="b", opened_ms=20, cause="idle")
    assert result(table.facts(DEVICE)).cause == "idle"


def test_a_link_from_the_future_hides_nothing(table: Table, client: redis.Redis):
    seconds, _ = client.time()
    table.tell(gateway="a", opened_ms=(seconds + 3600) * 1000)
    table.tell(gateway="b", opened_ms=seconds * 1000)
    assert result(table.facts(DEVICE)).gateway == "b"


def test_the_gateway_that_has_a_device_is_found_while_it_lives(table: Table, client: redis.Redis):
    client.hset(ROUTES, FIELD, "b run 1 2 3")
    assert result(table.find(DEVICE)).gateway == ""
    client.set(ALIVE + "run", "b")
    assert result(table.find(DEVICE)).gateway == "b"


def test_a_stranger_that_comes_again_is_one_with_since_when_and_how_often(table: Table):
    table.meet("7", at_ms=10, reason="closed.peer", first=b"\xff\x00 1")
    table.meet("7", at_ms=20, reason="refused.unknown", first=b"\xff\x00 2", times=3)
    table.meet(at_ms=15)
    strangers = result(table.strangers())
    assert [stranger.identity for stranger in strangers] == ["", "7"], "the newest first"
    seven = strangers[1]
    assert (seven.first_ms, seven.at_ms, seven.times, seven.reason, seven.first) == (10, 20, 4, "refused.unknown", b"\xff\x00 2")
    assert result(table.find(DEVICE)).strangers == strangers


def test_strangers_of_the_last_day_are_told(table: Table, client: redis.Redis):
    for identity in ("old", "new"):
        table.meet(identity)
    client.zincrby(STRANGERS_TIMES, -DAY_MS - 1000, "line/old")
    assert [stranger.identity for stranger in result(table.strangers())] == ["new"]


def test_there_are_no_more_than_may_be_and_the_oldest_go(table: Table, client: redis.Redis, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(evidencetable, "MOST_STRANGERS", 10)
    monkeypatch.setattr(evidencetable, "MOST_EVIDENCE", 10)
    table.meet("old")
    table.tell("line/old")
    for times in (STRANGERS_TIMES, EVIDENCE_TIMES):
        client.zincrby(times, -1000, "line/old")
    for number in range(9):
        table.meet(str(number))
        table.tell(f"line/{number}")
    assert client.hexists(STRANGERS, "line/old")
    assert client.hexists(EVIDENCE, "line/old")
    table.write([("line/new", Facts())], [Stranger("line", "new")])
    for values, times in ((STRANGERS, STRANGERS_TIMES), (EVIDENCE, EVIDENCE_TIMES)):
        assert client.zcard(times) == client.hlen(values) == 10
        assert not client.hexists(values, "line/old")
    table.write([], [Stranger("line", f"many {number}") for number in range(500)])
    assert client.zcard(STRANGERS_TIMES) == client.hlen(STRANGERS) == 10


def test_the_old_are_removed(table: Table, client: redis.Redis):
    table.tell("line/old")
    table.tell("line/young")
    client.zincrby(EVIDENCE_TIMES, -EVIDENCE_SECONDS * 1000 - 1000, "line/old")
    table.tell("line/new")
    assert sorted(client.hkeys(EVIDENCE)) == [b"line/new", b"line/young"]


def test_what_cannot_be_read_is_passed_over(table: Table, client: redis.Redis):
    client.hset(EVIDENCE, FIELD, "nonsense")
    table.meet("7")
    table.meet("8")
    client.hset(STRANGERS, "line/7", "nonsense")
    seen = result(table.find(DEVICE))
    assert (seen.facts, [stranger.identity for stranger in seen.strangers]) == (None, ["8"])


def test_a_gateway_is_asked_through_its_mailbox(table: Table, client: redis.Redis):
    table.ask("b", DEVICE)
    ((_, fields),) = client.xrange(mailbox("b"))
    assert unpack_facts_wanted(fields[FACTS_FIELD]) == [DEVICE]
    assert 0 < client.ttl(mailbox("b")) <= MAILBOX_EXPIRY_SECONDS


def test_while_redis_is_away_all_fails_and_then_goes_on(table: Table, redis_server: Redis):
    redis_server.stop()
    try:
        for failed in (table.write([(FIELD, Facts())], []), table.find(DEVICE), table.strangers(), table.ask("b", DEVICE)):
            assert result(failed).check(EvidenceAwayError)
    finally:
        redis_server.start()
    table.tell(gateway="gw")
    assert result(table.facts(DEVICE)).gateway == "gw"


def test_the_thread_does_all_this_and_ends(redis_url: str):
    done: queue.SimpleQueue[Any] = queue.SimpleQueue()
    table = EvidenceTable(redis_url, DirectReactor())
    table.start()
    table.write([(FIELD, Facts("gw"))], []).addBoth(done.put)
    assert done.get(timeout=10) is None
    table.facts(DEVICE).addBoth(done.put)
    assert done.get(timeout=10) == Facts("gw")
    table.stop()
    table._thread.join(10)
    assert not table._thread.is_alive()
