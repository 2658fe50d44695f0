"""A pump station's maps and what was said on its line, and a link to play it on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from protocols import Event, Malformed, Message, Outcome, Send
from protocols.modbus.frame import seal
from protocols.modbus.pdu import Request
from protocols.modbus.protocol import ModbusProtocol
from protocols.modbus.site import read_texts

METER = """\
schema = 1
model = "demo-meter-3p"
name = { en = "Three-phase meter (demo)", zh = "三相电表（示例）" }

[defaults]               # any point may override
function = 3             # 1, 2, 3 or 4
type = "u16"
order = "ABCD"
group = "fast"

[limits]
max_registers = 64       # per read, never above 125
max_bits = 256           # per read, never above 2000
merge_gap = 4            # unused registers a merged read may span
gap_readable = true      # false: the device answers exception 02 in gaps
timeout_ms = 1500        # device part of the time-out, link part comes from the DTU
retries = 1
turnaround_ms = 100      # pause before the next request to this line

[groups]
fast = { interval_s = 10 }
slow = { interval_s = 60 }
once = { interval_s = 86400, at_login = true }

[[point]]
key = "voltage_a"
name = { en = "Voltage A", zh = "A相电压" }
address = 0x0000
scale = "0.1"
unit = "V"
valid = [0, 500]

[[point]]
key = "current_a"
name = { en = "Current A", zh = "A相电流" }
address = 0x0003
scale = "0.01"
unit = "A"

[[point]]
key = "voltage_b"
name = { en = "Voltage B", zh = "B相电压" }
address = 0x0001
scale = "0.1"
unit = "V"
valid = [0, 500]

[[point]]
key = "current_b"
name = { en = "Current B", zh = "B相电流" }
address = 0x0004
scale = "0.01"
unit = "A"

[[point]]
key = "voltage_c"
name = { en = "Voltage C", zh = "C相电压" }
address = 0x0002
scale = "0.1"
unit = "V"
valid = [0, 500]

[[point]]
key = "current_c"
name = { en = "Current C", zh = "C相电流" }
address = 0x0005
scale = "0.01"
unit = "A"

[[point]]
key = "frequency"
name = { en = "Frequency", zh = "频率" }
address = 0x0006
scale = "0.01"
unit = "Hz"

[[point]]
key = "power"
name = { en = "Active power", zh = "有功功率" }
address = 0x0008
type = "s32"
unit = "W"
invalid = [0x7FFFFFFF]

[[point]]
key = "power_factor"
name = { en = "Power factor", zh = "功率因数" }
address = 0x000A
type = "s16"
scale = "0.001"

[[point]]
key = "energy_import"
name = { en = "Imported energy", zh = "正向有功电能" }
address = 0x0010
type = "u32"
order = "CDAB"
scale = "0.01"
unit = "kWh"
group = "slow"
kind = "counter"         # monotonic: a step back is a reset or a bad read

[[point]]
key = "energy_export"
name = { en = "Exported energy", zh = "反向有功电能" }
address = 0x0012
type = "f32"
order = "CDAB"
unit = "kWh"
group = "slow"
kind = "counter"

[[point]]
key = "serial"
name = { en = "Serial number", zh = "表号" }
address = 0x0030
type = "string"
length = 4               # registers
group = "once"

[[point]]
key = "ct_ratio"
name = { en = "CT ratio", zh = "电流互感器变比" }
address = 0x0100
group = "once"

[[command]]
key = "set_ct_ratio"
name = { en = "Set CT ratio", zh = "设置电流变比" }
function = 6             # 5, 6, 15, 16
address = 0x0100
type = "u16"
min = 1
max = 1000
readback = "ct_ratio"    # a point of this file
settle_ms = 300
repeatable = true        # sending it twice does no harm
"""
RELAY = """\
schema = 1
model = "demo-relay-8"
name = { en = "8-way relay board (demo)", zh = "8路继电器板（示例）" }

[limits]
max_bits = 16
timeout_ms = 800
retries = 2

[groups]
fast = { interval_s = 5 }

[[point]]
key = "relay"            # becomes relay_1 .. relay_8
name = { en = "Relay {n}", zh = "继电器{n}" }
function = 1
address = 0x0000
type = "bit"
count = 8
text = { 0 = { en = "off", zh = "断开" }, 1 = { en = "on", zh = "吸合" } }
group = "fast"

