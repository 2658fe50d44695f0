"""Lines of devices that are watched, on a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgpack
import pytest
import redis

from iotgw.tappublisher import MAX_WAITING, TapPublisher
from iotgw.taps import TapEntry
from tasks.contract import BadPayloadError, Tap, TapLine, Tapped, unpack_tapped
from tests.servers import Redis, wait_until

TAP, OTHER = Tap("jt808", "13800138000"), Tap("line", "a/b")
LINE = TapLine(1_700_000_000_000, "up", "location", "", b"\x7e\x00\x7e", 3)


class DirectReactor:
    """Runs on the calling thread what should run in the reactor's."""

    def callFromThread(self, function: Any, *arguments: Any) -> None:
        function(*arguments)


class Channel:
    """A publisher, and somebody who listens to a device."""

    def __init__(self, url: str) -> None:
        self.lost: list[tuple[Tap, int, int]] = []
        self.unheard: list[tuple[Tap, int]] = []
        self.publisher = TapPublisher(url, "gw", DirectReactor())
        self.publisher.on_lost = lambda *told: self.lost.append(told)
        self.publisher.on_unheard = lambda *told: self.unheard.append(told)
        self.client = redis.Redis.from_url(url)
        self.listening = self.client.pubsub(ignore_subscribe_messages=True)
        self.listening.subscribe(TAP.channel)
        assert self.listening.get_message(timeout=10) is None

    def heard(self) -> Tapped:
        message = self.listening.get_message(timeout=10)
        assert message is not None
        return unpack_tapped(message["data"])

    def close(self) -> None:
        self.listening.close()
        self.client.close()


@pytest.fixture
def channel(redis_url: str) -> Iterator[Channel]:
    channel = Channel(redis_url)
    yield channel
    channel.close()


def test_what_waits_of_a_device_is_one_message(channel: Channel):
    later = LINE._replace(direction="down", data=b"\x00")
    channel.publisher.work(
        [TapEntry(TAP, 1, LINE, 2), TapEntry(OTHER, 1, LINE, 0), TapEntry(TAP, 1, later, 3), TapEntry(TAP, 1, None, 4)]
    )
    assert channel.heard() == Tapped("gw", [LINE, later], 9)
    assert channel.unheard == [(OTHER, 1)]
    assert channel.lost == []


def test_the_channel_has_the_device_s_name():
    assert TAP.channel == "iotgw:tap:jt808/13800138000"


def test_who_listens_to_nothing_is_told_as_of_the_last_time_the_tap_was_asked_for(channel: Channel):
    channel.publisher.work([TapEntry(OTHER, 1, LINE, 0), TapEntry(OTHER, 2, LINE, 0)])
    assert channel.unheard == [(OTHER, 2)]


def test_the_thread_publishes_what_it_is_given_and_ends(channel: Channel):
    assert channel.publisher.publish(TapEntry(TAP, 1, LINE, 0))
    channel.publisher.start()
    assert channel.heard() == Tapped("gw", [LINE], 0)
    assert channel.publisher.publish(TapEntry(TAP, 1, None, 5))
    assert channel.heard() == Tapped("gw", [], 5)
    assert channel.publisher.publish(TapEntry(TAP, 1, LINE, 0))
    channel.publisher.stop()
    channel.publisher._thread.join(10)
    assert not channel.publisher._thread.is_alive()
    assert channel.heard() == Tapped("gw", [LINE], 0)


def test_while_redis_is_away_lines_are_lost_and_counted(channel: Channel, redis_server: Redis):
    channel.publisher.work([TapEntry(TAP, 1, LINE, 0)])
    redis_server.stop()
    try:
        channel.publisher.work([TapEntry(TAP, 1, LINE, 2), TapEntry(TAP, 1, LINE, 0), TapEntry(OTHER, 1, None, 1)])
    finally:
        redis_server.start()
    assert channel.lost == [(TAP, 2, 2), (OTHER, 0, 1)]
    channel.publisher.work([TapEntry(OTHER, 1, LINE, 0)])
    assert channel.unheard == [(OTHER, 1)], "published again"


def test_a_url_that_reaches_nothing_does_not_end_the_thread():
    publisher = TapPublisher("redis://a..b:6379/0", "gw", DirectReactor())
    lost: list[Any] = []
    publisher.on_lost = lambda *told: lost.append(told)
    publisher.start()
    for number in (1, 2):
        publisher.publish(TapEntry(TAP, 1, LINE, 0))
        wait_until(lambda number=number: len(lost) == number, "it is counted as lost")
    publisher.stop()
    publisher._thread.join(10)
    assert not publisher._thread.is_alive()


def test_no_more_wait_than_there_is_room_for(redis_url: str):
    publisher = TapPublisher(redis_url, "gw", DirectReactor())
    assert all(publisher.publish(TapEntry(TAP, 1, LINE, 0)) for _ in range(MAX_WAITING))
    assert not publisher.publish(TapEntry(TAP, 1, LINE, 0))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        msgpack.packb(["gw", []]),
        msgpack.packb(["gw", [LINE], True]),
        msgpack.packb([b"gw", [LINE], 0]),
        msgpack.packb(["gw", [LINE[:5]], 0]),
        msgpack.packb(["gw", [LINE._replace(data="text")], 0]),
        msgpack.packb(["gw", 5, 0]),
    ],
)
def test_what_is_none_of_it_is_refused(data: bytes):
    with pytest.raises(BadPayloadError):
        unpack_tapped(data)
