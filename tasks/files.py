"""Files of the platform on their way to devices: which one is whose turn, its bytes, and what has become of it.

gateway -> next_offers([(protocol, identity), ...])   by way of the broker, as all that follows
gateway -> read_slice(sha256, offset)                 128 KiB, which it keeps for all who ask for the same
gateway -> note([(delivery, sent, fault), ...])
beat    -> sweep, every few seconds                   what has changed: Redis and the gateways that have the devices are told
"""

from __future__ import annotations

import logging
import re
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from celery.exceptions import Reject
from django.db import DatabaseError, InterfaceError
from redis import RedisError

from protocols import Carrier, Offer
from store import deliveries
from store.commands import ledger
from store.deliveries import Noted
from store.files import file_path
from store.media.folder import MediaFolder
from store.models import Delivery
from tasks.celery import app, protocols, settings
from tasks.commands import announce
from tasks.connection import redis
from tasks.contract import (
    FILES_FIELD,
    FILES_SWEEP_TASK,
    FILES_SWEEPING,
    FILES_WAITING,
    NOTE_TASK,
    OFFERS_TASK,
    ROUTES,
    SLICE_BYTES,
    SLICE_TASK,
    BadPayloadError,
    FilesWaiting,
    Shelved,
    asked_devices,
    pack_files_waiting,
    read_notes,
    route_field,
)
from tasks.database import database
from tasks.mailboxes import post

log = logging.getLogger(__name__)

SOFT_TIME_LIMIT_SECONDS = 20
"""All of it takes milliseconds. Whoever asks has asked again by then."""
TIME_LIMIT_SECONDS = 30
SWEEP_SECONDS = 5
LONGEST_SWEEP_SECONDS = 15.0
"""One that finds more than it may tell at a time goes on for so long. What is left is the next one's."""
DELIVERIES_A_TIME = 500
_SHA256 = re.compile("[0-9a-f]{64}")
_Checked = TypeVar("_Checked")
_LIMITS: dict[str, Any] = {"soft_time_limit": SOFT_TIME_LIMIT_SECONDS, "time_limit": TIME_LIMIT_SECONDS}


@app.task(name=OFFERS_TASK, **_LIMITS)
def next_offers(devices: list[Any]) -> list[Shelved | None]:
    """Of each device the file that is its turn, in their order; None for one that has nothing to get now.

    Not quite idempotent: it counts how often each is told. Bounded by the number of devices that may be asked for at once,
    and by the limits above. A payload that is none of ours is dropped.
    """
    asked = _checked(asked_devices, devices)
    identities: dict[str, list[str]] = defaultdict(list)
    for protocol, identity in asked:
        identities[protocol].append(identity)
    now = datetime.now(UTC)
    with database():
        turns = {protocol: deliveries.take_next(protocol, names, now) for protocol, names in identities.items()}
    return [_shelved(turns[protocol].get(identity), now) for protocol, identity in asked]


@app.task(name=SLICE_TASK, **_LIMITS)
def read_slice(sha256: str, offset: int) -> bytes | None:
    """Bytes of a file from an offset on, as many as a slice has, fewer at its end; None if there is no such file.

    Idempotent: it only reads. Bounded by a slice. A payload that is none of ours is dropped.
    """
    if not (isinstance(sha256, str) and _SHA256.fullmatch(sha256) and type(offset) is int and 0 <= offset < 1 << 63):
        log.error("dropped a bad payload: not a file and an offset")
        raise Reject("not a file and an offset", requeue=False)
    root = settings.effective_media_folder
    try:
        with file_path(MediaFolder(root), sha256).open("rb") as file:
            file.seek(offset)
            return file.read(SLICE_BYTES)
    except FileNotFoundError:
        if not root.is_dir():
            # It is the disk that is not there: no delivery fails for that.
            raise
        return None


