from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from protocols import Acked, Made, Malformed, Message, Moment, Outcome, Send
from protocols.modbus import MODBUS
from protocols.modbus.frame import seal
from protocols.modbus.pdu import Request
from protocols.modbus.terminal import Fault, Faults, ModbusTerminal
from protocols.report import digest
from tests.protocols.commands import sent_down
from tests.protocols.modbus.station import NOON, SITE, protocol

IDENTITY = "SIM000007"
Stored = set[tuple[str, bytes]]


class Wire:
    """A terminal and a codec, with a store between readings and their receipts."""

    def __init__(self, faults: Faults | None = None, one: Any = MODBUS, identity: str = IDENTITY) -> None:
        dtu = one.maps.dtu(identity)
        self.protocol = one
        self.terminal = ModbusTerminal(*dtu, faults) if faults else one.terminal(identity)
        self.now = 100.0
        self.stored: list[tuple[str, str, bytes]] = []
        self.acked: list[Made] = []
        self.causes: list[str] = []
        self.values: list[tuple[str, dict[str, Any]]] = []
        self.outcome: Callable[[Message], Outcome | None] = lambda message: Outcome.STORED
        self.connect()

    def connect(self) -> None:
        self.codec = self.protocol.codec()
        self.take(self.codec.receive(self.terminal.connect(self.moment()), self.now))

    def moment(self) -> Moment:
        return Moment(NOON + timedelta(seconds=self.now), 31.2, 121.5)

    def take(self, events: Any) -> None:
        for event in events:
            if isinstance(event, Malformed):
                self.causes.append(event.cause)
            elif isinstance(event, Message):
                self.store(event)
            else:
                self.ask(event.data)

    def store(self, message: Message) -> None:
        outcome = self.outcome(message)
        if outcome is None:
            return
        decoded = self.protocol.decode(message)
        assert decoded.error is None
        for report in decoded.reports if outcome is Outcome.STORED else ():
            self.stored.append((message.identity, report.kind, report.digest))
            self.values.append((message.identity, report.values))
        assert self.codec.ack(message, outcome, NOON) == b""

    def ask(self, data: bytes) -> None:
        self.terminal.report(self.moment())
        known = {made.sequence: made for made in self.acked}
        for event in self.terminal.receive(data):
            if isinstance(event, Send):
                self.take(self.codec.receive(event.data, self.now + 0.05))
            elif isinstance(event, Made):
                assert event.sequence not in known
                known[event.sequence] = event
            elif isinstance(event, Acked):
                made = known[event.sequence]
                assert (made.identity, made.kind, digest(made.kind, made.body)) in self.stored, "acked, and not stored"
                self.acked.append(made)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.codec.deadline is not None and self.codec.deadline <= end:
            self.now = max(self.now, self.codec.deadline)
            self.take(self.codec.wake(self.now))
        self.now = end


def test_readings_are_told_as_acked_by_the_next_poll_and_are_those_stored() -> None:
    wire = Wire()
    assert not wire.terminal.is_online
    wire.run(300)
    assert wire.terminal.is_online
    readings = [one for one in wire.stored if one[1] == "reading"]
    assert len(readings) == pytest.approx(300 / 5 + 300 / 10 + 300 / 60 + 1, abs=4)
    assert len(wire.acked) == len(readings) - 4, "all but the last of each group"
    assert {made.identity for made in wire.acked} == {f"{IDENTITY}/1", f"{IDENTITY}/2"}
    meter = [one for one in readings if one[0].endswith("/1")]
    assert len(set(meter)) == len(meter), "each reading of the meter is another"
    assert wire.causes == []


def test_the_meter_is_believable() -> None:
    wire = Wire()
    wire.run(3600)
    fast = [values for _, values in wire.values if values.get("group") == "fast" and "power" in values]
    slow = [values for _, values in wire.values if values.get("group") == "slow"]
    assert all(220 < values[f"voltage_{phase}"] < 240 for values in fast for phase in "abc")
    assert all(49.8 < values["frequency"] < 50.2 and 0.9 < values["power_factor"] <= 1 for values in fast)
    for counter in ("energy_import", "energy_export"):
        counts = [values[counter] for values in slow]
        assert all(later > earlier for earlier, later in pairwise(counts))
        assert 1 < counts[-1] - counts[0] < 20
    assert all("missing" not in values for _, values in wire.values)
    again = Wire()
    again.run(100)
    assert again.values == wire.values[: len(again.values)], "the same DTU at the same times says the same"


def test_nothing_is_told_as_acked_that_is_not_stored() -> None:
    wire = Wire()
    wire.outcome = lambda message: Outcome.STORED if message.kind == 0x100 else None
    wire.run(600)
    assert wire.acked == []
    assert len([values for _, values in wire.values if "group" in values]) == 0
    refused = Wire()
    refused.outcome = lambda message: Outcome.REFUSED
    refused.connect()
    refused.run(0)
    assert refused.codec.deadline is None


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("every", [2, 3, 7])
def test_faults_never_make_it_tell_a_lie(fault: Fault, every: int) -> None:
    wire = Wire(lambda number, request: fault if number % every == every - 1 else None)
    wire.run(900)
    assert any(values.get("group") == "fast" for _, values in wire.values)
    if every == 7:
        assert wire.acked


