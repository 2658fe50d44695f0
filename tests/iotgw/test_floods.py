"""What floods, starves or misuses a gateway, and what it costs everybody else: nothing.

| fault case | test |
| --- | --- |
| ever more links of one address | test_an_address_has_so_many_links_and_others_have_theirs |
| links that never say who they are, from one address | test_links_without_a_session_have_a_bound_of_their_own |
| many devices behind one address | test_devices_behind_a_nat_come_in |
| new links faster than they may come | test_new_links_of_an_address_come_at_their_rate |
| one host with 2⁶⁴ addresses | test_a_network_of_ipv6_is_one_address |
| links in all | test_a_gateway_with_its_links_taken_refuses |
| slow loris, a byte a minute | test_a_byte_a_minute_does_not_keep_a_link |
| a slow reader | test_a_device_that_never_reads_its_acks_is_closed_in_the_end |
| a device above its rate | test_a_device_above_its_rate_waits_and_loses_nothing |
| its neighbours, and those on its link | test_others_do_not_wait_for_it, test_a_device_on_a_shared_link_has_its_own_rate |
| a device that reconnects to send more | test_a_new_link_brings_no_new_tokens |
| above its rate while all are held, or while it reads slowly | test_reasons_not_to_read_add_up |
| held for long: not idle, not unknown | test_a_held_link_is_neither_idle_nor_late, test_a_throttled_device_is_not_idle |
| malformed bytes again and again | test_an_address_that_sends_garbage_is_banned_for_a_while |
| a stranger behind the same NAT as devices | test_an_address_with_sessions_is_not_banned |
| a device with bad firmware | test_a_device_s_bad_frames_ban_nobody |
| a banned device, alone, on a shared link, while its message is on its way | test_a_banned_device_... |
| a banned address | test_a_ban_by_hand_closes_and_keeps_out |
| a take-over, a reset, a refusal: counts stay right | test_counts_of_an_address_come_back_to_nothing |
"""

from __future__ import annotations

import random

import pytest

from protocols import Outcome
from protocols.registry import PROTOCOLS
from tests.iotgw.fakes import House

FLOOD, NEIGHBOUR = "192.0.2.66", "192.0.2.7"


def held(house: House, host: str = FLOOD) -> tuple[int, int]:
    found = dict(house.gateway.addresses).get(host)
    return (found.links, found.unidentified) if found else (0, 0)


def offend(house: House, times: int, host: str = FLOOD) -> None:
    for _ in range(times):
        link, transport = house.connect(host)
        house.say(link, "bad", "bad")
        assert transport.disconnecting
        transport.finish()


def test_an_address_has_so_many_links_and_others_have_theirs():
    house = House(links_per_address=3)
    links = [house.connect(FLOOD) for _ in range(3)]
    assert [house.accept(FLOOD) for _ in range(10)] == [None] * 10
    assert house.statistics["links.refused.address"] == 10
    house.connect(NEIGHBOUR)
    links[0][1].finish()
    house.connect(FLOOD)
    assert held(house) == (3, 3)
    assert held(house, NEIGHBOUR) == (1, 1)


def test_links_without_a_session_have_a_bound_of_their_own():
    house = House(unidentified_per_address=2)
    house.directory.is_holding = True
    links = [house.connect(FLOOD)[0] for _ in range(2)]
    assert house.accept(FLOOD) is None
    assert house.statistics["links.refused.unidentified"] == 1
    house.say(links[0], "dev 1 a")
    assert house.accept(FLOOD) is None, "not before it is let in"
    house.directory.let_go()
    house.connect(FLOOD)
    assert house.accept(FLOOD) is None
    house.say(links[0], "dev 9 bye")
    house.commit()
    assert held(house) == (3, 3), "who logs out has no session"


def test_devices_behind_a_nat_come_in():
    house = House(links_per_address=1000, unidentified_per_address=10, messages_per_second=0)
    for number in range(1000):
        link, _ = house.connect(FLOOD)
        house.say(link, f"dev{number} 1 a")
        house.commit()
    assert len(house.gateway.sessions) == 1000
    assert house.accept(FLOOD) is None


def test_new_links_of_an_address_come_at_their_rate():
    house = House(links_per_second=2, links_burst=5)
    for _ in range(5):
        house.connect(FLOOD)[1].finish()
    assert house.accept(FLOOD) is None
    assert house.statistics["links.refused.rate"] == 1
    house.connect(NEIGHBOUR)
    house.pass_time(1)
    for _ in range(2):
        house.connect(FLOOD)[1].finish()
    assert house.accept(FLOOD) is None, "a refusal takes no token, and gives none"


