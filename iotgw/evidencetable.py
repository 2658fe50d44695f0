"""The fleet's evidence in Redis, written and read by a thread of its own.

reactor                     thread                       Redis
  ── write(facts, strangers) ─▶ one script for each ─────▶ evidence, strangers: the oldest go
  ── find(device) ────────────▶ facts, route, strangers ──▶
  ── ask(gateway, device) ────▶ facts ───────────────────▶ mailbox of the gateway that has the device
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar, cast

import redis
import structlog
from redis.commands.core import Script
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from iotgw.evidence import EvidenceAwayError, Seen
from iotgw.redisthread import RedisThread
from tasks.contract import (
    ALIVE,
    EVIDENCE,
    EVIDENCE_SECONDS,
    EVIDENCE_TIMES,
    FACTS_FIELD,
    MAILBOX_EXPIRY_SECONDS,
    MAILBOX_LENGTH,
    MOST_EVIDENCE,
    MOST_STRANGERS,
    ROUTES,
    STRANGERS,
    STRANGERS_SECONDS,
    STRANGERS_TIMES,
    BadPayloadError,
    Facts,
    FactsWanted,
    Stranger,
    mailbox,
    pack_facts,
    pack_facts_wanted,
    pack_stranger,
    read_facts,
    read_stranger,
    route_field,
    stranger_field,
)

log = structlog.get_logger(__name__)

DAY_MS = 86_400_000

_Result = TypeVar("_Result")

_KEEP = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function remove(fields)
  if #fields > 0 then
    redis.call('ZREM', KEYS[2], unpack(fields))
    redis.call('HDEL', KEYS[1], unpack(fields))
  end
end
local function keep(field, value)
  redis.call('HSET', KEYS[1], field, value)
  redis.call('ZADD', KEYS[2], now, field)
end
local function trim()
  remove(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[2] * 1000, 'LIMIT', 0, 1000))
  local excess = redis.call('ZCARD', KEYS[2]) - ARGV[1]
  if excess > 0 then remove(redis.call('ZRANGE', KEYS[2], 0, math.min(excess, 1000) - 1)) end
end
"""
KEEP_FACTS = (
    _KEEP
    + """
-- KEYS: facts, times. ARGV: most kept, seconds kept, and per device: field, opened_ms, facts.
for at = 3, #ARGV, 3 do
  local there = tonumber(string.match(redis.call('HGET', KEYS[1], ARGV[at]) or '', '^(%d+) ')) or 0
  -- The end of an old link comes after the beginning of the new one. A time in the future says nothing.
  if there <= tonumber(ARGV[at + 1]) or there > now then keep(ARGV[at], ARGV[at + 1] .. ' ' .. ARGV[at + 2]) end
end
trim()
"""
)
KEEP_STRANGERS = (
    _KEEP
    + """
-- KEYS: strangers, times. ARGV: most kept, seconds kept, and per stranger: field, at_ms, times, stranger.
for at = 3, #ARGV, 4 do
  local first, times = string.match(redis.call('HGET', KEYS[1], ARGV[at]) or '', '^(%d+) (%d+) ')
  local head = string.format('%s %.0f ', first or ARGV[at + 1], (times or 0) + ARGV[at + 2])
  keep(ARGV[at], head .. ARGV[at + 3])
end
trim()
"""
)


class EvidenceTable(RedisThread):
    """Does what it is told in that order."""

    def __init__(self, redis_url: str, reactor: IReactorFromThreads) -> None:
        super().__init__("evidence", redis_url, reactor)
        self._keep_facts, self._keep_strangers = (Script(self._client, text) for text in (KEEP_FACTS, KEEP_STRANGERS))

    def write(self, facts: Sequence[tuple[str, Facts]], strangers: Sequence[Stranger]) -> Deferred[None]:
        return self._tell(lambda: self._write(facts, strangers))

    def find(self, device: FactsWanted) -> Deferred[Seen]:
        """What is there of a device, who has it, and the strangers among whom it may be."""
        return self._tell(lambda: self._find(route_field(*device)))

    def facts(self, device: FactsWanted) -> Deferred[Facts | None]:
        return self._tell(lambda: self._facts(route_field(*device)))

    def strangers(self) -> Deferred[Sequence[Stranger]]:
        """Those of the last day, the newest first."""
        return self._tell(self._strangers)

    def ask(self, gateway: str, device: FactsWanted) -> Deferred[None]:
        """Have a gateway write what it knows of a device now."""
        return self._tell(lambda: self._ask(mailbox(gateway), pack_facts_wanted([device])))

    def _tell(self, do: Callable[[], _Result]) -> Deferred[_Result]:
        return self.put(do).addErrback(_away)

    def _write(self, facts: Sequence[tuple[str, Facts]], strangers: Sequence[Stranger]) -> None:
        if facts:
            devices: list[Any] = [MOST_EVIDENCE, EVIDENCE_SECONDS]
            for field, of in facts:
                devices += (field, of.opened_ms, pack_facts(of))
            self._keep_facts(keys=[EVIDENCE, EVIDENCE_TIMES], args=devices)
        if strangers:
            knocked: list[Any] = [MOST_STRANGERS, STRANGERS_SECONDS]
            for stranger in strangers:
                knocked += (stranger_field(stranger), stranger.at_ms, stranger.times, pack_stranger(stranger))
            self._keep_strangers(keys=[STRANGERS, STRANGERS_TIMES], args=knocked)

    def _find(self, field: str) -> Seen:
        route = cast("bytes | None", self._client.hget(ROUTES, field))
        gateway, run = route.decode().split(" ")[:2] if route else ("", "")
        is_alive = bool(run and self._client.exists(ALIVE + run))
        return Seen(self._facts(field), gateway if is_alive else "", self._strangers())

    def _facts(self, field: str) -> Facts | None:
        value = cast("bytes | None", self._client.hget(EVIDENCE, field))
        try:
            return None if value is None else read_facts(value)
        except BadPayloadError as error:
            log.debug("unreadable evidence, passed over", cause=str(error))
            return None

    def _strangers(self) -> list[Stranger]:
        seconds, microseconds = self._client.time()
        since = seconds * 1000 + microseconds // 1000 - DAY_MS
        fields = cast("list[bytes]", self._client.zrevrangebyscore(STRANGERS_TIMES, "+inf", since))
        values = cast("list[bytes | None]", self._client.hmget(STRANGERS, fields)) if fields else []
        strangers = []
        for value in values:
            try:
                strangers += [] if value is None else [read_stranger(value)]
            except BadPayloadError as error:
                log.debug("unreadable stranger, passed over", cause=str(error))
        return strangers

    def _ask(self, stream: str, wanted: bytes) -> None:
        pipeline = self._client.pipeline(transaction=False)
        pipeline.xadd(stream, {FACTS_FIELD: wanted}, maxlen=MAILBOX_LENGTH, approximate=True)
        pipeline.expire(stream, MAILBOX_EXPIRY_SECONDS)
        pipeline.execute()


def _away(failure: Failure) -> NoReturn:
    unexpected = None if failure.check(redis.RedisError) else failure.value
    log.debug("evidence away", cause=failure.getErrorMessage(), exc_info=unexpected)
    raise EvidenceAwayError(failure.getErrorMessage()) from failure.value