[[point]]
key = "input"
name = { en = "Input {n}", zh = "输入{n}" }
function = 2
address = 0x0000
type = "bit"
count = 4
group = "fast"

[[command]]
key = "switch_relay"
name = { en = "Switch relay {n}", zh = "控制继电器{n}" }
function = 5
address = 0x0000
count = 8                # n chooses address + n - 1
type = "bit"
readback = "relay"
settle_ms = 200
repeatable = true

[[command]]
key = "pulse_relay"
name = { en = "Pulse relay {n}", zh = "点动继电器{n}" }
function = 16
address = 0x0010
count = 8
type = "u16"
scale = "0.1"
unit = "s"
min = 0.1
max = 60
repeatable = false
"""
SITE = """\
[[dtu]]
id = "PS0001"                       # our identity of the link
name = { en = "Pump station 1", zh = "1号泵站" }
registration = { ascii = "PS0001" } # or { hex = "..." }, { imei = "860123456789012" }, { iccid = "..." }
registration_sent = "connect"       # connect, each (before each data packet), both
heartbeats = [{ ascii = "www.usr.cn" }]
heartbeat_s = 60
link_latency_ms = 800               # worst normal round trip of the mobile network
baud = 9600
framing = "rtu"                     # rtu, or mbap when the DTU converts to Modbus TCP

  [[dtu.slave]]
  unit = 1
  model = "demo-meter-3p"

  [[dtu.slave]]
  unit = 2
  model = "demo-relay-8"
