from __future__ import annotations

from datetime import timedelta

import pytest

from protocols import Message, Moment, Outcome
from protocols.jt808 import JT808
from protocols.jt808.codec import JT808Codec
from protocols.jt808.terminal import MAX_AWAITED, JT808Terminal
from tests.protocols.jt808.frames import HERE, IDENTITY, NOON, PHONE, location, only, receive, told, up


def talk(terminal: JT808Terminal, codec: JT808Codec, data: bytes, outcome: Outcome = Outcome.STORED) -> tuple[list[str], list[int]]:
    """Let both ends talk until neither has anything to say: kinds that the platform got, reports acked."""
    kinds: list[str] = []
    acked: list[int] = []
    while data:
        acks = b""
        for message in codec.receive(data, 0.0):
            assert isinstance(message, Message)
            assert message.identity == terminal.identity
            kinds.append(JT808.kind_name(message.kind))
            acks += codec.ack(message, outcome, NOON)
        data, sequences = told(terminal.receive(acks))
        acked += sequences
    return kinds, acked


def online() -> tuple[JT808Terminal, JT808Codec]:
    terminal, codec = JT808.terminal(IDENTITY), JT808.codec()
    assert talk(terminal, codec, terminal.connect())[0] == ["register", "authenticate"]
    assert terminal.is_online
    return terminal, codec


def report(terminal: JT808Terminal, seconds: int = 0, latitude: float = 31.2, odometer_km: float = 0.0) -> tuple[int, bytes]:
    moment = HERE._replace(time=NOON + timedelta(seconds=seconds), latitude=latitude, odometer_km=odometer_km)
    sequence, kind, body = location(terminal, moment)
    assert kind == "location"
    return sequence, body


def test_it_registers_once_and_authenticates_on_every_link() -> None:
    terminal, _ = online()
    first = terminal.connect()
    assert not terminal.is_online
    assert talk(terminal, JT808.codec(), first)[0] == ["authenticate"]
    assert terminal.is_online


def test_refused_it_stays_offline() -> None:
    terminal, codec = JT808.terminal(IDENTITY), JT808.codec()
    assert talk(terminal, codec, terminal.connect(), Outcome.REFUSED)[0] == ["register"]
    assert not terminal.is_online
    assert talk(terminal, codec, terminal.connect())[0] == ["register", "authenticate"]
    assert terminal.is_online


def test_refused_with_its_code_it_registers_with_the_next_link() -> None:
    terminal, _ = online()
    assert talk(terminal, JT808.codec(), terminal.connect(), Outcome.REFUSED)[0] == ["authenticate"]
    assert not terminal.is_online
    assert talk(terminal, JT808.codec(), terminal.connect())[0] == ["register", "authenticate"]


def test_reports_are_decoded_as_they_were_made() -> None:
    terminal, codec = online()
    time = NOON + timedelta(seconds=59)
    sequence, kind, body = location(terminal, Moment(time, -33.856784, -70.123457, 12.4, 53.2, 359.4))
    (message,) = codec.receive(terminal.frame(sequence, body), 0.0)
    assert isinstance(message, Message)
    decoded = JT808.decode(message)
    assert decoded.error is None
    (made,) = decoded.reports
    assert (made.kind, made.time, made.body) == (kind, time, body)
    assert (made.latitude, made.longitude, made.altitude_m) == (-33.856784, -70.123457, 12.0)
    assert (made.speed_kmh, made.course_deg) == (53.2, 359.0)
    assert made.is_position
    assert {"odometer_km", "fuel_l", "signal", "satellites"} <= set(made.values)


def test_odometer_counts_what_was_driven() -> None:
    terminal, _ = online()
    readings = [JT808.decode(only(terminal.frame(*report(terminal, odometer_km=11.1 * step)))).reports[0] for step in range(3)]
    driven = [made.values["odometer_km"] for made in readings]
    assert driven[1] - driven[0] == pytest.approx(11.1, abs=0.2)
    assert driven[2] - driven[0] == pytest.approx(22.2, abs=0.2)
    assert readings[2].values["fuel_l"] < readings[0].values["fuel_l"]


def test_acked_reports_are_told_once() -> None:
    terminal, codec = online()
    made = [report(terminal, seconds) for seconds in range(3)]
    frames = b"".join(terminal.frame(*one) for one in made)
    assert talk(terminal, codec, frames) == (["location"] * 3, [sequence for sequence, _ in made])
    again = codec.ack(only(terminal.frame(*made[0])), Outcome.STORED, NOON)
    assert told(terminal.receive(again)) == (b"", [made[0][0]])
    assert told(terminal.receive(again)) == (b"", [])


