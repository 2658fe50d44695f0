"""Commands on their way down to devices, and what devices answer.

    whoever runs the link                 codec                             device
      ── prepare (kind, body, number) ───▶ numbers and frames it, nothing leaves
      ◀── Prepared (sequence, data) ───────
      ── launch, once that is stored ────▶ ── data ────────────────────────────▶
                                           ◀── a message that answers ──────────  its report has an Answer

What is prepared and never launched costs a number at the most.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


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
