"""Copies of batches: soon at first, seldom later, and one always there to be taken."""

from __future__ import annotations

from itertools import accumulate

import pytest

from iotgw.copies import LASTING, life_seconds, wait_seconds

ATTEMPTS = range(1, 200)


def test_waits_grow_to_a_minute_and_then_to_a_quarter_of_an_hour():
    waits = [wait_seconds(attempt, 10) for attempt in ATTEMPTS]
    assert waits[:13] == [10, 20, 40, 60, 60, 60, 60, 60, 120, 240, 480, 900, 900]
    assert waits == sorted(waits)
    assert waits[-1] == 900


def test_a_night_without_workers_brings_few_copies():
    night = 12 * 3600
    assert sum(time < night for time in accumulate(wait_seconds(attempt, 10) for attempt in ATTEMPTS)) < 60


@pytest.mark.parametrize("timeout", [1, 10, 30])
def test_a_copy_lives_until_a_newer_one_has_come(timeout: float):
    assert life_seconds(1, timeout) is None
    for attempt in ATTEMPTS[1:]:
        life, wait = life_seconds(attempt, timeout), wait_seconds(attempt, timeout)
        assert life is not None
        assert life >= 12 * timeout
        assert life / wait >= (2 * LASTING if attempt % LASTING == 0 else 2)
