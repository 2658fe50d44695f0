"""Batches: when they leave, when they leave again, when reading stops, who is answered."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import pytest
from twisted.internet.task import Clock

from iotgw.batches import Batches
from iotgw.statistics import Statistics
from protocols import Message, Outcome
from settings import AckRule, Settings
from tasks.contract import IngestMessage, Receipt
from tests.iotgw.fakes import FakePublisher


@dataclass(eq=False)
class FakeOrigin:
    settled: list[tuple[str, Outcome]] = field(default_factory=list)
    identities: frozenset[str] = frozenset()
    ack_rule: AckRule = AckRule.COMMIT

    def settle(self, settled: list[tuple[Message, Outcome]]) -> None:
        self.settled += [(message.identity, outcome) for message, outcome in settled]


class Bench:
    def __init__(self, **settings: object) -> None:
        self.clock = Clock()
        self.publisher = FakePublisher()
        self.full: list[bool] = []
        self.statistics = Statistics()
        self.batches = Batches(Settings(**settings), self.clock, self.statistics, self.publisher.publish, self.full.append)
        self.batches.start()
        self.origin = FakeOrigin()

    def add(self, *identities: str) -> None:
        for identity in identities:
            message = Message(identity, 1, 0, b"", b"")
            self.batches.add(self.origin, message, IngestMessage("line", identity, 1, 0, b"", b"", 0))

    @property
    def left(self) -> list[str]:
        return ["".join(entry.message.identity for entry in batch.entries) for batch in self.publisher.batches]

    def receipt(self, number: int, outcomes: dict[int, Outcome] | None = None) -> None:
        self.batches.receive(Receipt(self.publisher.batches[number].id, outcomes or {}))


def test_a_quiet_gateway_sends_at_the_end_of_the_turn():
    bench = Bench()
    bench.add("a", "b")
    assert bench.left == []
    bench.clock.advance(0)
    assert bench.left == ["ab"]


def test_with_a_batch_in_flight_the_next_leaves_after_the_delay():
    bench = Bench(batch_delay_seconds=0.03)
    bench.add("a")
    bench.clock.advance(0)
    bench.add("b")
    bench.clock.advance(0.029)
    assert bench.left == ["a"]
    bench.clock.advance(0.001)
    assert bench.left == ["a", "b"]


def test_the_more_batches_have_no_receipt_the_longer_the_next_collects():
    bench = Bench(batch_delay_seconds=0.03)
    for number, identity in enumerate("abcd"):
        bench.add(identity)
        bench.clock.advance(max(0, number * 0.03 - 0.001))
        assert len(bench.left) == number + (number == 0)
        bench.clock.advance(0.001)
        assert len(bench.left) == number + 1


def test_the_receipt_of_the_newest_batch_lets_the_next_leave_at_once():
    bench = Bench(batch_delay_seconds=10)
    bench.add("a")
    bench.clock.advance(0)
    bench.add("b")
    bench.receipt(0)
    assert bench.left == ["a", "b"]


def test_a_full_batch_leaves_at_once():
    bench = Bench(batch_messages=3, batch_delay_seconds=10)
    bench.add("a", "b", "c", "d")
    assert bench.left == ["abc"]


def test_large_bodies_leave_before_the_batch_has_its_messages():
    bench = Bench(batch_bytes=1024, batch_delay_seconds=10)
    photo = Message("p", 1, 0, b"", bytes(600))
    for _ in range(3):
        bench.batches.add(bench.origin, photo, IngestMessage("line", "p", 1, 0, b"", photo.body, 0))
    assert bench.left == ["pp"]
    assert bench.batches.collected == 1
    bench.batches.add(bench.origin, photo, IngestMessage("line", "p", 1, 0, b"", bytes(5000), 0))
    assert bench.left == ["pp", "pp"], "one that is larger than a batch may be still leaves"
    bench.add("a")
    assert bench.left == ["pp", "pp"], "and what follows begins to count anew"


def test_messages_are_settled_by_the_receipt_and_not_before():
    bench = Bench()
    bench.add("a", "b")
    bench.clock.advance(0)
    bench.clock.advance(5)
    assert bench.origin.settled == []
    bench.receipt(0, {1: Outcome.REFUSED})
    assert bench.origin.settled == [("a", Outcome.STORED), ("b", Outcome.REFUSED)]


def test_a_second_receipt_of_a_batch_settles_nothing_again():
    bench = Bench()
    bench.add("a")
    bench.clock.advance(0)
    bench.receipt(0)
    bench.receipt(0)
    assert bench.origin.settled == [("a", Outcome.STORED)]
    assert bench.statistics["receipts.unknown"] == 1


def test_without_a_receipt_the_same_batch_leaves_again_each_time_later():
    bench = Bench(receipt_timeout_seconds=10)
    bench.add("a")
    bench.clock.advance(0)
    times = []
    for second in range(370):
        before = len(bench.left)
        bench.clock.advance(1)
        times += [second + 1] * (len(bench.left) - before)
    assert times == [10, 30, 70, 130, 190, 250, 310, 370]
    assert {batch.id for batch in bench.publisher.batches} == {bench.publisher.batches[0].id}
    assert bench.left == ["a"] * 9


def test_a_batch_that_cannot_be_published_is_tried_again_soon():
    bench = Bench()
    bench.publisher.error = ConnectionError("broker away")
    bench.add("a")
    bench.clock.advance(0)
    bench.clock.pump([1, 1])
    assert len(bench.left) == 3
    bench.publisher.error = None
    bench.clock.pump([1])
    bench.clock.pump([1] * 9)
    assert len(bench.left) == 4, "published at last, it waits for its receipt"
    assert bench.statistics["batches.published"] == 1


def test_a_batch_the_publisher_still_has_is_not_given_to_it_twice():
    bench = Bench(receipt_timeout_seconds=1)
    bench.publisher.is_holding = True
    bench.add("a")
    bench.clock.advance(0)
    bench.clock.pump([1] * 60)
    assert bench.left == ["a"]


def test_too_many_batches_in_flight_stop_reading_until_half_are_back():
    bench = Bench(batches_in_flight=4, batch_messages=1)
    bench.add(*"abcd")
    assert bench.full == [True]
    bench.add("e", "f")
    assert bench.left == list("abcd"), "nothing more leaves"
    for number in range(4):
        bench.receipt(number)
    assert sorted(bench.left) == list("abcdef"), "what was read meanwhile is not lost"
    assert bench.full == [True, False]


def test_what_was_collected_while_full_leaves_in_batches_of_the_usual_size():
    bench = Bench(batches_in_flight=1, batch_messages=2)
    bench.add(*"abcdefg")
    for number in range(4):
        bench.receipt(number)
    assert bench.left == ["ab", "cd", "ef", "g"]


def test_drain_sends_what_is_collected_and_fires_when_all_is_answered():
    bench = Bench(batch_delay_seconds=10)
    bench.add("a")
    bench.clock.advance(0)
    bench.add("b")
    drained: list[None] = []
    bench.batches.drain().addCallback(drained.append)
    assert bench.left == ["a", "b"]
    bench.receipt(0)
    assert drained == []
    bench.receipt(1)
    assert drained == [None]


def test_drain_of_an_idle_gateway_fires_at_once():
    drained: list[None] = []
    Bench().batches.drain().addCallback(drained.append)
    assert drained == [None]


def test_one_link_that_fails_keeps_no_ack_from_the_others():
    bench = Bench()

    class BrokenOrigin(FakeOrigin):
        def settle(self, settled: list[tuple[Message, Outcome]]) -> None:
            raise RuntimeError("broken")

    bench.batches.add(BrokenOrigin(), Message("x", 1, 0, b"", b""), IngestMessage("line", "x", 1, 0, b"", b"", 0))
    bench.add("a")
    bench.clock.advance(0)
    bench.receipt(0)
    assert bench.origin.settled == [("a", Outcome.STORED)]


def test_it_is_known_up_to_when_all_that_came_is_stored():
    bench = Bench()
    bench.clock.advance(1)
    begun = bench.batches.heard_until
    assert begun == pytest.approx(time.time(), abs=10)
    for received_ms in (500, 1000):
        message = Message("a", 1, 0, b"", b"")
        bench.batches.add(bench.origin, message, IngestMessage("line", "a", 1, 0, b"", b"", received_ms))
        bench.clock.advance(0.1)
    bench.clock.advance(1)
    assert bench.batches.heard_until == 0.5
    bench.receipt(0)
    bench.clock.advance(1)
    assert bench.batches.heard_until == 1
    bench.receipt(1)
    bench.clock.advance(1)
    assert bench.batches.heard_until >= begun


def test_ids_of_two_gateways_never_meet():
    ids = set()
    for _ in range(2):
        bench = Bench(batch_messages=1)
        bench.add("a", "b")
        ids |= {batch.id for batch in bench.publisher.batches}
    assert len(ids) == 4


@pytest.mark.parametrize("stop_first", [True, False])
def test_stop_leaves_no_timer(stop_first: bool):
    bench = Bench()
    bench.add("a")
    if not stop_first:
        bench.clock.advance(0)
    bench.batches.stop()
    assert bench.clock.getDelayedCalls() == []
