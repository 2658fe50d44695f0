"""How late the event loop comes to what is due: what devices and callers wait for on top of everything else."""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from iotgw.statistics import Histogram

EVERY_SECONDS = 0.25


class Lag:
    """Asks to be called, and observes how much later it is."""

    def __init__(self, clock: IReactorTime, histogram: Histogram) -> None:
        self.latest = 0.0
        """Units: seconds."""
        self._clock = clock
        self._histogram = histogram
        self._due = 0.0
        self._timer: IDelayedCall | None = None

    def start(self) -> None:
        self._due = self._clock.seconds() + EVERY_SECONDS
        self._timer = self._clock.callLater(EVERY_SECONDS, self._observe)

    def stop(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _observe(self) -> None:
        # A clock that was set back is no lag.
        self.latest = max(0.0, self._clock.seconds() - self._due)
        self._histogram.observe(self.latest)
        self.start()