def test_a_network_of_ipv6_is_one_address():
    house = House(links_per_address=2)
    house.connect("2001:db8::1")
    house.connect("2001:db8::2")
    assert house.accept("2001:db8::3:4:5:6") is None
    house.connect("2001:db8:0:1::1")


def test_this_machine_has_no_bound():
    house = House(links_per_address=1, unidentified_per_address=1, links_per_second=1, links_burst=1, ban_offences=1)
    for _ in range(5):
        offend(House(malformed_in_a_row=2, ban_offences=1), 5, "127.0.0.1")
        house.connect("127.0.0.1")


def test_a_gateway_with_its_links_taken_refuses():
    house = House(max_links=2)
    house.connect()
    house.connect()
    assert house.accept(NEIGHBOUR) is None
    assert house.statistics["links.refused.all"] == 1


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_byte_a_minute_does_not_keep_a_link(name):
    house = House(PROTOCOLS[name], identify_timeout_seconds=100)
    link, transport = house.connect(FLOOD)
    first = PROTOCOLS[name].terminal(PROTOCOLS[name].simulated_identity(3)).connect()
    for byte in first[:2]:
        link.dataReceived(bytes([byte]))
        house.pass_time(60)
    assert transport.disconnecting
    transport.finish()
    assert house.statistics["links.closed.unidentified"] == 1
    assert held(house) == (0, 0)


def test_a_device_that_never_reads_its_acks_is_closed_in_the_end():
    house = House(idle_timeout_seconds=60)
    link, transport = house.connect()
    house.say(link, "dev 1 a")
    house.commit()
    link.pauseProducing()
    house.pass_time(58)
    assert not transport.disconnecting
    house.pass_time(3)
    assert transport.disconnecting
    house.pass_time(6)
    assert transport.is_aborted, "what it does not take is not waited for"


def test_a_device_above_its_rate_waits_and_loses_nothing():
    house = House(messages_per_second=10, messages_burst=20)
    link, transport = house.connect()
    waiting = [f"dev 1 {number}" for number in range(200)]
    sent, stored, started = 0, [], house.clock.seconds()
    while waiting:
        if transport.producerState == "producing":
            # The socket gives what there is, in pieces of its own choosing.
            piece, waiting = waiting[:7], waiting[7:]
            house.say(link, *piece)
            sent += len(piece)
            assert sent <= 20 + 7 + 10 * (house.clock.seconds() - started) + 1
        stored += [entry.message.body.decode() for batch in house.publisher.batches for entry in batch.entries]
        house.commit()
        house.pass_time(0.1, step=0.1)
    assert stored == [str(number) for number in range(200)], "all of it, in order"
    assert transport.value().count(b"STORED") == 200
    assert 15 <= house.clock.seconds() - started <= 20, "and not slower than it may"
    assert house.statistics["links.throttled"] > 5
    assert house.gateway.links == 1


def test_others_do_not_wait_for_it():
    house = House(messages_per_second=1, messages_burst=2)
    fast, fast_transport = house.connect()
    calm, calm_transport = house.connect()
    house.say(fast, *["fast 1 a"] * 5)
    house.say(calm, "calm 1 a")
    assert fast_transport.producerState == "paused"
    assert calm_transport.producerState == "producing"
    house.commit()
    assert fast_transport.value().count(b"STORED") == 5, "what was read is stored and answered"
    assert calm_transport.value().count(b"STORED") == 1


def test_a_well_behaved_device_is_never_held():
    house = House()
    link, transport = house.connect()
    for _ in range(300):
        house.say(link, "dev 1 a", "dev 1 b")
        house.commit()
        house.pass_time(0.1, step=0.1)
        assert transport.producerState == "producing"
    assert house.statistics["links.throttled"] == 0


def test_a_device_on_a_shared_link_has_its_own_rate():
    house = House(messages_per_second=1, messages_burst=4)
    link, transport = house.connect()
    house.say(link, *[f"dev{number} 1 a" for number in range(20)] * 3)
    assert transport.producerState == "producing", "60 messages, but 3 of each"
    house.say(link, "dev3 1 a", "dev3 1 a")
    assert transport.producerState == "paused"
    house.pass_time(2.5)
    assert transport.producerState == "producing"


def test_a_new_link_brings_no_new_tokens():
    house = House(messages_per_second=1, messages_burst=5)
    link, transport = house.connect()
    house.say(link, *["dev 1 a"] * 30)
    transport.finish()
    link, transport = house.connect()
    house.say(link, "dev 1 a")
    assert transport.producerState == "paused"
    house.pass_time(24)
    assert transport.producerState == "paused"
    house.pass_time(4)
    assert transport.producerState == "producing"


