"""Who may come in: rounds, what is believed, and what becomes of messages meanwhile."""

from __future__ import annotations

import pytest

from iotgw.admissions import AWAY_SECONDS, BELIEVED_SECONDS, MOST_DOUBTED, REFUSED_SECONDS, RETRY_SECONDS, Remembered
from iotgw.doorway import MESSAGE_BYTES, MOST_WAITING_BYTES
from protocols import Credential, Message, Outcome
from protocols.credential import seal
from tasks.contract import MOST_DEVICES, Known
from tests.iotgw.fakes import House, LineProtocol

DEVICE = ("line", "dev")
FINE = Known(True, seal("right", bytes(16)))
DISABLED = Known(False, "")


def answered(house: House, *lines: str) -> bytes:
    """What a device on a new link is answered, before anything is committed."""
    link, transport = house.connect()
    house.say(link, *lines)
    return transport.value()


@pytest.mark.parametrize(
    ("rule", "known", "said", "refusal"),
    [
        ("open", None, "a", ""),
        ("open", FINE, "a", ""),
        ("open", DISABLED, "a", "disabled"),
        ("known", None, "a", "unknown"),
        ("known", FINE, "key wrong", ""),
        ("known", DISABLED, "a", "disabled"),
        ("credential", None, "key right", "unknown"),
        ("credential", FINE, "key right", ""),
        ("credential", FINE, "key wrong", "credential"),
        ("credential", FINE, "no credential at all", "credential"),
        ("credential", Known(True, ""), "key right", "credential"),
        ("credential", DISABLED, "key right", "disabled"),
    ],
)
def test_who_may_come_in(rule: str, known: Known | None, said: str, refusal: str):
    house = House(admission=rule)
    house.directory.known[DEVICE] = known
    assert answered(house, f"dev 1 {said}") == (b"dev:1 REFUSED\n" if refusal else b"")
    assert len(house.gateway.sessions) == (0 if refusal else 1)
    assert len(house.publisher.batches) == (0 if refusal else 1)
    assert house.statistics["messages"] == 1
    if refusal:
        assert house.statistics[f"admissions.refused.{refusal}"] == 1
        assert house.gateway.departures.get(*DEVICE).cause == refusal


def test_a_protocol_has_a_rule_of_its_own():
    house = House(admission="known", admissions={"line": "open"})
    house.refuse("dev")
    assert answered(house, "dev 1 a") == b""
    house = House(admissions={"line": "known", "other": "open"})
    house.refuse("dev")
    assert answered(house, "dev 1 a") == b"dev:1 REFUSED\n"


def test_devices_of_a_protocol_without_credentials_need_be_known_only():
    class PlainProtocol(LineProtocol):
        has_credentials = False

        def credential(self, message: Message) -> Credential | None:
            return None

    house = House(PlainProtocol(), admission="credential")
    house.refuse("stranger")
    assert answered(house, "dev 1 a") == b""
    assert answered(house, "stranger 1 a") == b"stranger:1 REFUSED\n"


def test_who_is_vouched_for_needs_be_known_only():
    class PlatformProtocol(LineProtocol):
        def credential(self, message: Message) -> Credential | None:
            shown = super().credential(message)
            return shown and shown._replace(vouches=message.identity == "platform")

    house = House(PlatformProtocol(), admission="credential")
    house.refuse("unknown")
    link, transport = house.connect()
    house.say(link, "one 1 a")
    assert transport.value() == b"one:1 REFUSED\n"
    house.say(link, "platform 1 key right")
    transport.clear()
    house.say(link, "one 1 a", "two 1 b", "unknown 1 c")
    assert transport.value() == b"unknown:5 REFUSED\n"
    assert {session.identity for session in house.gateway.sessions} == {"platform", "one", "two"}
    assert answered(house, "three 1 a") == b"three:1 REFUSED\n", "on another link nobody vouches"


def test_messages_wait_in_order_and_go_on_together():
    house = House()
    house.directory.is_holding = True
    link, transport = house.connect()
    house.say(link, "dev 1 a", "other 1 b", "dev 1 c")
    house.say(link, "dev 1 d")
    assert house.publisher.batches == []
    assert [len(devices) for devices, _ in house.directory.waiting] == [2]
    house.directory.let_go()
    house.clock.advance(0)
    (batch,) = house.publisher.batches
    assert sorted(entry.message.sequence for entry in batch.entries) == [1, 2, 3, 4]
    assert [entry.message.sequence for entry in batch.entries if entry.message.identity == "dev"] == [1, 3, 4]
    house.commit()
    assert transport.value().count(b"STORED") == 4
    assert house.gateway.held_bytes == 0


def test_devices_that_come_in_one_turn_share_a_round_of_a_bounded_size():
    house = House(max_links=2000)
    house.directory.is_holding = True
    for number in range(MOST_DEVICES + 10):
        house.connect()[0].dataReceived(b"dev%d 1 a\n" % number)
    house.clock.advance(0)
    assert [len(devices) for devices, _ in house.directory.waiting] == [MOST_DEVICES, 10]
    house.directory.let_go()
    assert len(house.gateway.sessions) == MOST_DEVICES + 10


