"""Why devices are not here, as their links and receipts tell it."""

from __future__ import annotations

import pytest

from iotgw.departures import Departure, Departures
from protocols import Outcome
from tests.iotgw.fakes import House


@pytest.fixture
def house() -> House:
    return House()


def online(house: House, identity: str = "7"):
    link, transport = house.connect()
    house.say(link, f"{identity} 1 hello")
    house.commit()
    return link, transport


def cause(house: House, identity: str = "7") -> str | None:
    departure = house.gateway.departures.get("line", identity)
    return departure and departure.cause


def test_one_that_hung_up(house: House):
    link, transport = online(house)
    assert cause(house) is None
    transport.finish()
    departure = house.gateway.departures.get("line", "7")
    assert (departure.cause, departure.peer) == ("peer", link.peer)
    assert 0 <= departure.ack_seconds < 60


def test_one_that_was_kicked(house: House):
    _, transport = online(house)
    assert house.gateway.kick("line", "7")
    assert transport.disconnecting
    assert cause(house) == "kicked"
    assert not house.gateway.kick("line", "7")


def test_one_of_several_on_a_link_is_kicked_and_the_others_stay(house: House):
    link, transport = online(house)
    house.say(link, "8 1 hello")
    house.commit()
    assert house.gateway.kick("line", "7")
    assert not transport.disconnecting
    assert (house.gateway.sessions.get("line", "7"), cause(house)) == (None, "kicked")
    assert house.gateway.sessions.get("line", "8")


def test_one_that_logged_out(house: House):
    link, _ = online(house)
    house.say(link, f"7 {house.protocol.LOGOUT} bye")
    house.commit()
    assert cause(house) == "logout"


def test_one_that_was_refused_without_ever_having_had_a_session(house: House):
    link, _ = house.connect()
    house.say(link, "7 1 hello")
    house.commit(**{"7": Outcome.REFUSED})
    assert cause(house) == "refused"


def test_one_that_is_banned_before_it_comes(house: House):
    house.gateway.ban_device("line", "7", 60, "test")
    link, _ = house.connect()
    house.say(link, "7 1 hello")
    assert cause(house) == "banned"


def test_one_that_was_idle(house: House):
    _, transport = online(house)
    house.pass_time(house.gateway.settings.idle_timeout_seconds + 1, 5)
    transport.finish()
    assert cause(house) == "idle"


def test_the_newest_are_kept():
    departures = Departures(2)
    for identity in ("1", "2", "1", "3"):
        departures.add("line", identity, Departure(0.0, identity, "", None))
    assert len(departures) == 2
    assert departures.get("line", "2") is None
    departures.add("line", "3", Departure(0.0, "again", "", None))
    assert departures.get("line", "1"), "one that was there takes nobody's place"
    assert departures.get("line", "3").cause == "again"
