"""Codecs that speak first: what they send at once, and when they are woken."""

from __future__ import annotations

import pytest

from protocols import Malformed
from tests.iotgw.fakes import AskingCodec, AskingProtocol, House


def asking(**settings: float) -> House:
    return House(AskingProtocol(), identify_timeout_seconds=100, **settings)


def codec_of(link: object) -> AskingCodec:
    return link._codec  # type: ignore[attr-defined]


def count_adds(house: House) -> list[object]:
    """What is put into the wheel from here on."""
    added: list[object] = []
    add = house.gateway.wheel.add
    house.gateway.wheel.add = lambda item: (added.append(item), add(item))  # type: ignore[method-assign]
    return added


def test_what_a_codec_sends_is_written_before_any_receipt():
    house = asking()
    link, transport = house.connect()
    house.say(link, "? hello", "dev 1 a")
    assert transport.value() == b"welcome\n"
    assert house.statistics["sends"] == 1
    house.commit()
    assert transport.value() == b"welcome\ndev:1 STORED\n"


def test_a_codec_that_polls_is_woken_every_interval_without_a_device_s_byte():
    house = asking()
    link, transport = house.connect()
    house.say(link, "? poll 10")
    house.pass_time(9.5)
    assert transport.value() == b""
    house.pass_time(40)
    assert transport.value() == b"poll 1\npoll 2\npoll 3\npoll 4\n"
    for number, woken in enumerate(codec_of(link).woken, 1):
        assert 10 * number <= woken <= 10 * number + 1


def test_polls_do_not_keep_a_silent_device():
    house = asking(idle_timeout_seconds=35)
    link, transport = house.connect()
    house.say(link, "? poll 10", "dev 1 a")
    house.commit()
    house.pass_time(40)
    assert transport.disconnecting
    assert len(codec_of(link).woken) == 3
    house.pass_time(20)
    assert transport.is_aborted
    assert len(codec_of(link).woken) == 3, "a closing link's codec is left alone"


@pytest.mark.parametrize(("first", "then", "at"), [(60, 5, 5), (5, 60, 60), (60, 0, 0), (5, 5, 5)])
def test_a_deadline_may_move_either_way(first, then, at):
    house = asking()
    link, transport = house.connect()
    house.say(link, f"? wake {first}", f"? wake {then}")
    house.pass_time(at)
    house.pass_time(2)
    (woken,) = codec_of(link).woken
    assert at <= woken <= at + 1.5
    assert transport.value() == b"poll 1\n"
    house.pass_time(100)
    assert len(codec_of(link).woken) == 1


def test_a_deadline_that_a_receipt_brings_is_kept_too():
    house = asking()
    link, _ = house.connect()
    house.say(link, "dev 1 a")
    codec_of(link).ack = lambda message, outcome, time: setattr(codec_of(link), "deadline", house.clock.seconds() + 3) or b""
    house.commit()
    house.pass_time(5)
    assert len(codec_of(link).woken) == 1


def test_only_a_nearer_deadline_touches_the_wheel():
    house = asking()
    link, _ = house.connect()
    added = count_adds(house)
    house.say(link, "dev 1 a", "dev 1 b")
    assert added == [], "a codec that asks for nothing costs nothing"
    house.say(link, "? wake 20")
    assert added == [link]
    house.say(link, "? wake 30")
    house.say(link, "? wake 20", "dev 1 c")
    assert added == [link]
    house.say(link, "? wake 5")
    assert added == [link, link]


def test_what_a_woken_codec_gives_up_is_counted():
    house = asking()
    link, transport = house.connect()
    house.say(link, "? wake 5")

    def give_up(now: float) -> list[Malformed]:
        codec_of(link).deadline = None
        return [Malformed("incomplete", b"")]

    codec_of(link).wake = give_up
    house.pass_time(6)
    assert house.statistics["malformed.incomplete"] == 1
    assert not transport.disconnecting


def test_a_codec_that_fails_when_woken_costs_its_own_link_only():
    house = asking()
    link, transport = house.connect()
    other, other_transport = house.connect()
    house.say(link, "? poll 5")
    house.say(other, "? poll 5")
    codec_of(link).wake = lambda now: 1 / 0
    house.pass_time(12)
    assert transport.disconnecting
    assert not other_transport.disconnecting
    assert other_transport.value() == b"poll 1\npoll 2\n"
    house.pass_time(5)
    assert transport.is_aborted
    assert house.statistics["links.closed.fault"] == 1


def test_a_link_that_is_not_read_from_is_not_woken():
    """What its codec waits for may lie unread in the socket: to ask for it again would be wrong."""
    house = asking(batches_in_flight=1, batch_messages=1)
    link, transport = house.connect()
    house.say(link, "? wake 5", "dev 1 a")
    house.pass_time(20)
    assert codec_of(link).woken == []
    house.commit()
    assert codec_of(link).woken == [], "what has waited in the socket is read first"
    house.pass_time(2)
    assert len(codec_of(link).woken) == 1
    house.say(link, "? wake 5")
    link.pauseProducing()
    house.pass_time(20)
    assert len(codec_of(link).woken) == 1
    link.resumeProducing()
    house.pass_time(2)
    assert len(codec_of(link).woken) == 2
    assert not transport.disconnecting
