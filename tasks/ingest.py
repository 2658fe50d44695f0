"""Storing what the gateways took in.

gateway -> store_batch(batch, gateway, messages)      by way of the broker
gateway <- receipt(batch, outcomes)                   by way of its mailbox, once the rows are committed
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from amqp.exceptions import AMQPError
from celery import Task
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from django.db import DatabaseError, InterfaceError
from kombu.exceptions import OperationalError
from redis import RedisError

from protocols.message import Outcome
from protocols.report import Decoded, DecodeError
from protocols.versions import versions
from store.bulk import AnySent, Incoming, write
from tasks import hopeless
from tasks.admission import is_open
from tasks.celery import app, protocols, settings
from tasks.channels import known_channels
from tasks.commands import announce as announce_commands
from tasks.contract import (
    INGEST_TASK,
    LATEST_MS,
    BadPayloadError,
    IngestMessage,
    Receipt,
    copy_options,
    ingest_attempt,
    ingest_messages,
    ingest_payload,
)
from tasks.database import database
from tasks.mailboxes import deliver
from tasks.media import announce
from tasks.patience import Patience
from tasks.poison import Notes, TooLongError, Trial, in_time
from tasks.rulebook import known_rules

log = logging.getLogger(__name__)

TIME_LIMIT_SECONDS = 120
"""A batch takes well under a second. What takes so long hangs, and its process is replaced."""
SOFT_TIME_LIMIT_SECONDS = 90
"""Decoding ends itself long before (:mod:`tasks.poison`): what takes so long is a database that is locked."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_GATEWAY = re.compile(r"[A-Za-z0-9._-]{1,64}")

_patience = Patience()
_versions = versions()


@app.task(
    name=INGEST_TASK, bind=True, retry_on_worker_lost=False, soft_time_limit=SOFT_TIME_LIMIT_SECONDS, time_limit=TIME_LIMIT_SECONDS
)
def store_batch(self: Task[Any, Any], batch: str, gateway: str, messages: list[Any]) -> None:
    """Decode a batch, commit it and tell its gateway.

    Idempotent: rows that are there are left alone, so that it may run any number of times, at once too. Bounded in
    memory by the batch and in time by the limits above. A payload that is none of ours is a dead letter. While the
    database is away the batch is published anew. If the mailbox is away the batch is done all the same: its
    gateway, missing the receipt, sends it again. So it does if a worker ends with it, until :mod:`tasks.poison` ends that.
    """
    try:
        rows = checked_payload(batch, gateway, messages)
    except BadPayloadError as error:
        log.error("dropped a bad payload: %s", error)
        raise Reject(str(error), requeue=False) from error
    trial = Notes(batch, self.request.id or "").begin() if _is_copy(self.request) else Trial()
    if trial.is_hopeless:
        _give_up(batch, gateway, rows, trial)
    due_media: list[int] = []
    commands: list[int] = []
    try:
        outcomes = _stored(rows, trial, due_media, commands)
    except (DatabaseError, InterfaceError, SoftTimeLimitExceeded) as error:
        trial.end(is_stored=False)
        _come_again(self.request, ingest_payload(batch, gateway, rows), error)
    except MemoryError as error:
        # As such it would end the whole worker.
        trial.has_ended()
        raise RuntimeError("no memory for the batch") from error
    except BaseException:
        trial.end(is_stored=False)
        raise
    _patience.reset()
    trial.end(is_stored=True)
    _tell(batch, gateway, outcomes)
    if due_media:
        announce(due_media)
    announce_commands(commands)


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
        if not 0 <= row.received_ms <= LATEST_MS:
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
        return undecoded(row, _decoder_error(row, fault), kind)
    return Incoming(name, message, _EPOCH + row.received_ms * _MILLISECOND, kind, result, _versions.get(name, ""))


