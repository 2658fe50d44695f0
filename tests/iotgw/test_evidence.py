"""What a gateway tells of devices and strangers, how much of it at the most, and what it is told."""

from __future__ import annotations

import time
from typing import Any

import pytest

from iotgw.evidence import CHUNK, DELAY_SECONDS, LAST_CHUNK, LOOK_SECONDS, MOST_FACTS, MOST_STRANGERS, Seen
from tasks.contract import FIRST_BYTES, Facts, FactsWanted, Receipt, Stranger
from tests.iotgw.fakes import AskingProtocol, House, LineProtocol


@pytest.fixture
def house() -> House:
    house = House(gateway_id="gw")
    # At 0 nothing has ever happened.
    house.clock.advance(1000)
    return house


def online(house: House, identity: str = "7") -> Any:
    link, transport = house.connect()
    house.say(link, f"{identity} 1 hello")
    house.commit()
    return link, transport


def told(house: House, identity: str = "7") -> Facts:
    house.pass_time(DELAY_SECONDS * 2, DELAY_SECONDS)
    return house.evidence.told[f"line/{identity}"]


def knocked(house: House) -> list[Stranger]:
    house.pass_time(DELAY_SECONDS * 2, DELAY_SECONDS)
    return house.evidence.knocked


def seen(house: House, identity: str = "7") -> Seen:
    results: list[Any] = []
    house.gateway.evidence.look(FactsWanted("line", identity)).addBoth(results.append)
    house.pass_time(LOOK_SECONDS * 2)
    (result,) = results
    assert isinstance(result, Seen)
    return result


def ago(ms: int) -> float:
    return time.time() - ms / 1000


def test_a_session_that_begins_is_told_with_its_link(house: House):
    link, _ = house.connect()
    house.clock.advance(5)
    house.directory.is_holding = True
    house.say(link, "7 1 hello")
    house.clock.advance(2)
    house.directory.let_go()
    facts = told(house)
    assert (facts.gateway, facts.peer, facts.port) == ("gw", "192.168.1.1:54321", link.transport.getHost().port)
    assert (facts.messages, facts.kind, facts.devices, facts.waiting, facts.outcome) == (1, "1", 1, 1, "")
    assert ago(facts.opened_ms) == pytest.approx(0, abs=1)
    assert facts.message_ms == facts.heard_ms
    assert ago(facts.message_ms) == pytest.approx(2, abs=1), "on the clock of the wall"
    assert ago(facts.begun_ms) == pytest.approx(0, abs=1)
    assert (facts.ended_ms, facts.cause, facts.settled_ms, facts.acked_ms) == (0, "", 0, 0), "it is told before it is answered"
    house.commit()
    facts = seen(house).facts
    assert (facts.waiting, facts.outcome) == (0, "stored")
    assert facts.acked_ms > 0


def test_a_session_that_ends_is_told_with_its_cause_and_all_that_was_counted(house: House):
    link, transport = online(house)
    house.say(link, "7 1 more", "nonsense", "7 2 last")
    house.commit()
    house.say(link, "7 1 waits")
    link.dataReceived(b"half a")
    transport.finish()
    facts = told(house)
    assert (facts.cause, facts.messages, facts.malformed) == ("peer", 4, {"line": 1, "cut": 1})
    assert facts.ended_ms >= facts.acked_ms > 0
    assert (facts.waiting, facts.devices) == (1, 1)
    assert house.evidence.knocked == [], "who had a session is no stranger"


def test_what_nobody_looks_at_and_to_what_nothing_happens_is_not_told(house: House):
    link, _ = online(house)
    assert told(house)
    before = list(house.evidence.writes)
    for _ in range(100):
        house.say(link, "7 1 more")
        house.commit()
        house.pass_time(10)
    assert house.evidence.writes == before


def test_what_waits_for_its_receipt_is_told_with_since_when(house: House):
    link, _ = online(house)
    house.pass_time(100)
    house.say(link, "7 1 a")
    house.pass_time(60)
    house.say(link, "7 1 b")
    facts = seen(house).facts
    assert facts.waiting == 2
    assert ago(facts.waiting_ms) == pytest.approx(60, abs=1), "the oldest counts"
    house.commit()
    facts = seen(house).facts
    assert (facts.waiting, facts.waiting_ms) == (0, 0)


def test_what_still_waits_when_others_have_their_receipt_came_later_than_those(house: House):
    link, _ = online(house)
    house.say(link, "7 1 a")
    house.clock.advance(5)
    house.say(link, "7 1 b")
    house.clock.advance(1)
    house.gateway.batches.receive(Receipt(house.publisher.batches[0].id, {}))
    house.clock.advance(2)
    facts = seen(house).facts
    assert facts.waiting == 1
    assert ago(facts.waiting_ms) == pytest.approx(2, abs=1)


def test_a_device_that_has_no_ack_sends_again_and_that_is_counted(house: House):
    link, _ = online(house)
    link._codec._sequence = 4
    house.say(link, "7 1 a")
    for _ in range(3):
        link._codec._sequence = 4
        house.say(link, "7 1 a")
    house.say(link, "7 1 b")
    assert seen(house).facts.resends == 3


