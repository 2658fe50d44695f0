"""Who knows the devices: Redis, which remembers, and the workers, who can look into the database.

reactor                         thread                  Redis
  ── remembered(devices) ────────▶ GET, PTTL of each ────▶ iotgw:known:<protocol>/<identity>
  ◀── what is known, how old ──────┘
  ── looked_up(devices) ─▶ offload ─▶ worker ─▶ database; what it finds it has Redis remember
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, NamedTuple

import redis
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads

from iotgw.admissions import Device, Remembered
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

ANSWER_SECONDS = 5.0
"""A device waits for it, and has waited for its link already."""

Ask = Callable[..., "Deferred[Any]"]


class _Question(NamedTuple):
    devices: Sequence[Device]
    answer: Deferred[list[Remembered | None]]


class RedisDirectory:
    """Asks Redis on a thread of its own, and workers by way of ``offload``. All deferreds fire in the reactor."""

    def __init__(self, redis_url: str, reactor: IReactorFromThreads, offload: Ask) -> None:
        self._client = redis.Redis.from_url(
            redis_url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS, protocol=2
        )
        self._reactor = reactor
        self._offload = offload
        self._questions: SimpleQueue[_Question | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="directory", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the questions it has. It is not waited for: Redis may hang."""
        self._questions.put(None)

    def remembered(self, devices: Sequence[Device]) -> Deferred[list[Remembered | None]]:
        """Fails when Redis cannot be asked."""
        answer: Deferred[list[Remembered | None]] = Deferred()
        self._questions.put(_Question(devices, answer))
        return answer

    def looked_up(self, devices: Sequence[Device]) -> Deferred[list[Known | None]]:
        """Fails when there is no answer in time, or none that can be understood."""
        answer = self._offload(ADMISSION_TASK, [list(device) for device in devices], timeout_seconds=ANSWER_SECONDS)
        return answer.addCallback(_read, len(devices))

    def _run(self) -> None:
        while (question := self._questions.get()) is not None:
            try:
                answer = self._ask(question.devices)
            except Exception as error:
                self._reactor.callFromThread(question.answer.errback, error)
            else:
                self._reactor.callFromThread(question.answer.callback, answer)
        self._client.close()

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
