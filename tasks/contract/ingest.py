"""Batches on their way to the workers, and the receipts that come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgpack

from protocols.message import Message, Outcome
from tasks.contract.mailboxes import BadPayloadError

RECEIPT_FIELD = b"receipt"
HOPELESS = "iotgw.hopeless"
"""A hash in Redis of batches, by their ids, that end workers even undecoded."""
MOST_HOPELESS = 200
MOST_HOPELESS_BYTES = 64 << 20
_TIME_DIGITS = 13


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


def ingest_payload(batch: str, gateway: str, messages: Sequence[IngestMessage]) -> dict[str, Any]:
    """The keyword arguments of :data:`INGEST_TASK`."""
    return {"batch": batch, "gateway": gateway, "messages": [tuple(message) for message in messages]}


def ingest_task_id(batch: str, attempt: int) -> str:
    """The id of the task that brings a batch for the n-th time, by which a worker knows a copy."""
    return f"{batch}.{attempt}"


def ingest_attempt(task_id: str | None) -> int:
    """For the how manieth time a batch comes from its gateway, by its task's id; 1 if that does not say."""
    attempt = (task_id or "").rpartition(".")[2]
    return int(attempt) if attempt.isascii() and attempt.isdigit() else 1


def copy_options(expires: str | None) -> dict[str, Any]:
    """How a batch is sent that is forgotten, if no worker has taken it, at a time in ISO 8601.

    Celery's own option would have RabbitMQ see to it too, which makes a dead letter of what expires.
    """
    return {} if expires is None else {"headers": {"expires": expires}}


def ingest_batch(task_id: str) -> str:
    """The batch that a task brings, by the task's id."""
    return task_id.rpartition(".")[0]


def decoding_key(batch: str) -> str:
    """What is noted in Redis of a batch that workers ended with."""
    return f"iotgw:decoding:{batch}"


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


def pack_hopeless(gateway: str, messages: Sequence[IngestMessage]) -> bytes:
    """A batch as it is kept, behind the time, in milliseconds since 1970 and as 13 digits, at which it was kept."""
    packed: bytes = msgpack.packb([gateway, [tuple(message) for message in messages]])
    return packed


def unpack_hopeless(batch: str, kept: bytes) -> tuple[int, dict[str, Any]]:
    """When it was kept, and the payload it came as."""
    gateway, messages = msgpack.unpackb(kept[_TIME_DIGITS:])
    return int(kept[:_TIME_DIGITS]), ingest_payload(batch, gateway, ingest_messages(messages))


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
