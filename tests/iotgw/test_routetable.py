"""Routes in a real Redis: who wins, what others are told, what is left behind, and the thread that asks."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import redis
import structlog
from twisted.internet.defer import Deferred

from iotgw.routetable import ALIVE_SECONDS, BEAT_SECONDS, CHECK_SECONDS, SWEPT_AT_ONCE, Answer, Claim, RouteTable
from iotgw.statistics import Statistics
from tasks.contract import (
    ALIVE,
    HEARD,
    HEARD_SECONDS,
    KICK_FIELD,
    MAILBOX_EXPIRY_SECONDS,
    ROUTES,
    ROUTES_SWEPT,
    Kick,
    mailbox,
    unpack_kicks,
)
from tests.servers import Redis

FIELD = "line/dev"


class DirectReactor:
    """Runs on the calling thread what should run in the reactor's."""

    def callFromThread(self, function: Any, *arguments: Any) -> None:
        function(*arguments)


class Table(RouteTable):
    """A table that works on the calling thread, on a clock of its own."""

    def __init__(self, url: str, gateway: str, run: str = "") -> None:
        self.time = 1000.0
        self.statistics = Statistics()
        self.heard: list[str] = []
        super().__init__(url, gateway, run or f"run-of-{gateway}", DirectReactor(), self.statistics, lambda: self.time)
        self.on_ready = lambda: self.heard.append("ready")
        self.on_away = lambda: self.heard.append("away")

    def do(self, claims: list[Claim], releases: list[str]) -> Any:
        """The answers, or the failure."""
        results: list[Any] = []
        self.change(claims, releases).addBoth(results.append)
        self.work(self._jobs.get_nowait())
        return results[0]

    def claim(self, age: float, link: int = 1, opened_us: int = 0, field: str = FIELD) -> Answer:
        (answer,) = self.do([Claim(field, link, self.time - age, opened_us)], [])
        return answer

    def release(self, field: str = FIELD) -> None:
        self.do([], [field])

    def pass_time(self, seconds: float) -> None:
        self.time += seconds
        self.work(None)


class Routes:
    """What is in Redis."""

    def __init__(self, url: str) -> None:
        self.client = redis.Redis.from_url(url, decode_responses=True)
        self._raw = redis.Redis.from_url(url)

    def route(self, field: str = FIELD) -> list[str] | None:
        value = self.client.hget(ROUTES, field)
        return value.split() if value else None

    def kicks(self, gateway: str) -> list[Kick]:
        return [kick for _, fields in self._raw.xrange(mailbox(gateway)) for kick in unpack_kicks(fields[KICK_FIELD])]

    def close(self) -> None:
        self.client.close()
        self._raw.close()


@pytest.fixture
def routes(redis_url: str) -> Iterator[Routes]:
    routes = Routes(redis_url)
    yield routes
    routes.close()


@pytest.fixture
def make(redis_url: str) -> Iterator[Any]:
    tables: list[Table] = []

    def make(gateway: str, run: str = "") -> Table:
        tables.append(Table(redis_url, gateway, run))
        return tables[-1]

    yield make
    for table in tables:
        table._client.close()


def test_a_newer_link_takes_the_route_and_the_other_gateway_is_told(make: Any, routes: Routes):
    first, second = make("a"), make("b")
    held = first.claim(age=60, link=7)
    assert held.is_won
    assert routes.route() == ["a", "run-of-a", "7", str(held.epoch), str(held.opened_us)]
    won = second.claim(age=1, link=3)
    assert won.is_won
    assert won.epoch > held.epoch
    assert routes.route() == ["b", "run-of-b", "3", str(won.epoch), str(won.opened_us)]
    assert routes.kicks("a") == [Kick("line", "dev", "run-of-a", won.epoch)]
    assert routes.kicks("b") == []
    assert 0 < routes.client.ttl(mailbox("a")) <= MAILBOX_EXPIRY_SECONDS


def test_an_older_link_loses_and_nobody_is_told(make: Any, routes: Routes):
    first, second = make("a"), make("b")
    held = first.claim(age=1)
    before = routes.route()
    assert second.claim(age=60) == Answer(False, held.epoch, kept_by="a")
    assert routes.route() == before
    assert routes.kicks("a") == routes.kicks("b") == []


def test_how_long_a_claim_has_waited_says_nothing(make: Any):
    """Its link's age counts, not when the claim came."""
    first, second = make("a"), make("b")
    second.claim(age=1)
    first.time += 500
    assert not first.claim(age=501).is_won