def undecoded(row: IngestMessage, error: DecodeError, kind: str = "") -> Incoming:
    """The message without anything of its protocol's, for quarantine."""
    received_at, kind = _EPOCH + row.received_ms * _MILLISECOND, kind or f"0x{row.kind:04x}"
    return Incoming(row.protocol, row.message, received_at, kind, Decoded([], error), _versions.get(row.protocol, ""))


def _decoder_error(row: IngestMessage, fault: Exception) -> DecodeError:
    if row.protocol not in protocols:
        return DecodeError("unknown-protocol", "", f"there is no protocol {row.protocol[:64]}")
    log.error("decoder failed", exc_info=fault, extra={"protocol": row.protocol, "kind": row.kind})
    return DecodeError("decoder", "", f"{type(fault).__name__}: {fault}")


def _is_copy(request: Any) -> bool:
    """Whether the batch has come before, so that a worker may have ended with it."""
    return ingest_attempt(request.id) > 1 or bool((request.delivery_info or {}).get("redelivered"))


def _stored(rows: list[IngestMessage], trial: Trial, due_media: list[int], commands: list[int]) -> dict[int, Outcome]:
    if trial.is_unsuspected:
        try:
            return _written(rows, in_time(decoded), due_media, commands)
        except TooLongError:
            log.error("a batch takes too long to decode, its messages are tried one by one")
    return _written(trial.decoded(rows, decoded, undecoded), list, due_media, commands)


def _written(
    batch: Sequence[AnySent], decode: Callable[[Sequence[AnySent]], list[Incoming]], due_media: list[int], commands: list[int]
) -> dict[int, Outcome]:
    try:
        with database():
            return write(
                batch,
                decode,
                is_open=is_open,
                longest_file_bytes=settings.media_file_bytes,
                due_media=due_media,
                commands=commands,
                channels=known_channels,
                rules=known_rules,
            )
    except BaseException:
        # The database that comes back may have been restored, without the channels that were added last.
        known_channels.forget()
        known_rules.forget()
        raise


def _tell(batch: str, gateway: str, outcomes: dict[int, Outcome]) -> None:
    try:
        deliver(gateway, Receipt(batch, outcomes))
    except RedisError as error:
        log.warning("no receipt sent, the gateway will ask again", extra={"batch": batch, "cause": type(error).__name__})


def _give_up(batch: str, gateway: str, rows: list[IngestMessage], trial: Trial) -> NoReturn:
    """Keep what has ended so many workers, and tell its gateway when that is sure. Until then it sends more copies.

    What is noted of it stays, since there may be more copies under way. While one is at it nothing is done.
    Raises: Ignore
    """
    if not trial.living and hopeless.keep(batch, gateway, rows):
        _tell(batch, gateway, dict.fromkeys(range(len(rows)), Outcome.QUARANTINED))
    raise Ignore


def _come_again(request: Any, payload: dict[str, Any], error: Exception) -> NoReturn:
    """Publish the batch anew after a pause. To give it back would count as a delivery, of which it has only so many.

    The old one is forgotten when the broker has the new one: whoever is killed meanwhile leaves two.
    Raises: Ignore; Reject, so that the broker keeps the old one, when it does not take the new one.
    """
    log.error("database does not take the batch, it goes back", extra={"batch": payload["batch"], "cause": _cause(error)})
    try:
        _patience.wait()
        _publish(request, payload)
    except (OperationalError, AMQPError, OSError, SoftTimeLimitExceeded) as fault:
        raise Reject("neither database nor broker", requeue=True) from fault
    raise Ignore


def _publish(request: Any, payload: dict[str, Any]) -> None:
    """It comes again as what it was, and expires when it would have."""
    options = copy_options(request.expires)
    app.send_task(INGEST_TASK, kwargs=payload, task_id=request.id, retry=False, argsrepr="", kwargsrepr="", **options)


def _cause(error: Exception) -> str:
    """An error's first line, which for databases is the whole story and holds neither password nor data."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