def test_a_unit_that_is_silent_leaves_the_other_alone() -> None:
    wire = Wire(lambda number, request: Fault.SILENT if request.unit == 1 else None)
    wire.run(300)
    assert {made.identity for made in wire.acked} == {f"{IDENTITY}/2"}
    assert (f"{IDENTITY}/1", "unit_offline") in {(identity, kind) for identity, kind, _ in wire.stored}


def test_a_lost_link_forgets_what_was_not_acked() -> None:
    wire = Wire()
    for _ in range(20):
        wire.run(7)
        wire.connect()
    assert wire.codec.end() == []
    wire.run(60)
    assert wire.acked


def test_commands_are_carried_out() -> None:
    wire = Wire()
    wire.run(10)
    for kind, fields in (
        ("write_coil", {"unit": 2, "command": "switch_relay", "n": 2, "value": True}),
        ("write_register", {"unit": 1, "command": "set_ct_ratio", "value": 321}),
        ("write_registers", {"unit": 2, "command": "pulse_relay", "n": 3, "value": 2.5}),
        ("write_coils", {"unit": 2, "address": 2, "quantity": 3, "bits": b"\7"}),
        ("mask_write_register", {"unit": 1, "address": 0x100, "and_mask": 0xFFF0, "or_mask": 5}),
        ("read_identification", {"unit": 1, "transport": 14, "read_code": "basic", "object": "vendor"}),
        ("read_holding_registers", {"unit": 1, "address": 0x30, "quantity": 4}),
        (
            "read_write_registers",
            {"unit": 1, "address": 0x100, "quantity": 1, "write_address": 0x100, "write_quantity": 1, "registers": b"\0\7"},
        ),
        ("write_register", {"unit": 1, "address": 0x0FFF, "value": 1}),
    ):
        row = next(row for row in MODBUS.messages.values() if row.name == kind)
        sent_down(wire.codec, b"", row.id, MODBUS.build(kind, fields), now=wire.now)
        wire.run(5)
    states = [values["state"] for _, values in wire.values if "state" in values]
    assert sorted(states) == sorted(["confirmed"] * 2 + ["accepted"] * 4 + ["answered"] * 2 + ["refused"])
    done = wire.terminal.executed.times()
    assert sorted(one.kind for one in done) == [5, 6, 15, 16, 22, 23]
    assert set(done.values()) == {1}
    relays = [values for _, values in wire.values if "relay_2" in values][-1]
    assert relays["relay_2"]
    assert all(relays[f"relay_{n}"] for n in (3, 4, 5))


@pytest.mark.parametrize("sent", ["each", "both"])
def test_a_dtu_that_puts_its_name_before_each_packet(sent: str) -> None:
    site = SITE.replace('registration_sent = "connect"', f'registration_sent = "{sent}"')
    wire = Wire(one=protocol(site=site), identity="PS0001")
    wire.run(60)
    assert bool(wire.acked) == (sent == "both"), "who says nothing before he is asked cannot be asked"
    assert wire.causes == []


def test_over_mbap() -> None:
    wire = Wire(one=protocol(site=SITE.replace('framing = "rtu"', 'framing = "mbap"')), identity="PS0001")
    wire.run(120)
    assert len(wire.acked) > 20
    assert wire.causes == []


def test_it_reports_nothing_by_itself_and_passes_garbage_over() -> None:
    terminal = MODBUS.terminal(IDENTITY)
    assert (terminal.connect(), terminal.heartbeat(), terminal.heartbeat_seconds) == (b"SIM000007", b"www.usr.cn", 60.0)
    assert terminal.report(Moment(NOON, 31.2, 121.5)) == []
    assert terminal.send([]) == (b"", 0)
    good = seal(bytes.fromhex("010300000001"))
    assert terminal.receive(b"junk" + seal(bytes.fromhex("630300000001"))) == []
    for at in range(1, len(good)):
        whole = [*terminal.receive(good[:at]), *terminal.receive(good[at:])]
        assert len(whole) == 1
    with pytest.raises(ValueError, match="nobody is none of the DTUs"):
        MODBUS.terminal("nobody")


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("01 41 00", "c101"),
        ("02 03 0000 0001", "8302"),
        ("02 01 0000 0009", "8102"),
        ("01 03 0000 007e", "8303"),
        ("02 05 0001 5500", "8503"),
        ("02 0f 0000 0009 01 ff", "8f03"),
        ("01 2b 0e 04 09", "ab02"),
    ],
)
def test_its_units_refuse_what_units_refuse(asked: str, answer: str) -> None:
    data = bytes.fromhex(asked)
    unit = MODBUS.terminal(IDENTITY)._units[data[0]]
    assert unit.answer(Request(data[0], data[1], data[2:]).pdu) == bytes.fromhex(answer)


def test_no_two_readings_are_alike_not_even_those_of_another_run_or_link() -> None:
    first, second = Wire(), Wire()
    first.run(120)
    first.connect()
    first.run(60)
    second.now = 400.0
    second.connect()
    second.run(120)
    readings = [one for wire in (first, second) for one in wire.stored if one[1] == "reading"]
    assert len(readings) > 90
    assert len(set(readings)) == len(readings)