def test_reasons_not_to_read_add_up():
    house = House(messages_per_second=1, messages_burst=1, batches_in_flight=1, batch_messages=1)
    link, transport = house.connect()
    house.say(link, "dev 1 a")
    assert house.gateway.is_paused
    house.commit()
    assert transport.producerState == "paused", "room for all is no token for it"
    house.pass_time(2)
    assert transport.producerState == "producing"
    house.say(link, "dev 1 b")
    house.pass_time(3)
    assert transport.producerState == "paused", "a token for it is no room"
    house.commit()
    assert transport.producerState == "producing"
    house.pass_time(3)
    house.say(link, "dev 1 c")
    link.pauseProducing()
    house.commit()
    house.pass_time(3)
    assert transport.producerState == "paused", "it does not read"
    link.resumeProducing()
    assert transport.producerState == "producing"


def test_a_held_link_is_neither_idle_nor_late():
    house = House(batches_in_flight=1, batch_messages=1, idle_timeout_seconds=60, identify_timeout_seconds=30)
    link, transport = house.connect()
    _, unknown = house.connect()
    house.pass_time(20)
    house.say(link, "dev 1 a")
    house.pass_time(600)
    assert not transport.disconnecting
    assert not unknown.disconnecting, "it could not have said who it is"
    house.commit()
    house.pass_time(8)
    assert not unknown.disconnecting
    house.pass_time(4)
    assert unknown.disconnecting, "the time before counts"
    house.pass_time(45)
    assert not transport.disconnecting
    house.pass_time(5)
    assert transport.disconnecting


def test_a_throttled_device_is_not_idle():
    house = House(messages_per_second=0.1, messages_burst=1, idle_timeout_seconds=60)
    link, transport = house.connect()
    house.say(link, *["dev 1 a"] * 20)
    house.commit()
    house.pass_time(190)
    assert transport.producerState == "paused"
    assert not transport.disconnecting
    house.pass_time(50)
    assert transport.producerState == "producing"
    house.pass_time(30)
    assert transport.disconnecting


def test_protocols_are_idle_for_as_long_as_they_are_set_to():
    house = House(idle_timeout_seconds=60, idle_timeouts={"line": 3600})
    link, transport = house.connect()
    house.say(link, "dev 1 a")
    house.commit()
    house.pass_time(3590, step=10)
    assert not transport.disconnecting
    house.pass_time(20)
    assert transport.disconnecting
    parked = House(PROTOCOLS["teltonika"])
    assert parked.connect()[0].patience.idle_seconds >= 3600, "a parked Teltonika is silent for an hour"
    assert house.gateway.settings.idle_timeouts.keys() == {"gt06", "teltonika", "line"}, "one of them set leaves the others"


def test_an_address_that_sends_garbage_is_banned_for_a_while():
    house = House(malformed_in_a_row=2, ban_offences=3, ban_window_seconds=60, ban_seconds=100)
    offend(house, 2)
    house.pass_time(61)
    offend(house, 2)
    assert len(house.gateway.addresses.bans) == 0, "not within the window"
    offend(house, 1)
    assert house.accept(FLOOD) is None
    assert house.statistics["links.refused.banned"] == 1
    assert house.statistics["bans.addresses"] == 1
    assert house.gateway.snapshot()["banned_addresses"] == 1
    (ban,) = house.gateway.addresses.bans.list(house.clock.seconds())
    assert (ban.name, ban.cause) == (FLOOD, "malformed")
    house.connect(NEIGHBOUR)
    house.pass_time(99)
    assert house.accept(FLOOD) is None
    house.pass_time(2)
    offend(house, 1)
    house.connect(FLOOD)


def test_strangers_are_banned_too_and_can_be_pardoned():
    house = House(ban_offences=2)
    for _ in range(2):
        link, transport = house.connect(FLOOD)
        house.say(link, "GET / HTTP/1.1")
        transport.finish()
    assert house.accept(FLOOD) is None
    assert house.gateway.addresses.bans.remove(FLOOD)
    house.connect(FLOOD)


def test_bans_can_be_turned_off():
    house = House(malformed_in_a_row=2, ban_offences=0)
    offend(house, 100)
    house.connect(FLOOD)


def test_an_address_with_sessions_is_not_banned():
    house = House(malformed_in_a_row=2, ban_offences=3)
    device, transport = house.connect(FLOOD)
    house.say(device, "dev 1 a")
    house.commit()
    offend(house, 20)
    house.connect(FLOOD)
    transport.finish()
    offend(house, 1)
    assert house.accept(FLOOD) is None, "when nobody is there any more"


