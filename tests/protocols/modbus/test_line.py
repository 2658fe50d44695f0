from __future__ import annotations

from itertools import pairwise

import pytest

from protocols import Malformed, Outcome
from protocols.modbus import kinds
from protocols.modbus.frame import FRAMINGS
from tests.protocols.modbus.station import METER, POLLS, RELAY, SITE, STATION, Link, exchanges, lines, protocol, rtu

ANSWERS = dict(exchanges(POLLS))
ONCE, CT, FAST, SLOW, RELAYS, INPUTS = ANSWERS
BEAT = b"www.usr.cn"
UNIT_2 = '  [[dtu.slave]]\n  unit = 2\n  model = "demo-relay-8"\n'
LONE = protocol(site=SITE.replace(UNIT_2, ""))
BOARD = protocol(site=SITE.replace('  [[dtu.slave]]\n  unit = 1\n  model = "demo-meter-3p"\n', ""))


def longer(frame: bytes, by: int = 1) -> bytes:
    return rtu(frame[:5].hex() + f"{frame[5] + by:02x}")


def test_the_transcript_from_registration_to_readings() -> None:
    link = Link(identity="")
    link.receive(b"PS0001")
    asked = link.play(ANSWERS, 62)
    assert asked[:2] == [ONCE, CT], "what is read at login goes first"
    assert set(asked) == set(ANSWERS)
    assert [(message.identity, message.sequence) for message in link.of("reading")[:1]] == [("PS0001/1", 1)]
    values = {(one["model"], one["group"]): one for one in link.values("reading")}
    head = {"model": "demo-meter-3p"}
    assert values["demo-meter-3p", "once"] == {**head, "group": "once", "serial": "SN012345", "ct_ratio": 200}
    assert values["demo-meter-3p", "slow"] == {**head, "group": "slow", "energy_import": 123456.78, "energy_export": 12.5}
    assert values["demo-meter-3p", "fast"] == {
        **{**head, "group": "fast", "voltage_a": 230.5, "voltage_b": 229.8, "voltage_c": 231.1},
        **{"current_a": 12.34, "current_b": 11.9, "current_c": 12.55, "frequency": 49.98, "power": 8450, "power_factor": 0.968},
    }
    relays = values["demo-relay-8", "fast"]
    assert [n for n in range(1, 9) if relays[f"relay_{n}"]] == [1, 3]
    assert [n for n in range(1, 5) if relays[f"input_{n}"]] == [2, 4]
    assert link.malformed == []


