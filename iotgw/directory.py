"""Who knows the devices: Redis, which remembers, and the workers, who can look into the database.

reactor                         thread                  Redis
  ── remembered(devices) ────────▶ GET, PTTL of each ────▶ iotgw:known:<protocol>/<identity>
  ◀── what is known, how old ──────┘
  ── looked_up(devices) ─▶ offload ─▶ worker ─▶ database; what it finds it has Redis remember
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads

from iotgw.admissions import Device, Remembered
from iotgw.redisthread import ANSWER_SECONDS, RedisThread
from tasks.contract import (
    ADMISSION_TASK,
    KNOWN_SECONDS,
    UNKNOWN_SECONDS,
    BadPayloadError,
    Known,
    known_key,
    read_known,
    unpack_known,
)

Ask = Callable[..., "Deferred[Any]"]


class RedisDirectory(RedisThread):
    """Asks Redis itself, and workers by way of ``offload``."""

    def __init__(self, redis_url: str, reactor: IReactorFromThreads, offload: Ask) -> None:
        super().__init__("directory", redis_url, reactor)
        self._offload = offload

    def remembered(self, devices: Sequence[Device]) -> Deferred[list[Remembered | None]]:
        """Fails when Redis cannot be asked."""
        return self.put(lambda: self._ask(devices))

    def looked_up(self, devices: Sequence[Device]) -> Deferred[list[Known | None]]:
        """Fails when there is no answer in time, or none that can be understood."""
        answer = self._offload(ADMISSION_TASK, [list(device) for device in devices], timeout_seconds=ANSWER_SECONDS)
        return answer.addCallback(_read, len(devices))

    def _ask(self, devices: Sequence[Device]) -> list[Remembered | None]:
        pipeline = self._client.pipeline(transaction=False)
        for device in devices:
            key = known_key(*device)
            pipeline.get(key)
            pipeline.pttl(key)
        answers = pipeline.execute()
        return [_memory(known, left) for known, left in zip(answers[::2], answers[1::2], strict=True)]


def _memory(packed: bytes | None, left_ms: int) -> Remembered | None:
    if packed is None or left_ms < 0:
        return None
    try:
        known = unpack_known(packed)
    except BadPayloadError:
        # Of another release, perhaps: it is asked for anew.
        return None
    lifetime = UNKNOWN_SECONDS if known is None else KNOWN_SECONDS
    return Remembered(known, max(0.0, lifetime - left_ms / 1000))


def _read(told: Any, count: int) -> list[Known | None]:
    if not isinstance(told, (list, tuple)) or len(told) != count:
        raise BadPayloadError(f"the answer is not about {count} devices")
    return [read_known(what) for what in told]
