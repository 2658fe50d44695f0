"""The simulated tracker against the platform's end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from protocols import Acked, Made, Message, Moment, Outcome, Send
from protocols.gt06 import GT06
from protocols.gt06.codec import has_check_digit
from protocols.gt06.terminal import MAX_AWAITED, REPORTS_PER_ALARM, GT06Terminal
from protocols.report import digest
from tests.protocols.commands import sent_down
from tests.protocols.gt06.frames import NOW, report, short

START = datetime(2026, 3, 1, tzinfo=UTC)
IDENTITY = GT06.simulated_identity(0)


def moment(number: int = 0, speed: float = 54.4) -> Moment:
    return Moment(START + timedelta(seconds=10 * number), -23.55, -46.6333, 760.0, speed, 359.7, 0.15 * number)


class Link:
    """A terminal on a link to a codec, the platform storing everything."""

    def __init__(self, terminal: GT06Terminal, outcome: Outcome = Outcome.STORED) -> None:
        self.terminal, self.outcome = terminal, outcome
        self.codec = GT06.codec()
        self.stored: list[Message] = []
        self.events: list[object] = []
        self.up(terminal.connect())

    def up(self, data: bytes) -> None:
        for event in self.codec.receive(data, 0.0):
            assert isinstance(event, Message), event
            if self.outcome is Outcome.STORED:
                self.stored.append(event)
            self.down(self.codec.ack(event, self.outcome, NOW))

    def down(self, data: bytes) -> None:
        for event in self.terminal.receive(data):
            self.events.append(event)
            if isinstance(event, Send):
                self.up(event.data)


def made(terminal: GT06Terminal, count: int) -> list[Made]:
    return [each for number in range(count) for each in terminal.report(moment(number))]


def test_identities_are_imeis_of_their_own() -> None:
    identities = [GT06.simulated_identity(number) for number in (0, 1, 2, 9_999, 123_456_789)]
    assert len(set(identities)) == 5
    assert all(has_check_digit(identity) for identity in identities)
    assert GT06.simulated_identity(7) == GT06.simulated_identity(7)
    for wrong in ("", "12345", "12345678901234a", "१२३४५६७८९०१२३४५", "1234567890123456"):
        with pytest.raises(ValueError, match="IMEI"):
            GT06.terminal(wrong)


def test_it_logs_in_and_what_it_makes_is_what_the_platform_stores() -> None:
    link = Link(GT06.terminal(IDENTITY))
    assert link.terminal.is_online
    waiting = made(link.terminal, 25)
    data, count = link.terminal.send(waiting)
    assert count == len(waiting) == 27
    link.up(data)
    reports = [report(message) for message in link.stored[1:]]
    assert [each.digest for each in reports] == [digest(each.kind, each.body) for each in waiting]
    assert [each.kind for each in reports] == [each.kind for each in waiting]
    assert [event.sequence for event in link.events] == [each.sequence for each in waiting if each.is_answered]
    assert [each.sequence for each in waiting] == sorted({each.sequence for each in waiting})
    first = reports[0]
    assert (first.time, first.latitude, first.longitude) == (START, -23.55, -46.6333)
    assert (first.speed_kmh, first.course_deg, first.values["fix"], first.values["ignition"]) == (54.0, 0.0, True, True)
    assert first.values["odometer_km"] == 12_000.0
    assert reports[-1].values["odometer_km"] == pytest.approx(12_003.6)
    assert link.stored[0].identity == IDENTITY


def test_alarms_come_now_and_then_and_want_an_answer() -> None:
    for number in range(6):
        terminal = GT06.terminal(GT06.simulated_identity(number))
        link = Link(terminal)
        alarms = [each for each in made(terminal, 5 * REPORTS_PER_ALARM) if each.is_answered]
        assert [each.kind for each in alarms] == ["alarm"] * 5
        link.up(terminal.send(alarms)[0])
        names = [report(message).alarms for message in link.stored[1:]]
        assert sorted(names) == [["battery_low"], ["displacement"], ["emergency"], ["power_off"], ["vibration"]]


def test_too_fast_is_told_once() -> None:
    terminal = GT06.terminal(IDENTITY)
    kinds = [[each.kind for each in terminal.report(moment(number, speed))] for number, speed in enumerate((90, 120, 130, 90, 300))]
    assert kinds == [["location"], ["location", "alarm"], ["location"], ["location"], ["location", "alarm"]]
    link = Link(terminal)
    fast = terminal.report(moment(9, 90))[0], *terminal.report(moment(10, 300))
    link.up(terminal.send(fast)[0])
    assert report(link.stored[-1]).alarms == ["overspeed"]
    assert report(link.stored[-1]).speed_kmh == 255


def test_nothing_leaves_before_the_login_is_answered() -> None:
    terminal = GT06.terminal(IDENTITY)
    terminal.connect()
    waiting = made(terminal, 3)
    assert terminal.send(waiting) == (b"", 0)
    assert terminal.receive(short(0x01, serial=99)) == []
    assert not terminal.is_online
    assert not Link(terminal, Outcome.REFUSED).terminal.is_online
    assert Link(terminal).terminal.is_online


def test_a_link_lost_before_the_answer_and_the_same_alarm_again() -> None:
    terminal = GT06.terminal(IDENTITY)
    link = Link(terminal)
    waiting = [each for each in made(terminal, 2 * REPORTS_PER_ALARM) if each.is_answered]
    lost, count = terminal.send(waiting)
    assert count == 2
    again = Link(terminal)
    data, _ = terminal.send(waiting)
    assert data == lost
    again.up(data)
    assert again.events == [Acked(each.sequence) for each in waiting]
    assert [report(message).digest for message in again.stored[1:]] == [
        report(message).digest for message in link.codec.receive(lost, 0.0)
    ]
    assert terminal.receive(again.codec.ack(again.stored[-1], Outcome.STORED, NOW)) == []


def test_what_is_waited_for_is_bounded_and_serial_numbers_wrap() -> None:
    terminal = GT06.terminal(IDENTITY)
    link = Link(terminal)
    alarm = next(each for each in made(terminal, REPORTS_PER_ALARM) if each.is_answered)
    late = alarm._replace(sequence=65_537 * 2)
    terminal.send([alarm._replace(sequence=number) for number in range(1, MAX_AWAITED + 2)])
    assert terminal.receive(short(0x26, serial=1)) == []
    assert terminal.receive(short(0x26, serial=2)) == [Acked(2)]
    link.up(terminal.send([late])[0])
    assert link.events == [Acked(late.sequence)]


def test_heartbeats_say_how_the_device_is() -> None:
    kinds = set()
    for number in range(8):
        terminal = GT06.terminal(GT06.simulated_identity(number))
        link = Link(terminal)
        for at, speed in ((0, 60.0), (1, 0.0)):
            terminal.report(moment(360 * at, speed))
            link.up(terminal.heartbeat())
            found = report(link.stored[-1])
            kinds.add(found.kind)
            assert found.values["ignition"] == (speed > 0)
            assert found.values["armed"] == (speed == 0)
            assert found.values["signal"] in (2, 3, 4)
            assert 3.7 <= found.values.get("battery_v", 4.0) <= 4.2
            assert found.values.get("voltage_level", 6) in (4, 5, 6)
            assert found.alarms == []
    assert kinds == {"heartbeat", "heartbeat_voltage"}
    assert report(Link(GT06.terminal(IDENTITY)).codec.receive(GT06.terminal(IDENTITY).heartbeat(), 0.0)[0])


def test_it_answers_commands() -> None:
    link = Link(GT06.terminal(IDENTITY))
    link.terminal.report(moment())
    replies = {}
    for flag, text in enumerate(
        ("STATUS#", "WHERE#", "PARAM#", "RELAY,1#", "STATUS#", "RELAY,0#", "TIMER,10,60#", "relay,2#", "DANCE#")
    ):
        for edition in ("language", "bare"):
            fields = {"command": {"flag": flag, "text": text}} | ({"language": 2} if edition == "language" else {})
            link.down(sent_down(link.codec, link.stored[0].head, 0x80, GT06.build("command", fields, edition)))
            values = report(link.stored[-1]).values
            assert (values["flag"], values["encoding"]) == (flag, "ascii")
            replies[text] = values["text"]
        if text == "RELAY,1#":
            link.up(link.terminal.heartbeat())
            assert report(link.stored[-1]).values["oil_cut"]
    assert replies["STATUS#"].startswith("Battery:4.15V")
    assert "Lat:-23.550000,Lon:-46.633300" in replies["WHERE#"]
    assert IDENTITY in replies["PARAM#"]
    assert "Success" in replies["RELAY,0#"]
    assert (replies["TIMER,10,60#"], replies["relay,2#"], replies["DANCE#"][:5]) == ("OK!", replies["DANCE#"], "Error")
    link.up(link.terminal.heartbeat())
    assert not report(link.stored[-1]).values["oil_cut"]


def test_bad_commands_and_garbage_are_passed_over() -> None:
    terminal = GT06.terminal(IDENTITY)
    terminal.connect()
    assert terminal.receive(short(0x80, "FF 0000") + b"garbage" + short(0x80)) == []
    assert [type(event) for event in terminal.receive(short(0x80, "0A 00000001 5748455245 23"))] == [Send]
