"""Commands on their way down to devices, and what devices answer.

    whoever runs the link                 codec                             device
      ── prepare (kind, body, number) ───▶ numbers and frames it, nothing leaves
      ◀── Prepared (sequence, data) ───────
      ── launch, once that is stored ────▶ ── data ────────────────────────────▶
                                           ◀── a message that answers ──────────  its report has an Answer

What is prepared and never launched costs a number at the most.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from protocols.message import Event


class Prepared(NamedTuple):
    """A command as it would leave."""

    kind: int
    """The message's id."""
    data: bytes
    """Its frames."""
    sequence: int | None = None
    """By which the device's answers name it; None where they do not."""


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


class Commanded(Protocol):
    """What a codec has for commands."""

    def prepare(self, head: bytes, kind: int, body: bytes, number: int, time: datetime) -> Prepared:
        """Number and frame a message of the platform's own, to the device whose messages have a head like this.

        ``number`` is the platform's own of the command, ``time`` the platform's at this moment. Nothing leaves.

        Raises: ValueError when the device could not take it, with the reason.
        """

    def launch(self, prepared: Prepared, now: float) -> Sequence[Event]:
        """Let what was prepared on this link leave: at once, or as soon as the link is free."""
