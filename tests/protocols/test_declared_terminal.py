"""Declared protocols: their simulated devices, alone and with the platform's end."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from random import Random

import pytest
from construct import Struct

from protocols import Acked, Made, Message, Outcome
from protocols.declared import DeclaredProtocol, Downlink, Frame, Uplink
from protocols.declared.terminal import WINDOW
from protocols.fields import UnixTime
from protocols.report import digest
from tests.protocols.commands import sent_down
from tests.protocols.declared_frames import (
    MOMENT,
    NOW,
    SMALL,
    each_protocol,
    only,
    receive,
    small,
)
from tests.protocols.declared_samples import ALPHA, BETA, GAMMA


def test_a_simulated_device_reports_what_can_be_told_apart():
    def kinds(protocol: DeclaredProtocol) -> list[str]:
        return [protocol.kind_name(kind) for kind in protocol.report_kinds]

    assert kinds(ALPHA) == ["level", "photo_taken"]
    assert kinds(BETA) == ["weights"]
    assert kinds(GAMMA) == ["position", "history"], "wheels have no time"
    hello = Struct("time" / UnixTime() * "When")
    reply = (Downlink(3, "ask", "Ask", answered_by=("told",)), Uplink(4, "told", "Told", hello))
    protocol = small(Frame(SMALL), Uplink(1, "hello", "Hello", hello), *reply, Uplink(5, "level", "Level", hello), login="hello")
    assert kinds(protocol) == ["level"]


class Link:
    """A simulated device and the platform, with what is stored."""

    def __init__(self, protocol: DeclaredProtocol, number: int = 0) -> None:
        self.protocol = protocol
        self.terminal = protocol.terminal(protocol.simulated_identity(number))
        self.stored: list[tuple[str, bytes]] = []
        self.acked: list[int] = []
        self.waiting: list[Made] = []
        self.connect()

    def connect(self) -> None:
        self.codec = self.protocol.codec()
        self.first = self.terminal.connect()

    def exchange(self, data: bytes, outcome: Outcome = Outcome.STORED) -> None:
        for event in self.codec.receive(data, 0.0):
            assert isinstance(event, Message), event
            assert event.identity == self.terminal.identity
            decoded = self.protocol.decode(event)
            assert decoded.error is None
            self.stored += [(report.kind, report.digest) for report in decoded.reports]
            answers = self.terminal.receive(self.codec.ack(event, outcome, NOW))
            self.acked += [answer.sequence for answer in answers if isinstance(answer, Acked)]

    def report(self, moments: int) -> list[Made]:
        made = [
            one for minute in range(moments) for one in self.terminal.report(MOMENT._replace(time=NOW + timedelta(minutes=minute)))
        ]
        self.waiting += made
        return made

    def flush(self) -> None:
        while self.waiting:
            data, count = self.terminal.send(self.waiting)
            assert count
            del self.waiting[:count]
            self.exchange(data)


@each_protocol
def test_what_a_simulated_device_makes_is_what_is_stored(protocol: DeclaredProtocol):
    link = Link(protocol)
    link.exchange(link.first)
    assert link.terminal.is_online
    link.stored.clear()
    made = link.report(300)
    assert len({one.kind for one in made}) == len(protocol.report_kinds)
    assert len({one.sequence for one in made}) == len(made)
    link.flush()
    assert link.stored == [(one.kind, digest(one.kind, one.body)) for one in made]
    assert link.acked == [one.sequence for one in made if one.is_answered]
    assert link.terminal._packed == {}, "what is acked is forgotten"


def test_a_simulated_device_is_believable():
    terminal = GAMMA.terminal("a0b1c2d3e4f5")
    terminal.connect()
    (made,) = terminal.report(MOMENT)
    codec = GAMMA.codec()
    (message,) = codec.receive(terminal.send([made])[0], 0.0)
    assert isinstance(message, Message)
    (report,) = GAMMA.decode(message).reports
    assert (report.time, report.latitude, report.longitude) == (NOW, 31.25, -121.5)
    assert (report.altitude_m, report.speed_kmh, report.course_deg) == (12.0, 33.0, 270.0)
    assert report.values == {"fix": True, "moving": True, "odometer_km": 812.4}
    levels, alarms = [], 0
    gauge = ALPHA.terminal("00000001")
    for minute in range(400):
        moment = MOMENT._replace(time=NOW + timedelta(minutes=minute))
        for one in gauge.report(moment):
            for found in (
                ALPHA.decode(Message("00000001", 2, 0, one.body[:15], one.body[15:])).reports if one.kind == "level" else ()
            ):
                levels.append(found.values["level_m"])
                alarms += len(found.alarms)
                assert 3.6 <= found.values["battery_v"] <= 4.1
    assert 0.5 <= min(levels) < 1.5 < 3 < max(levels) <= 4.5
    assert max(abs(after - before) for before, after in pairwise(levels)) < 0.2
    assert 1 <= alarms <= 12
    again = ALPHA.terminal("00000001")
    assert [one.body for one in again.report(MOMENT)] == [one.body for one in ALPHA.terminal("00000001").report(MOMENT)]


def test_where_answers_have_no_numbers_one_report_is_under_way():
    link = Link(BETA)
    assert link.terminal.send(link.report(3)) == (b"", 0), "not before the login is answered"
    link.exchange(link.first)
    data, count = link.terminal.send(link.waiting)
    assert count == 1
    assert link.terminal.send(link.waiting[1:]) == (b"", 0)
    assert link.terminal.heartbeat() == b""
    assert link.terminal.send(link.waiting[:1]) == (data, 1), "sent again, the same bytes"
    link.exchange(data)
    assert link.acked == [link.waiting[0].sequence]
    beat = link.terminal.heartbeat()
    assert BETA.kind_name(only(BETA, beat).kind) == "alive"
    assert link.terminal.send(link.waiting[1:]) == (b"", 0), "the heartbeat waits for its own answer"
    link.exchange(beat)
    assert link.terminal.send(link.waiting[1:])[1] == 1


def test_numbers_that_come_round_are_not_mistaken():
    link = Link(ALPHA)
    made = [one for one in link.report(400) if one.is_answered]
    first, later = made[0], next(one for one in made[1:] if (one.sequence - made[0].sequence) % 256 == 0)
    _, count = link.terminal.send([first, later])
    assert count == 1
    assert link.terminal.send(made[1:])[1] == WINDOW - 1


def test_a_refused_device_keeps_its_reports():
    link = Link(BETA)
    link.exchange(link.first, Outcome.REFUSED)
    assert not link.terminal.is_online
    link.connect()
    link.exchange(link.first)
    (one,) = link.report(1)
    data, _ = link.terminal.send([one])
    link.exchange(data, Outcome.REFUSED)
    assert link.acked == []
    link.connect()
    link.exchange(link.first)
    assert link.terminal.send([one]) == (data, 1)
    link.exchange(data)
    assert link.acked == [one.sequence]


def test_garbage_from_the_platform_is_passed_over():
    link = Link(ALPHA)
    (one,) = link.report(1)
    data, _ = link.terminal.send([one])
    random = Random(7)
    for _ in range(50):
        assert link.terminal.receive(random.randbytes(100)) == []
    message = only(ALPHA, data)
    ack = ALPHA.codec().ack(message, Outcome.STORED, NOW)
    header = {**ALPHA.frame.read(message.head), "kind": 0x81}
    for wrong in ({"sequence": 99}, {"kind": 0x82}):
        assert link.terminal.receive(ALPHA.frame.close({**header, **wrong}, ack[15:-4])) == []
    assert link.terminal.receive(ALPHA.frame.close(header, b"\x07" + ack[16:-4])) == []
    assert link.terminal.receive(ALPHA.frame.close(header, b"\x00")) == []
    assert link.terminal.receive(ack) == [Acked(one.sequence)]


def test_a_new_link_begins_anew():
    link = Link(ALPHA)
    made = [one for one in link.report(40) if one.is_answered]
    data, count = link.terminal.send(made)
    acks = b"".join(ALPHA.codec().ack(event, Outcome.STORED, NOW) for event in receive(ALPHA, data) if isinstance(event, Message))
    link.terminal.receive(acks[:7])
    link.connect()
    assert link.terminal.send(made[count:])[1] > 1, "what was under way is so no more"
    link.connect()
    assert link.terminal.send(made) == (data, count), "the same bytes again"
    assert len(link.terminal.receive(acks)) == count
    assert link.terminal.send(made[:count]) == (b"", count), "what is acked is not sent again"


def test_commands_before_the_login_is_answered_are_passed_over():
    link = Link(BETA)
    command = sent_down(BETA.codec("SN7"), b"\x05\x01", 0x05, b"\x03")
    assert link.terminal.receive(command) == []
    link.exchange(link.first)
    assert len(link.terminal.receive(command)) == 1


def test_a_moment_that_a_field_cannot_hold_is_cut():
    terminal = GAMMA.terminal("a0b1c2d3e4f5")
    (made,) = terminal.report(MOMENT._replace(speed_kmh=900.0, altitude_m=-50_000.0))
    (report,) = GAMMA.decode(Message("a", 0x10, 1, bytes(11), made.body)).reports
    assert (report.speed_kmh, report.altitude_m) == (253.0, -32767.0)


@each_protocol
def test_identities_are_the_protocols_own(protocol: DeclaredProtocol):
    identities = [protocol.simulated_identity(number) for number in (0, 1, 99_999)]
    assert len(set(identities)) == 3
    for identity in identities:
        assert protocol.terminal(identity).identity == identity
    for wrong in ("", "way too long for any of them", "é"):
        with pytest.raises(ValueError, match="is no identity of"):
            protocol.terminal(wrong)
    with pytest.raises(ValueError, match="has no identity for device"):
        protocol.simulated_identity(16**40)
