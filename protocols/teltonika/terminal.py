"""A simulated Teltonika device.

It has one packet under way: the next one leaves when the platform has told the right number of records.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, takewhile

from construct import ConstructError

from protocols.compiler import compile
from protocols.executions import Executions
from protocols.message import Send
from protocols.report import Report
from protocols.teltonika.commands import (
    ADDRESSED,
    CODEC_12,
    CODEC_14,
    COMMAND,
    IMEI_BYTES,
    NACK,
    RESPONSE,
    TEXT,
)
from protocols.teltonika.messages import IMEI, MESSAGES
from protocols.teltonika.simulated import UNKNOWN, SimulatedDevice
from protocols.teltonika.stream import CRC_BYTES, HEAD_BYTES, PACKET_LIMIT_BYTES, PING, PREAMBLE, crc, frame
from protocols.terminal import Acked, Made, Moment, TerminalEvent

SIMULATED_TAC = "00101990"
"""What the IMEIs of simulated devices begin with: 00 stands for test devices."""
IMEI_DIGITS = 15
MAX_RECORDS = 25
MAX_PACKET_BYTES = 1280
HEARTBEAT_SECONDS = 60.0
_ACCEPTED = b"\x01"
_ACK_BYTES = 4
_COMMAND_TYPE = 0x05
_LEAST_COMMAND_BYTES = 8
"""Of a command's data: two quantities, codec, type and size. A smaller number is no length, but tells records."""
_ONE_RECORD_AROUND = 2
_PACKET_AROUND = HEAD_BYTES + CRC_BYTES + 3


def simulated_imei(number: int) -> str:
    """The IMEI of the simulated device of this number, with its check digit."""
    digits = f"{SIMULATED_TAC}{number % 10**6:06}"
    doubled = [int(digit) * (1 + at % 2) for at, digit in enumerate(digits)]
    return f"{digits}{-sum(value // 10 + value % 10 for value in doubled) % 10}"


class TeltonikaTerminal:
    """One device, through all its links."""

    heartbeat_seconds = HEARTBEAT_SECONDS

    def __init__(self, identity: str) -> None:
        if not (identity.isascii() and identity.isdecimal() and len(identity) == IMEI_DIGITS):
            raise ValueError(f"{identity!r} is no IMEI: it has {IMEI_DIGITS} digits")
        self.identity = identity
        self.device = SimulatedDevice(identity)
        self.executed = Executions()
        self.silent: set[str] = set()
        """Words of commands that it obeys without a response."""
        self._next = 0
        self._is_online = False
        self._under_way: tuple[int, ...] = ()
        """Sequences of the records in the packet that is not acked yet."""
        self._held = b""
        self._is_empty_told = False
        """Whether the four zeros at the beginning of what is held were counted as an ack of none."""

    @property
    def is_online(self) -> bool:
        return self._is_online

    def connect(self, moment: Moment | None = None) -> bytes:
        self._is_online, self._under_way, self._held, self._is_empty_told = False, (), b"", False
        return compile(IMEI).build({"imei": self.identity})

    def receive(self, data: bytes) -> Sequence[TerminalEvent]:
        self._held += data
        events: list[TerminalEvent] = []
        if self._held and not self._is_online:
            self._is_online, self._held = self._held[:1] == _ACCEPTED, self._held[1:]
        while self._is_online and self._take(events):
            pass
        if not self._is_online or len(self._held) > PACKET_LIMIT_BYTES:
            self._held = b""
        return events

    def report(self, moment: Moment) -> Sequence[Made]:
        record = self.device.record(moment)
        self._next += 1
        one = Report(MESSAGES[self.device.codec_id].name, b"\x01" + record + b"\x01")
        return [Made(self._next - 1, one.kind, one.body)]

    def send(self, waiting: Sequence[Made]) -> tuple[bytes, int]:
        """A packet, unless one is under way. That which is, once more, if its records wait again: no answer has come."""
        if not self._is_online or not waiting or (self._under_way and waiting[0].sequence not in self._under_way):
            return b"", 0
        sizes = accumulate((len(made.body) - _ONE_RECORD_AROUND for made in waiting[:MAX_RECORDS]), initial=_PACKET_AROUND)
        count = max(1, len(list(takewhile(MAX_PACKET_BYTES.__ge__, sizes))) - 1)
        self._under_way = tuple(made.sequence for made in waiting[:count])
        records = b"".join(made.body[1:-1] for made in waiting[:count])
        return frame(b"".join((bytes((self.device.codec_id, count)), records, bytes((count,))))), count

    def heartbeat(self) -> bytes:
        return PING

    def _take(self, events: list[TerminalEvent]) -> bool:
        """Take one ack or command off what has come; whether there may be another."""
        if len(self._held) < _ACK_BYTES:
            return False
        word = self._held[:_ACK_BYTES]
        if word != PREAMBLE:
            self._take_count(int.from_bytes(word, "big"), events)
            self._held = self._held[_ACK_BYTES:]
            return True
        length = int.from_bytes(self._held[_ACK_BYTES:HEAD_BYTES], "big")
        is_whole_word = len(self._held) >= HEAD_BYTES
        if not is_whole_word or length < _LEAST_COMMAND_BYTES:
            # An ack of none, for all that is known; but it may be the preamble of a command whose rest is on its way.
            if not self._is_empty_told:
                self._take_count(0, events)
            self._is_empty_told = not is_whole_word
            self._held = self._held[_ACK_BYTES:] if is_whole_word else self._held
            return is_whole_word
        size = HEAD_BYTES + length + CRC_BYTES
        if len(self._held) < size:
            return False
        self._is_empty_told = False
        whole, self._held = self._held[:size], self._held[size:]
        if whole[-CRC_BYTES:] == crc(whole[HEAD_BYTES:-CRC_BYTES]):
            events += self._execute(whole[HEAD_BYTES], whole[HEAD_BYTES + 1 : -CRC_BYTES])
        return True

    def _take_count(self, count: int, events: list[TerminalEvent]) -> None:
        """The right number acks all records of the packet, any other none: they are to be sent again."""
        if count and count == len(self._under_way):
            events += [Acked(sequence) for sequence in self._under_way]
        self._under_way = ()

    def _execute(self, codec_id: int, body: bytes) -> list[TerminalEvent]:
        layout = {CODEC_12: TEXT, CODEC_14: ADDRESSED}.get(codec_id)
        try:
            asked = compile(layout).parse(body) if layout else None
        except ConstructError:
            return []
        if asked is None or asked.type != COMMAND:
            return []
        imei = self.identity.zfill(2 * IMEI_BYTES)
        is_mine = codec_id == CODEC_12 or asked.content.imei == imei
        command = asked.content.text.decode("ascii", "replace")
        answer = self.device.answer(command) if is_mine else ""
        if is_mine and not answer.startswith(UNKNOWN):
            self.executed.add(codec_id << 8 | _COMMAND_TYPE, 0, asked.content.text)
        if is_mine and command.partition(" ")[0].lower() in self.silent:
            return []
        text = answer.encode("ascii")
        content = {"imei": imei, "text": text} if codec_id == CODEC_14 else {"text": text}
        kind = RESPONSE if is_mine else NACK
        fields = {"quantity": asked.quantity, "type": kind, "content": content, "quantity_again": asked.quantity}
        return [Send(frame(bytes([codec_id]) + compile(layout).build(fields)))]
