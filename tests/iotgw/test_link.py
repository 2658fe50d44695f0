"""Links: acks after receipts, deadlines, bad bytes, duplicate logins, slow readers."""

from __future__ import annotations

from tests.iotgw.fakes import House


def test_a_message_is_answered_after_its_receipt_and_not_before():
    house = House()
    link, transport = house.connect()
    house.say(link, "dev 1 hello")
    house.pass_time(5)
    assert transport.value() == b""
    house.commit()
    assert transport.value() == b"dev:1 STORED\n"


def test_the_acks_of_a_receipt_leave_with_one_write():
    house = House()
    link, transport = house.connect()
    writes = []
    transport.write = writes.append
    house.say(link, "dev 1 a", "dev 1 b", "dev 1 c")
    house.commit()
    assert writes == [b"dev:1 STORED\ndev:2 STORED\ndev:3 STORED\n"]


def test_a_session_begins_when_the_device_is_let_in():
    house = House()
    house.directory.is_holding = True
    link, _ = house.connect()
    house.say(link, "dev 1 a")
    assert len(house.gateway.sessions) == 0
    house.directory.let_go()
    session = house.gateway.sessions.get("line", "dev")
    assert session is not None
    assert session.link is link


def test_a_refused_device_is_answered_and_has_no_session():
    house = House()
    house.refuse("dev")
    link, transport = house.connect()
    house.say(link, "dev 1 a")
    house.commit()
    assert transport.value() == b"dev:1 STORED\n", "under open admission every device is let in"
    house = House(admission="known")
    house.refuse("dev")
    link, transport = house.connect()
    house.say(link, "dev 1 a")
    assert transport.value() == b"dev:1 REFUSED\n"
    assert len(house.gateway.sessions) == 0
    assert house.publisher.batches == [], "workers are not bothered"
    assert house.statistics["messages.refused"] == 1


def test_the_newest_link_wins():
    house = House()
    old, old_transport = house.connect()
    house.say(old, "dev 1 a")
    house.commit()
    new, new_transport = house.connect()
    house.directory.is_holding = True
    house.say(new, "dev 1 b")
    assert not old_transport.disconnecting, "not before the new one is let in"
    house.directory.let_go()
    assert old_transport.disconnecting
    assert not new_transport.disconnecting
    assert house.gateway.sessions.get("line", "dev").link is new
    old_transport.finish()
    assert house.gateway.sessions.get("line", "dev").link is new, "the old link's late close ends nothing"
    assert house.statistics["sessions.replaced"] == 1


def test_an_older_link_never_takes_a_session_back():
    house = House()
    old, old_transport = house.connect()
    new, new_transport = house.connect()
    house.say(new, "dev 1 b")
    house.commit()
    house.say(old, "dev 1 a")
    house.commit()
    assert old_transport.disconnecting
    assert not new_transport.disconnecting
    assert house.gateway.sessions.get("line", "dev").link is new


def test_a_refused_device_cannot_push_the_real_one_out():
    house = House(admission="credential")
    real, real_transport = house.connect()
    house.say(real, "dev 1 key right")
    false, _ = house.connect()
    house.say(false, "dev 1 key wrong")
    assert not real_transport.disconnecting
    assert house.gateway.sessions.get("line", "dev").link is real


def test_several_devices_share_a_link():
    house = House()
    link, transport = house.connect()
    house.say(link, "one 1 a", "two 1 a")
    house.commit()
    assert {session.identity for session in house.gateway.sessions} == {"one", "two"}
    transport.finish()
    assert len(house.gateway.sessions) == 0


def test_a_link_that_claims_ever_more_devices_is_closed():
    house = House(devices_per_link=3)
    link, transport = house.connect()
    house.say(link, *(f"dev{number} 1 a" for number in range(3)))
    house.commit()
    house.say(link, "dev1 1 again")
    house.commit()
    assert not transport.disconnecting, "the devices it has may go on"
    house.say(link, "dev3 1 a")
    house.commit()
    assert transport.disconnecting
    transport.finish()
    assert house.statistics["links.closed.devices"] == 1
    assert len(house.gateway.sessions) == 0


def test_logging_out_ends_the_session_and_leaves_the_link():
    house = House(identify_timeout_seconds=30)
    link, transport = house.connect()
    house.say(link, "dev 1 a")
    house.commit()
    house.say(link, "dev 9 bye")
    house.commit()
    assert len(house.gateway.sessions) == 0
    assert transport.value().endswith(b"dev:2 STORED\n")
    assert not transport.disconnecting
    house.pass_time(32)
    assert transport.disconnecting, "it has to say who it is again"


def test_a_silent_stranger_is_closed_at_the_deadline():
    house = House(identify_timeout_seconds=30, idle_timeout_seconds=300)
    _, transport = house.connect()
    house.pass_time(29)
    assert not transport.disconnecting
    house.pass_time(3)
    assert transport.disconnecting
    transport.finish()
    assert house.statistics["links.closed.unidentified"] == 1
    assert len(house.gateway.wheel) == 0


def test_a_stranger_that_sends_garbage_now_and_then_is_closed_at_the_deadline_too():
    house = House(identify_timeout_seconds=30)
    link, transport = house.connect()
    for _ in range(4):
        house.say(link, "garbage")
        house.pass_time(8)
    assert transport.disconnecting