def test_a_device_s_bad_frames_ban_nobody():
    house = House(malformed_in_a_row=2, ban_offences=3)
    for _ in range(10):
        link, transport = house.connect(FLOOD)
        house.say(link, "dev 1 a")
        house.commit()
        house.say(link, "bad", "bad")
        assert transport.disconnecting
        transport.finish()
    offend(house, 1)
    house.connect(FLOOD)


def test_a_ban_by_hand_closes_and_keeps_out():
    house = House()
    _, transport = house.connect(FLOOD)
    _, other = house.connect(NEIGHBOUR)
    house.gateway.ban_address(FLOOD, 60, "by hand")
    assert transport.disconnecting
    assert not other.disconnecting
    assert house.accept(FLOOD) is None
    house.pass_time(61)
    house.connect(FLOOD)
    with pytest.raises(ValueError, match="unlimited_addresses"):
        house.gateway.ban_address("127.0.0.1", 60, "by hand")


def test_a_banned_device_is_shut_out_and_comes_back_when_it_may():
    house = House()
    link, transport = house.connect()
    house.say(link, "dev 1 a")
    house.commit()
    house.gateway.ban_device("line", "dev", 60, "by hand")
    assert transport.disconnecting
    transport.finish()
    assert house.statistics["links.closed.banned"] == 1
    link, transport = house.connect()
    house.say(link, "dev 1 a", "dev 1 b")
    assert transport.disconnecting
    assert house.statistics["messages"] == 1, "nothing of it is taken"
    assert house.statistics["messages.banned"] == 1
    transport.finish()
    house.pass_time(61)
    link, transport = house.connect()
    house.say(link, "dev 1 a")
    house.commit()
    assert house.gateway.sessions.get("line", "dev") is not None


def test_a_banned_device_does_not_take_others_on_its_link_with_it():
    house = House()
    link, transport = house.connect()
    house.say(link, "bad_one 1 a", "good_one 1 a")
    house.commit()
    house.gateway.ban_device("line", "bad_one", 60, "by hand")
    assert not transport.disconnecting
    transport.clear()
    house.say(link, "bad_one 1 b", "good_one 1 b")
    house.commit()
    assert transport.value() == b"good_one:4 STORED\n"
    assert [session.identity for session in house.gateway.sessions] == ["good_one"]


def test_a_banned_device_s_message_that_was_on_its_way_is_answered():
    house = House()
    link, transport = house.connect()
    house.say(link, "dev 1 a", "other 1 b")
    house.gateway.ban_device("line", "dev", 60, "by hand")
    house.commit()
    assert transport.value() == b"dev:1 STORED\nother:2 STORED\n", "it is stored"


def test_counts_of_an_address_come_back_to_nothing():
    """Resets, take-overs, log-outs, refusals and bad bytes in any order."""
    for seed in range(30):
        chance = random.Random(seed)
        house = House(malformed_in_a_row=2, ban_offences=0, devices_per_link=2, messages_per_second=5, messages_burst=5)
        links: list = []
        for _ in range(150):
            match chance.randrange(6):
                case 0 | 1:
                    links.append(house.connect(chance.choice((FLOOD, NEIGHBOUR))))
                case 2 if links:
                    links.pop(chance.randrange(len(links)))[1].finish()
                case 3:
                    house.commit(dev1=chance.choice(list(Outcome)))
                case 4:
                    house.pass_time(chance.choice((0.5, 20)))
                case _ if links:
                    link, _ = chance.choice(links)
                    house.say(link, chance.choice(("dev1 1 a", "dev2 1 a", "dev3 1 a", "dev2 9 bye", "bad")))
            # A link that was cut has gone of itself.
            links = [(link, transport) for link, transport in links if link in house.gateway._links]
            there = [(link.address, bool(link.identities)) for link, _ in links]
            for host in (FLOOD, NEIGHBOUR):
                expected = [is_identified for address, is_identified in there if address == host]
                assert held(house, host) == (len(expected), expected.count(False)), seed
        for _, transport in links:
            transport.finish()
        assert len(house.gateway.addresses) == 0
        assert len(house.gateway.wheel) == 0
        assert len(house.gateway.sessions) == 0


def test_offences_before_a_ban_are_paid_with_it():
    house = House(malformed_in_a_row=2, ban_offences=3, ban_window_seconds=60, ban_seconds=10)
    offend(house, 3)
    house.pass_time(11)
    offend(house, 2)
    house.connect(FLOOD)
    offend(house, 1)
    assert house.accept(FLOOD) is None
