"""The platform's end of a JT/T 808 link.

    terminal                                    platform
      ── 0x0100 register ───────────────────────▶
      ◀─────────────── 0x8100 (result, code) ────
      ── 0x0102 authenticate (code) ────────────▶
      ◀─────────────────── 0x8001 (result) ──────
      ── 0x0200 location, 0x0704, 0x0002 ... ───▶
      ◀─────────────────── 0x8001 (result) ──────

Source: JT/T 808-2013 and JT/T 808-2019, chapters 4 to 6.
"""

from __future__ import annotations

from collections.abc import Sequence

from construct import ConstructError

from protocols.framing import SAMPLE_BYTES, DelimitedSplitter
from protocols.jt808.header import FLAG, Header, frame, is_2019, open_frame, read_header
from protocols.jt808.messages import (
    AUTHENTICATE,
    GENERAL_RESPONSE,
    MESSAGES,
    PLATFORM_GENERAL_RESPONSE,
    REGISTER_RESPONSE,
    REGISTRATION_ACCEPTED,
    Answer,
    answer_of,
)
from protocols.jt808.parts import Piece, Reassembly
from protocols.message import Event, Malformed, Message, Outcome

MAX_RUN_BYTES = 4096
"""Between two flags. The longest frame has 1,045 bytes, each of which may have been escaped to two."""


class JT808Codec:
    """One link. The platform numbers its own messages on it from 0 on."""

    def __init__(self) -> None:
        self._splitter = DelimitedSplitter(FLAG, MAX_RUN_BYTES)
        self._reassembly = Reassembly()
        self._sequence = 0

    def receive(self, data: bytes, now: float) -> Sequence[Event]:
        events: list[Event] = []
        events += self._reassembly.expire(now)
        for run in self._splitter.feed(data):
            if isinstance(run, Malformed):
                events.append(run)
                continue
            opened = open_frame(run)
            if isinstance(opened, Malformed):
                events.append(opened)
                continue
            head, body = opened
            header = read_header(head)
            if header.is_part:
                events += self._reassembly.add(Piece(head, header, body), now)
            else:
                events.append(Message(header.identity, header.id, header.sequence, head, body))
        return events

    def ack(self, message: Message, outcome: Outcome) -> bytes:
        """An answer per frame that the message came in, in the header version it came with."""
        answer = answer_of(message.kind)
        is_good = outcome is not Outcome.REFUSED
        if answer is Answer.REGISTRATION:
            result, code = ("success", message.identity) if is_good else ("no_such_terminal", "")
            fields = {"answered_sequence": message.sequence, "result": result, "code": code}
            return self._frame(message, REGISTER_RESPONSE, REGISTRATION_ACCEPTED.build(fields))
        if answer is Answer.NONE and not message.parts:
            return b""
        if answer is Answer.AUTHENTICATION:
            is_good = is_good and _has_own_code(message)
        result = "success" if is_good else "failure"
        # Even a message that is not answered has its sub-packets confirmed, each by its own sequence.
        acks = []
        for sequence in message.parts or (message.sequence,):
            fields = {"answered_sequence": sequence, "answered_kind": message.kind, "result": result, "extra": b""}
            acks.append(self._frame(message, PLATFORM_GENERAL_RESPONSE, GENERAL_RESPONSE.build(fields)))
        return b"".join(acks)

    def end(self) -> Sequence[Event]:
        events: list[Event] = []
        events += self._reassembly.end()
        if self._splitter.pending:
            events.append(Malformed("cut", self._splitter.pending[:SAMPLE_BYTES]))
        return events

    def _frame(self, message: Message, id: int, body: bytes) -> bytes:
        """A message of the platform's own to whoever sent ``message``."""
        sequence, self._sequence = self._sequence, (self._sequence + 1) & 0xFFFF
        asked = read_header(message.head)
        return frame(Header(id, asked.phone, sequence, version=asked.version), body)


def _has_own_code(message: Message) -> bool:
    """Whether a terminal authenticates with the code it was given, or its phone number in full.

    One that brings another platform's code is told so, and registers.
    """
    try:
        code = MESSAGES[AUTHENTICATE].layout(message.body, is_2019(message.head)).parse(message.body).code
    except ConstructError:
        return False
    return code in (message.identity, read_header(message.head).phone)
