"""Simulated devices: what they keep, when they send again, what the ledger says."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from iotgw.simulator.churn import Churn
from iotgw.simulator.device import Device, Kept
from iotgw.simulator.fleet import Fleet, FleetPlan
from iotgw.simulator.track import Track
from protocols import Acked, Made, Moment, Outcome, Send, TerminalEvent
from protocols.registry import PROTOCOLS
from protocols.report import digest


class LineTerminal:
    """Says hello, is online after "ok", sends ``sequence`` lines, and takes ``sequence`` lines as acks.

    "wait" has it send one at a time; "ask" has it make a report that leaves at once and is acked by the same word.
    """

    heartbeat_seconds = 20.0

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.is_online = False
        self.sequence = 0
        self.window = 100
        self.is_answered = True

    def connect(self, moment: Moment | None = None) -> bytes:
        self.is_online = False
        self.connected_at = moment
        return b"hello\n"

    def receive(self, data: bytes) -> Sequence[TerminalEvent]:
        words = data.decode().split()
        if "ok" in words:
            self.is_online = True
        if "wait" in words:
            self.window = 1
        if "ask" in words:
            (made,) = self.report(Moment(datetime.now(UTC), 0, 0))
            return [Send(b"asked\n"), made._replace(identity="dev/1"), Acked(made.sequence)]
        return [Acked(int(word)) for word in words if word.isdigit()]

    def report(self, moment: Moment) -> Sequence[Made]:
        self.sequence += 1
        return [Made(self.sequence, "location", f"body {self.sequence}".encode(), self.is_answered)]

    def send(self, waiting: Sequence[Made]) -> tuple[bytes, int]:
        sent = waiting[: self.window]
        return b"".join(f"{made.sequence} {made.body.decode()}\n".encode() for made in sent), len(sent) if self.window else 0

    def heartbeat(self) -> bytes:
        return b"alive\n"


class Field:
    """A device, its clock, and what was acked."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.acked: list[bytes] = []
        self.terminal = LineTerminal("dev")
        self.device = Device(self.terminal, self.clock, 30, self._record)
        self.link()

    def _record(self, device: Device, kept: Kept) -> None:
        self.acked.append(kept.made.body)

    def link(self) -> None:
        self.transport = StringTransport()
        self.device.link_up(self.transport)

    def sent(self) -> list[str]:
        lines = self.transport.value().decode().splitlines()
        self.transport.clear()
        return lines


@pytest.fixture
def field():
    return Field()


def test_nothing_is_sent_before_the_device_is_let_in(field):
    field.device.make_report(1)
    assert field.sent() == ["hello"]
    field.device.receive(b"ok")
    assert field.sent() == ["1 body 1"]


def test_what_devices_have_carried_out_is_told_with_how_often():
    fleet = Fleet(FleetPlan(PROTOCOLS["gt06"], "127.0.0.1", 1, 2, 1, 10, 5, 30), Clock(), None)
    first, second = (device._terminal for device in fleet.devices)
    first.executed.add(0x80, 7, b"RESET#")
    first.executed.add(0x80, 7, b"RESET#")
    second.executed.add(0x80, 8, b"STATUS#")
    found = [{name: line[name] for name in ("kind", "number", "times")} for line in fleet.executed()]
    assert found == [{"kind": "command", "number": 7, "times": 2}, {"kind": "command", "number": 8, "times": 1}]
    assert [line["identity"] for line in fleet.executed()] == [device.identity for device in fleet.devices]
    assert [bytes.fromhex(line["body"]) for line in fleet.executed()] == [b"RESET#", b"STATUS#"]


def test_terminals_of_other_packages_need_not_count(field):
    assert field.device.executed == {}


def test_the_terminal_is_told_where_and_when_its_link_comes_up(field):
    moment = field.terminal.connected_at
    assert abs((moment.time - datetime.now(UTC)).total_seconds()) < 60
    assert (moment.latitude, moment.longitude) == (Track.begin("dev").latitude, Track.begin("dev").longitude)


def test_a_report_is_kept_until_its_ack(field):
    field.device.receive(b"ok")
    field.device.make_report(1)
    field.device.make_report(1)
    assert field.device.kept == 2
    field.device.receive(b"2")
    assert field.acked == [b"body 2"]
    assert field.device.kept == 1


def test_an_ack_counts_once(field):
    field.device.receive(b"ok")
    field.device.make_report(1)
    field.device.receive(b"1 1")
    assert field.acked == [b"body 1"]


def test_what_is_not_acked_is_sent_again_on_the_next_link(field):
    field.device.receive(b"ok")
    field.device.make_report(1)
    field.device.make_report(1)
    field.device.receive(b"1")
    field.device.link_down()
    field.device.make_report(1)
    field.link()
    assert field.sent() == ["hello"]
    field.device.receive(b"ok")
    assert field.sent() == ["2 body 2", "3 body 3"]


