"""The platform's end of a Teltonika link.

    device                                      platform
      ── 000F, IMEI ────────────────────────────▶
      ◀──────────────────────────────────── 01 ──  00 if it may not come in
      ── AVL packet of N records ───────────────▶
      ◀────────────────────────────── N, as u32 ──  when all are stored; else nothing, and it sends them again
      ── FF ────────────────────────────────────▶  ping, without an answer
      ◀───────────────── command, codec 12 or 14 ──  one at a time: answers have no number
      ── answer, the same codec ────────────────▶

Source: Teltonika, "Data Sending Protocols".
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from protocols.command import Prepared
from protocols.framing import SAMPLE_BYTES
from protocols.message import Event, Malformed, Message, Outcome, RawFrame, Send
from protocols.teltonika.commands import ANY_IMEI, CODEC_12, CODEC_12_COMMAND, CODEC_14, CODEC_14_COMMAND, IMEI_BYTES
from protocols.teltonika.messages import LOGIN
from protocols.teltonika.records import RECORDS
from protocols.teltonika.stream import CRC_BYTES, HEAD_BYTES, PACKET_LIMIT_BYTES, PREAMBLE, Stream, frame

ACCEPTED, REFUSED = b"\x01", b"\x00"
_IMEI_AT = 6
"""In a command's body, behind quantity, type and size."""
_ANSWERS = {CODEC_12_COMMAND: CODEC_12, CODEC_14_COMMAND: CODEC_14}


class TeltonikaCodec:
    """One link. Which device it is, the IMEI packet says, once."""

    deadline: float | None = None

    def __init__(self, identity: str = "", limit: int = PACKET_LIMIT_BYTES) -> None:
        self.is_watched = False
        self.identity = identity
        self._stream = Stream(limit)

    def wake(self, now: float) -> Sequence[Event]:
        """It never asks for that."""
        return []

    def receive(self, data: bytes, now: float) -> Sequence[Event]:
        events: list[Event] = []
        for whole in self._stream.feed(data):
            if self.is_watched:
                events.append(RawFrame.of(whole))
            if isinstance(whole, Malformed):
                events.append(whole)
            elif not whole.startswith(PREAMBLE):
                self.identity = whole[2:].decode()
                events.append(Message(self.identity, LOGIN, 0, b"", whole))
            elif not self.identity:
                events.append(Malformed("unidentified", whole[:SAMPLE_BYTES]))
            else:
                events += self._open(whole)
        return events

    def _open(self, whole: bytes) -> list[Event]:
        codec_id, body = whole[HEAD_BYTES], whole[HEAD_BYTES + 1 : -CRC_BYTES]
        if codec_id in RECORDS and body[0] != body[-1]:
            # Which of the two numbers the device wants to hear nobody knows, so that it could not be answered.
            return [Malformed("count", whole[:SAMPLE_BYTES])]
        return [Message(self.identity, codec_id, 0, b"", body)]

    def ack(self, message: Message, outcome: Outcome, time: datetime) -> bytes:
        """Whether the device may come in, or how many records are stored: all, for devices know nothing in between.

        Records that could not be decoded are told as well: their bytes are stored, and the device would send nothing else
        for ever.
        """
        if message.kind == LOGIN:
            return REFUSED if outcome is Outcome.REFUSED else ACCEPTED
        if message.kind not in RECORDS or outcome is Outcome.REFUSED:
            return b""
        return message.body[0].to_bytes(4, "big")

    def prepare(self, head: bytes, kind: int, body: bytes, number: int, time: datetime) -> Prepared:
        """The frame of a command. One for one IMEI that has none gets that of this link's device.

        Raises: ValueError when it is no command, or is for another device.
        """
        codec_id = _ANSWERS.get(kind)
        if codec_id is None:
            raise ValueError(f"0x{kind:02X} is no command of the platform's")
        if codec_id == CODEC_14:
            body = self._addressed(body)
        return Prepared(kind, frame(bytes([codec_id]) + body))

    def launch(self, prepared: Prepared, now: float) -> Sequence[Event]:
        return [Send(prepared.data)]

    def end(self) -> Sequence[Event]:
        pending = self._stream.pending
        return [Malformed("cut", pending[:SAMPLE_BYTES])] if pending else []

    def _addressed(self, body: bytes) -> bytes:
        own, ends = self.identity.zfill(2 * IMEI_BYTES), _IMEI_AT + IMEI_BYTES
        told = body[_IMEI_AT:ends].hex()
        if told not in (ANY_IMEI, own):
            raise ValueError(f"imei: {told} is not this device's, which is {self.identity or 'not known yet'}")
        return body[:_IMEI_AT] + bytes.fromhex(own) + body[ends:]
