"""Tasks that a gateway waits for, and the replies that it gets."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgpack

from tasks.contract.mailboxes import BadPayloadError

CALL_PREFIX = "call:"
_CALL = re.compile(r"call:([A-Za-z0-9._-]{1,64}):[0-9a-z-]{1,64}")
REPLY_FIELD = b"reply"
REPLY_BYTES = 256 * 1024
"""A reply's longest result. It lies in Redis until its gateway has read it, and in the gateway's memory."""
REPLY_TEXT = 16 * 1024
"""Characters of an error's text and of its traceback, of which the end is kept."""


class Fault(NamedTuple):
    """Why a task has no result."""

    type: str
    text: str
    traceback: str


class Reply(NamedTuple):
    """What became of a task that a gateway waits for: its result, or a fault."""

    call: str
    result: Any
    fault: Fault | None = None


def call_id(gateway: str, number: str) -> str:
    """The id of a task whose reply a gateway waits for: it says whose mailbox the reply goes to."""
    return f"{CALL_PREFIX}{gateway}:{number}"


def calling_gateway(task_id: str | None) -> str | None:
    """The gateway that waits for a task's reply; None for tasks that nobody waits for."""
    found = _CALL.fullmatch(task_id or "")
    return found and found[1]


def pack_reply(reply: Reply) -> bytes:
    """Raises: TypeError, ValueError or OverflowError when the result is of a kind that does not travel."""
    packed: bytes = msgpack.packb([reply.call, reply.result, reply.fault])
    return packed


def unpack_reply(data: bytes) -> Reply:
    """Raises: BadPayloadError when the bytes are no reply."""
    try:
        call, result, fault = msgpack.unpackb(data, strict_map_key=False)
        if not isinstance(call, str):
            raise TypeError(f"a call's id is text, not {type(call).__name__}")
        return Reply(call, result, None if fault is None else Fault(*map(str, fault)))
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise BadPayloadError(f"not a reply: {error}") from error
