"""Gateway, broker, worker and database as they run in earnest, with real frames over TCP.

Each test runs on SQLite and on PostgreSQL, over Redis and over RabbitMQ.
"""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from iotgw.stack import gateway_command
from protocols.framing import DelimitedSplitter
from protocols.jt808 import JT808
from protocols.registry import PROTOCOLS
from store.models import Device, Quarantine, Report, State
from tests.protocols.captures import captures
from tests.servers import Child, wait_until
from tests.stacks import listening

ROOT = Path(__file__).resolve().parents[1]
CAPTURES = captures("jt808")
POSITION = ("latitude", "longitude", "altitude_m", "speed_kmh", "course_deg")


class Parts:
    """A gateway and a worker of their own."""

    def __init__(
        self, start_child: Callable[..., Child], database_url: str, broker_url: str, redis_url: str, **environment: str
    ) -> None:
        self.environment = {
            "IOTGW_DATABASE_URL": database_url,
            "IOTGW_BROKER_URL": broker_url,
            "IOTGW_REDIS_URL": redis_url,
            **listening(**dict.fromkeys(PROTOCOLS, "tcp:0:interface=127.0.0.1")),
            "IOTGW_LOG_FORMAT": "json",
            "IOTGW_RECEIPT_TIMEOUT_SECONDS": "3",
            **environment,
        }
        self._start_child = start_child
        self.start_worker()
        self.start_gateway()

    def start_worker(self) -> None:
        self.worker = self._start_child("-m", "celery", "-A", "tasks", "worker", "-c", "1", name="worker", **self.environment)

    def start_gateway(self) -> None:
        self.gateway = self._start_child(*gateway_command()[1:], name="gateway", **self.environment)
        self.gateway.wait_until(lambda: self.gateway.output().count('"listening"') == len(PROTOCOLS), "the gateway listens")
        listeners = [json.loads(line) for line in self.lines() if '"listening"' in line]
        self.ports = {listener["protocol"]: listener["port"] for listener in listeners}

    def lines(self) -> list[str]:
        return self.gateway.output().splitlines()

    def connect(self) -> Terminal:
        return Terminal(self.ports["jt808"])

    def statistics(self) -> dict[str, int]:
        """Stop the gateway; what it had counted."""
        # Once everything is put away, Twisted ends by the signal it was sent.
        assert self.gateway.stop(signal.SIGTERM) == -signal.SIGTERM, self.gateway.output()
        return [json.loads(line) for line in self.lines() if '"statistics"' in line][-1]


class Terminal:
    """A plain socket that sends frames and collects answers."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._splitter = DelimitedSplitter(b"\x7e", 4096)
        self._answers: list[bytes] = []

    def send(self, frame: str | bytes) -> None:
        self.socket.sendall(bytes.fromhex(frame) if isinstance(frame, str) else frame)

    def answer(self) -> bytes:
        """The next answer's frame; b"" when the gateway has closed the link."""
        while not self._answers:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                return b""
            self._answers += [b"\x7e" + run + b"\x7e" for run in self._splitter.feed(data)]
        return self._answers.pop(0)

    def ask(self, frame: str | bytes) -> bytes:
        self.send(frame)
        return self.answer()

    def close(self) -> None:
        self.socket.close()


def without_platform_serial(frame: bytes) -> bytes:
    """An answer with its header's serial and check byte taken out: each link counts its own."""
    plain = bytearray(frame[1:-1].replace(b"\x7d\x02", b"\x7e").replace(b"\x7d\x01", b"\x7d")[:-1])
    at = 15 if plain[2] & 0x40 else 10
    return bytes(plain[:at] + plain[at + 2 :])


@pytest.fixture
def parts(start_child, database_url, broker_url, redis_url) -> Parts:
    return Parts(start_child, database_url, broker_url, redis_url)


@pytest.fixture
def terminal(parts: Parts) -> Iterator[Terminal]:
    terminal = parts.connect()
    yield terminal
    terminal.close()


def test_every_capture_is_answered_byte_for_byte_and_stored_with_its_values(parts: Parts, terminal: Terminal):
    answered = [capture for capture in CAPTURES if capture.get("reply")]
    assert len(answered) > 20
    for capture in answered:
        reply = bytes.fromhex(capture["reply"])
        assert without_platform_serial(terminal.ask(capture["hex"])) == without_platform_serial(reply), capture["id"]
    for capture in CAPTURES:
        if not capture.get("reply"):
            terminal.send(capture["hex"])
    wanted: set[tuple[str, str]] = set()
    for capture in CAPTURES:
        (message,) = JT808.codec().receive(capture["frame"], 0)
        rows = []
        for report in JT808.decode(message).reports:
            wanted.add((message.identity, report.digest.hex()))
            found = Report.objects.filter(device__identity=message.identity, digest=report.digest)
            # Some of them have no answer, which would say that they are stored.
            wait_until(found.exists, capture["id"])
            rows.append(found.first())
        for row, location in zip(rows, capture.get("locations", ()), strict="locations" in capture):
            assert row.time == datetime.fromisoformat(location["time"])
            assert {name: getattr(row, name) for name in POSITION} == {name: location[name] for name in POSITION}
        assert rows[0].values.items() >= capture.get("values", {}).items(), capture["id"]
    assert {(row.device.identity, bytes(row.digest).hex()) for row in Report.objects.select_related("device")} == wanted