def test_only_so_many_rounds_are_under_way_and_the_next_has_what_came_meanwhile():
    house = House()
    house.directory.is_holding = True
    for number in range(10):
        house.say(house.connect()[0], f"dev{number} 1 a")
    assert [len(devices) for devices, _ in house.directory.waiting] == [1, 1, 1, 1]
    devices, answer = house.directory.waiting.pop(0)
    answer.callback(house.directory.answer(devices))
    house.clock.advance(0)
    assert [len(devices) for devices, _ in house.directory.waiting] == [1, 1, 1, 6]


@pytest.mark.parametrize(("age", "is_asked"), [(BELIEVED_SECONDS - 1, False), (BELIEVED_SECONDS + 1, True)])
def test_a_yes_that_redis_remembers_is_believed_for_a_while(age: float, is_asked: bool):
    house = House(admission="credential")
    house.directory.memory[DEVICE] = Remembered(FINE, age)
    answered(house, "dev 1 key right")
    assert bool(house.directory.asked) is is_asked
    assert house.statistics["admissions.remembered"] == (not is_asked)


@pytest.mark.parametrize("memory", [None, DISABLED, Known(True, seal("old", bytes(16)))])
@pytest.mark.parametrize(("age", "is_asked"), [(REFUSED_SECONDS - 1, False), (REFUSED_SECONDS + 1, True)])
def test_a_no_is_believed_for_moments_only(memory: Known | None, age: float, is_asked: bool):
    """Somebody may have added the device since, enabled it, or given it another credential."""
    house = House(admission="credential")
    house.directory.memory[DEVICE] = Remembered(memory, age)
    assert answered(house, "dev 1 key right") == (b"" if is_asked else b"dev:1 REFUSED\n")
    assert bool(house.directory.asked) is is_asked


def test_who_is_remembered_comes_in_while_nobody_answers_and_who_is_not_waits():
    house = House(admission="credential")
    house.directory.memory[DEVICE] = Remembered(FINE, 3600.0)
    house.directory.error = TimeoutError("no reply")
    assert answered(house, "dev 1 key right") == b""
    assert house.gateway.sessions.get(*DEVICE) is not None
    assert house.statistics["admissions.remembered_old"] == 1
    assert answered(house, "dev 1 key wrong") == b"", "whoever shows another credential waits"
    link, transport = house.connect()
    house.say(link, "new 1 key right")
    assert transport.value() == b""
    assert house.gateway.sessions.get("line", "new") is None
    house.directory.error = None
    house.pass_time(RETRY_SECONDS + 0.5)
    assert house.gateway.sessions.get("line", "new") is not None
    assert house.statistics["messages.refused"] == 1, "the wrong credential is known to be wrong by now"


def test_while_nobody_answers_who_is_remembered_does_not_wait_for_it():
    house = House()
    house.directory.error = TimeoutError("no reply")
    house.say(house.connect()[0], "other 1 a")
    house.directory.is_holding = True
    house.directory.memory[DEVICE] = Remembered(FINE, 3600.0)
    answered(house, "dev 1 a")
    assert house.gateway.sessions.get(*DEVICE) is not None
    house.directory.waiting.clear()
    house.clock.advance(AWAY_SECONDS + 1)
    house.directory.memory["line", "later"] = Remembered(FINE, 3600.0)
    answered(house, "later 1 a")
    assert house.gateway.sessions.get("line", "later") is None, "after a while it is tried again whether somebody answers"
    house.directory.let_go()
    assert house.gateway.sessions.get("line", "later") is not None


def test_when_somebody_answers_again_it_is_asked_again():
    house = House()
    house.directory.error = TimeoutError("no reply")
    house.say(house.connect()[0], "other 1 a")
    house.directory.error = None
    house.pass_time(RETRY_SECONDS + 0.5)
    house.directory.asked.clear()
    house.directory.memory[DEVICE] = Remembered(FINE, 3600.0)
    answered(house, "dev 1 a")
    assert house.directory.asked == [[DEVICE]]


def test_without_redis_s_memory_everybody_is_asked_for():
    house = House()
    house.directory.memory_error = OSError("away")
    house.directory.memory[DEVICE] = Remembered(FINE, 1.0)
    answered(house, "dev 1 a", "other 1 b")
    assert house.directory.asked == [[DEVICE, ("line", "other")]]
    assert len(house.gateway.sessions) == 2


def test_what_is_remembered_of_a_device_that_was_refused_since_is_not_believed():
    house = House()
    house.directory.memory[DEVICE] = Remembered(FINE, 1.0)
    link, transport = house.connect()
    house.say(link, "dev 1 a")
    house.directory.known[DEVICE] = DISABLED
    house.commit(dev=Outcome.REFUSED)
    assert house.gateway.sessions.get(*DEVICE) is None
    house.say(link, "dev 1 b")
    assert transport.value() == b"dev:1 REFUSED\ndev:2 REFUSED\n"
    assert house.directory.asked == [[DEVICE]]
    house.say(link, "dev 1 c")
    assert house.directory.asked == [[DEVICE]], "what has been read since is believed again"
    for number in range(MOST_DOUBTED + 10):
        house.gateway.admissions.doubt(("line", str(number)))
    assert len(house.gateway.admissions._doubted) == MOST_DOUBTED