def test_groups_keep_their_intervals() -> None:
    link = Link()
    starts: dict[bytes, list[float]] = {frame: [] for frame in ANSWERS}
    while link.now < 1130:
        frame = link.next_request()
        starts[frame].append(link.now)
        link.receive(ANSWERS[frame])
    assert len(starts[ONCE]) == 1
    for frame, interval in ((FAST, 10), (SLOW, 60), (RELAYS, 5)):
        gaps = [later - earlier for earlier, later in pairwise(starts[frame])]
        assert len(starts[frame]) in (130 // interval, 130 // interval + 1)
        assert all(abs(gap - interval) < 1.5 for gap in gaps), gaps


def test_first_polls_are_spread_and_the_same_after_each_login() -> None:
    def first(identity: str) -> float:
        link = Link(protocol(site=SITE.replace('{ ascii = "PS0001" }', '{ pattern = "PS[0-9]{4}" }')), identity)
        while (frame := link.next_request()) != FAST:
            link.receive(ANSWERS[frame])
        return link.now

    starts = [first(f"PS{n:04d}") for n in range(12)]
    assert starts == [first(f"PS{n:04d}") for n in range(12)]
    assert len(set(starts)) == 12
    assert max(starts) - min(starts) > 4


def test_there_is_one_request_at_a_time_and_a_pause_between() -> None:
    link = Link()
    link.next_request()
    assert link.next_request(2.5) == b"", "nothing leaves while an answer is waited for"
    other = Link()
    frame = other.next_request()
    other.receive(ANSWERS[frame])
    ended = other.now
    other.next_request()
    assert other.now - ended == pytest.approx(0.1)


def test_a_group_is_read_again_only_when_its_reading_is_settled() -> None:
    link = Link(LONE)
    link.is_storing = False
    asked = link.play(ANSWERS, 3600)
    assert sorted(asked) == sorted([ONCE, CT, FAST, SLOW]), "each once in an hour"
    assert len(link.of("reading")) == 3
    waiting = {message.body: message for message in link.of("reading")}
    fast = next(message for message in waiting.values() if b"fast" in message.head)
    link.settle(fast, Outcome.QUARANTINED)
    assert link.play(ANSWERS, 20) == [FAST], "once, and then its new reading waits"


def test_a_missed_slot_is_skipped() -> None:
    link = Link(LONE)
    link.is_storing = False
    link.play(ANSWERS, 100)
    fast = next(message for message in link.of("reading") if b"fast" in message.head)
    link.now += 500
    link.is_storing = True
    link.settle(fast)
    asked = link.play({FAST: ANSWERS[FAST]}, 9)
    assert asked.count(FAST) <= 2


def test_a_refused_unit_is_left_alone_and_a_refused_dtu_too() -> None:
    link = Link()
    link.play(ANSWERS, 3)
    reading = next(message for message in link.of("reading") if message.identity == "PS0001/1")
    link.settle(reading, Outcome.REFUSED)
    assert {frame[0] for frame in link.play(ANSWERS, 60)} == {2}
    link.codec.ack(link.messages[0]._replace(identity="PS0001", kind=kinds.UNASKED_FRAME), Outcome.REFUSED, None)  # type: ignore[arg-type]
    assert link.play(ANSWERS, 600) == []


def test_after_a_time_out_it_drains_and_asks_for_another_length() -> None:
    link = Link(LONE)
    while (frame := link.next_request()) != FAST:
        link.receive(ANSWERS[frame])
    sent = link.now
    again = link.next_request()
    assert again == longer(FAST)
    wire = (8 + 27) * 11 / 9600
    timeout = 0.8 + 0.1 + wire + 1.5
    assert link.now - sent == pytest.approx(timeout * 1.5, abs=0.01)
    link.receive(ANSWERS[FAST], 0.2)
    assert not [one for one in link.of("reading") if b"fast" in one.head], "the late answer is none"
    link.receive(rtu("01 03 18" + ANSWERS[FAST][3:-2].hex() + "1234"), 0.2)
    (reading,) = [one for one in link.of("reading") if b"fast" in one.head]
    assert STATION.decode(reading).reports[0].values["power"] == 8450
    assert b"\x12\x34" not in reading.body, "what was asked for beyond the block is left out"
    assert [STATION.kind_name(message.kind) for message in link.messages].count("late_answer") == 1


def test_a_late_answer_while_draining_is_told_and_is_no_reading() -> None:
    link = Link(LONE)
    frame = link.next_request()
    link.wake()
    assert link.of("reading") == []
    link.receive(ANSWERS[frame], 0.1)
    assert link.of("reading") == []
    (late,) = link.of("late_answer")
    assert (late.identity, late.body) == ("PS0001", ANSWERS[frame][:-2])


def test_another_read_of_the_same_shape_waits_until_no_late_answer_can_fit() -> None:
    meter = METER.replace("retries = 1", "retries = 0").replace("gap_readable = true", "gap_readable = false")
    meter = meter.replace("slow = { interval_s = 60 }", "slow = { interval_s = 60, at_login = true }")
    link = Link(protocol(site=SITE.replace(UNIT_2, ""), meter=meter))
    assert link.next_request() == SLOW
    lost = link.now
    while (frame := link.next_request()) != ONCE:
        assert frame != SLOW
    timeout = 0.8 + 0.1 + (8 + 13) * 11 / 9600 + 1.5
    assert link.now - lost >= 2.5 * timeout - 0.001


def test_a_busy_unit_is_asked_again_after_a_second() -> None:
    link = Link(LONE)
    frame = link.next_request()
    link.receive(rtu("018306"))
    at = link.now
    assert link.next_request() == frame
    assert link.now - at == pytest.approx(1.0)
    link.receive(rtu("018306"))
    assert link.next_request() == CT, "it is given up for this time"
    link.receive(ANSWERS[CT])
    assert link.values("reading")[0]["missing"] == {"serial": "device_busy"}


def test_a_merged_block_is_split_until_the_point_is_found() -> None:
    """Register 5 is not there: exception 02 for every read that touches it."""
    link = Link(LONE)
    data = ANSWERS[FAST][3:-2]
    asked = []
    for _ in range(60):
        frame = link.next_request()
        if frame in (ONCE, CT, SLOW):
            link.receive(ANSWERS[frame])
            continue
        start, count = frame[3], frame[5]
        asked.append((start, count))
        if start <= 5 < start + count:
            link.receive(rtu("018302"))
        else:
            link.receive(rtu(f"0103{2 * count:02x}" + data[2 * start : 2 * (start + count)].hex()))
        if len(link.of("reading")) >= 4:
            break
    assert asked[0] == (0, 11)
    assert (5, 1) in asked
    fast = [one for one in link.values("reading") if one["group"] == "fast"]
    assert fast[0]["missing"] == {"current_c": "illegal_data_address"}
    assert fast[0]["power"] == 8450
    assert fast[0]["current_b"] == 11.9
    assert fast[1]["missing"] == {"current_c": "not_read"}
    assert len([one for one in asked if one == (5, 1)]) == 1, "it rests for a while"
    assert (0, 11) not in asked[1:], "the division is remembered"


def test_a_function_that_the_unit_does_not_know_is_not_asked_again() -> None:
    link = Link(BOARD)
    answers = {RELAYS: ANSWERS[RELAYS], INPUTS: rtu("028201")}
    asked = link.play(answers, 900)
    assert asked.count(INPUTS) == 1
    assert asked.count(RELAYS) > 100
    assert set(link.values("reading")[0]["missing"].values()) == {"illegal_function"}


def test_a_dead_unit_goes_offline_is_probed_less_and_less_and_comes_back() -> None:
    link = Link()
    alive = {RELAYS: ANSWERS[RELAYS], INPUTS: ANSWERS[INPUTS]}
    link.play(alive, 60)
    (offline,) = link.of("unit_offline")
    assert offline.identity == "PS0001/1"
    assert link.values("unit_offline") == [{"cause": "no_answer", "polls": 3}]
    assert STATION.ends_session(offline.kind)
    probes = []
    while link.now < 2300:
        frame = link.next_request()
        if frame in alive:
            link.receive(alive[frame])
        else:
            probes.append(link.now)
            assert frame == CT, "the shortest block"
    gaps = [later - earlier for earlier, later in pairwise(probes)]
    assert gaps[-1] == pytest.approx(300, abs=8)
    assert all(later > earlier - 8 for earlier, later in pairwise(gaps))
    while link.next_request() != CT:
        assert link.now < 9000
    link.receive(rtu("018304"))
    assert [one.identity for one in link.of("unit_online")] == ["PS0001/1"], "an exception is an answer"
    before = len(link.of("reading"))
    link.play(ANSWERS, 30)
    assert {one["group"] for one in link.values("reading")[before:]} == {"fast", "slow", "once"}


def test_a_silent_line_is_told_from_a_dead_unit() -> None:
    link = Link()
    link.play({}, 200)
    causes = [one["cause"] for one in link.values("unit_offline")]
    assert causes == ["line_silent", "line_silent"]
    lone = Link(LONE)
    lone.play({}, 100)
    assert [one["cause"] for one in lone.values("unit_offline")] == ["no_answer"]


def test_a_gateway_that_does_not_reach_the_unit_is_a_time_out() -> None:
    link = Link(LONE)
    link.play({frame: rtu("01830b") for frame in (ONCE, CT, FAST, SLOW, longer(FAST), longer(ONCE), longer(SLOW), longer(CT))}, 100)
    assert link.of("unit_offline")
    assert link.of("reading") == []


def test_a_status_waits_until_the_last_is_stored() -> None:
    link = Link(LONE)
    link.is_storing = False
    link.play({}, 60)
    (offline,) = link.of("unit_offline")
    link.play({CT: rtu("018304")}, 60)
    assert link.of("unit_online") == []
    link.settle(offline)
    link.wake()
    assert len(link.of("unit_online")) == 1


def test_heartbeats_prefixes_and_echoes_do_no_harm() -> None:
    dressed = {frame: BEAT + frame + b"PS0001" + answer + BEAT for frame, answer in ANSWERS.items()}
    link = Link()
    link.play(dressed, 70)
    plain = Link()
    plain.play(ANSWERS, 70)
    assert [(one.identity, one.body) for one in link.of("reading")] == [(one.identity, one.body) for one in plain.of("reading")]
    assert link.malformed == []


def test_strange_frames_are_told_of_once_a_minute() -> None:
    link = Link()
    frame = rtu("0903021234")
    for _ in range(5):
        link.receive(frame, 1.0)
    (told,) = link.of("unasked_frame")
    assert told.body == frame[:-2]
    assert link.values("unasked_frame") == [{"unit": 9, "function": 3, "data": "021234", "is": "answer", "registers": [0x1234]}]
    assert link.malformed == ["unasked"] * 4
    link.receive(frame, 60.0)
    assert len(link.of("unasked_frame")) == 2


def test_noise_is_told_with_its_bytes() -> None:
    link = Link()
    link.next_request()
    link.receive(b"\xff\xff\xff")
    link.wake()
    assert [event for event in link.events if isinstance(event, Malformed)] == [Malformed("garbage", b"\xff\xff\xff")]


def test_a_line_with_late_answers_is_left_alone_until_it_is_silent() -> None:
    link = Link(LONE)
    for _ in range(3):
        frame = link.next_request()
        assert frame
        at = link.now
        link.codec.wake(link.codec.deadline)  # type: ignore[arg-type]
        link.now = link.codec.deadline  # type: ignore[assignment]
        link.receive(b"\x55", 0.0)
    for _ in range(8):
        link.receive(b"\x55", 1.0)
        assert link.next_request(0.0) == b""
    silent_since = link.now
    assert link.next_request(60)
    assert link.now - silent_since > 2
    assert at < silent_since


def test_the_same_over_mbap() -> None:
    mbap = protocol(site=SITE.replace('framing = "rtu"', 'framing = "mbap"'))
    link, framing = Link(mbap), FRAMINGS["mbap"]
    transactions = []
    while link.now < 1062:
        frame = link.next_request()
        transactions.append(frame[:2])
        asked = rtu(frame[6:].hex())
        link.receive(framing.wrap(frame[6], ANSWERS[asked][1:-2], int.from_bytes(frame[:2], "big")))
    assert len(set(transactions)) == len(transactions)
    assert {one["group"] for one in link.values("reading")} == {"fast", "slow", "once"}
    frame = link.next_request()
    link.receive(framing.wrap(frame[6], b"\x83\2", int.from_bytes(frame[:2], "big") + 1))
    assert link.of("unasked_frame") == []
    assert link.codec.end() == [] or link.malformed == []


def test_identification_is_read_at_login_if_the_map_asks_for_it() -> None:
    asking = METER.replace("schema = 1", 'schema = 1\nidentification = "regular"')
    link = Link(protocol(meter=asking))
    assert link.next_request() == rtu("012b0e0200")
    link.receive(rtu("012b0e0282ff0301000441434d45"))
    assert link.next_request() == rtu("012b0e0203")
    link.receive(rtu("012b0e028200000103034d3333"))
    assert link.values("identification") == [{"vendor": "ACME", "vendor_url": "M33"}]
    assert link.next_request() == ONCE
    refusing = Link(protocol(meter=asking))
    refusing.next_request()
    refusing.receive(rtu("01ab01"))
    assert refusing.of("identification") == []
    assert refusing.next_request() == ONCE


def test_polls_of_one_unit_do_not_starve_another() -> None:
    greedy = RELAY.replace("interval_s = 5", "interval_s = 1").replace("retries = 2", "retries = 0")
    link = Link(protocol(relay=greedy, meter=METER.replace("interval_s = 10 ", "interval_s = 1 ")))
    asked = link.play(ANSWERS, 200)
    fast, relays = asked.count(FAST), asked.count(RELAYS)
    assert 0.5 < fast / relays < 2


def test_the_end_of_a_link_tells_what_was_begun() -> None:
    link = Link()
    link.next_request()
    link.receive(ANSWERS[ONCE][:5])
    assert link.codec.end() == [Malformed("cut", ANSWERS[ONCE][:5])]
    assert link.codec.end() == []
    assert [one for one, _ in lines(POLLS)].count("v") == 6
