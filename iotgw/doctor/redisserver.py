"""A Redis: that of the mailboxes, or the broker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from redis import AuthenticationError, Redis, RedisError, ResponseError
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError
from redis.retry import Retry

from protocols import DeviceProtocol
from settings import Settings
from settings.findings import Finding, Verdict, after, clocks, fault, finding, first_line, ok, size, skipped, warning
from tasks.contract import HOPELESS, SAFE_REDIS, unsafe_redis

ANSWER_SECONDS = 3
PROBE, PROBE_SECONDS = "iotgw:doctor", 10
NEARLY_FULL, FULL = 0.8, 0.95
NOT_TOLD = "it does not tell its configuration: see that appendonly is yes, and maxmemory-policy noeviction"
DEAD_LETTERS = "iotgw dead lists them; --again ID or --drop ID"

_Told = Any
"""redis-py types its answers for both of its clients, of which this is one."""


def examine_redis(settings: Settings, _: Mapping[str, DeviceProtocol]) -> Iterator[Finding]:
    """The mailboxes', with the batches that are kept in it."""
    once = Retry(NoBackoff(), 0)
    with Redis.from_url(
        settings.redis_url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS, retry=once
    ) as client:
        yield from examine_server("Redis", "redis_url", client, {"batches that workers end with": _hopeless})


def examine_server(name: str, setting: str, client: Redis, more: Mapping[str, Callable[[Redis], Verdict]]) -> Iterator[Finding]:
    """A server that ``setting`` names, and ``more`` of it."""
    reached = finding(name, lambda client: _reach(client, setting), client)
    yield reached
    checks = {"takes writes": _writes, "file": _file, "syncs": _syncs, "memory": _memory, "clock": _clock}
    yield from after(reached, {**{f"{name} {check}": look for check, look in checks.items()}, **more}, client)


def _reach(client: Redis, setting: str) -> Verdict:
    try:
        told: _Told = client.info("server")
    except (AuthenticationError, NoPermissionError) as error:
        return fault(f"refuses us: {first_line(error)}", f"set user and password in {setting}: redis://user:password@host:6379/0")
    except (RedisError, OSError) as error:
        return fault(f"does not answer: {first_line(error)}", f"start it (iotgw up has one of its own), or is {setting} right?")
    return ok(f"answers, version {told['redis_version']}")


def _writes(client: Redis) -> Verdict:
    try:
        client.set(PROBE, 1, ex=PROBE_SECONDS)
        client.delete(PROBE)
    except RedisError as error:
        return fault(f"refused: {first_line(error)}", "is it a replica, out of memory or of disk, or may this user not write?")
    return ok("taken")


def _file(client: Redis) -> Verdict:
    try:
        unsafe = unsafe_redis({name: _configured(client, name) for name in SAFE_REDIS})
    except ResponseError:
        return skipped(NOT_TOLD)
    return (
        ok("kept, and nothing is thrown away") if unsafe is None else warning(f"may lose what it holds, {unsafe.found}", unsafe.do)
    )


def _syncs(client: Redis) -> Verdict:
    try:
        is_now = _configured(client, "appendfsync")
    except ResponseError:
        return skipped(NOT_TOLD)
    if is_now == "no":
        do = "redis-cli config set appendfsync everysec; and the same in its redis.conf"
        return warning("left to the system, a power cut may take half a minute", do)
    return ok(f"appendfsync is {is_now}")


def _configured(client: Redis, name: str) -> str | None:
    """Raises: ResponseError when it does not tell."""
    told: _Told = client.config_get(name)
    value: str | None = told.get(name)
    return value


def _memory(client: Redis) -> Verdict:
    told: _Told = client.info("memory")
    used, bound = told["used_memory"], told.get("maxmemory") or told.get("total_system_memory", 0)
    if not bound:
        return ok(f"{size(used)} used, no bound is told")
    found = f"{size(used)} of {size(bound)}{'' if told.get('maxmemory') else ', all that its host has'}"
    do = "raise maxmemory, or give it a larger host; do tasks wait for workers?"
    if used > FULL * bound:
        return fault(found, do)
    return warning(found, do) if used > NEARLY_FULL * bound else ok(found)


def _clock(client: Redis) -> Verdict:
    before = time.time()
    told: _Told = client.time()
    return clocks(before, told[0] + told[1] / 1e6, time.time())


def _hopeless(client: Redis) -> Verdict:
    told: _Told = client.hlen(HOPELESS)
    return ok_if_none(told)


def ok_if_none(letters: int) -> Verdict:
    """Of dead letters of either kind."""
    return warning(f"{letters} are kept", DEAD_LETTERS) if letters else ok("none")
