"""What is found of a Redis: one that is as it should be, and each way in which one is not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from iotgw.doctor.redisserver import examine_redis
from settings import Settings
from settings.findings import Finding, State
from tasks.contract import HOPELESS
from tests.servers import Redis, free_port

SECRET = "not-this-one"


def look(url: str) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine_redis(Settings(redis_url=url), {})}


@pytest.fixture
def client(redis_server: Redis) -> Iterator[redis.Redis]:
    """Set as it should be while a test lasts."""
    was = {"appendonly": "no", "maxmemory": "0", "maxmemory-policy": "noeviction", "appendfsync": "everysec"}
    with redis.Redis.from_url(redis_server.url()) as client:
        client.config_set("appendonly", "yes")
        yield client
        client.replicaof("NO", "ONE")
        for name, value in was.items():
            client.config_set(name, value)


def test_one_that_forgets_nothing_is_well_and_stays_as_it_was(redis_url: str, client: redis.Redis) -> None:
    found = look(redis_url)
    assert ({each.state for each in found.values()}) == {State.OK}
    assert client.dbsize() == 0


def test_how_it_is_set_is_told_with_the_commands(redis_url: str, client: redis.Redis) -> None:
    client.config_set("appendfsync", "no")
    client.config_set("maxmemory-policy", "allkeys-lru")
    found = look(redis_url)
    assert [name for name, each in found.items() if each.state is not State.OK] == ["Redis file", "Redis syncs"]
    assert found["Redis file"].do.startswith("redis-cli config set maxmemory-policy noeviction;")


def test_one_without_memory_refuses_writes(redis_url: str, client: redis.Redis) -> None:
    client.config_set("maxmemory", 1 << 10)
    found = look(redis_url)
    assert (found["Redis takes writes"].state, found["Redis memory"].state) == (State.FAULT, State.FAULT)
    client.config_set("maxmemory", int(client.info("memory")["used_memory"] / 0.88))
    assert look(redis_url)["Redis memory"].state is State.WARNING


def test_a_replica_is_a_fault(redis_url: str, client: redis.Redis) -> None:
    client.replicaof("127.0.0.1", free_port())
    found = look(redis_url)["Redis takes writes"]
    assert (found.state, "read only replica" in found.found) == (State.FAULT, True)


def test_one_that_does_not_tell_its_configuration_is_no_fault(redis_server: Redis, client: redis.Redis) -> None:
    client.execute_command("ACL", "SETUSER", "guarded", "on", ">any", "~*", "+@all", "-config")
    try:
        found = look(redis_server.url().replace("//", "//guarded:any@"))
    finally:
        client.execute_command("ACL", "DELUSER", "guarded")
    assert [name for name, each in found.items() if each.state is State.SKIPPED] == ["Redis file", "Redis syncs"]
    assert State.FAULT not in {each.state for each in found.values()}


def test_a_wrong_password_is_one_fault_and_is_not_told(redis_server: Redis) -> None:
    found = look(redis_server.url().replace("//", f"//iotgw:{SECRET}@"))
    assert found["Redis"].found.startswith("refuses us")
    assert {each.state for name, each in found.items() if name != "Redis"} == {State.SKIPPED}
    assert SECRET not in str(found)


def test_batches_that_workers_end_with_are_a_warning(redis_url: str, client: redis.Redis) -> None:
    client.hset(HOPELESS, "batch", "any")
    found = look(redis_url)["batches that workers end with"]
    assert (found.state, found.found) == (State.WARNING, "1 are kept")