def test_a_location_has_the_vectors_values_in_its_row_and_state(terminal: Terminal):
    frame = (
        "7e0200407d0201000000000202326095590a4f00002000004c100301e0d7f2073e6eac006402140014241127154230010400"
        "0000cc020201d425040000000030010831010914040000007f150400000001160400000001170200011803000709642f0000"
        "001f000201323201000035006401e0d40a073e6ac4241127154210ffff69643030303033241127154217000500767e"
    )
    assert terminal.ask(frame)
    row = Report.objects.get(kind="location")
    assert (row.latitude, row.longitude, row.altitude_m, row.speed_kmh, row.course_deg) == (31.512562, 121.532076, 100, 53.2, 20)
    assert row.time.isoformat() == "2024-11-27T07:42:30+00:00"
    assert {name: row.values[name] for name in ("ignition", "fix", "odometer_km", "fuel_l", "signal", "satellites")} == {
        "ignition": True,
        "fix": True,
        "odometer_km": 20.4,
        "fuel_l": 46.8,
        "signal": 8,
        "satellites": 9,
    }
    assert row.alarms == ["overspeed_warning"]
    state = State.objects.get(device__identity="20232609559")
    assert (state.latitude, state.longitude, state.time) == (row.latitude, row.longitude, row.time)


def test_the_same_frame_twice_is_answered_twice_and_stored_once(terminal: Terminal):
    frame = next(capture["hex"] for capture in CAPTURES if capture["hex"].startswith("7e0200"))
    first, second = terminal.ask(frame), terminal.ask(frame)
    assert first
    assert without_platform_serial(first) == without_platform_serial(second)
    assert Report.objects.filter(kind="location").count() == 1


def test_bad_bytes_are_counted_by_cause_and_disturb_nothing(parts: Parts, terminal: Terminal):
    heartbeat = bytes.fromhex("7e000200000123456789017fff0a7e")
    other = parts.connect()
    other.send(b"no frame of any kind\r\n\r\n\x7e" + b"\x55" * 10_000 + b"\x7e\x00\x02\x7e" + heartbeat[:-2] + b"\x0b\x7e")
    assert other.ask(heartbeat), "the same link goes on"
    assert terminal.ask("7e000240000100000000017299841738ffff027e"), "and so do others"
    half = parts.connect()
    half.send(heartbeat[:8])
    half.close()
    other.close()
    assert terminal.ask("7e000240000100000000017299841738ffff027e"), "by now the half frame's link is gone"
    counted = parts.statistics()
    assert counted["malformed.oversized"] == 1
    assert counted["malformed.checksum"] >= 1
    assert counted["malformed.cut"] == 1
    assert counted["malformed.header"] >= 1
    assert counted["messages"] == counted["messages.settled"] == 3


def test_an_undecodable_body_is_acked_and_quarantined(terminal: Terminal):
    identity, body = "138001380001", bytes(5)
    plain = bytes.fromhex("0200") + len(body).to_bytes(2, "big") + bytes.fromhex(identity) + bytes(2) + body
    check = 0
    for byte in plain:
        check ^= byte
    answer = terminal.ask(b"\x7e" + plain + bytes([check]) + b"\x7e")
    assert answer[-3] == 0, "result 0: it is stored"
    row = Quarantine.objects.get()
    assert (row.device.identity, bytes(row.body), row.error_cause) == (identity, body, "truncated")
    assert Report.objects.count() == 0


def test_the_second_link_of_a_device_wins(parts: Parts, terminal: Terminal):
    heartbeat = "7e000200000123456789017fff0a7e"
    assert terminal.ask(heartbeat)
    second = parts.connect()
    assert second.ask(heartbeat)
    assert terminal.answer() == b"", "the first is closed"
    assert second.ask(heartbeat)
    second.close()
    assert parts.statistics()["sessions.replaced"] == 1


def test_a_device_that_is_not_known_is_refused_as_the_standard_says(start_child, database_url, broker_url, redis_url):
    parts = Parts(start_child, database_url, broker_url, redis_url, IOTGW_ADMISSION="known")
    registration = next(capture["hex"] for capture in CAPTURES if capture["hex"].startswith("7e0100002c"))
    heartbeat = "7e000200000123456789017fff0a7e"
    stranger = parts.connect()
    assert stranger.ask(registration)[13:-2] == bytes.fromhex("000004"), "0x8100: no such terminal, and no code"
    assert stranger.ask(heartbeat)[-3] == 1, "0x8001: failure"
    assert Device.objects.count() == Report.objects.count() == 0
    Device.objects.create(protocol="jt808", identity="12345678901")
    wait_until(lambda: stranger.ask(registration)[13:16] == bytes.fromhex("000000"), "it is let in")
    assert Report.objects.filter(kind="register").count() == 1
    stranger.close()
    counted = parts.statistics()
    assert counted["messages.refused"] == counted["admissions.refused.unknown"] >= 2


def test_without_a_worker_nothing_is_acked_and_with_one_everything(parts: Parts, terminal: Terminal):
    parts.worker.kill()
    heartbeat = "7e000200000123456789017fff0a7e"
    terminal.send(heartbeat)
    terminal.socket.settimeout(1)
    with pytest.raises(TimeoutError):
        terminal.answer()
    terminal.socket.settimeout(60)
    parts.start_worker()
    assert terminal.answer()
    assert Report.objects.filter(kind="heartbeat").count() == 1


def test_a_stopping_gateway_answers_what_it_has_read(parts: Parts, terminal: Terminal):
    """Frames that were read before the SIGTERM are stored and answered before the process ends."""
    assert terminal.ask("7e000200000123456789017fff0a7e")
    for _ in range(50):
        terminal.send("7e000200000123456789017fff0a7e")
    counted = parts.statistics()
    assert counted["messages.settled"] == counted["messages"]
    answers = 0
    while terminal.answer():
        answers += 1
    assert answers == counted["messages"] - 1