def test_messages_without_number_are_never_the_same(house: House):
    link, _ = online(house)
    for _ in range(3):
        link._codec._sequence = -1
        house.say(link, "7 1 a")
    assert seen(house).facts.resends == 0


def test_messages_before_an_answer_of_the_codec_s_own_are_noted():
    house = House(AskingProtocol())
    link, _ = house.connect()
    house.say(link, "7 1 hello", "? hello")
    assert (link.facts.identity, link.facts.messages) == ("7", 1)


def test_a_refused_device_is_a_stranger_with_what_it_sent():
    house = House(admission="known")
    house.refuse("7")
    link, transport = house.connect()
    house.say(link, "7 1 hello")
    transport.finish()
    (stranger,) = knocked(house)
    assert (stranger.protocol, stranger.identity, stranger.reason, stranger.times) == ("line", "7", "refused.unknown", 1)
    assert (stranger.peer, stranger.first, stranger.messages) == ("192.168.1.1:54321", b"7 1 hello\n", 1)
    assert house.evidence.told == {}


def test_the_reason_of_a_refusal_is_told():
    house = House(admission="credential")
    link, _ = house.connect()
    house.say(link, "7 1 key wrong")
    assert [stranger.reason for stranger in knocked(house)] == ["refused.credential"]
    assert house.gateway.departures.get("line", "7").cause == "credential"


def test_a_banned_device_is_told_as_one(house: House):
    house.gateway.ban_device("line", "7", 60, "test")
    link, _ = house.connect()
    house.say(link, "7 1 hello")
    assert [stranger.reason for stranger in knocked(house)] == ["refused.banned"]


@pytest.mark.parametrize(
    ("lines", "cause", "identity", "malformed"),
    [
        ([], "peer", "", {}),
        (["nonsense"], "peer", "", {"line": 1}),
        (["nonsense"] * 10, "malformed", "", {"line": 10}),
        (["GET / HTTP/1.1"], "stranger", "", {}),
    ],
)
def test_a_link_that_closes_without_session_was_a_stranger_s(
    house: House, lines: list[str], cause: str, identity: str, malformed: dict[str, int]
):
    link, transport = house.connect()
    if lines:
        house.say(link, *lines)
    transport.finish()
    (stranger,) = knocked(house)
    assert (stranger.reason, stranger.identity, dict(stranger.malformed)) == (f"closed.{cause}", identity, malformed)
    assert stranger.first == "".join(f"{line}\n" for line in lines).encode()[:FIRST_BYTES]


def test_a_codec_that_fails_leaves_the_bytes_that_it_failed_at(house: House):
    link, transport = house.connect()
    link._codec.receive = None
    link.dataReceived(b"\x00bad")
    transport.finish()
    assert [(stranger.reason, stranger.first) for stranger in knocked(house)] == [("closed.fault", b"\x00bad")]


def test_only_the_first_bytes_are_kept(house: House):
    link, transport = house.connect()
    for _ in range(20):
        link.dataReceived(b"0123456789")
    transport.finish()
    (stranger,) = knocked(house)
    assert stranger.first == (b"0123456789" * 7)[:FIRST_BYTES]


def test_who_comes_again_is_told_once_with_how_often(house: House):
    for _ in range(5):
        _, transport = house.connect("192.0.2.7")
        transport.finish()
    _, transport = house.connect("192.0.2.8")
    transport.finish()
    assert [(stranger.peer.split(":")[0], stranger.times) for stranger in knocked(house)] == [("192.0.2.7", 5), ("192.0.2.8", 1)]


def test_strangers_that_invent_identities_grow_nothing():
    house = House(batches_in_flight=10_000)
    evidence = house.gateway.evidence
    link, _ = house.connect()
    for number in range(MOST_STRANGERS + 500):
        house.gateway.refused(link, f"{number:05}" * 40, "unknown")
    assert evidence.waiting == MOST_STRANGERS
    assert house.statistics["evidence.dropped"] == 500
    strangers = knocked(house)
    assert {len(stranger.identity) for stranger in strangers} == {64}
    assert strangers[0].identity.startswith("0050000500"), "the newest are kept"


def test_devices_that_all_leave_at_once_are_told_bit_by_bit_and_no_more_wait_than_may(house: House):
    online(house)
    for number in range(MOST_FACTS + 10):
        house.gateway.evidence._tell("line", str(number), Facts("gw"))
    assert house.gateway.evidence.waiting == MOST_FACTS
    house.evidence.writes.clear()
    for _ in range(10):
        house.clock.advance(DELAY_SECONDS)
    assert house.evidence.writes == [CHUNK] * 10
    house.gateway.evidence.tell(FactsWanted("line", "7"))
    house.clock.advance(DELAY_SECONDS)
    assert house.evidence.told["line/7"].messages == 1, "who is looked at need not wait for the others"