def test_what_waits_too_long_for_its_ack_is_sent_again_on_the_same_link(field):
    field.device.receive(b"ok")
    field.device.make_report(1)
    field.sent()
    field.clock.advance(29)
    field.device.resend_overdue()
    assert field.sent() == []
    field.clock.advance(2)
    field.device.resend_overdue()
    field.device.resend_overdue()
    assert field.sent() == ["1 body 1"]


def test_a_terminal_that_waits_for_each_ack_is_offered_the_rest_then(field):
    field.terminal.window = 1
    field.device.receive(b"ok")
    for _ in range(3):
        field.device.make_report(1)
    # Nothing but its own answer holds this one back: all three left, one write each.
    assert field.sent() == ["hello", "1 body 1", "2 body 2", "3 body 3"]
    field.terminal.window = 0
    field.device.make_report(1)
    assert field.sent() == []
    field.terminal.window = 1
    field.device.receive(b"1")
    assert field.sent() == ["4 body 4"]


def test_what_the_protocol_does_not_answer_is_sent_once_and_not_kept(field):
    field.terminal.is_answered = False
    field.device.make_report(1)
    assert field.device.kept == 1
    field.device.receive(b"ok")
    assert field.sent() == ["hello", "1 body 1"]
    assert (field.device.kept, field.device.unanswered, field.device.sent) == (0, 1, 1)
    field.device.link_down()
    field.link()
    field.device.receive(b"ok")
    assert field.sent() == ["hello"]
    assert field.acked == []


def test_a_report_that_was_asked_for_is_acked_by_what_the_terminal_says(field):
    field.device.receive(b"ok ask")
    assert field.sent() == ["hello", "asked"]
    assert field.acked == [b"body 1"]
    assert field.device.kept == 0


def test_it_says_that_it_is_there_only_while_it_is_online(field):
    field.device.beat()
    field.device.receive(b"ok")
    field.device.beat()
    assert field.sent() == ["hello", "alive"]
    field.device.link_down()
    field.device.beat()


def test_a_photo_is_kept_like_a_report_and_sent_in_pieces():
    clock, acked = Clock(), []
    device = Device(PROTOCOLS["jt808"].terminal("13800000000"), clock, 30, lambda device, kept: acked.append(kept))
    codec, transport = PROTOCOLS["jt808"].codec(), StringTransport()

    def answer() -> None:
        """Let the platform answer until the device has nothing to say."""
        while data := transport.value():
            transport.clear()
            for message in codec.receive(data, clock.seconds()):
                device.receive(codec.ack(message, Outcome.STORED, datetime.now(UTC)))

    device.link_up(transport)
    answer()
    device.take_photo()
    assert transport.value().count(b"\x7e") == 2 * 26
    assert (device.kept, acked) == (1, [])
    answer()
    assert device.kept == 0
    (photo,) = acked
    assert photo.made.kind == "multimedia_data"
    assert photo.made.body.endswith(b"\xff\xd9")


def test_a_terminal_without_a_camera_takes_no_photos(field):
    with pytest.raises(TypeError, match="no camera"):
        field.device.take_photo()


def test_the_ledger_has_a_line_for_each_acked_report():
    ledger = io.StringIO()
    plan = FleetPlan(PROTOCOLS["jt808"], "127.0.0.1", 1, 1, 1, 1, 1, 30)
    fleet = Fleet(plan, Clock(), ledger)
    fleet._record_ack(fleet.devices[0], Kept(Made(1, "location", b"body"), 0.0))
    fleet._record_ack(fleet.devices[0], Kept(Made(2, "reading", b"body", identity="meter/1"), 0.0))
    lines = [json.loads(line) for line in ledger.getvalue().splitlines()]
    assert lines == [
        {"protocol": "jt808", "identity": identity, "kind": kind, "digest": digest(kind, b"body").hex()}
        for identity, kind in (("13800000000", "location"), ("meter/1", "reading"))
    ]


class Reconnecting:
    """Devices that are back on a new link as soon as the old one is gone."""

    def __init__(self, count: int, online: int) -> None:
        self.clock = Clock()
        self.drops: dict[str, int] = {}
        self.devices = [Device(LineTerminal(str(number)), self.clock, 30, lambda device, kept: None) for number in range(count)]
        for device in self.devices[:online]:
            self.link(device)

    def link(self, device: Device) -> None:
        device.link_up(StringTransport())
        device.receive(b"ok")
        transport = device._transport

        def abort() -> None:
            self.drops[device.identity] = self.drops.get(device.identity, 0) + 1
            device.link_down()
            self.link(device)

        transport.abortConnection = abort


