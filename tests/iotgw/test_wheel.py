"""The timer wheel: what expires, when, and what moving or leaving costs."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from iotgw.wheel import TimerWheel


class Item:
    def __init__(self, clock: Clock, after: float) -> None:
        self.clock = clock
        self.at = clock.seconds() + after
        self.expired: list[float] = []

    def deadline(self) -> float:
        return self.at

    def expire(self) -> None:
        self.expired.append(self.clock.seconds())


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def wheel(clock):
    wheel = TimerWheel(clock)
    wheel.start()
    yield wheel
    wheel.stop()
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("after", [0, 0.4, 1, 1.5, 59.9, 60])
def test_it_expires_once_and_within_two_ticks(clock, wheel, after):
    item = Item(clock, after)
    wheel.add(item)
    clock.pump([0.05] * 1300)
    assert len(item.expired) == 1
    assert after <= item.expired[0] <= after + 0.25
    assert len(wheel) == 0


def test_a_deadline_that_moved_is_followed(clock, wheel):
    item = Item(clock, 10)
    wheel.add(item)
    clock.pump([1] * 9)
    item.at = 30
    clock.pump([1] * 20)
    assert item.expired == []
    clock.pump([1] * 3)
    assert len(item.expired) == 1


def test_a_discarded_item_is_left_alone(clock, wheel):
    item = Item(clock, 5)
    wheel.add(item)
    wheel.discard(item)
    wheel.discard(item)
    clock.pump([1] * 10)
    assert item.expired == []


def test_adding_again_looks_at_the_deadline_anew(clock, wheel):
    item = Item(clock, 100)
    wheel.add(item)
    item.at = 3
    wheel.add(item)
    clock.pump([1] * 5)
    assert len(item.expired) == 1


def test_an_expiry_may_discard_others_of_its_tick(clock, wheel):
    class Jealous(Item):
        def expire(self) -> None:
            super().expire()
            for item in items:
                wheel.discard(item)

    items = [Jealous(clock, 5) for _ in range(3)]
    for item in items:
        wheel.add(item)
    clock.pump([1] * 10)
    assert sum(len(item.expired) for item in items) == 1


def test_one_failing_expiry_stops_no_other(clock, wheel):
    broken, sound = Item(clock, 5), Item(clock, 5)
    broken.expire = lambda: 1 / 0
    later = Item(clock, 9)
    for item in (broken, sound, later):
        wheel.add(item)
    clock.pump([1] * 12)
    assert sound.expired
    assert later.expired


def test_after_a_long_stall_everything_due_expires(clock, wheel):
    items = [Item(clock, after) for after in range(1, 50)]
    for item in items:
        wheel.add(item)
    clock.advance(60)
    assert all(item.expired for item in items)


def test_a_hastened_item_expires_at_its_nearer_deadline(clock, wheel):
    item = Item(clock, 60)
    wheel.add(item)
    item.at = 5
    wheel.hasten(item, 5)
    clock.pump([0.5] * 14)
    assert len(item.expired) == 1
    assert 5 <= item.expired[0] <= 6


def test_hastening_to_later_or_what_is_not_watched_changes_nothing(clock, wheel):
    item, stranger = Item(clock, 5), Item(clock, 5)
    wheel.add(item)
    wheel.hasten(item, 30)
    wheel.hasten(stranger, 1)
    clock.pump([0.5] * 14)
    assert len(item.expired) == 1
    assert stranger.expired == []
    assert len(wheel) == 0


def test_hastening_to_the_past_is_the_next_tick(clock, wheel):
    clock.advance(10)
    item = Item(clock, 60)
    wheel.add(item)
    item.at = 0
    wheel.hasten(item, 0)
    clock.pump([0.5] * 4)
    assert len(item.expired) == 1
