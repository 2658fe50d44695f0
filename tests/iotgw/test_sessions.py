"""Sessions of one gateway: which link wins, and who is kept out for a while."""

from __future__ import annotations

from iotgw.sessions import AGAIN_SECONDS, Session, Sessions
from tests.iotgw.fakes import House


def test_a_late_end_of_the_old_link_leaves_the_new_session():
    house = House()
    (old, _), (new, _) = house.connect(), house.connect()
    sessions = Sessions()
    first, second = Session("line", "dev", old, 0.0), Session("line", "dev", new, 1.0)
    assert sessions.begin(first) is None
    assert sessions.begin(second) is first
    assert sessions.end("line", "dev", old) is None
    assert sessions.get("line", "dev") is second
    assert sessions.end("line", "dev", new) is second
    assert len(sessions) == 0


def test_who_lost_a_link_may_try_again_later():
    house = House()
    link, _ = house.connect()
    sessions = Sessions()
    assert not sessions.is_kept_out("dev", link, 0.0)
    assert sessions.keep_out(Session("line", "dev", link, 0.0), 100.0) == 1
    assert sessions.keep_out(Session("line", "other", link, 0.0), 100.0) == 2
    assert sessions.is_kept_out("dev", link, 100.0 + AGAIN_SECONDS - 1)
    assert not sessions.is_kept_out("third", link, 100.0)
    assert not sessions.is_kept_out("dev", link, 100.0 + AGAIN_SECONDS)
    sessions.forget(link)
    assert not sessions.is_kept_out("dev", link, 100.0)


def test_a_device_that_goes_elsewhere_leaves_a_shared_link_to_the_others():
    house = House()
    shared, transport = house.connect()
    house.say(shared, "one 1 a", "two 1 a")
    house.commit()
    own, _ = house.connect()
    house.say(own, "one 1 a")
    house.commit()
    assert not transport.disconnecting
    assert shared.identities == {"two"}
    assert house.gateway.sessions.get("line", "one").link is own
    assert house.gateway.sessions.get("line", "two").link is shared
    assert house.statistics["sessions.replaced"] == 1
    last, _ = house.connect()
    house.say(last, "two 1 a")
    house.commit()
    assert transport.disconnecting, "nobody is on it any more"


def test_what_a_device_still_sends_on_a_shared_link_is_acked_and_takes_nothing_back():
    house = House()
    shared, transport = house.connect()
    house.say(shared, "one 1 a", "two 1 a")
    house.commit()
    own, own_transport = house.connect()
    house.say(own, "one 1 a")
    house.commit()
    for _ in range(3):
        transport.clear()
        house.say(shared, "one 1 late")
        house.commit()
        assert transport.value().startswith(b"one:")
    assert not own_transport.disconnecting
    assert not transport.disconnecting
    assert house.statistics["sessions.replaced"] == 1, "it is not tried anew with each message"
    own_transport.finish()
    house.pass_time(AGAIN_SECONDS + 1)
    house.say(shared, "one 1 later", "two 1 b")
    house.commit()
    assert house.gateway.sessions.get("line", "one").link is shared, "it is the only one left"


def test_a_late_receipt_on_a_shared_older_link_does_not_close_it():
    house = House()
    shared, transport = house.connect()
    house.say(shared, "two 1 a")
    house.commit()
    own, own_transport = house.connect()
    house.say(own, "one 1 b")
    house.commit()
    house.say(shared, "one 1 a")
    house.commit()
    assert not own_transport.disconnecting
    assert not transport.disconnecting
    assert shared.identities == {"two"}


def test_a_link_that_loses_ever_more_devices_is_closed():
    house = House(devices_per_link=3)
    shared, transport = house.connect()
    house.say(shared, "mine 1 a")
    house.commit()
    for number in range(4):
        assert not transport.disconnecting
        house.say(shared, f"dev{number} 1 a")
        house.commit()
        own, _ = house.connect()
        house.say(own, f"dev{number} 1 b")
        house.commit()
    assert transport.disconnecting
    transport.finish()
    assert house.statistics["links.closed.devices"] == 1
    assert not house.gateway.sessions._lost
