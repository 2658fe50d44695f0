"""Telling gateways what became of the tasks that they wait for.

gateway -> any task, under an id that names the gateway      by way of the broker
gateway <- reply(call, result or fault)                      by way of its mailbox, before the broker forgets the task

It goes by the id, so that every task of the app can be waited for, whatever it is, and none needs to know: one that
fails, one whose process dies or takes longer than its time limit, and one that a worker refuses before it runs
(:mod:`tasks.consumer`). A task that goes back to the broker (``Reject``, ``Retry``) has no outcome yet, and no reply.
"""

from __future__ import annotations

import logging
from typing import Any

from celery.signals import task_failure, task_success
from redis import RedisError

from tasks.contract import REPLY_BYTES, REPLY_FIELD, REPLY_TEXT, Fault, Reply, calling_gateway, pack_reply
from tasks.mailboxes import post

log = logging.getLogger(__name__)


@task_success.connect
def _succeeded(sender: Any = None, result: Any = None, **_: Any) -> None:
    reply(sender.request.id, result)


@task_failure.connect
def _failed(task_id: str = "", exception: BaseException | None = None, einfo: Any = None, **_: Any) -> None:
    reply(task_id, None, _fault(exception, getattr(einfo, "traceback", None) or ""))


def reply(task_id: str | None, result: Any, fault: Fault | None = None) -> None:
    """Tell the gateway that waits for a task, if one does. What cannot be told, its gateway finds out by time-out."""
    gateway = calling_gateway(task_id)
    if gateway is None or task_id is None:
        return
    try:
        post(gateway, REPLY_FIELD, _packed(Reply(task_id, result, fault)))
    except RedisError as error:
        log.warning("no reply sent, its caller will time out", extra={"call": task_id, "cause": type(error).__name__})


def _packed(whole: Reply) -> bytes:
    """The reply, or if it cannot travel a fault that says why."""
    try:
        packed = pack_reply(whole)
    except (TypeError, ValueError, OverflowError) as error:
        fault = Fault("ResultError", f"the result is not made of numbers, text, bytes, lists and maps: {error}"[:REPLY_TEXT], "")
    else:
        if len(packed) <= REPLY_BYTES:
            return packed
        fault = Fault("ResultError", f"the result takes {len(packed)} bytes, more than {REPLY_BYTES}: ask for less of it", "")
    return pack_reply(Reply(whole.call, None, fault))


def _fault(exception: BaseException | None, traceback: str) -> Fault:
    # Text that no encoding has, such as half a surrogate pair, would keep the whole reply from travelling.
    text, traceback = (part.encode(errors="replace").decode() for part in (str(exception), traceback))
    return Fault(type(exception).__name__, text[:REPLY_TEXT], traceback[-REPLY_TEXT:])
