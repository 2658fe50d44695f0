"""Asking Redis on a thread of its own: the event loop never waits for it.

    reactor ── job ──▶ thread ──▶ Redis
            ◀── what came of it ─┘

Nothing is tried again: what fails comes back, and whoever asked knows best what to do then.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads

ANSWER_SECONDS = 5.0

_Result = TypeVar("_Result")


class Job(NamedTuple):
    do: Callable[[], Any]
    done: Deferred[Any]


class RedisThread:
    """Does jobs in the order they come. All deferreds fire in the reactor."""

    def __init__(self, name: str, redis_url: str, reactor: IReactorFromThreads) -> None:
        self._client = redis.Redis.from_url(
            redis_url,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
        )
        self._reactor = reactor
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the jobs it has. It is not waited for: Redis may hang."""
        self._jobs.put(None)

    def put(self, do: Callable[[], _Result]) -> Deferred[_Result]:
        """Fires with what is given back, or fails with what is raised. One that is cancelled is done all the same."""
        done: Deferred[_Result] = Deferred()
        self._jobs.put(Job(do, done))
        return done

    def work(self, job: Job) -> None:
        try:
            result = job.do()
        except Exception as error:
            self._reactor.callFromThread(job.done.errback, error)
        else:
            self._reactor.callFromThread(job.done.callback, result)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self.work(job)
        self._client.close()