"""
POLLS = """\
v 01 03 00 30 00 04 44 06
^ 01 03 08 53 4E 30 31 32 33 34 35 2E AE
v 01 03 01 00 00 01 85 F6
^ 01 03 02 00 C8 B9 D2
v 01 03 00 00 00 0B 04 0D
^ 01 03 16 09 01 08 FA 09 07 04 D2 04 A6 04 E7 13 86 00 00 00 00 21 02 03 C8 F0 D1
v 01 03 00 10 00 04 45 CC
^ 01 03 08 61 4E 00 BC 00 00 41 48 9D 8A
v 02 01 00 00 00 08 3D FF
^ 02 01 01 05 91 CF
v 02 02 00 00 00 04 79 FA
^ 02 02 01 0A 21 CB
"""
WRITES = """\
v 02 05 00 01 FF 00 DD C9
^ 02 05 00 01 FF 00 DD C9
v 02 01 00 00 00 08 3D FF
^ 02 01 01 07 10 0E
v 01 06 01 00 00 C8 89 A0
^ 01 06 01 00 00 C8 89 A0
v 01 03 01 00 00 01 85 F6
^ 01 03 02 00 C8 B9 D2
v 02 10 00 12 00 01 02 00 19 70 18
^ 02 10 00 12 00 01 A1 FF
"""
OTHERS = """\
v 02 0F 00 00 00 08 01 81 7E E0
^ 02 0F 00 00 00 08 54 3E
v 02 10 00 10 00 02 04 01 F4 03 E8 BD 57
^ 02 10 00 10 00 02 40 3E
v 02 16 00 10 FF F0 00 05 87 F4
^ 02 16 00 10 FF F0 00 05 87 F4
v 02 17 00 10 00 02 00 20 00 01 02 00 07 56 4F
^ 02 17 04 01 F4 03 E8 8A 97
v 03 04 00 00 00 02 70 29
^ 03 04 04 FF 83 02 65 D8 F3
v 05 2B 0E 01 00 81 B7
^ 05 2B 0E 01 01 00 00 03 00 04 41 43 4D 45 01 04 50 4D 33 50 02 04 56 31 2E 32 47 E1
v 01 03 00 FF 00 01 B4 3A
^ 01 83 02 C0 F1
v 02 05 00 01 00 00 9C 39
^ 02 85 0B F3 57
"""
FOREIGN = """\
v 11 03 00 6B 00 03 76 87
^ 11 03 06 AE 41 56 52 43 40 49 AD
^ 11 83 04 41 36
v 01 03 00 08 00 03 84 09
^ 01 03 06 00 2A 00 80 00 05 F9 58
v 01 05 00 01 FF 00 DD FA
v 01 03 50 00 00 18 54 C0
^ 01 10 8A 00 00 03 AA 10
v 04 01 00 0A 00 0D DD 98
v 11 05 00 AC FF 00 4E 8B
v 11 06 00 01 00 03 9A 9B
v 11 0F 00 13 00 0A 02 CD 01 BF 0B
v 11 10 00 01 00 02 04 00 0A 01 02 C6 F0
"""
LOOK_ALIKE = f"""\
v 01 03 00 00 00 40 44 3A
^ 01 03 80 {"01 83 " * 64}46 E0
"""

MAPS = {"meter.toml": METER, "relay.toml": RELAY, "site.toml": SITE}
IDENTITY = "PS0001"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def protocol(**changed: str) -> ModbusProtocol:
    """The pump station; with other files, by name without their ending."""
    return ModbusProtocol(read_texts({**MAPS, **{f"{name}.toml": text for name, text in changed.items()}}))


STATION = protocol()


def lines(text: str) -> list[tuple[str, bytes]]:
    """A transcript: who speaks (``v`` the platform, ``^`` the device), and the bytes."""
    return [(line[0], bytes.fromhex(line[2:])) for line in text.splitlines()]


def exchanges(text: str) -> list[tuple[bytes, bytes]]:
    """Requests with their answers; what stands behind one and answers something else is left out."""
    pairs = pairwise(lines(text))
    return [(asked, answer) for (who, asked), (other, answer) in pairs if who + other == "v^" and asked[1] == answer[1] & 0x7F]


def rtu(text: str) -> bytes:
    """A frame of hex without its CRC."""
    return seal(bytes.fromhex(text))


def request(frame: bytes) -> Request:
    return Request(frame[0], frame[1], frame[2:-2])


class Link:
    """A codec whose devices a test plays. Messages are stored at once unless ``is_storing`` is taken away."""

    def __init__(self, protocol: ModbusProtocol = STATION, identity: str = IDENTITY) -> None:
        self.protocol = protocol
        self.codec = protocol.codec(identity)
        self.now = 1000.0
        self.events: list[Event] = []
        self.is_storing = True

    @property
    def messages(self) -> list[Message]:
        return [event for event in self.events if isinstance(event, Message)]

    def of(self, kind: str) -> list[Message]:
        return [message for message in self.messages if self.protocol.kind_name(message.kind) == kind]

    def values(self, kind: str) -> list[dict[str, Any]]:
        """The values of all messages of a kind."""
        found = []
        for message in self.of(kind):
            decoded = self.protocol.decode(message)
            assert decoded.error is None
            found.append(decoded.reports[0].values)
        return found

    @property
    def malformed(self) -> list[str]:
        return [event.cause for event in self.events if isinstance(event, Malformed)]

    def receive(self, data: bytes, after: float = 0.1) -> list[Event]:
        self.now += after
        return self._take(self.codec.receive(data, self.now))

    def wake(self) -> list[Event]:
        deadline = self.codec.deadline
        assert deadline is not None
        self.now = max(self.now, deadline)
        return self._take(self.codec.wake(self.now))

    def next_request(self, within: float = 1000.0) -> bytes:
        """Let time pass until the platform asks; empty if it does not."""
        end, idle = self.now + within, 0
        while self.codec.deadline is not None and max(self.codec.deadline, self.now) <= end:
            before = self.now
            events = self.wake()
            idle = 0 if events or self.now > before else idle + 1
            assert idle < 3, "it wants to be woken, and has nothing to do"
            for event in events:
                if isinstance(event, Send):
                    return event.data
        self.now = end
        return b""

    def settle(self, message: Message, outcome: Outcome = Outcome.STORED) -> None:
        assert self.codec.ack(message, outcome, NOON) == b""

    def _take(self, events: Sequence[Event]) -> list[Event]:
        self.events += events
        for event in events:
            if isinstance(event, Message) and self.is_storing:
                self.settle(event)
        return list(events)

    def play(self, answers: Mapping[bytes, bytes], seconds: float) -> list[bytes]:
        """Answer whatever is asked, for a while; what was asked. What is not in ``answers`` gets no answer."""
        asked, end = [], self.now + seconds
        while self.now < end:
            frame = self.next_request(end - self.now)
            if not frame:
                break
            asked.append(frame)
            if frame in answers:
                self.receive(answers[frame])
        return asked
