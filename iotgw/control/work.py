"""Having the gateway drain, and workers run tasks."""

from __future__ import annotations

import math
from typing import Annotated, Any

import orjson
from pydantic import Field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from iotgw.control.route import Asked, ControlError, Given, Route, Told
from iotgw.offload import (
    NotPublishedError,
    OffloadError,
    StoppingError,
    TaskFailedError,
    TaskTimedOutError,
    TooManyCallsError,
)

LONGEST_DRAIN_SECONDS = 3600
LONGEST_TASK_SECONDS = 300
STATUSES: dict[type[OffloadError], tuple[int, str]] = {
    TaskFailedError: (502, "task_failed"),
    TaskTimedOutError: (504, "task_timed_out"),
    TooManyCallsError: (503, "too_many_calls"),
    NotPublishedError: (503, "broker_away"),
    StoppingError: (503, "stopping"),
}
CALL_ERRORS = {
    502: "The task failed; the error has its type and traceback.",
    503: "The broker does not take it, too many calls wait, or the gateway stops.",
    504: "No result in time. The task may have been done all the same.",
}


class DrainGiven(Given):
    seconds: Annotated[float, Field(ge=0, le=LONGEST_DRAIN_SECONDS)] = Field(
        30.0, description="Links are closed over so long, each at a moment of chance."
    )


class DrainTold(Told):
    state: str = Field(description="no, closing, flushing or done.")
    links: int = Field(description="Links that are left.")
    batches_in_flight: int = Field(description="Batches without a receipt.")


class TaskGiven(Given):
    args: list[Any] = Field([], description="Positional arguments.")
    kwargs: dict[str, Any] = Field({}, description="Arguments by name.")
    timeout_seconds: Annotated[float, Field(gt=0, le=LONGEST_TASK_SECONDS)] = Field(
        30.0, description="After so long the result is waited for no more."
    )


class TasksTold(Told):
    tasks: list[str]


class TaskTold(Told):
    """Written with orjson, which knows what a task may give back."""

    result: Any = Field(description="What the task gave back; bytes as hexadecimal digits.")


def drain(asked: Asked) -> DrainTold:
    asked.reach.draining.begin(asked.body.seconds)
    return show_drain(asked)


def show_drain(asked: Asked) -> DrainTold:
    gateway = asked.reach.gateway
    return DrainTold(state=asked.reach.draining.state, links=gateway.links, batches_in_flight=gateway.batches.in_flight)


def list_tasks(asked: Asked) -> TasksTold:
    return TasksTold(tasks=sorted(asked.reach.settings.control_tasks))


def run_task(asked: Asked) -> Deferred[bytes]:
    task, body = asked.path["task"], asked.body
    if task not in asked.reach.settings.control_tasks:
        text = f"{task[:128]} is not among the tasks that may be run: GET /v1/tasks lists them, control_tasks allows them"
        raise ControlError(404, "unknown_task", text)
    if not travels([body.args, body.kwargs]):
        raise ControlError(400, "bad_body", "args and kwargs take whole numbers of 64 bits at the most")
    outcome = asked.reach.offload(task, *body.args, named=body.kwargs, timeout_seconds=body.timeout_seconds)
    return outcome.addCallbacks(_result, failed)


def _result(result: Any) -> bytes:
    try:
        return orjson.dumps({"result": result}, default=_hexadecimal, option=orjson.OPT_NON_STR_KEYS)
    except TypeError as error:
        raise ControlError(502, "task_failed", f"the task gave back what JSON has no word for: {error}") from error


def _hexadecimal(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"{type(value).__name__} is no JSON")


def failed(failure: Failure) -> Failure:
    """What a caller is told of a task without result, as an errback."""
    error = failure.value
    if not isinstance(error, OffloadError):
        return failure
    status, code = STATUSES[type(error)]
    more = {"type": error.fault.type, "traceback": error.fault.traceback} if isinstance(error, TaskFailedError) else {}
    raise ControlError(status, code, str(error), **more)


def travels(value: Any) -> bool:
    """Whether msgpack can carry it: of what JSON knows all but the longest whole numbers, and numbers beyond all."""
    match value:
        case bool():
            return True
        case int():
            return -(1 << 63) <= value < 1 << 64
        case float():
            return math.isfinite(value)
        case list():
            return all(map(travels, value))
        case dict():
            return all(map(travels, value.values()))
    return True


ROUTES = (
    Route("GET", "/v1/drain", "How far the drain is", show_drain, DrainTold),
    Route(
        "POST",
        "/v1/drain",
        "Take no new links and close those there are",
        drain,
        DrainTold,
        body=DrainGiven,
        status=202,
        describe="Once begun it goes on; asked again, it only tells how far it is. Its undo is a restart.",
    ),
    Route("GET", "/v1/tasks", "Tasks that may be run", list_tasks, TasksTold),
    Route(
        "POST",
        "/v1/tasks/{task}",
        "Have a worker run a task, and wait for its result",
        run_task,
        TaskTold,
        body=TaskGiven,
        errors={404: "The task is not among those that may be run.", **CALL_ERRORS},
        describe="Hang up, and the result is waited for no more.",
    ),
)
