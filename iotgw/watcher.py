"""Watching one device from outside of the gateways.

watcher                       Redis
  ── subscribe ────────────────▶ the device's channel
  ── tap, every 20 s ──────────▶ mailbox of each gateway that lives
  ◀── lines ─────────────────────
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import redis

from tasks.contract import (
    ALIVE,
    MAILBOX_EXPIRY_SECONDS,
    MAILBOX_LENGTH,
    RENEW_SECONDS,
    ROUTES,
    TAP_FIELD,
    BadPayloadError,
    Tap,
    Tapped,
    mailbox,
    pack_tap,
    route_field,
    unpack_tapped,
)

LOOK_SECONDS = 0.5
"""How long one look at the channel takes: as long may an end by time be late."""


class WatcherError(Exception):
    """Redis cannot be asked. The text says why and what to do, in one line."""


class Watcher:
    """Asks all gateways for a tap for as long as it is listened to."""

    def __init__(self, redis_url: str, tap: Tap, now: Callable[[], float] = time.monotonic) -> None:
        self.tap = tap
        self._now = now
        self._client = redis.Redis.from_url(redis_url, socket_timeout=5, socket_connect_timeout=5, protocol=2)
        self._channel = self._client.pubsub()  # type: ignore[no-untyped-call]

    def begin(self) -> int:
        """Listen, then ask for the tap; how many gateways there are.

        Raises: WatcherError
        """
        with self._told():
            self._channel.subscribe(self.tap.channel)
            # What a gateway publishes before Redis has taken this down would be lost, and tell it that nobody listens.
            while (message := self._channel.get_message(timeout=5)) is None or message["type"] != "subscribe":
                pass
        return self.renew()

    def renew(self) -> int:
        """Ask for the tap once more; how many gateways there are.

        Raises: WatcherError
        """
        with self._told():
            runs = list(self._client.scan_iter(match=f"{ALIVE}*", count=1000))
            gateways = {name.decode() for name in cast("list[bytes | None]", self._client.mget(runs) if runs else []) if name}
            pipeline = self._client.pipeline(transaction=False)
            for gateway in gateways:
                pipeline.xadd(mailbox(gateway), {TAP_FIELD: pack_tap(self.tap)}, maxlen=MAILBOX_LENGTH, approximate=True)
                pipeline.expire(mailbox(gateway), MAILBOX_EXPIRY_SECONDS)
            pipeline.execute()
        return len(gateways)

    def holder(self) -> str | None:
        """The gateway that has the device's session.

        Raises: WatcherError
        """
        with self._told():
            route = cast("bytes | None", self._client.hget(ROUTES, route_field(self.tap.protocol, self.tap.identity)))
            gateway, run = (route or b" ").decode().split(" ")[:2]
            return gateway if run and self._client.exists(ALIVE + run) else None

    def tapped(self, seconds: float | None = None) -> Iterator[Tapped]:
        """What the gateways show, as it comes; without end unless one is given.

        Raises: WatcherError
        """
        renew_at = self._now() + RENEW_SECONDS
        end = None if seconds is None else self._now() + seconds
        while end is None or self._now() < end:
            if self._now() >= renew_at:
                self.renew()
                renew_at = self._now() + RENEW_SECONDS
            with self._told():
                message = self._channel.get_message(ignore_subscribe_messages=True, timeout=LOOK_SECONDS)
            if message is not None:
                yield self._unpacked(message["data"])

    @staticmethod
    def _unpacked(data: bytes) -> Tapped:
        try:
            return unpack_tapped(data)
        except BadPayloadError as error:
            raise WatcherError(f"{error}: use the iotgw of the gateways' release") from error

    def close(self) -> None:
        self._channel.close()
        self._client.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Have what goes wrong with Redis say where it was looked for. Of its URL, only what is no secret."""
        try:
            yield
        except (redis.RedisError, OSError, ValueError) as error:
            known: dict[str, Any] = self._client.connection_pool.connection_kwargs
            where = known.get("path") or f"{known.get('host', '127.0.0.1')}:{known.get('port', 6379)}"
            raise WatcherError(f"Redis cannot be asked at {where} ({error}): start it, or set IOTGW_REDIS_URL") from error
