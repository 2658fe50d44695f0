"""Which devices are here, as their gateways tell, and what became of those of which nobody tells any more.

gateway -> tell(gateway, run, changes)         by way of the broker
gateway <- that it is stored                   by way of its mailbox, as every reply; without one it tells again
worker  -> check()                             every 30 s: who is told to be here, and has no route in Redis that lives?
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self, cast

import msgpack
from django.db import DatabaseError, InterfaceError
from redis import RedisError

from store import presence
from store.models import GATEWAY_LOST, UNKNOWN
from store.presence import Online, Visit
from store.rows import DeviceKey
from tasks.celery import app
from tasks.connection import redis
from tasks.contract import (
    ALIVE,
    PRESENCE_CHECK_TASK,
    PRESENCE_CHECKED,
    PRESENCE_MISSED,
    PRESENCE_TASK,
    ROUTES,
    BadPayloadError,
    PresenceChange,
    presence_changes,
    route_field,
    route_run,
)
from tasks.database import database

log = logging.getLogger(__name__)

SOFT_TIME_LIMIT_SECONDS = 20
"""What a gateway tells at once takes tens of milliseconds. It tells again after 30 s."""
TIME_LIMIT_SECONDS = 30
CHECK_SECONDS = 30
"""How often is looked, and for how long somebody has to be missing: long enough for gateways to claim all routes anew after
Redis has lost them."""
DEVICES_A_CHECK = 5_000
"""Of those that are here, as many are looked for each time: a fleet of 100,000 is gone through in ten minutes."""
DEVICES_AT_ONCE = 1_000
"""In one transaction, and in one question to Redis."""
MISSED_SECONDS = 600

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass
class Missed:
    """Who was not found the last time. He is looked for once more before he is taken for gone."""

    runs: list[str] = field(default_factory=list)
    """Of gateways whose key has expired, and whose devices are told to be here."""
    devices: dict[int, int] = field(default_factory=dict)
    """Ids and epochs."""
    after: int = 0
    """The last device that was looked for."""

    @classmethod
    def unpack(cls, data: bytes | None) -> Self:
        return cls() if data is None else cls(*msgpack.unpackb(data, strict_map_key=False))

    def pack(self) -> bytes:
        packed: bytes = msgpack.packb((self.runs, self.devices, self.after))
        return packed


@app.task(name=PRESENCE_TASK, throws=(BadPayloadError,), soft_time_limit=SOFT_TIME_LIMIT_SECONDS, time_limit=TIME_LIMIT_SECONDS)
def tell(gateway: str, run: str, changes: list[Any]) -> None:
    """Store what a gateway tells of its sessions.

    Idempotent, in any order, several at once. Bounded by the number of changes that may be told at once and by the limits
    above. A payload that is none of ours is dropped, and its gateway told so. While the database is away it fails at once:
    its gateway tells again.
    """
    try:
        if not isinstance(gateway, str) or not isinstance(run, str):
            raise BadPayloadError("gateway and run are not text")
        told = presence_changes(changes)
    except BadPayloadError as error:
        log.error("dropped a bad payload: %s", error)
        raise
    with database():
        presence.take(gateway, run, map(_visit, told))


@app.task(name=PRESENCE_CHECK_TASK, soft_time_limit=SOFT_TIME_LIMIT_SECONDS, time_limit=TIME_LIMIT_SECONDS)
def check() -> None:
    """Take devices for gone that no living gateway has a route of: its process was killed, or its word was lost.

    Idempotent; of several within :data:`CHECK_SECONDS` one does it. Bounded by the slice of devices that is looked at, and by
    the limits above: the devices of a killed gateway that are left are the next check's.
    """
    try:
        if redis().set(PRESENCE_CHECKED, 1, nx=True, ex=CHECK_SECONDS - 1):
            with database():
                _check(datetime.now(UTC))
    except RedisError as error:
        # Without the routes nobody is missed.
        log.warning("presence not checked, Redis does not answer", extra={"cause": type(error).__name__})
    except (DatabaseError, InterfaceError) as error:
        log.error("presence not checked, the database does not answer", extra={"cause": str(error).partition("\n")[0]})


def _check(now: datetime) -> None:
    missed = Missed.unpack(cast("bytes | None", redis().get(PRESENCE_MISSED)))
    dead = _dead(presence.online_runs())
    lost = sum(_lose_all(run, now) for run in dead.intersection(missed.runs))
    still = {device.device_id: device.epoch for device in _without_route(presence.still_online(missed.devices))}
    gone = {device: epoch for device, epoch in missed.devices.items() if still.get(device) == epoch}
    lost += presence.presume(gone, UNKNOWN, now) if gone else 0
    if lost:
        log.info("devices taken for gone, no gateway has them", extra={"devices": lost})
    here = presence.online_after(missed.after, DEVICES_A_CHECK)
    devices = {device.device_id: device.epoch for device in _without_route(here)}
    after = here[-1].device_id if len(here) == DEVICES_A_CHECK else 0
    redis().set(PRESENCE_MISSED, Missed(sorted(dead), devices, after).pack(), ex=MISSED_SECONDS)


def _lose_all(run: str, now: datetime) -> int:
    lost = 0
    while devices := presence.online_of(run, DEVICES_AT_ONCE):
        lost += presence.presume(devices, GATEWAY_LOST, now)
    return lost


def _dead(runs: Iterable[str]) -> set[str]:
    """Those of some runs whose gateways do not live."""
    asked = list(runs)
    found = cast("list[Any]", redis().mget([ALIVE + run for run in asked])) if asked else []
    return {run for run, alive in zip(asked, found, strict=True) if alive is None}


def _without_route(devices: list[Online]) -> list[Online]:
    """Those of whom no living gateway has a route."""
    runs: dict[Online, str] = {}
    for at in range(0, len(devices), DEVICES_AT_ONCE):
        some = devices[at : at + DEVICES_AT_ONCE]
        fields = [route_field(device.protocol, device.identity) for device in some]
        routes = cast("list[bytes | None]", redis().hmget(ROUTES, fields))
        runs.update(zip(some, map(route_run, routes), strict=True))
    dead = _dead({run for run in runs.values() if run})
    return [device for device, run in runs.items() if not run or run in dead]


def _visit(change: PresenceChange) -> Visit:
    ended = _EPOCH + change.ended_ms * _MILLISECOND if change.ended_ms else None
    begun = _EPOCH + change.begun_ms * _MILLISECOND
    return Visit(DeviceKey(change.protocol, change.identity), change.epoch, begun, ended, change.peer, change.cause)
