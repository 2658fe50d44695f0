"""When a batch without its receipt leaves again, and how long each copy of it lives.

attempt   1    2    3    4 … 8    9      10     11     12 …
waits     10   20   40   60       120    240    480    900      seconds, when a receipt is waited for for ten
lives     ∞    120  120  120      240    480    960    1800     five times as long every fifth time

The first wait grows quickly up to a minute: what a broker has lost comes again before a device gives up, and a message that
ends its workers is found within some minutes. Then it goes on growing: a fleet without workers, each gateway with dozens of
batches, would else fill its broker in a night with copies of what that has. The first attempt does not expire, since devices may
be acked for it.
"""

from __future__ import annotations

HASTY_ATTEMPTS = 8
HASTY_WAIT, LONGEST_WAIT = 6, 90
"""As many times as a receipt is waited for first."""
LIVES = 2
"""So often its wait a copy may lie in the broker: one that nobody has taken by then has a newer one behind it."""
LASTING = 5
"""Of so many copies one lives so many times as long: else a worker whose clock is minutes ahead would never take one."""


def wait_seconds(attempt: int, receipt_timeout_seconds: float) -> float:
    """From the n-th time that a batch is published to the next."""
    hasty = min(1 << min(attempt - 1, HASTY_ATTEMPTS), HASTY_WAIT)
    patient = HASTY_WAIT << min(max(attempt - HASTY_ATTEMPTS, 0), HASTY_ATTEMPTS)
    return receipt_timeout_seconds * (hasty if attempt <= HASTY_ATTEMPTS else min(patient, LONGEST_WAIT))


def life_seconds(attempt: int, receipt_timeout_seconds: float) -> float | None:
    """After which a worker forgets what it is given; None: never."""
    if attempt == 1:
        return None
    waited = max(wait_seconds(attempt, receipt_timeout_seconds), receipt_timeout_seconds * HASTY_WAIT)
    return LIVES * waited * (LASTING if attempt % LASTING == 0 else 1)
