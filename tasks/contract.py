"""What the gateway and the workers agree on: names of tasks and queues, payloads, what mailboxes hold, names in Redis.

Imports nothing heavy, so that a gateway's host needs neither Django nor a database driver.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgpack

from protocols.message import Message, Outcome

EXCHANGE = "iotgw"
INGEST_QUEUE = "ingest"
INGEST_TASK = "tasks.ingest.store_batch"
DEFAULT_QUEUE = "default"
"""Of what somebody waits for: such as the tasks that are run over the gateways' control API."""
SUMMARY_TASK = "tasks.devices.summary"
QUEUES = (INGEST_QUEUE, DEFAULT_QUEUE)

CALL_PREFIX = "call:"
_CALL = re.compile(r"call:([A-Za-z0-9._-]{1,64}):[0-9a-z-]{1,64}")

MAILBOX_LENGTH = 10_000
"""Entries a mailbox keeps: more than any gateway has batches without a receipt."""
MAILBOX_EXPIRY_SECONDS = 3600
"""A mailbox nobody writes to for so long belongs to a gateway that is gone."""
RECEIPT_FIELD = b"receipt"
KICK_FIELD = b"kick"
REPLY_FIELD = b"reply"
REPLY_BYTES = 256 * 1024
"""A reply's longest result. It lies in Redis until its gateway has read it, and in the gateway's memory."""
REPLY_TEXT = 16 * 1024
"""Characters of an error's text and of its traceback, of which the end is kept."""

ROUTES = "iotgw:routes"
"""The Redis hash of routes, by :func:`route_field`."""
ALIVE = "iotgw:alive:"
"""Before a run's id: the key that a running gateway keeps from expiring."""
ROUTES_SWEPT = "iotgw:routes:swept"
"""There while a gateway has lately begun to remove routes of runs that are gone."""
LAST_RUN = "iotgw:run:"
"""Before a gateway's name: the run that wrote it last."""


class IngestMessage(NamedTuple):
    """One message of a batch, as it travels."""

    protocol: str
    identity: str
    kind: int
    sequence: int
    head: bytes
    body: bytes
    received_ms: int
    """When the gateway had it whole, in milliseconds since 1970 UTC. The same in every copy of the batch."""

    @property
    def message(self) -> Message:
        return Message(self.identity, self.kind, self.sequence, self.head, self.body)


class Receipt(NamedTuple):
    """A worker's word that a batch is committed."""

    batch: str
    outcomes: Mapping[int, Outcome]
    """By position in the batch, what is not plainly ``STORED``."""


class Kick(NamedTuple):
    """Word to a gateway that a newer link elsewhere has a device's session."""

    protocol: str
    identity: str
    run: str
    """Of the gateway that had the session. Another run of it has no such link."""
    epoch: int
    """Of the route that won: a session of this epoch or a later one is newer than the kick."""


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


class BadPayloadError(ValueError):
    """A payload, receipt, kick or reply that is none of ours."""


def mailbox(gateway: str) -> str:
    """The Redis stream through which a gateway is told things."""
    return f"iotgw:mailbox:{gateway}"


def route_field(protocol: str, identity: str) -> str:
    """Under which name a device's route is in :data:`ROUTES`. Protocols have no slash in their names."""
    return f"{protocol}/{identity}"


def ingest_payload(batch: str, gateway: str, messages: Sequence[IngestMessage]) -> dict[str, Any]:
    """The keyword arguments of :data:`INGEST_TASK`."""
    return {"batch": batch, "gateway": gateway, "messages": [tuple(message) for message in messages]}


def ingest_messages(rows: Any) -> list[IngestMessage]:
    """The messages of a payload.

    Raises: BadPayloadError when a row is not one.
    """
    shape = (str, str, int, int, bytes, bytes, int)
    if not isinstance(rows, (list, tuple)):
        raise BadPayloadError(f"messages must be a list, not {type(rows).__name__}")
    messages = []
    for index, row in enumerate(rows):
        if not isinstance(row, (list, tuple)) or tuple(map(type, row)) != shape:
            raise BadPayloadError(f"messages[{index}] is not (protocol, identity, kind, sequence, head, body, received_ms)")
        messages.append(IngestMessage(*row))
    return messages


def pack_receipt(receipt: Receipt) -> bytes:
    packed: bytes = msgpack.packb([receipt.batch, {index: int(outcome) for index, outcome in receipt.outcomes.items()}])
    return packed


def unpack_receipt(data: bytes) -> Receipt:
    """Raises: BadPayloadError when the bytes are no receipt."""
    try:
        batch, outcomes = msgpack.unpackb(data, strict_map_key=False)
        if not isinstance(batch, str):
            raise TypeError(f"a batch id is text, not {type(batch).__name__}")
        return Receipt(batch, {int(index): Outcome(outcome) for index, outcome in outcomes.items()})
    except (ValueError, TypeError, AttributeError, msgpack.UnpackException) as error:
        raise BadPayloadError(f"not a receipt: {error}") from error


def unpack_kicks(data: bytes) -> list[Kick]:
    """What the script that takes routes has packed: a run, and devices with the epochs that won.

    Raises: BadPayloadError when the bytes are no kicks.
    """
    try:
        run, *devices = msgpack.unpackb(data)
        kicks = []
        for field, epoch in zip(devices[::2], devices[1::2], strict=True):
            protocol, _, identity = field.partition("/")
            kicks.append(Kick(protocol, identity, run, int(epoch)))
        return kicks
    except (ValueError, TypeError, AttributeError, msgpack.UnpackException) as error:
        raise BadPayloadError(f"not kicks: {error}") from error


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


def celery_configuration(broker_url: str) -> dict[str, Any]:
    """What every Celery app of the house is configured with, gateway and workers alike."""
    is_redis = broker_url.startswith(("redis", "rediss", "sentinel"))
    return {
        "broker_url": broker_url,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": (
            # A task that a killed worker held comes back after this long; the gateway's own re-send is quicker.
            {"visibility_timeout": 120, "priority_steps": [0], "socket_timeout": 30, "socket_connect_timeout": 5}
            if is_redis
            else {"confirm_publish": True}
        ),
        "task_serializer": "msgpack",
        "accept_content": ["msgpack"],
        "result_backend": None,
        "task_ignore_result": True,
        "task_acks_late": True,
        "task_default_exchange": EXCHANGE,
        "task_default_exchange_type": "topic",
        "task_default_queue": DEFAULT_QUEUE,
        "task_default_routing_key": DEFAULT_QUEUE,
        "task_queues": {queue: {"exchange": EXCHANGE, "exchange_type": "topic", "routing_key": queue} for queue in QUEUES},
        # By the nameless exchange, straight into the queue. The way over a named one is a set in Redis, read for every
        # message: when it is gone (a flush, a restart without a file), kombu drops what is sent without a word.
        "task_routes": {
            INGEST_TASK: {"queue": INGEST_QUEUE, "exchange": "", "routing_key": INGEST_QUEUE},
            "*": {"queue": DEFAULT_QUEUE, "exchange": "", "routing_key": DEFAULT_QUEUE},
        },
        "worker_prefetch_multiplier": 2,
        "worker_hijack_root_logger": False,
        "timezone": "UTC",
    }
