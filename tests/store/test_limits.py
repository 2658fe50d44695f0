"""Which values are beyond their limits."""

from __future__ import annotations

import math
from typing import Any

import pytest

from store.limits import Beyond, Limits, out_of_limits

LIMITS = Limits(low=10, high=80, critical_low=0, critical_high=90)


@pytest.mark.parametrize(
    ("value", "beyond"),
    [
        (10, None),
        (80, None),
        (45.5, None),
        (9.99, Beyond.LOW),
        (0, Beyond.LOW),
        (-0.01, Beyond.CRITICAL_LOW),
        (80.01, Beyond.HIGH),
        (90, Beyond.HIGH),
        (91, Beyond.CRITICAL_HIGH),
        (True, None),
        ("99", None),
        (None, None),
        ([99], None),
    ],
)
def test_a_value_is_beyond_the_farther_limit(value: Any, beyond: Beyond | None) -> None:
    assert out_of_limits(value, LIMITS) is beyond


def test_without_limits_nothing_is_beyond() -> None:
    assert out_of_limits(-1e300, Limits()) is None
    assert out_of_limits(True, Limits(high=0)) is None
    assert out_of_limits(5, Limits(critical_high=4)) is Beyond.CRITICAL_HIGH
    assert [one for one in Beyond if one.is_critical] == [Beyond.CRITICAL_LOW, Beyond.CRITICAL_HIGH]


@pytest.mark.parametrize(
    ("limits", "fault"),
    [
        (Limits(), ""),
        (LIMITS, ""),
        (Limits(low=5, high=5), ""),
        (Limits(low=6, high=5), "low is 6, above high"),
        (Limits(high=91, critical_high=90), "high is 91, above critical_high"),
        (Limits(low=-1, critical_low=0), "critical_low is 0, above low"),
        (Limits(critical_low=5, critical_high=4), "critical_low"),
        (Limits(high=math.nan), "finite"),
        (Limits(low=-math.inf), "finite"),
    ],
)
def test_limits_stand_in_order(limits: Limits, fault: str) -> None:
    assert fault in limits.fault
    assert bool(fault) == bool(limits.fault)
