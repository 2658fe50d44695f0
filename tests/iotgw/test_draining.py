"""A drain closes links one by one, each when what it sent is answered."""

from __future__ import annotations

import pytest
from twisted.internet.defer import succeed

from iotgw.draining import Draining
from tests.iotgw.fakes import House


class Drained:
    def __init__(self) -> None:
        self.house = House()
        self.closed_ports = 0
        self.draining = Draining(self.house.gateway, self.house.clock, self.stop_listening)

    def stop_listening(self):
        self.closed_ports += 1
        return succeed(None)


@pytest.fixture
def drained() -> Drained:
    return Drained()


def test_links_go_one_by_one_over_the_time_that_was_given(drained: Drained):
    transports = [drained.house.connect()[1] for _ in range(50)]
    assert drained.draining.begin(10)
    left = []
    for _ in range(101):
        drained.house.pass_time(0.1, 0.1)
        left.append(sum(not transport.disconnecting for transport in transports))
    assert left[-1] == 0
    assert len(set(left)) > 20, "not all at once"
    assert 5 < left[50] < 45
    assert drained.closed_ports == 1


def test_what_a_link_has_sent_is_answered_before_it_goes(drained: Drained):
    link, transport = drained.house.connect()
    drained.house.say(link, "7 1 hello")
    drained.draining.begin(0)
    drained.house.pass_time(1)
    assert not transport.disconnecting, "its message has no receipt yet"
    assert transport.producerState == "paused", "it is not read from any more"
    drained.house.commit()
    assert transport.value() == b"7:1 STORED\n"
    assert transport.disconnecting
    transport.finish()
    drained.house.pass_time(1)
    assert drained.draining.state == "done"
    assert drained.house.gateway.departures.get("line", "7").cause == "drained"


def test_reading_that_goes_on_for_others_does_not_go_on_for_a_link_that_is_to_go(drained: Drained):
    link, transport = drained.house.connect()
    drained.house.say(link, "7 1 hello")
    link.retire()
    link.set_reading(True)
    assert transport.producerState == "paused"


def test_a_link_that_is_to_go_goes_with_its_last_ack_and_not_before(drained: Drained):
    link, transport = drained.house.connect()
    drained.house.say(link, "7 1 hello")
    link.retire()
    assert not transport.disconnecting
    drained.house.commit()
    assert (transport.value(), transport.disconnecting) == (b"7:1 STORED\n", True)


def test_receipts_that_never_come_hold_it_only_for_so_long(drained: Drained):
    link, transport = drained.house.connect()
    drained.house.say(link, "7 1 hello")
    drained.draining.begin(0)
    drained.house.pass_time(drained.house.gateway.settings.shutdown_timeout_seconds + 1)
    assert transport.disconnecting
    transport.finish()
    assert drained.draining.state == "done"


def test_it_is_begun_once(drained: Drained):
    assert drained.draining.begin(0)
    assert not drained.draining.begin(0)
    drained.house.pass_time(1)
    assert (drained.closed_ports, drained.draining.state) == (1, "done")
