"""Having workers do something, and waiting for what becomes of it without keeping the event loop.

    offload ── task, under an id that names this gateway ──▶ publisher ──▶ broker ──▶ worker
       ▲                                                                                │
       └── result or fault ◀── reply ◀── mailbox ◀──────────────────────────────────────┘

No result backend: it is the same on every broker, and nobody polls. A task that the broker loses, or that no worker
takes, ends as a time-out; so ask for what may be asked again. Nobody ends a task that a worker has begun: that would
mean to kill a process that other work waits for. One that it has not begun when its caller's time is over it throws
away, by the expiry that the task carries; a call that is cancelled is forgotten here and runs out there likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, NamedTuple
from uuid import uuid4

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from iotgw.statistics import Statistics
from tasks.contract import Fault, Reply, call_id

MOST_CALLS = 256
"""Calls that may wait at once. Each may bring a reply of its longest size into memory."""
DEFAULT_SECONDS = 30.0
CLOCKS_DIFFER_SECONDS = 10.0
"""By so much hosts' clocks may differ before a worker throws a call away that is still waited for."""


class OffloadError(Exception):
    """A task has no result."""


class TaskFailedError(OffloadError):
    """The task was run and failed, or could not be run: as the worker tells it."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"{fault.type}: {fault.text}")
        self.fault = fault


class TaskTimedOutError(OffloadError):
    """No reply in time. The task may have been done all the same."""


class TooManyCallsError(OffloadError):
    """As many calls as may wait do."""


class NotPublishedError(OffloadError):
    """The broker does not take the task, or may not have taken it."""


class StoppingError(OffloadError):
    """The gateway stops, and will not hear the reply."""


class Call(NamedTuple):
    """A task as it leaves."""

    id: str
    task: str
    arguments: Sequence[Any]
    named: Mapping[str, Any]
    expires: datetime


class _Waiting(NamedTuple):
    outcome: Deferred[Any]
    timer: IDelayedCall
    task: str
    since: float


class Offload:
    """The calls of a gateway that wait for their replies."""

    def __init__(
        self, gateway_id: str, clock: IReactorTime, statistics: Statistics, publish: Callable[[Call], Deferred[None]]
    ) -> None:
        self._gateway_id = gateway_id
        self._clock = clock
        self._statistics = statistics
        self._publish = publish
        # Replies to an earlier run's calls must not be taken for ours.
        self._numbers = map(f"{uuid4().hex[:16]}-{{}}".format, count(1))
        self._waiting: dict[str, _Waiting] = {}
        self._publishing: set[str] = set()
        """Calls that the publisher has, waited for or not: with a broker that hangs they would else pile up there."""
        self._is_stopped = False

    def __call__(
        self, task: str, *arguments: Any, named: Mapping[str, Any] | None = None, timeout_seconds: float = DEFAULT_SECONDS
    ) -> Deferred[Any]:
        """Have a worker run a task; fires once with its result, or fails with one of this module's errors.

        Cancelling it forgets the call.
        """
        if self._is_stopped:
            return fail(StoppingError("the gateway is stopping"))
        if len(self._waiting.keys() | self._publishing) >= MOST_CALLS:
            self._statistics.count("calls.refused")
            return fail(TooManyCallsError(f"{MOST_CALLS} calls wait already: ask again later"))
        id = call_id(self._gateway_id, next(self._numbers))
        outcome: Deferred[Any] = Deferred(lambda _: self._cancel(id))
        timer = self._clock.callLater(timeout_seconds, self._time_out, id, timeout_seconds)
        self._waiting[id] = _Waiting(outcome, timer, task, self._clock.seconds())
        self._publishing.add(id)
        self._statistics.count("calls")
        expires = datetime.now(UTC) + timedelta(seconds=timeout_seconds + CLOCKS_DIFFER_SECONDS)
        published = self._publish(Call(id, task, arguments, named or {}, expires))
        published.addCallbacks(self._published, self._not_published, callbackArgs=(id,), errbackArgs=(id,))
        return outcome

    def receive(self, reply: Reply) -> None:
        """A worker's word on a call. One that nobody waits for any more, or a second one, is counted and passed over."""
        if reply.call not in self._waiting:
            self._statistics.count("calls.late")
        elif reply.fault is None:
            self._forget(reply.call, "done").callback(reply.result)
        else:
            self._forget(reply.call, "failed").errback(TaskFailedError(reply.fault))

    def stop(self) -> None:
        """Fail what waits still, and whatever comes."""
        self._is_stopped = True
        for id in list(self._waiting):
            self._forget(id, "stopped").errback(StoppingError("the gateway is stopping"))

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def oldest_seconds(self) -> float:
        """For how long the call that waits longest has been waiting."""
        oldest = next(iter(self._waiting.values()), None)
        return 0.0 if oldest is None else self._clock.seconds() - oldest.since

    def _forget(self, id: str, end: str) -> Deferred[Any]:
        call = self._waiting.pop(id)
        if call.timer.active():
            call.timer.cancel()
        self._statistics.count(f"calls.{end}")
        return call.outcome

    def _cancel(self, id: str) -> None:
        # Twisted fails the Deferred itself when its canceller does not.
        self._forget(id, "cancelled")

    def _time_out(self, id: str, seconds: float) -> None:
        task = self._waiting[id].task
        text = f"no reply from {task} in {seconds:g} s: is a worker running that takes its queue, is it busy?"
        self._forget(id, "timed_out").errback(TaskTimedOutError(text))

    def _published(self, _: None, id: str) -> None:
        self._publishing.discard(id)

    def _not_published(self, failure: Failure, id: str) -> None:
        self._publishing.discard(id)
        if id in self._waiting:
            text = f"the broker does not take the task: {failure.getErrorMessage()}"
            self._forget(id, "not_published").errback(NotPublishedError(text))