def test_the_same_link_again_keeps_its_epoch_and_the_first_time_of_opening(make: Any, routes: Routes):
    table = make("a")
    first = table.claim(age=60)
    again = table.claim(age=1)
    assert again == first, "a claim that waited would make the link look younger"
    assert table.claim(age=1, opened_us=first.opened_us) == first
    elder = table.claim(age=90)
    assert (elder.epoch, elder.opened_us < first.opened_us) == (first.epoch, True)


def test_what_a_claim_was_told_once_counts_after_the_route_is_lost(make: Any, redis_server: Redis):
    first, second = make("a"), make("b")
    told = first.claim(age=60)
    redis_server.flush()
    first.pass_time(BEAT_SECONDS)
    first.claim(age=1, opened_us=told.opened_us)
    assert second.claim(age=30).is_won


def test_each_beat_says_up_to_when_all_is_stored(make: Any, routes: Routes):
    table = make("a")
    until: list[float] = [time.time() - 5]
    table.heard_until = lambda: until[0]
    table.pass_time(BEAT_SECONDS)
    assert int(routes.client.get(HEARD + "a") or 0) / 1000 == pytest.approx(until[0], abs=1)
    assert 0 < routes.client.ttl(HEARD + "a") <= HEARD_SECONDS
    until[0] = time.time() + 100
    table.pass_time(BEAT_SECONDS)
    assert int(routes.client.get(HEARD + "a") or 0) / 1000 <= time.time() + 1, "not what is to come"


def test_another_link_on_the_same_gateway_is_a_takeover_without_a_kick(make: Any, routes: Routes):
    """Within a gateway its own rule counts, whatever the ages say."""
    table = make("a")
    first = table.claim(age=1, link=2)
    second = table.claim(age=60, link=1)
    assert second.is_won
    assert second.epoch > first.epoch
    assert routes.kicks("a") == []


def test_a_run_whose_key_is_gone_loses_against_any_link_and_is_not_told(make: Any, routes: Routes):
    dead, other = make("a"), make("b")
    held = dead.claim(age=1)
    routes.client.delete(ALIVE + dead.run)
    won = other.claim(age=60)
    assert won.is_won
    assert won.epoch > held.epoch
    assert routes.kicks("a") == []


def test_a_new_run_of_the_same_gateway_takes_what_the_killed_one_had(make: Any, routes: Routes):
    make("a", "killed").claim(age=1, link=5)
    routes.client.delete(ALIVE + "killed")
    assert make("a", "new").claim(age=60, link=5).is_won
    assert routes.route()[:3] == ["a", "new", "5"]


def test_a_kick_names_the_run_that_is_meant(make: Any, routes: Routes):
    make("a", "old").claim(age=60)
    won = make("a", "new").claim(age=1)
    assert routes.kicks("a") == [Kick("line", "dev", "old", won.epoch)]


def test_a_time_in_the_future_does_not_win(make: Any, routes: Routes):
    """Redis' clock was set back by an hour after the route was written."""
    first, second = make("a"), make("b")
    held = first.claim(age=1)
    later = held.epoch + 3_600_000_000
    routes.client.hset(ROUTES, FIELD, f"a {first.run} 1 {later} {later}")
    won = second.claim(age=60)
    assert won.is_won
    assert won.epoch == later + 1, "and still epochs grow"
    assert won.opened_us < later
    again = first.claim(age=1, opened_us=later)
    assert again.is_won
    assert again.opened_us < later, "nor does a time that was told before it"


def test_what_is_no_route_is_written_over(make: Any, routes: Routes):
    routes.client.hset(ROUTES, FIELD, "something else")
    assert make("a").claim(age=60).is_won
    assert routes.route()[0] == "a"


def test_a_release_takes_back_its_own_route_only(make: Any, routes: Routes):
    first, second = make("a"), make("b")
    first.claim(age=60)
    second.claim(age=1)
    first.release()
    assert routes.route()[0] == "b"
    second.release()
    assert routes.route() is None


def test_epochs_grow_though_the_route_was_released_in_between(make: Any, routes: Routes):
    table = make("a")
    first = table.claim(age=1, link=1)
    table.release()
    assert table.claim(age=1, link=2).epoch > first.epoch


def test_many_devices_are_answered_in_their_order(make: Any, routes: Routes):
    first, second = make("a"), make("b")
    odd = [f"line/{number}" for number in range(1, 400, 2)]
    first.do([Claim(field, 1, first.time - 1, 0) for field in odd], [])
    answers = second.do([Claim(f"line/{number}", 9, second.time - 60, 0) for number in range(400)], ["line/none"])
    assert [answer.is_won for answer in answers] == [number % 2 == 0 for number in range(400)]
    assert routes.client.hlen(ROUTES) == 400


