"""Watching a device by a real Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from click.testing import CliRunner

from iotgw.cli import main
from iotgw.watcher import Watcher, WatcherError
from tasks.contract import (
    ALIVE,
    RENEW_SECONDS,
    ROUTES,
    TAP_FIELD,
    Tap,
    TapLine,
    Tapped,
    mailbox,
    pack_tap,
    pack_tapped,
)
from tests.servers import Redis, free_port

TAP = Tap("jt808", "13800138000")
TAPPED = Tapped("a", [TapLine(1_700_000_000_000, "up", "location", "", b"\x7e", 1)], 3)


class Fleet:
    """What gateways a and b keep in Redis, and a watcher on a clock of its own."""

    def __init__(self, url: str) -> None:
        self.client = redis.Redis.from_url(url)
        self.client.mset({f"{ALIVE}run-a": "a", f"{ALIVE}run-b": "b"})
        self.time = 100.0
        self.watcher = Watcher(url, TAP, lambda: self.time)

    def asked(self, gateway: str) -> list[bytes]:
        """What a gateway was asked for since it was last looked at."""
        entries = self.client.xrange(mailbox(gateway))
        self.client.delete(mailbox(gateway))
        return [data for _, fields in entries for name, data in fields.items() if name == TAP_FIELD]

    def publish(self, data: bytes = pack_tapped(TAPPED)) -> int:
        return int(self.client.publish(TAP.channel, data))

    def close(self) -> None:
        self.watcher.close()
        self.client.close()


@pytest.fixture
def fleet(redis_url: str) -> Iterator[Fleet]:
    fleet = Fleet(redis_url)
    yield fleet
    fleet.close()


def test_every_gateway_that_lives_is_asked_when_somebody_listens(fleet: Fleet):
    assert fleet.watcher.begin() == 2
    assert fleet.asked("a") == fleet.asked("b") == [pack_tap(TAP)]
    assert fleet.client.pubsub_numsub(TAP.channel) == [(TAP.channel.encode(), 1)]


def test_a_mailbox_that_nobody_reads_is_not_kept_for_ever(fleet: Fleet):
    fleet.watcher.begin()
    assert fleet.client.ttl(mailbox("a")) > 0


def test_what_is_published_comes_and_the_tap_is_asked_for_again_in_time(fleet: Fleet):
    fleet.watcher.begin()
    tapped = fleet.watcher.tapped()
    fleet.publish()
    assert next(tapped) == TAPPED
    fleet.asked("a")
    fleet.time += RENEW_SECONDS - 1
    fleet.publish()
    assert next(tapped) == TAPPED
    assert fleet.asked("a") == []
    fleet.time += 1
    fleet.client.set(f"{ALIVE}run-c", "c")
    fleet.publish()
    assert next(tapped) == TAPPED
    assert fleet.asked("a") == fleet.asked("c") == [pack_tap(TAP)], "also a gateway that has come meanwhile"


def test_it_ends_when_its_time_is_over(fleet: Fleet):
    fleet.watcher.begin()
    tapped = fleet.watcher.tapped(seconds=5)
    fleet.publish()
    assert next(tapped) == TAPPED
    fleet.time += 5
    fleet.publish()
    assert list(tapped) == []


def test_who_has_the_device_is_known_while_it_lives(fleet: Fleet):
    assert fleet.watcher.holder() is None
    fleet.client.hset(ROUTES, "jt808/13800138000", "b run-b 3 17 16")
    assert fleet.watcher.holder() == "b"
    fleet.client.delete(f"{ALIVE}run-b")
    assert fleet.watcher.holder() is None


def test_without_a_gateway_nobody_is_asked(fleet: Fleet):
    fleet.client.flushdb()
    assert fleet.watcher.begin() == 0


def test_a_redis_that_is_not_there_is_told_without_its_password():
    port = free_port()
    with pytest.raises(WatcherError) as error:
        Watcher(f"redis://user:secret@127.0.0.1:{port}/0", TAP).begin()
    assert f"Redis cannot be asked at 127.0.0.1:{port} (" in str(error.value)
    assert "set IOTGW_REDIS_URL" in str(error.value)
    assert "secret" not in str(error.value)


def test_the_command_tells_it_in_one_line():
    done = CliRunner().invoke(main, ["tap", "jt808", "1"], env={"IOTGW_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"})
    assert done.exit_code == 1
    assert done.output.startswith("Error: Redis cannot be asked at 127.0.0.1:")
    assert len(done.output.splitlines()) == 1


def test_a_redis_that_goes_away_is_told(fleet: Fleet, redis_server: Redis):
    fleet.watcher.begin()
    redis_server.stop()
    try:
        with pytest.raises(WatcherError, match="Redis cannot be asked"):
            next(fleet.watcher.tapped())
    finally:
        redis_server.start()


def test_what_a_gateway_of_another_release_publishes_is_told(fleet: Fleet):
    fleet.watcher.begin()
    fleet.publish(b"\xc1")
    with pytest.raises(WatcherError, match="use the iotgw of the gateways' release"):
        next(fleet.watcher.tapped())
