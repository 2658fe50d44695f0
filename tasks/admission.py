"""Telling gateways which devices there are, and whether they may come in.

gateway -> look_up([(protocol, identity), ...])      by way of the broker
gateway <- what is known of each                     by way of its mailbox, as every reply
Redis   <- the same, for the next time
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from celery.exceptions import Reject
from redis import RedisError

from settings.model import Admission
from store import queries
from tasks.celery import app, settings
from tasks.connection import redis
from tasks.contract import (
    ADMISSION_TASK,
    KNOWN_SECONDS,
    UNKNOWN_SECONDS,
    BadPayloadError,
    Known,
    asked_devices,
    known_key,
    pack_known,
)
from tasks.database import database

log = logging.getLogger(__name__)

SOFT_TIME_LIMIT_SECONDS = 10
"""A few hundred rows by their keys take milliseconds. Whoever asks has asked somebody else by then."""
TIME_LIMIT_SECONDS = 15


@app.task(name=ADMISSION_TASK, retry_on_worker_lost=False, soft_time_limit=SOFT_TIME_LIMIT_SECONDS, time_limit=TIME_LIMIT_SECONDS)
def look_up(devices: list[Any]) -> list[Known | None]:
    """What is known of devices, in their order; None for one that there is not.

    Of a protocol whose admission is open, those that there are not are created, so that they are remembered as what they
    are from then on. Idempotent: besides, it only reads, and remembers in Redis what it has read. Bounded by the number
    of devices that may be asked for at once, and by the limits above. A payload that is none of ours is dropped. While
    the database is away it fails at once: its gateway goes by what Redis remembers.
    """
    try:
        asked = asked_devices(devices)
    except BadPayloadError as error:
        log.error("dropped a bad payload: %s", error)
        raise Reject(str(error), requeue=False) from error
    with database():
        found = queries.known_devices(asked)
        if welcome := {device for device in asked if device not in found and is_open(device[0])}:
            queries.create_devices(welcome)
            found |= queries.known_devices(list(welcome))
    known = [None if (row := found.get(device)) is None else Known(row.is_enabled, row.credential) for device in asked]
    _remember(asked, known)
    return known


def is_open(protocol: str) -> bool:
    """Whether devices of a protocol that there are not are created."""
    return settings.admission_of(protocol) is Admission.OPEN


def _remember(devices: Sequence[tuple[str, str]], known: Sequence[Known | None]) -> None:
    pipeline = redis().pipeline(transaction=False)
    for device, what in zip(devices, known, strict=True):
        pipeline.set(known_key(*device), pack_known(what), ex=UNKNOWN_SECONDS if what is None else KNOWN_SECONDS)
    try:
        pipeline.execute()
    except RedisError as error:
        log.warning("devices are not remembered", extra={"devices": len(devices), "cause": type(error).__name__})