@app.task(name=NOTE_TASK, **_LIMITS)
def note(notes: list[Any]) -> None:
    """Write down how far deliveries are.

    Idempotent: what is behind what is known changes nothing. Bounded by the number of notes that may come at once, and by
    the limits above. A payload that is none of ours is dropped.
    """
    told = _checked(read_notes, notes)
    noted = [Noted(one.delivery, one.sent, datetime.fromtimestamp(one.sent_ms / 1000, UTC), one.fault) for one in told]
    with database():
        deliveries.note(noted, datetime.now(UTC))


@app.task(name=FILES_SWEEP_TASK, **_LIMITS)
def sweep() -> None:
    """Tell Redis and gateways what has changed of deliveries.

    Idempotent; of several one does it, since who is told twice asks twice, and each question counts as an offer. Bounded by
    :data:`LONGEST_SWEEP_SECONDS` and by the limits above. While database or Redis are away, what has changed stays due.
    """
    try:
        # The limit ends whoever has it before it expires. After one that was killed nobody sweeps for so long.
        if redis().set(FILES_SWEEPING, 1, nx=True, ex=TIME_LIMIT_SECONDS):
            try:
                with database():
                    _sweep(time.monotonic() + LONGEST_SWEEP_SECONDS)
            finally:
                redis().delete(FILES_SWEEPING)
    except (DatabaseError, InterfaceError, RedisError) as error:
        log.error("files not announced, will try again", extra={"cause": f"{type(error).__name__}: {str(error).splitlines()[:1]}"})


def _sweep(until: float) -> None:
    while True:
        now = datetime.now(UTC)
        found = deliveries.due(now, DELIVERIES_A_TIME)
        if found:
            _refuse_where_none_are_carried(found, now)
            announce(ledger.follow(found, now))
            _tell(found)
            deliveries.seen(found, now)
        if len(found) < DELIVERIES_A_TIME or time.monotonic() >= until:
            return


def _refuse_where_none_are_carried(found: Sequence[Delivery], now: datetime) -> None:
    """Of a protocol that is unknown here another worker may know more."""
    bare = {name for name, protocol in protocols.items() if not isinstance(protocol.codec(), Carrier)}
    in_vain = [delivery for delivery in found if delivery.device.protocol in bare]
    faults = [Noted(delivery.id, 0, now, f"{delivery.device.protocol} devices take no files") for delivery in in_vain]
    deliveries.note(faults, now)


def _tell(found: Sequence[Delivery]) -> None:
    """Raises: redis.RedisError"""
    devices = {delivery.device_id: FilesWaiting(delivery.device.protocol, delivery.device.identity) for delivery in found}
    waiting = deliveries.waiting(devices)
    fields = {id: route_field(*device) for id, device in devices.items()}
    pipeline = redis().pipeline(transaction=False)
    for id, field in fields.items():
        (pipeline.sadd if id in waiting else pipeline.srem)(FILES_WAITING, field)
    pipeline.hmget(ROUTES, list(fields.values()))
    gateways: dict[str, list[FilesWaiting]] = defaultdict(list)
    for route, device in zip(pipeline.execute()[-1], devices.values(), strict=True):
        if route is not None:
            gateways[route.decode().partition(" ")[0]].append(device)
    for gateway, told in gateways.items():
        post(gateway, FILES_FIELD, pack_files_waiting(told))


def _shelved(delivery: Delivery | None, now: datetime) -> Shelved | None:
    if delivery is None:
        return None
    file = delivery.file
    # One of which all has gone down, and nothing came, begins anew.
    is_in_vain = delivery.sent_bytes >= file.size and not deliveries.is_awaited(delivery, now)
    sent = 0 if is_in_vain else delivery.sent_bytes
    offer = Offer(delivery.id, file.id, file.size, file.crc32, file.name, file.version, file.maker, sent)
    return Shelved(offer, file.sha256)


def _checked(check: Callable[[Any], _Checked], payload: Any) -> _Checked:
    """Raises: Reject"""
    try:
        return check(payload)
    except BadPayloadError as error:
        log.error("dropped a bad payload: %s", error)
        raise Reject(str(error), requeue=False) from error
