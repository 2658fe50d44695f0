"""What a gateway counts."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

ACK_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
LAG_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Histogram:
    """How often something took how long, by bounds in seconds; the last bucket is for what took longer than all of them."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        self.buckets[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds

    def observe_since(self, began_ms: Sequence[int], now_ms: int) -> None:
        """All that began then, in this order, has ended now.

        Of many only the places are searched for at which one bucket ends and the next begins, so that a message
        costs nothing of its own. Where a clock was set meanwhile, some fall into a bucket beside theirs.
        """
        if len(began_ms) <= len(self.bounds):
            for began in began_ms:
                self.observe(max(0, now_ms - began) / 1000)
            return
        above = len(began_ms)
        for index, bound in enumerate(self.bounds):
            # What began no earlier than this took no longer than the bound.
            first = bisect_left(began_ms, now_ms - bound * 1000, 0, above)
            self.buckets[index] += above - first
            above = first
            if not above:
                break
        self.buckets[-1] += above
        self.sum += max(0, now_ms * len(began_ms) - sum(began_ms)) / 1000


class Statistics:
    """Counters by dotted name, from the start of the process on."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self.received_bytes = self.sent_bytes = 0
        """What devices sent, and were sent. Counted for each read and write, so without the way over a name."""
        self.acks = Histogram(ACK_SECONDS)
        """From when a message was there whole to when it was answered, for those that had to wait for something."""
        self.lag = Histogram(LAG_SECONDS)
        """How late the event loop comes to what is due."""

    def count(self, name: str, amount: int = 1) -> None:
        self._counts[name] += amount

    def __getitem__(self, name: str) -> int:
        return self._counts[name]

    def snapshot(self) -> dict[str, int]:
        return dict(sorted({**self._counts, "bytes.received": self.received_bytes, "bytes.sent": self.sent_bytes}.items()))
