"""How a Redis has to be set so that it forgets nothing that is in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

SAFE_REDIS = {"appendonly": "yes", "maxmemory-policy": "noeviction"}


class Unsafe(NamedTuple):
    """What is set otherwise, and the commands that mend it."""

    found: str
    do: str


def unsafe_redis(configuration: Mapping[str, str | None]) -> Unsafe | None:
    """What is wrong with a configuration of which the names of :data:`SAFE_REDIS` are known; None if nothing is."""
    wrong = {name: configuration.get(name) for name, safe in SAFE_REDIS.items() if configuration.get(name) != safe}
    if not wrong:
        return None
    is_now = ", ".join(f"{name} is {value}" for name, value in wrong.items())
    commands = "; ".join(f"redis-cli config set {name} {SAFE_REDIS[name]}" for name in wrong)
    return Unsafe(is_now, f"{commands}; and the same in its redis.conf")