@pytest.mark.parametrize("per_second", [0.5, 3, 50, 700])
def test_so_many_links_a_second_are_dropped_and_of_all_devices(per_second):
    fleet = Reconnecting(20, online=20)
    churn = Churn(fleet.devices, per_second, fleet.clock)
    churn.start()
    fleet.clock.pump([0.01] * 10_000)
    wanted = 100 * per_second
    assert wanted - 1 - 0.05 * per_second <= churn.dropped <= wanted + 1
    assert sum(fleet.drops.values()) == churn.dropped
    if wanted >= 5000:
        assert len(fleet.drops) == 20
    churn.stop()
    fleet.clock.advance(10)
    assert sum(fleet.drops.values()) == churn.dropped <= wanted + 1
    assert not fleet.clock.getDelayedCalls()


def test_ticks_that_a_busy_simulator_missed_are_made_up_for():
    fleet = Reconnecting(20, online=20)
    churn = Churn(fleet.devices, 10, fleet.clock)
    churn.start()
    fleet.clock.advance(5)
    assert 49 <= churn.dropped <= 50
    churn.stop()


def test_only_links_of_devices_that_are_online_are_dropped():
    fleet = Reconnecting(20, online=0)
    churn = Churn(fleet.devices, 50, fleet.clock)
    churn.start()
    fleet.clock.pump([0.05] * 100)
    assert (churn.dropped, fleet.drops) == (0, {})
    fleet.link(fleet.devices[3])
    fleet.clock.pump([0.05] * 1000)
    assert set(fleet.drops) == {"3"}
    # Looked for a few times each, one of twenty is found for a third of what was asked for.
    assert 500 < churn.dropped < 1250
    churn.stop()


def test_a_fleet_loses_links_while_it_reports_and_none_while_it_waits_for_acks(monkeypatch):
    fleet_of_lines = Reconnecting(0, online=0)
    clock, counts = fleet_of_lines.clock, []
    monkeypatch.setattr(
        Fleet, "_connect", lambda self, device: fleet_of_lines.link(device) or SimpleNamespace(stopService=lambda: None)
    )
    protocol = SimpleNamespace(terminal=LineTerminal, simulated_identity=str)
    fleet = Fleet(FleetPlan(protocol, "127.0.0.1", 1, 5, 1, 10, 5, 30, reconnects_per_second=2), clock, None)
    done = fleet.run(lambda seconds: counts.append((seconds, fleet.dropped)))
    clock.pump([0.05] * 400)
    assert done.called
    assert 19 <= fleet.dropped <= 20
    assert {count for seconds, count in counts if seconds > 10.1} == {fleet.dropped}
    assert max(seconds for seconds, _ in counts) > 14


def test_a_fleet_that_is_told_to_finish_reports_no_more_and_waits_for_what_is_owed(monkeypatch):
    fleet_of_lines = Reconnecting(0, online=0)
    clock = fleet_of_lines.clock
    monkeypatch.setattr(
        Fleet, "_connect", lambda self, device: fleet_of_lines.link(device) or SimpleNamespace(stopService=lambda: None)
    )
    protocol = SimpleNamespace(terminal=LineTerminal, simulated_identity=str)
    fleet = Fleet(FleetPlan(protocol, "127.0.0.1", 1, 5, 1, 3600, 5, 30), clock, None)
    fleet.finish()
    done = fleet.run(lambda seconds: None)
    clock.pump([0.05] * 60)
    fleet.finish()
    made = fleet.made
    assert made
    assert not done.called
    fleet.finish()
    clock.pump([0.05] * 120)
    assert done.called
    assert fleet.made == made


def test_no_churn_asks_for_no_ticks():
    clock = Clock()
    Churn([], 0, clock).start()
    assert not clock.getDelayedCalls()


def test_a_dropped_link_is_cut_and_a_device_without_one_stays_as_it_is(field):
    field.device.receive(b"ok")
    field.device.make_report(1)
    field.device.drop_link()
    assert field.transport.disconnected
    field.device.link_down()
    field.device.drop_link()
    assert field.device.kept == 1


def test_devices_have_identities_of_their_own():
    plan = FleetPlan(PROTOCOLS["jt808"], "127.0.0.1", 1, 3, 1, 1, 1, 30, first_device=1)
    assert [device.identity for device in Fleet(plan, Clock(), None).devices] == ["13800000001", "13800000002", "13800000003"]


def test_a_track_moves_every_second_and_stays_on_earth():
    track = Track.begin("dev")
    before, driven_km = None, 0.0
    for _ in range(2000):
        track.drive(1)
        now = (round(track.latitude, 6), round(track.longitude, 6))
        assert now != before
        assert abs(track.latitude) < 90
        assert 5 <= track.speed_kmh <= 110
        assert 0 <= track.course_deg < 360
        assert track.odometer_km > driven_km
        before, driven_km = now, track.odometer_km
    assert Track.begin("dev").latitude == Track.begin("dev").latitude != Track.begin("other").latitude