def test_what_a_device_sent_before_it_left_is_stored_if_it_may_come_in():
    house = House(admission="known")
    house.refuse("stranger")
    house.directory.is_holding = True
    for name in ("dev", "stranger"):
        link, transport = house.connect()
        house.say(link, f"{name} 1 a")
        transport.finish()
    house.directory.let_go()
    house.clock.advance(0)
    assert [entry.message.identity for batch in house.publisher.batches for entry in batch.entries] == ["dev"]
    assert len(house.gateway.sessions) == 0
    assert house.gateway.held_bytes == 0


def test_who_left_is_not_asked_for_again():
    house = House()
    house.directory.error = TimeoutError("no reply")
    link, transport = house.connect()
    house.say(link, "dev 1 a")
    transport.finish()
    house.pass_time(10 * RETRY_SECONDS)
    assert len(house.directory.asked) == 1
    assert house.gateway.held_bytes == house.gateway.admissions.waiting == 0


def test_a_link_that_brings_much_before_it_is_let_in_is_not_read_from():
    house = House()
    house.directory.is_holding = True
    link, transport = house.connect()
    body = "x" * 1000
    count = MOST_WAITING_BYTES // (1000 + MESSAGE_BYTES) + 1
    house.say(link, *[f"dev 1 {body}"] * (count - 1))
    assert transport.producerState == "producing", "so that it is noticed when the device leaves"
    house.say(link, f"dev 1 {body}")
    assert transport.producerState == "paused"
    house.directory.let_go()
    assert transport.producerState == "producing"
    assert house.gateway.held_bytes == 0


def test_all_links_together_hold_no_more_than_is_good(monkeypatch):
    monkeypatch.setattr("iotgw.doorway.MOST_HELD_BYTES", 3 * MESSAGE_BYTES)
    house = House()
    house.directory.is_holding = True
    transports = []
    for number in range(4):
        link, transport = house.connect()
        house.say(link, f"dev{number} 1 a")
        transports.append(transport)
    assert [transport.disconnecting for transport in transports] == [False, False, True, True]
    transports[-1].finish()
    assert house.statistics["links.closed.crowded"] == 1
    house.directory.let_go()
    house.clock.advance(0)
    assert house.gateway.held_bytes == 0
    assert len(house.gateway.sessions) == 2


def test_a_link_that_claims_ever_more_devices_at_once_is_closed():
    house = House(devices_per_link=3)
    house.directory.is_holding = True
    link, transport = house.connect()
    house.say(link, *(f"dev{number} 1 a" for number in range(4)))
    assert transport.disconnecting
    transport.finish()
    assert house.statistics["links.closed.devices"] == 1


def test_who_guesses_credentials_is_banned():
    house = House(admission="credential", ban_offences=3)
    link, transport = house.connect()
    for _ in range(4):
        house.say(link, "dev 1 no credential")
    assert not transport.disconnecting, "who shows none does not guess"
    for _ in range(3):
        house.say(link, "dev 1 key guess")
    assert transport.disconnecting
    assert house.accept("192.168.1.1") is None
    assert house.statistics["bans.addresses"] == 1


def test_a_device_may_show_its_credential_after_it_was_refused_without():
    house = House(admission="credential")
    link, transport = house.connect()
    house.say(link, "dev 1 a")
    house.say(link, "dev 1 key right")
    house.say(link, "dev 1 b")
    house.commit()
    assert transport.value() == b"dev:1 REFUSED\ndev:2 STORED\ndev:3 STORED\n"


@pytest.mark.parametrize("first", ["a", "key wrong"])
def test_a_device_may_show_its_credential_behind_something_else(first: str):
    house = House(admission="credential")
    assert answered(house, f"dev 1 {first}", "dev 1 key right", "dev 1 b") == b""
    (batch,) = house.publisher.batches
    assert [entry.message.sequence for entry in batch.entries] == [1, 2, 3]
    assert answered(house, "other 1 key wrong", "dev 1 key right") == b"other:1 REFUSED\n", "it proves nobody else"


def test_a_link_at_fault_keeps_nobody_else_out():
    house = House()
    house.directory.is_holding = True
    (broken, _), (fine, _) = house.connect(), house.connect()
    broken.dataReceived(b"bad 1 a\n")
    fine.dataReceived(b"dev 1 a\n")
    house.clock.advance(0)
    broken.protocol = None  # type: ignore[assignment]
    house.directory.let_go()
    assert house.gateway.sessions.get(*DEVICE).link is fine


def test_a_link_that_is_retired_waits_for_who_is_at_its_door():
    house = House()
    house.directory.is_holding = True
    link, transport = house.connect()
    house.say(link, "dev 1 a")
    link.retire()
    assert not transport.disconnecting
    house.directory.let_go()
    house.clock.advance(0)
    assert not transport.disconnecting
    house.commit()
    assert transport.value() == b"dev:1 STORED\n"
    assert transport.disconnecting