def test_refused_report_is_not_acked() -> None:
    terminal, codec = online()
    assert talk(terminal, codec, terminal.frame(*report(terminal)), Outcome.REFUSED) == (["location"], [])


def test_report_sent_again_over_a_new_link_is_the_same_bytes_and_acked() -> None:
    terminal, _ = online()
    sequence, body = report(terminal)
    lost = terminal.frame(sequence, body)
    codec = JT808.codec()
    talk(terminal, codec, terminal.connect())
    assert terminal.frame(sequence, body) == lost
    assert talk(terminal, codec, lost) == (["location"], [sequence])


def test_half_an_answer_of_the_old_link_is_not_ended_by_the_new_one() -> None:
    terminal, codec = online()
    ack = codec.ack(only(terminal.frame(*report(terminal))), Outcome.STORED, NOON)
    terminal.receive(ack[:-1])
    first = terminal.connect()
    assert told(terminal.receive(b"\x7e")) == (b"", [])
    assert talk(terminal, JT808.codec(), first) == (["authenticate"], [])
    assert terminal.is_online


def test_sequences_go_round_on_the_wire_and_on_in_the_count() -> None:
    terminal, codec = online()
    terminal._next = 65535
    made = [report(terminal, seconds) for seconds in range(2)]
    assert [only(terminal.frame(*one)).sequence for one in made] == [65535, 0]
    assert talk(terminal, codec, b"".join(terminal.frame(*one) for one in made))[1] == [65535, 65536]


def test_what_it_waits_for_is_bounded_to_the_newest() -> None:
    terminal, codec = online()
    made = [report(terminal) for _ in range(MAX_AWAITED + 10)]
    for one in made:
        terminal.frame(*one)
    assert len(terminal._awaited) == MAX_AWAITED
    # Sent again, one that was nearly forgotten counts among the newest.
    terminal.frame(*made[10])
    terminal.frame(*report(terminal))
    some = (made[0], made[10], made[11], made[-1])
    acks = b"".join(codec.ack(only(up(0x0200, sequence=sequence)), Outcome.STORED, NOON) for sequence, _ in some)
    assert told(terminal.receive(acks)) == (b"", [made[10][0], made[-1][0]])


@pytest.mark.parametrize("data", [b"junk\x7e", up(0x8100, b"\0"), up(0x8001, b"\0"), up(0x9212), b"\x7e\x81\x00\x7e"])
def test_what_means_nothing_to_it_changes_nothing(data: bytes) -> None:
    terminal, _ = online()
    assert told(terminal.receive(data)) == (b"", [])
    assert terminal.is_online


def test_answers_may_come_in_any_pieces() -> None:
    terminal, codec = JT808.terminal(IDENTITY), JT808.codec()
    (message,) = codec.receive(terminal.connect(), 0.0)
    answers = [told(terminal.receive(bytes([byte]))) for byte in codec.ack(message, Outcome.STORED, NOON)]
    assert [JT808.kind_name(only(sent).kind) for sent, _ in answers if sent] == ["authenticate"]


def test_identity_is_that_which_the_platform_sees() -> None:
    assert JT808.terminal(PHONE).identity == IDENTITY == receive(JT808.terminal(PHONE).connect())[0].identity
    for wrong in ("", "1234567890123", "phone", "１３８"):
        with pytest.raises(ValueError, match="no phone number"):
            JT808.terminal(wrong)


def test_it_is_sent_only_while_the_platform_has_let_it_in() -> None:
    terminal = JT808.terminal(IDENTITY)
    made = [*terminal.report(HERE), *terminal.report(HERE)]
    assert terminal.send(made) == (b"", 0)
    talk(terminal, JT808.codec(), terminal.connect())
    assert terminal.send(made) == (b"".join(terminal.frame(one.sequence, one.body) for one in made), 2)


def test_a_heartbeat_is_one() -> None:
    terminal, codec = online()
    assert talk(terminal, codec, terminal.heartbeat()) == (["heartbeat"], [])


def test_overspeed_is_an_alarm() -> None:
    terminal, _ = online()
    alarms = []
    for speed in (99.0, 101.0):
        _, _, body = location(terminal, HERE._replace(speed_kmh=speed))
        alarms.append(JT808.decode(only(terminal.frame(0, body))).reports[0].alarms)
    assert alarms == [[], ["overspeed"]]
