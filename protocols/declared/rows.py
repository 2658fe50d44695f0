"""What a protocol's author writes beside the frame: messages in both directions, and how they are answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple

from construct import Struct

from protocols.command import CommandRule, Effect
from protocols.compiler import compile
from protocols.message import Message, Outcome


class Answered(Enum):
    """What a field of an answer can be filled with, beside a plain value."""

    KIND = "the answered message's kind"
    SEQUENCE = "the answered message's sequence"
    IDENTITY = "the device's identity"
    TIME = "the platform's time"


@dataclass(frozen=True)
class Answer:
    """How the platform says that a message is stored, or that its device may not come in.

    The header of an answer is that of the message, with another kind. A field of the body is a plain value, one of
    :class:`Answered`, or a value for each :class:`Outcome`: what is not in there is as if stored. A device that is
    refused hears so by an answer that has a value for ``Outcome.REFUSED``, and otherwise nothing.
    """

    kind: int | None = None
    """None for the kind of what is answered."""
    body: Struct = field(default_factory=Struct)
    fields: Mapping[str, Any] = field(default_factory=dict)
    name: str = "ack"
    text: str = "Answer of the platform 平台应答"

    @property
    def sentence(self) -> str:
        return "the same kind" if self.kind is None else f"`0x{self.kind:02X}`"

    def kind_for(self, message: Message) -> int:
        return message.kind if self.kind is None else self.kind

    def build(self, message: Message, outcome: Outcome, time: Any) -> bytes | None:
        """The answer's body; None where the outcome is not for telling."""
        by_outcome = [source for source in self.fields.values() if isinstance(source, Mapping)]
        if outcome is Outcome.REFUSED and not any(outcome in source for source in by_outcome):
            return None
        told = {Answered.KIND: message.kind, Answered.SEQUENCE: message.sequence, Answered.IDENTITY: message.identity}
        filled = {}
        for name, source in self.fields.items():
            if isinstance(source, Answered):
                filled[name] = time if source is Answered.TIME else told[source]
            else:
                filled[name] = source.get(outcome, source[Outcome.STORED]) if isinstance(source, Mapping) else source
        return compile(self.body).build(filled)

    def outcome(self, message: Message, body: bytes) -> Outcome | None:
        """What an answer's body tells the message's sender; None if it answers another one.

        Raises: ConstructError when it cannot be read.
        """
        parsed = compile(self.body).parse(body)
        time: datetime | None = next((parsed[name] for name, source in self.fields.items() if source is Answered.TIME), None)
        return next((outcome for outcome in Outcome if self.build(message, outcome, time) == body), None)


class Uplink(NamedTuple):
    """A message that devices send."""

    kind: int
    name: str
    """Its word in reports and pages."""
    text: str
    """What it is, in English and, behind that, in Chinese if it is called something there."""
    body: Struct = Struct()
    """These names mean something: ``time``, ``latitude``, ``longitude``, ``altitude_m``, ``speed_kmh``, ``course_deg``,
    ``alarms`` (a word of flags), ``records`` (a list whose entries are a report each), and all of the catalogue."""
    answer: Answer | bool = True
    """One of its own; True for the protocol's, False for none."""
    ends_session: bool = False


class Downlink(NamedTuple):
    """A message that the platform sends: a command."""

    kind: int
    name: str
    text: str
    body: Struct = Struct()
    answered_by: tuple[str, ...] = ()
    """What the device answers with, by name, in order."""
    command: CommandRule | None = CommandRule(Effect.ACTUATE)
    """What it does, and how often it may be sent; None if operators do not send it."""
