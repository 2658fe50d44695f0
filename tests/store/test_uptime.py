"""How long a device was here."""

from __future__ import annotations

from datetime import timedelta

import pytest

from store.uptime import online_seconds
from tests.store.ways import DAY, MIDNIGHT


@pytest.mark.parametrize(
    ("comings", "was_online", "hours"),
    [
        ([], False, 0),
        ([], True, 24),
        ([(8, True), (10, False)], False, 2),
        ([(8, True)], False, 16),
        ([(8, False)], True, 8),
        ([(8, False), (20, True)], True, 12),
        ([(8, True), (9, True), (10, False), (11, False)], False, 2),
        ([(6, True), (8, False)], True, 8),
    ],
)
def test_what_the_timeline_says_is_summed_up(comings: list[tuple[float, bool]], was_online: bool, hours: float) -> None:
    told = [(MIDNIGHT + timedelta(hours=at), is_online) for at, is_online in comings]
    assert online_seconds(told, was_online, DAY) == hours * 3600
