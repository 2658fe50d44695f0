"""Batches that end workers even undecoded: nothing can store them, and their devices must not send them for ever.

They are kept in the mailboxes' Redis, where nothing pushes them out: what finds no room is not kept, and not acked.
A receipt is sent only by a copy that finds its batch kept for so long that it is on the disk.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from redis import RedisError

from tasks.connection import redis
from tasks.contract import HOPELESS, MOST_HOPELESS, MOST_HOPELESS_BYTES, IngestMessage, pack_hopeless

log = logging.getLogger(__name__)

ON_DISK_MS = 35_000
"""Redis writes its file every second, or leaves it to the system, which does within half a minute."""

_KEEP = """
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local kept = redis.call('HGET', KEYS[1], ARGV[1])
if kept then return now - string.sub(kept, 1, 13) end
local bytes = string.len(ARGV[2])
for _, batch in ipairs(redis.call('HKEYS', KEYS[1])) do bytes = bytes + redis.call('HSTRLEN', KEYS[1], batch) end
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) or bytes > tonumber(ARGV[4]) then return -1 end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%013d', now) .. ARGV[2])
return 0
"""


def keep(batch: str, gateway: str, messages: Sequence[IngestMessage]) -> bool:
    """Keep a batch, unless it is; whether it is on the disk, so that its devices may be answered."""
    told = {"batch": batch}
    try:
        packed = pack_hopeless(gateway, messages)
        age_ms: Any = redis().register_script(_KEEP)([HOPELESS], [batch, packed, MOST_HOPELESS, MOST_HOPELESS_BYTES])
        if age_ms < 0:
            log.critical("no room for a batch that workers end with, its devices are not answered", extra=told)
        elif age_ms < ON_DISK_MS:
            log.critical("workers ended with this batch even undecoded, it is kept", extra=told)
        elif _has_file():
            return True
        else:
            log.error("Redis keeps no file, devices of a batch that workers end with are not answered", extra=told)
    except RedisError as error:
        log.warning("a batch that workers end with is not kept", extra={**told, "cause": type(error).__name__})
    return False


def _has_file() -> bool:
    state: Any = redis().info("persistence")
    return bool(state.get("aof_enabled") == 1 and state.get("aof_last_write_status") == "ok")
