"""The platform's end of a declared protocol's link.

device                                      platform
  ── login (identity) ─────────────────────▶          only where headers do not say whose frames they are
  ◀───────────────────────────────── ack ──          after the commit, as to every message that has an answer
  ── reports, heartbeats ... ──────────────▶
  ◀───────────────────────────────── acks ──
  ◀──────────────────────────── commands ──
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from construct import ConstructError

from protocols.command import Prepared
from protocols.framing import SAMPLE_BYTES
from protocols.message import Event, Malformed, Message, Outcome, RawFrame, Send

if TYPE_CHECKING:
    from protocols.declared.protocol import DeclaredProtocol

MAX_IDENTITY = 64
"""Characters. What is longer, or cannot be printed, is no device's name but damage or mischief."""


class DeclaredCodec:
    """One link. The platform numbers its own messages on it from 0 on."""

    deadline = None

    def __init__(self, protocol: DeclaredProtocol, identity: str = "") -> None:
        self.is_watched = False
        self._protocol = protocol
        self._splitter = protocol.frame.splitter()
        self._identity = identity
        self._next = 0

    def receive(self, data: bytes, now: float) -> Sequence[Event]:
        events: list[Event] = []
        for raw in self._splitter.feed(data):
            if self.is_watched:
                flag = self._protocol.frame.flag
                events.append(RawFrame.of(raw if isinstance(raw, Malformed) else flag + raw + flag))
            events.append(raw if isinstance(raw, Malformed) else self._opened(raw))
        return events

    def wake(self, now: float) -> Sequence[Event]:
        return []

    def ack(self, message: Message, outcome: Outcome, time: datetime) -> bytes:
        try:
            return self._protocol.answered(message, outcome, time)
        except (ConstructError, ValueError):
            # An identity, say, that the answer has no room for. The device is told nothing that is not so, and asks again.
            return b""

    def prepare(self, head: bytes, kind: int, body: bytes, number: int, time: datetime) -> Prepared:
        try:
            fields = self._protocol.frame.read(head)
        except ConstructError as error:
            raise ValueError("the device has sent nothing yet that could be answered") from error
        frame = self._protocol.down_frame
        sequence = self._next % frame.sequences if frame.sequences else None
        data = frame.close({**fields, "kind": kind, **({} if sequence is None else {"sequence": sequence})}, body)
        self._next += 1
        return Prepared(kind, data, sequence)

    def launch(self, prepared: Prepared, now: float) -> Sequence[Event]:
        return [Send(prepared.data)]

    def end(self) -> Sequence[Event]:
        return [Malformed("cut", self._splitter.pending[:SAMPLE_BYTES])] if self._splitter.pending else []

    def _opened(self, raw: bytes) -> Event:
        opened = self._protocol.frame.open(raw)
        if isinstance(opened, Malformed):
            return opened
        head, fields, body = opened
        identity = self._identity_of(fields, body)
        if not 0 < len(identity) <= MAX_IDENTITY or not identity.isprintable():
            return Malformed("unidentified", raw[:SAMPLE_BYTES])
        return Message(identity, fields["kind"], fields.get("sequence", 0), head, body)

    def _identity_of(self, fields: Mapping[str, Any], body: bytes) -> str:
        if "identity" in fields:
            return identity_text(fields["identity"])
        if fields["kind"] == self._protocol.login_kind:
            self._identity = self._protocol.login_identity(body)
        return self._identity


def identity_text(value: Any) -> str:
    """A device's name from the field that tells it."""
    return value.hex() if isinstance(value, bytes) else str(value).strip()
