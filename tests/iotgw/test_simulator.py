"""Simulated devices: what they keep, when they send again, what the ledger says."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from iotgw.simulator.device import Device, Kept
from iotgw.simulator.fleet import Fleet, FleetPlan
from iotgw.simulator.track import Track
from protocols import Outcome
from protocols.registry import PROTOCOLS
from protocols.report import digest


class LineTerminal:
    """Says hello, is online after "ok", sends ``sequence`` lines, and takes ``sequence`` lines as acks."""

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.is_online = False
        self.sequence = 0

    def connect(self) -> bytes:
        self.is_online = False
        return b"hello\n"

    def receive(self, data: bytes) -> tuple[bytes, Sequence[int]]:
        words = data.decode().split()
        if "ok" in words:
            self.is_online = True
        return b"", [int(word) for word in words if word.isdigit()]

    def report(
        self, time: datetime, latitude: float, longitude: float, speed_kmh: float, course_deg: float
    ) -> tuple[int, str, bytes]:
        self.sequence += 1
        return self.sequence, "location", f"body {self.sequence}".encode()

    def frame(self, sequence: int, body: bytes) -> bytes:
        return f"{sequence} {body.decode()}\n".encode()


class Field:
    """A device, its clock, and what was acked."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.acked: list[bytes] = []
        self.device = Device(LineTerminal("dev"), self.clock, 30, self._record)
        self.link()

    def _record(self, device: Device, kept: Kept) -> None:
        self.acked.append(kept.body)

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
    assert photo.kind == "multimedia_data"
    assert photo.body.endswith(b"\xff\xd9")


def test_a_terminal_without_a_camera_takes_no_photos(field):
    with pytest.raises(TypeError, match="no camera"):
        field.device.take_photo()


def test_the_ledger_has_a_line_for_each_acked_report():
    ledger = io.StringIO()
    plan = FleetPlan(PROTOCOLS["jt808"], "127.0.0.1", 1, 1, 1, 1, 1, 30, 13800000000)
    fleet = Fleet(plan, Clock(), ledger)
    fleet._record_ack(fleet.devices[0], Kept("location", b"body", 0.0))
    assert json.loads(ledger.getvalue()) == {
        "protocol": "jt808",
        "identity": "13800000000",
        "kind": "location",
        "digest": digest("location", b"body").hex(),
    }


def test_devices_have_identities_of_their_own():
    plan = FleetPlan(PROTOCOLS["jt808"], "127.0.0.1", 1, 3, 1, 1, 1, 30, 13800000000)
    assert [device.identity for device in Fleet(plan, Clock(), None).devices] == ["13800000000", "13800000001", "13800000002"]


def test_a_track_moves_every_second_and_stays_on_earth():
    track = Track.begin("dev")
    before = None
    for _ in range(2000):
        track.drive(1)
        now = (round(track.latitude, 6), round(track.longitude, 6))
        assert now != before
        assert abs(track.latitude) < 90
        assert 5 <= track.speed_kmh <= 110
        assert 0 <= track.course_deg < 360
        before = now
    assert Track.begin("dev").latitude == Track.begin("dev").latitude != Track.begin("other").latitude