def test_a_device_whose_admission_is_late_is_not_a_stranger():
    house = House(identify_timeout_seconds=30, idle_timeout_seconds=300, admission="known")
    house.directory.is_holding = True
    house.refuse("dev")
    link, transport = house.connect()
    house.say(link, "dev 1 a")
    house.pass_time(200)
    assert not transport.disconnecting
    house.directory.let_go()
    house.pass_time(302)
    assert transport.disconnecting


def test_an_idle_device_is_closed_and_an_active_one_is_not():
    house = House(idle_timeout_seconds=60)
    idle, idle_transport = house.connect()
    active, active_transport = house.connect()
    house.say(idle, "idle 1 a")
    house.say(active, "active 1 a")
    house.commit()
    for _ in range(4):
        house.pass_time(30)
        house.say(active, "active 1 a")
        house.commit()
    assert idle_transport.disconnecting
    assert not active_transport.disconnecting
    assert house.statistics["links.closed.idle"] == 1


def test_malformed_bytes_are_counted_by_cause_and_the_link_is_kept():
    house = House(malformed_in_a_row=3)
    link, transport = house.connect()
    house.say(link, "bad", "bad", "dev 1 a", "bad", "bad")
    assert house.statistics["malformed.line"] == 4
    assert not transport.disconnecting
    house.commit()
    assert transport.value() == b"dev:1 STORED\n"


def test_a_link_that_sends_nothing_but_malformed_bytes_is_closed():
    house = House(malformed_in_a_row=3)
    link, transport = house.connect()
    house.say(link, "bad", "bad", "bad", "dev 1 a")
    assert transport.disconnecting
    assert house.statistics["messages"] == 0, "nothing behind the closing is taken"
    transport.finish()
    assert house.statistics["links.closed.malformed"] == 1


def test_half_a_frame_at_the_end_is_counted():
    house = House()
    link, transport = house.connect()
    link.dataReceived(b"dev 1")
    transport.finish()
    assert house.statistics["malformed.cut"] == 1


def test_a_closed_link_is_not_written_to():
    house = House()
    link, transport = house.connect()
    house.say(link, "dev 1 a")
    transport.finish()
    house.commit()
    assert transport.value() == b""
    assert house.statistics["acks.too_late"] == 1
    assert len(house.gateway.sessions) == 0


def test_a_closing_link_that_does_not_take_its_last_bytes_is_cut():
    house = House(identify_timeout_seconds=5)
    _, transport = house.connect()
    house.pass_time(7)
    assert transport.disconnecting
    assert not transport.is_aborted
    house.pass_time(8)
    assert transport.is_aborted
    assert house.gateway.links == 0


def test_a_device_that_does_not_read_its_acks_is_not_read_from():
    house = House()
    link, transport = house.connect()
    link.pauseProducing()
    assert transport.producerState == "paused"
    link.resumeProducing()
    assert transport.producerState == "producing"


def test_all_links_are_held_while_too_much_is_without_a_receipt():
    house = House(batches_in_flight=2, batch_messages=1)
    link, transport = house.connect()
    slow, slow_transport = house.connect()
    slow.pauseProducing()
    house.say(link, "dev 1 a", "dev 1 b")
    assert transport.producerState == "paused"
    _, late_transport = house.connect()
    assert late_transport.producerState == "paused", "a new link waits as well"
    link.resumeProducing()
    assert transport.producerState == "paused", "the socket's room does not overrule the gateway"
    house.commit()
    assert transport.producerState == "producing"
    assert late_transport.producerState == "producing"
    assert slow_transport.producerState == "paused", "its own reason still holds"


def test_a_device_that_waits_for_its_answer_is_not_idle():
    house = House(idle_timeout_seconds=60, receipt_timeout_seconds=10)
    link, transport = house.connect()
    house.say(link, "dev 1 a")
    house.commit()
    house.say(link, "dev 1 b")
    house.pass_time(300)
    assert not transport.disconnecting, "it may say nothing more before it has its answer"
    house.commit()
    house.pass_time(59)
    assert not transport.disconnecting, "its silence begins with our answer"
    house.pass_time(2 * 60 * 6)
    assert transport.disconnecting


def test_a_device_that_is_never_answered_is_closed_at_last():
    house = House(idle_timeout_seconds=60, receipt_timeout_seconds=10)
    link, transport = house.connect()
    house.say(link, "dev 1 a")
    house.commit()
    house.say(link, "dev 1 b")
    house.pass_time(361)
    assert transport.disconnecting


def test_a_held_device_was_not_idle():
    house = House(batches_in_flight=1, batch_messages=1, idle_timeout_seconds=60)
    link, transport = house.connect()
    house.say(link, "dev 1 a")
    house.pass_time(59)
    house.commit()
    house.pass_time(30)
    assert not transport.disconnecting


def test_draining_reads_no_more_and_fires_when_all_is_answered():
    house = House(batches_in_flight=2, batch_messages=1)
    link, transport = house.connect()
    house.say(link, "dev 1 a")
    drained = []
    house.gateway.drain().addCallback(drained.append)
    assert transport.producerState == "paused"
    assert drained == []
    house.commit()
    assert drained == [None]
    assert transport.value() == b"dev:1 STORED\n"
    assert transport.producerState == "paused", "having room again does not end the drain"
    closed = []
    house.gateway.close_links("shutdown").addCallback(closed.append)
    assert transport.disconnecting
    assert closed == [], "its last bytes may still be on their way"
    transport.finish()
    assert closed == [None]


def test_a_gateway_with_its_links_taken_has_no_room():
    house = House(max_links=2)
    house.connect()
    assert house.gateway.has_room()
    house.connect()
    assert not house.gateway.has_room()