def test_many_kicks_share_an_entry_of_the_mailbox(make: Any, routes: Routes):
    first, second, third = make("a"), make("b"), make("c")
    fields = [f"line/{number}" for number in range(300)]
    first.do([Claim(field, 1, first.time - 60, 0) for field in fields[:200]], [])
    second.do([Claim(field, 1, second.time - 60, 0) for field in fields[200:]], [])
    answers = third.do([Claim(field, 1, third.time - 1, 0) for field in fields], [])
    wanted = [(field.partition("/")[2], answer.epoch) for field, answer in zip(fields, answers, strict=True)]
    assert [(kick.identity, kick.epoch) for kick in routes.kicks("a")] == wanted[:200]
    assert [(kick.identity, kick.epoch) for kick in routes.kicks("b")] == wanted[200:]
    assert routes.client.xlen(mailbox("a")) == routes.client.xlen(mailbox("b")) == 1


def test_identities_may_hold_anything(make: Any, routes: Routes):
    first, second = make("a"), make("b")
    field = "line/车 7/%s '*' " + "x" * 300
    first.claim(age=60, field=field)
    won = second.claim(age=1, field=field)
    assert routes.kicks("a") == [Kick("line", field.partition("/")[2], "run-of-a", won.epoch)]
    second.release(field)
    assert routes.route(field) is None


def test_a_key_is_kept_alive_and_missed_when_it_is_gone(make: Any, routes: Routes, redis_server: Redis):
    table = make("a")
    table.work(None)
    assert table.heard == ["ready"]
    key = ALIVE + table.run
    assert routes.client.get(key) == "a"
    assert 0 < routes.client.ttl(key) <= ALIVE_SECONDS
    routes.client.expire(key, 1000)
    table.pass_time(BEAT_SECONDS / 2)
    assert routes.client.ttl(key) > ALIVE_SECONDS, "not yet"
    table.pass_time(BEAT_SECONDS / 2)
    assert routes.client.ttl(key) <= ALIVE_SECONDS
    assert table.heard == ["ready"], "Redis knows all"
    redis_server.flush()
    table.pass_time(BEAT_SECONDS)
    assert table.heard == ["ready", "ready"], "Redis has forgotten"


def test_whatever_is_behind_a_new_connection_may_have_forgotten(make: Any, routes: Routes):
    """A server that was restarted within a beat, or another one that took over, and that has the key but not all routes."""
    table = make("a")
    table.claim(age=1)
    for connection in routes.client.client_list():
        if connection["id"] != str(routes.client.client_id()):
            routes.client.client_kill_filter(_id=connection["id"])
    table.claim(age=1, field="line/other")
    table.work(None)
    assert table.heard == ["ready", "ready"]


def test_now_and_then_all_is_claimed_anew(make: Any):
    table = make("a")
    table.work(None)
    table.pass_time(CHECK_SECONDS / 2 - BEAT_SECONDS)
    assert table.heard == ["ready"]
    table.pass_time(CHECK_SECONDS / 2 + BEAT_SECONDS)
    assert table.heard == ["ready", "ready"]


def test_scripts_that_redis_has_forgotten_are_loaded_anew(make: Any, routes: Routes):
    table = make("a")
    assert table.claim(age=1).is_won
    routes.client.script_flush()
    assert table.claim(age=1).is_won
    table.release()
    assert routes.route() is None
    assert table.heard == ["ready"], "that is no absence"


def test_two_gateways_of_one_name_are_both_told(make: Any, routes: Routes):
    first, second = make("a", "one"), make("a", "two")
    with structlog.testing.capture_logs() as logs:
        first.work(None)
        second.work(None)
        assert not [line for line in logs if line["log_level"] == "error"], "the first could have ended just now"
        for _ in range(3):
            for table in (first, second):
                table.pass_time(BEAT_SECONDS)
    errors = [line for line in logs if line["log_level"] == "error"]
    assert [line["event"] for line in errors] == ["another gateway runs under this name: give each its own gateway_id"] * 2
    assert errors[0]["gateway"] == "a"
    assert first.statistics["routes.name_shared"] == second.statistics["routes.name_shared"] == 1
    assert first.claim(age=60).is_won
    won = second.claim(age=1)
    assert routes.kicks("a") == [Kick("line", "dev", "one", won.epoch)], "even so a device has one session"


def test_a_gateway_that_was_killed_and_restarted_is_not_taken_for_two(make: Any):
    make("a", "killed").work(None)
    table = make("a", "new")
    with structlog.testing.capture_logs() as logs:
        for _ in range(4):
            table.pass_time(BEAT_SECONDS)
    assert not [line for line in logs if line["log_level"] == "error"]


