"""Commands on their way down to devices, and what devices answer.

    whoever runs the link                 codec                             device
      ── prepare (kind, body, number) ───▶ numbers and frames it, nothing leaves
      ◀── Prepared (sequence, data) ───────
      ── launch, once that is stored ────▶ ── data ────────────────────────────▶
                                           ◀── a message that answers ──────────  its report has an Answer

What is prepared and never launched costs a number at the most.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple


class Effect(StrEnum):
    """What a command does. The word is also that of the permission which it takes."""

    QUERY = "query"
    """It reads."""
    CONFIGURE = "configure"
    """It changes what the device goes by from here on."""
    ACTUATE = "actuate"
    """It does something in the world, at that moment."""
    RAW = "raw"
    """Bytes of an expert's: nobody knows what they do."""


class CommandField(NamedTuple):
    """Something that an operator gives with a command."""

    name: str
    """With those around it: ``areas[].latitude``."""
    type: str
    unit: str = ""
    english: str = ""
    chinese: str = ""
    is_needed: bool = True
    """Whether it has to be given, wherever its condition is met."""
    condition: str = ""
    """When it may be given; empty for always."""
    words: tuple[Mapping[str, Any], ...] = ()
    """What it may be made of, as JSON values: the values of a choice, the bits of a word, the items of a list."""


class CommandRule(NamedTuple):
    """How a message of the platform's may be used as a command."""

    effect: Effect
    is_repeatable: bool = False
    """Whether a device may be told twice, if it is not known to have heard it once."""
    answer_seconds: float = 60.0
    """How long the device may take for its next answer."""
    waits_grow: bool = False
    """Whether it is waited for longer each time that it is sent again: ``T(N+1) = T(N) * (N+1)``, as JT/T 808 has it, 4.4.3."""
    is_confirmed_twice: bool = False
    """Whether it can strand or silence a device, so that whoever asks for it has to say so once more."""
    differs: Callable[[Mapping[str, Any]], CommandRule] | None = None
    """Of a message that does different things by its fields: which rule it is under. It raises nothing, whatever they are."""
    defaults: Mapping[str, Any] = MappingProxyType({})
    """Values of fields that may be left out."""
    form: tuple[CommandField, ...] | None = None
    """What operators give, where that is not the body's fields."""

    def of(self, fields: Mapping[str, Any]) -> CommandRule:
        """The rule with these fields."""
        return self.differs(fields) if self.differs else self


class CommandKind(NamedTuple):
    """Something that operators can have a device do."""

    name: str
    kind: int | None
    """The message's id; None where that is given with the command."""
    english: str
    chinese: str
    rule: CommandRule
    fields: tuple[CommandField, ...]
    answered_by: tuple[int, ...] = ()
    """What the device answers with, in order."""
    preset: Mapping[str, Any] = MappingProxyType({})
    """Fields that are given with the name."""


class Prepared(NamedTuple):
    """A command as it would leave."""

    kind: int
    """The message's id."""
    data: bytes
    """Its frames."""
    sequence: int | None = None
    """By which the device's answers name it; None where they do not."""
    body: bytes = b""
    """What it was made of: a codec that lets it leave later, or again, needs it."""


class AnswersName(StrEnum):
    """By what a protocol's answers tell which command they are to: so many may be under way to one device."""

    SEQUENCE = "sequence"
    """Its number: any number of commands."""
    KIND = "kind"
    """Its message: one command of each kind."""
    NOTHING = "nothing"
    """It is the one under way."""


class AnswerStatus(StrEnum):
    """What a device says of a command."""

    ACCEPTED = "accepted"
    """It has it, and more is to come."""
    DONE = "done"
    FAILED = "failed"


class Answer(NamedTuple):
    """A device's word on a command."""

    kinds: tuple[int, ...]
    """The messages of the platform's that it may answer."""
    status: AnswerStatus
    sequence: int | None = None
    """Of the command; None where the protocol does not tell: it is the one under way."""
    reason: str = ""
    """Why it failed, in the protocol's word."""
