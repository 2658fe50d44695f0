"""Storing what the gateways took in.

gateway -> store_batch(batch, gateway, messages)      by way of the broker
gateway <- receipt(batch, outcomes)                   by way of its mailbox, once the rows are committed
"""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from celery.exceptions import Reject, SoftTimeLimitExceeded
from django.db import DatabaseError, InterfaceError, connection
from redis import RedisError

from protocols.message import Outcome
from protocols.report import Decoded, DecodeError
from protocols.versions import versions
from store.bulk import Incoming, write
from tasks.admission import is_open
from tasks.celery import app, protocols, settings
from tasks.channels import known_channels
from tasks.contract import INGEST_TASK, BadPayloadError, IngestMessage, Receipt, ingest_messages
from tasks.mailboxes import deliver
from tasks.media import announce
from tasks.patience import Patience

log = logging.getLogger(__name__)

TIME_LIMIT_SECONDS = 120
"""A batch takes well under a second. What takes so long hangs, and its process is replaced."""
SOFT_TIME_LIMIT_SECONDS = 90

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_LATEST_MS = int((datetime(9999, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds() * 1000)
_GATEWAY = re.compile(r"[A-Za-z0-9._-]{1,64}")

_patience = Patience()
_versions = versions()


@app.task(name=INGEST_TASK, soft_time_limit=SOFT_TIME_LIMIT_SECONDS, time_limit=TIME_LIMIT_SECONDS)
def store_batch(batch: str, gateway: str, messages: list[Any]) -> None:
    """Decode a batch, commit it and tell its gateway.

    Idempotent: rows that are there are left alone, so that it may run any number of times, at once too. Bounded in
    memory by the batch and in time by the limits above. A payload that is none of ours is dropped. While the
    database is away the batch goes back to the broker. If the mailbox is away the batch is done all the same: its
    gateway, missing the receipt, sends it again.
    """
    try:
        rows = checked_payload(batch, gateway, messages)
    except BadPayloadError as error:
        log.error("dropped a bad payload: %s", error)
        raise Reject(str(error), requeue=False) from error
    due_media: list[int] = []
    outcomes = _stored(batch, rows, due_media)
    try:
        deliver(gateway, Receipt(batch, outcomes))
    except RedisError as error:
        log.warning("no receipt sent, the gateway will ask again", extra={"batch": batch, "cause": type(error).__name__})
    if due_media:
        announce(due_media)


def checked_payload(batch: Any, gateway: Any, messages: Any) -> list[IngestMessage]:
    """The messages of a payload.

    Raises: BadPayloadError when batch, gateway, a message or a message's time is not one.
    """
    if not isinstance(batch, str) or not 0 < len(batch) <= 128:
        raise BadPayloadError("batch is no batch's id")
    if not isinstance(gateway, str) or not _GATEWAY.fullmatch(gateway):
        raise BadPayloadError("gateway is no gateway's name")
    rows = ingest_messages(messages)
    for index, row in enumerate(rows):
        if not 0 <= row.received_ms <= _LATEST_MS:
            raise BadPayloadError(f"messages[{index}].received_ms is not milliseconds since 1970")
    return rows


def decoded(row: IngestMessage) -> Incoming:
    """The message with what its protocol makes of it. What goes wrong becomes its error and harms no other message."""
    name, message, kind = row.protocol, row.message, ""
    try:
        protocol = protocols[name]
        kind = protocol.kind_name(message.kind)
        result = protocol.decode(message)
    except SoftTimeLimitExceeded:
        raise
    except Exception as fault:
        kind = kind or f"0x{row.kind:04x}"
        result = Decoded([], _decoder_error(row, fault))
    return Incoming(name, message, _EPOCH + row.received_ms * _MILLISECOND, kind, result, _versions.get(name, ""))


def _decoder_error(row: IngestMessage, fault: Exception) -> DecodeError:
    if row.protocol not in protocols:
        return DecodeError("unknown-protocol", "", f"there is no protocol {row.protocol[:64]}")
    log.error("decoder failed", exc_info=fault, extra={"protocol": row.protocol, "kind": row.kind})
    return DecodeError("decoder", "", f"{type(fault).__name__}: {fault}")


def _stored(batch: str, rows: list[IngestMessage], due_media: list[int]) -> dict[int, Outcome]:
    """Commit the batch.

    Raises: Reject, after a pause, when the database does not take it now.
    """
    incoming = [decoded(row) for row in rows]
    try:
        outcomes = write(
            incoming,
            is_open=is_open,
            longest_file_bytes=settings.media_file_bytes,
            due_media=due_media,
            channels=known_channels,
        )
    except (DatabaseError, InterfaceError) as error:
        # Even one that still works: after a failover it may lead to a server that only reads.
        connection.close()
        # The one that comes back may have been restored, without the channels that were added last.
        known_channels.forget()
        log.error("database does not take the batch, it goes back", extra={"batch": batch, "cause": _cause(error)})
        _patience.wait()
        raise Reject("database away", requeue=True) from error
    except BaseException:
        # A time limit may strike between a statement and its answer; such a connection must not be used again.
        connection.close()
        raise
    _patience.reset()
    return outcomes


def _cause(error: Exception) -> str:
    """An error's first line, which for databases is the whole story and holds neither password nor data."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
