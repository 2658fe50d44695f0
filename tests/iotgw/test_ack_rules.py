"""When acks leave: after the commit by default, at the broker or at once where an operator wants it so."""

from __future__ import annotations

import pytest

from protocols import Outcome
from tasks.contract import Known
from tests.iotgw.fakes import House


def let_in(house: House, device: str = "dev"):
    """A link whose device has a session."""
    link, transport = house.connect()
    house.say(link, f"{device} 1 hello")
    house.commit()
    transport.clear()
    return link, transport


@pytest.mark.parametrize("rule", ["commit", "accept", "receive"])
def test_a_device_that_was_not_let_in_is_not_answered_by_any_rule(rule: str):
    house = House(acks={"line": rule})
    house.directory.is_holding = True
    link, transport = house.connect()
    house.say(link, "dev 1 a", "dev 1 b")
    house.pass_time(1)
    assert transport.value() == b""
    house.directory.let_go()
    house.pass_time(1)
    assert (transport.value() == b"") is (rule == "commit")
    house.commit()
    assert transport.value() == b"dev:1 STORED\ndev:2 STORED\n"


def test_on_receive_acks_leave_at_once_with_one_write_for_what_one_read_brought():
    house = House(acks={"line": "receive"})
    link, transport = let_in(house)
    writes = []
    transport.write = writes.append
    link.dataReceived(b"dev 1 a\ndev 1 b\n")
    assert writes == [b"dev:2 STORED\ndev:3 STORED\n"]
    assert house.statistics["acks"] == 3


def test_what_is_acked_on_receive_is_still_stored_and_not_acked_again():
    house = House(acks={"line": "receive"})
    link, transport = let_in(house)
    house.say(link, "dev 1 a")
    (batch,) = house.publisher.batches
    assert [entry.payload.body for entry in batch.entries] == [b"a"]
    house.commit()
    assert transport.value() == b"dev:2 STORED\n"


def test_on_receive_another_device_on_the_link_waits_to_be_let_in_itself():
    house = House(acks={"line": "receive"})
    link, transport = let_in(house)
    house.directory.is_holding = True
    house.say(link, "dev 1 a", "new 1 b")
    assert transport.value() == b"dev:2 STORED\n"
    house.directory.let_go()
    assert transport.value() == b"dev:2 STORED\nnew:3 STORED\n"


def test_on_accept_acks_leave_when_the_broker_has_the_batch():
    house = House(acks={"line": "accept"})
    link, transport = let_in(house)
    house.publisher.is_holding = True
    house.say(link, "dev 1 a", "dev 1 b")
    assert transport.value() == b""
    house.publisher.waiting.pop().callback(None)
    assert transport.value() == b"dev:2 STORED\ndev:3 STORED\n"


def test_on_accept_nothing_is_acked_while_the_broker_does_not_take_it():
    house = House(acks={"line": "accept"})
    link, transport = let_in(house)
    house.publisher.error = OSError("away")
    house.say(link, "dev 1 a")
    assert transport.value() == b""


def test_a_rule_of_another_protocol_is_none_of_ours():
    house = House(acks={"other": "receive", "another": "accept"})
    link, transport = let_in(house)
    house.say(link, "dev 1 a")
    assert transport.value() == b""


@pytest.mark.parametrize("rule", ["commit", "accept", "receive"])
def test_a_device_refused_later_has_no_session_any_more_and_no_early_ack(rule: str):
    """Disabled while it is connected."""
    house = House(acks={"line": rule})
    link, transport = let_in(house)
    house.refuse("dev", Known(False, ""))
    house.say(link, "dev 1 a")
    house.commit(dev=Outcome.REFUSED)
    assert house.gateway.sessions.get("line", "dev") is None
    transport.clear()
    house.say(link, "dev 1 b")
    assert transport.value() == b"dev:3 REFUSED\n"
    assert house.publisher.batches == []
    house.pass_time(29)
    assert not transport.disconnecting, "it may come in again until its time to identify itself is over"
    house.pass_time(2)
    assert transport.disconnecting


def test_a_stranger_s_refusal_ends_nobody_else_s_session():
    house = House(admission="credential")
    link, _ = house.connect()
    house.say(link, "dev 1 key right")
    stranger, transport = house.connect()
    house.say(stranger, "dev 1 key wrong")
    assert transport.value() == b"dev:1 REFUSED\n"
    assert house.gateway.sessions.get("line", "dev").link is link


def test_on_receive_a_device_that_takes_its_leave_has_its_session_ended():
    house = House(acks={"line": "receive"})
    link, transport = let_in(house)
    house.say(link, "dev 9 bye")
    assert transport.value() == b"dev:2 STORED\n"
    assert house.gateway.sessions.get("line", "dev") is None