def test_routes_of_runs_that_are_gone_are_swept_a_few_at_a_time(make: Any, routes: Routes):
    count = SWEPT_AT_ONCE * 3
    gone, other = make("gone"), make("b")
    gone.do([Claim(f"line/{number}", 1, 0.0, 0) for number in range(count)], [])
    other.do([Claim(f"line/b{number}", 1, 0.0, 0) for number in range(50)], [])
    routes.client.delete(ALIVE + gone.run, ROUTES_SWEPT)
    table = make("new")
    table.work(None)
    left = [routes.client.hlen(ROUTES)]
    while table._cursor is not None:
        table.work(None)
        left.append(routes.client.hlen(ROUTES))
    assert left[-1] == 50
    assert len(left) > 3
    assert max(before - after for before, after in pairwise(left)) <= SWEPT_AT_ONCE * 2
    assert table.statistics["routes.swept"] == count
    routes.client.hset(ROUTES, "line/late", "a gone-too 1 1 1")
    make("c").work(None)
    assert routes.route("line/late"), "one gateway sweeps, the others need not"
    routes.client.delete(ROUTES_SWEPT)
    make("d").work(None)
    assert routes.route("line/late") is None
    assert all(value.startswith("b ") for value in routes.client.hvals(ROUTES))


def test_while_redis_is_away_changes_fail_and_that_is_said_once(make: Any, routes: Routes, redis_server: Redis):
    table = make("a")
    table.work(None)
    redis_server.stop()
    with structlog.testing.capture_logs() as logs:
        try:
            for _ in range(3):
                failure = table.do([Claim(FIELD, 1, table.time, 0)], [])
                assert failure.check(redis.ConnectionError)
                table.pass_time(BEAT_SECONDS)
        finally:
            redis_server.start()
        table.pass_time(BEAT_SECONDS)
        table.pass_time(BEAT_SECONDS)
    assert [(line["log_level"], line["event"]) for line in logs] == [
        ("warning", "routes away, devices keep their links"),
        ("info", "routes back"),
    ]
    assert table.heard == ["ready", "away", "ready"]
    assert table.claim(age=1).is_won


def test_after_an_absence_the_key_is_there_before_the_first_claim(make: Any, routes: Routes, redis_server: Redis):
    table = make("a")
    table.work(None)
    redis_server.stop()
    try:
        table.do([Claim(FIELD, 1, table.time, 0)], [])
    finally:
        redis_server.start()
    table.claim(age=1)
    assert routes.client.exists(ALIVE + table.run)


def test_a_redis_that_refuses_to_write_is_away(make: Any, routes: Routes):
    table = make("a")
    table.work(None)
    before = routes.client.config_get("maxmemory")
    routes.client.config_set("maxmemory", 1)
    try:
        assert table.do([Claim(FIELD, 1, table.time, 0)], []).check(redis.ResponseError)
        assert table.heard == ["ready", "away"]
    finally:
        routes.client.config_set("maxmemory", before["maxmemory"])
    assert table.claim(age=1).is_won


def test_the_thread_does_all_this_and_takes_its_key_back_at_the_end(redis_url: str, routes: Routes):
    ready: queue.SimpleQueue[str] = queue.SimpleQueue()
    done: queue.SimpleQueue[Any] = queue.SimpleQueue()
    table = RouteTable(redis_url, "a", "run", DirectReactor(), Statistics())
    table.on_ready = lambda: ready.put("ready")
    table.start()
    assert ready.get(timeout=10) == "ready"
    assert routes.client.get(ALIVE + "run") == "a"
    changed: Deferred[list[Answer]] = table.change([Claim(FIELD, 1, 0.0, 0)], [])
    changed.addBoth(done.put)
    assert done.get(timeout=10)[0].is_won
    table.stop().addBoth(done.put)
    assert done.get(timeout=10) is None
    table._thread.join(10)
    assert not table._thread.is_alive()
    assert not routes.client.exists(ALIVE + "run")


def test_a_thread_without_redis_ends_as_well(redis_url: str, redis_server: Redis):
    redis_server.stop()
    try:
        done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        table = RouteTable(redis_url, "a", "run", DirectReactor(), Statistics())
        table.on_away = lambda: done.put("away")
        table.start()
        assert done.get(timeout=10) == "away"
        table.stop().addBoth(done.put)
        assert done.get(timeout=10) is None
        table._thread.join(10)
        assert not table._thread.is_alive()
    finally:
        redis_server.start()
