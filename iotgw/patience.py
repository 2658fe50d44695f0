"""How long a link may stay as it is: silent, without having said who it is, or not read from."""

from __future__ import annotations

UNANSWERED_FACTOR = 6
"""How many times longer a device may be silent that waits for our answer: some say nothing more before they have it."""


class Patience:
    """What one link is waited for. All times are by the gateway's clock.

    A device that we do not read from is neither idle nor silent about who it is; what waits for its receipt is our
    slowness, not the device's.
    """

    __slots__ = ("_identify_seconds", "heard_at", "held_since", "idle_seconds", "throttled_until", "unidentified_since")

    def __init__(self, idle_seconds: float, identify_seconds: float) -> None:
        self.idle_seconds = idle_seconds
        self._identify_seconds = identify_seconds
        self.heard_at = 0.0
        """When it was last its turn, or last said something."""
        self.unidentified_since = 0.0
        self.held_since: float | None = None
        """Since when the gateway does not read from it, for whatever reason of its own."""
        self.throttled_until = 0.0
        """When it may go on that sent more than it may; 0 for a link that may."""

    def begin(self, now: float) -> None:
        self.heard_at = self.unidentified_since = now

    def hold(self, now: float) -> None:
        """It is read from no more."""
        if self.held_since is None:
            self.held_since = now

    def release(self, now: float) -> bool:
        """It is read from again, as if the time between had not been; whether it was held."""
        if self.held_since is None:
            return False
        held = now - self.held_since
        self.held_since = None
        # No later than now: it may have had an answer meanwhile.
        self.heard_at = min(self.heard_at + held, now)
        self.unidentified_since += held
        return True

    def ends(self, now: float, *, is_identified: bool, is_unsettled: bool) -> float:
        """When the link is to be closed if nothing changes."""
        if self.held_since is not None:
            return now + self.idle_seconds
        idle = self.heard_at + self.idle_seconds
        if is_identified and is_unsettled:
            return idle + (UNANSWERED_FACTOR - 1) * self.idle_seconds
        if is_identified or is_unsettled:
            return idle
        return min(idle, self.unidentified_since + self._identify_seconds)