def test_the_newest_of_a_device_is_told(house: House):
    house.evidence.held = []
    _, transport = online(house)
    house.clock.advance(DELAY_SECONDS)
    transport.finish()
    online(house)
    house.clock.advance(10)
    assert house.evidence.writes == [1], "one write at a time"
    house.evidence.held.pop().callback(None)
    house.clock.advance(DELAY_SECONDS)
    assert house.evidence.writes == [1, 1]
    assert house.evidence.told["line/7"].cause == ""


def test_while_redis_is_away_what_was_to_be_told_is_dropped_and_devices_go_on(house: House):
    house.evidence.is_away = True
    link, transport = online(house)
    house.pass_time(60)
    assert house.gateway.evidence.waiting == 0
    assert house.statistics["evidence.dropped"] == 1
    house.say(link, "7 1 more")
    house.commit()
    assert transport.value().count(b"STORED") == 2
    assert seen(house).facts.messages == 2, "who is here is known all the same"
    assert seen(house, "8") == Seen(None, is_complete=False)
    house.evidence.is_away = False
    transport.finish()
    assert told(house).cause == "peer"


def test_a_gateway_that_stops_tells_all_that_waits(house: House):
    for number in range(LAST_CHUNK + 1):
        house.gateway.evidence._tell("line", str(number), Facts("gw"))
    drained: list[None] = []
    house.gateway.evidence.drain().addCallback(drained.append)
    assert drained == [None]
    assert len(house.evidence.told) == LAST_CHUNK + 1
    assert house.statistics["evidence.written"] == LAST_CHUNK + 1


def test_who_left_before_anybody_knew_was_a_stranger_with_a_name(house: House):
    house.directory.is_holding = True
    link, transport = house.connect()
    house.say(link, "7 1 hello")
    transport.finish()
    assert [(stranger.reason, stranger.identity) for stranger in knocked(house)] == [("closed.peer", "7")]


def test_a_name_that_cannot_be_told_keeps_nobody_out():
    class Protocol(LineProtocol):
        def kind_name(self, kind: int) -> str:
            raise LookupError(kind)

    house = House(Protocol())
    link, _ = house.connect()
    house.say(link, "7 26 hello")
    assert told(house).kind == "0x1A"


def test_who_waits_to_be_let_in_is_seen():
    house = House(admission="known", gateway_id="gw")
    house.clock.advance(1000)
    house.refuse("7")
    house.directory.is_holding = True
    link, _ = house.connect()
    house.say(link, "7 1 hello")
    found = seen(house)
    assert (found.gateway, found.facts.waiting, found.facts.begun_ms, found.is_complete) == ("gw", 1, 0, True)
    house.directory.let_go()
    assert seen(house).gateway == "", "a refused one does not"


def test_who_waits_under_the_name_of_a_device_that_is_elsewhere_does_not_hide_it(house: House):
    house.directory.is_holding = True
    link, _ = house.connect()
    house.say(link, "7 1 hello")
    house.evidence.told["line/7"] = Facts("other", written_ms=1)
    house.evidence.route = "other"
    assert seen(house).gateway == "other"


def test_who_waits_is_seen_without_redis_too(house: House):
    house.evidence.is_away = True
    house.directory.is_holding = True
    link, _ = house.connect()
    house.say(link, "7 1 hello")
    found = seen(house)
    assert (found.gateway, found.facts.waiting, found.is_complete) == ("gw", 1, False)


def test_of_one_that_is_elsewhere_that_gateway_is_asked(house: House):
    house.evidence.told["line/7"] = Facts("other", written_ms=1)
    house.evidence.route = "other"
    results: list[Seen] = []
    house.gateway.evidence.look(FactsWanted("line", "7")).addBoth(results.append)
    assert house.evidence.asked == [("other", FactsWanted("line", "7"))]
    house.clock.advance(0.1)
    assert results == []
    house.evidence.told["line/7"] = Facts("other", written_ms=2)
    house.clock.advance(0.1)
    assert [(found.gateway, found.facts.written_ms) for found in results] == [("other", 2)]


def test_one_that_does_not_answer_is_not_waited_for(house: House):
    house.evidence.told["line/7"] = Facts("other", written_ms=1)
    house.evidence.route = "other"
    assert seen(house).facts.written_ms == 1
    house.evidence.told["line/7"] = Facts("earlier", written_ms=1)
    assert seen(house) == Seen(None, "other", []), "and what is known of an earlier link is not taken for this one"


def test_of_one_that_is_nowhere_there_is_what_was_told_last_and_who_knocked(house: House):
    house.evidence.told["line/7"] = Facts("other", cause="idle")
    house.evidence.knocked.append(Stranger("line", "07"))
    assert seen(house) == Seen(Facts("other", cause="idle"), "", [Stranger("line", "07")])
    house.evidence.route = "gw"
    assert seen(house).gateway == "", "a route that is about to be released"


def test_a_broker_that_is_away_is_told(house: House):
    house.publisher.error = OSError("refused")
    link, _ = house.connect()
    house.say(link, "7 1 hello")
    assert seen(house).facts.is_broker_away
