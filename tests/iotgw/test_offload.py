"""Calls: each fires once, whatever comes, and what waits is bounded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from iotgw.offload import (
    CLOCKS_DIFFER_SECONDS,
    MOST_CALLS,
    Call,
    NotPublishedError,
    Offload,
    StoppingError,
    TaskFailedError,
    TaskTimedOutError,
    TooManyCallsError,
)
from iotgw.publisher import Publisher
from iotgw.statistics import Statistics
from tasks.contract import Fault, Reply, calling_gateway
from tests.iotgw.test_fakes import parameters


class Desk:
    def __init__(self) -> None:
        self.clock = Clock()
        self.statistics = Statistics()
        self.sent: list[tuple[Call, Deferred[None]]] = []
        self.offload = Offload("gw", self.clock, self.statistics, self.call)

    def call(self, call: Call) -> Deferred[None]:
        published: Deferred[None] = Deferred()
        self.sent.append((call, published))
        return published

    def ask(self, *arguments: Any, **options: Any) -> list[Any]:
        """What the call fires with, once it does."""
        fired: list[Any] = []
        self.offload("t", *arguments, **options).addBoth(fired.append)
        return fired


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_the_publisher_takes_calls_as_the_desk_here_does():
    assert parameters(Publisher.call) == parameters(Desk.call)


def test_a_call_leaves_with_an_id_that_says_where_its_reply_goes_and_with_an_expiry(desk: Desk):
    before = datetime.now(UTC)
    desk.ask(1, named={"b": 2}, timeout_seconds=5)
    call = desk.sent[0][0]
    assert (call.task, call.arguments, call.named) == ("t", (1,), {"b": 2})
    assert calling_gateway(call.id) == "gw"
    spare = call.expires - before - timedelta(seconds=5 + CLOCKS_DIFFER_SECONDS)
    assert timedelta() <= spare < timedelta(seconds=5)


def test_a_result_fires_the_call_that_it_is_for(desk: Desk):
    first, second = desk.ask(), desk.ask()
    desk.offload.receive(Reply(desk.sent[1][0].id, {"x": 1}))
    assert (first, second) == ([], [{"x": 1}])
    desk.offload.receive(Reply(desk.sent[0][0].id, None))
    assert first == [None]
    assert not desk.clock.getDelayedCalls(), "no timer is left"


def test_a_fault_fails_it_with_the_workers_words(desk: Desk):
    fired = desk.ask()
    desk.offload.receive(Reply(desk.sent[0][0].id, None, Fault("ValueError", "no", "Traceback: here")))
    assert str(fired[0].value) == "ValueError: no"
    assert fired[0].check(TaskFailedError)
    assert fired[0].value.fault.traceback == "Traceback: here"


def test_without_a_reply_it_times_out_and_a_late_one_is_counted_and_dropped(desk: Desk):
    fired = desk.ask(timeout_seconds=5)
    desk.clock.advance(4.9)
    assert fired == []
    desk.clock.advance(0.1)
    assert fired[0].check(TaskTimedOutError)
    desk.offload.receive(Reply(desk.sent[0][0].id, 1))
    desk.offload.receive(Reply(desk.sent[0][0].id, 1))
    assert len(fired) == 1
    assert desk.statistics["calls.late"] == 2
    assert desk.offload.waiting == 0


def test_a_cancelled_call_is_forgotten(desk: Desk):
    outcome = desk.offload("t")
    fired: list[Any] = []
    outcome.addBoth(fired.append)
    outcome.cancel()
    assert fired[0].check(CancelledError)
    desk.offload.receive(Reply(desk.sent[0][0].id, 1))
    assert len(fired) == 1
    assert (desk.offload.waiting, desk.statistics["calls.cancelled"], desk.statistics["calls.late"]) == (0, 1, 1)
    assert not desk.clock.getDelayedCalls()


def test_a_second_reply_fires_nothing(desk: Desk):
    fired = desk.ask()
    desk.offload.receive(Reply(desk.sent[0][0].id, 1))
    desk.offload.receive(Reply(desk.sent[0][0].id, None, Fault("E", "", "")))
    assert fired == [1]


def test_what_the_broker_does_not_take_fails_at_once(desk: Desk):
    fired = desk.ask()
    desk.sent[0][1].errback(OSError("refused"))
    assert fired[0].check(NotPublishedError)
    assert "refused" in str(fired[0].value)
    assert not desk.clock.getDelayedCalls()


def test_what_waits_is_bounded_and_there_is_room_again_after_a_reply(desk: Desk):
    for _ in range(MOST_CALLS):
        desk.ask()
        desk.sent[-1][1].callback(None)
    assert desk.ask()[0].check(TooManyCallsError)
    assert len(desk.sent) == MOST_CALLS
    desk.offload.receive(Reply(desk.sent[0][0].id, 1))
    assert desk.ask() == []


def test_calls_that_a_hanging_broker_keeps_count_though_nobody_waits_for_them(desk: Desk):
    for _ in range(MOST_CALLS):
        desk.ask(timeout_seconds=1)
    desk.clock.advance(1)
    assert desk.offload.waiting == 0
    assert desk.ask()[0].check(TooManyCallsError)
    desk.sent[0][1].callback(None)
    assert desk.ask() == []


def test_the_oldest_is_told(desk: Desk):
    assert desk.offload.oldest_seconds == 0
    desk.ask()
    desk.clock.advance(2)
    desk.ask()
    assert desk.offload.oldest_seconds == 2


def test_when_the_gateway_stops_calls_end(desk: Desk):
    fired = desk.ask()
    desk.offload.stop()
    assert fired[0].check(StoppingError)
    assert desk.ask()[0].check(StoppingError)
    assert not desk.clock.getDelayedCalls()
