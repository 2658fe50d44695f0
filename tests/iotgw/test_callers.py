"""Who waits for a command's end is woken by it, or by its time, and forgotten."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from iotgw.callers import MOST_CALLERS, MOST_EARLY, Callers, TooManyCallersError
from tasks.contract import CommandEnded


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def callers(clock: Clock) -> Callers:
    return Callers(clock)


def heard(waiting: Deferred[None]) -> list[Any]:
    found: list[Any] = []
    waiting.addBoth(found.append)
    return found


def test_all_who_wait_for_a_command_are_woken_by_its_end_and_no_others(callers: Callers, clock: Clock) -> None:
    with callers.enter() as one, callers.enter() as another, callers.enter() as other:
        woken, too, waiting = heard(one.wait(7, 15)), heard(another.wait(7, 15)), heard(other.wait(8, 15))
        callers.ended(CommandEnded(7))
        assert (woken, too, waiting) == ([None], [None], [])
        clock.advance(15)
        assert waiting == [None]
    assert clock.getDelayedCalls() == []
    assert len(callers) == 0


def test_an_end_that_overtakes_the_command_s_number_is_not_missed(callers: Callers, clock: Clock) -> None:
    with callers.enter() as one, callers.enter() as other:
        callers.ended(CommandEnded(7))
        assert heard(one.wait(7, 15)) == [None]
        waiting = heard(other.wait(8, 15))
        callers.ended(CommandEnded(8))
        assert waiting == [None]
    with callers.enter() as late:
        assert heard(late.wait(7, 15)) == [], "what ended before somebody asked is no news to them"
    clock.advance(15)


def test_who_gives_up_is_forgotten(callers: Callers, clock: Clock) -> None:
    with callers.enter() as one, callers.enter() as other:
        waiting = one.wait(7, 15)
        gone, woken = heard(waiting), heard(other.wait(7, 15))
        waiting.cancel()
        assert gone[0].check(CancelledError)
        callers.ended(CommandEnded(7))
        assert woken == [None]
    assert (clock.getDelayedCalls(), callers._waiting) == ([], {})


def test_so_many_may_wait(callers: Callers) -> None:
    entered = [callers.enter() for _ in range(MOST_CALLERS)]
    with pytest.raises(TooManyCallersError, match=str(MOST_CALLERS)):
        callers.enter()
    with entered.pop():
        pass
    callers.enter()


def test_what_is_remembered_is_bounded_and_goes_with_the_last_who_may_need_it(callers: Callers) -> None:
    with callers.enter():
        for command in range(2 * MOST_EARLY):
            callers.ended(CommandEnded(command))
        assert len(callers._early) == MOST_EARLY
    assert callers._early == set()
    callers.ended(CommandEnded(1))
    assert callers._early == set(), "nobody asks"
