"""Histograms count each observation once and where it belongs."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from iotgw.statistics import ACK_SECONDS, Histogram, Statistics

NOW_MS = 1_700_000_000_000


@given(st.lists(st.integers(0, 100_000), max_size=300))
@example([int(bound * 1000) for bound in ACK_SECONDS] + [0, 60_001])
def test_many_at_once_are_counted_as_each_by_itself_would_be(ages_ms: list[int]):
    ages_ms = sorted(ages_ms, reverse=True)
    together, single = Histogram(ACK_SECONDS), Histogram(ACK_SECONDS)
    together.observe_since([NOW_MS - age for age in ages_ms], NOW_MS)
    for age in ages_ms:
        single.observe(age / 1000)
    assert together.buckets == single.buckets
    assert round(together.sum, 3) == round(single.sum, 3)


@given(st.lists(st.integers(-100_000, 100_000), max_size=60))
def test_however_clocks_jump_none_is_lost_or_counted_twice(ages_ms: list[int]):
    histogram = Histogram(ACK_SECONDS)
    histogram.observe_since([NOW_MS - age for age in ages_ms], NOW_MS)
    assert sum(histogram.buckets) == len(ages_ms)
    assert min(histogram.buckets) >= 0
    assert histogram.sum >= 0


def test_bytes_are_among_the_counters():
    statistics = Statistics()
    statistics.received_bytes += 5
    statistics.count("acks")
    assert statistics.snapshot() == {"acks": 1, "bytes.received": 5, "bytes.sent": 0}
