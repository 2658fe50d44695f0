"""The rows of a protocol's table of messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from construct import Struct

from protocols.command import CommandRule


class Direction(Enum):
    """Who sends a message."""

    UP = "up"
    """The device."""
    DOWN = "down"
    """The platform."""


class Unanswered(Enum):
    """How the platform answers, where no protocol says otherwise."""

    NONE = "none"


@dataclass(frozen=True, slots=True)
class MessageType:
    """A row. A protocol whose layouts are told apart by more than an edition has rows of its own, made of this."""

    id: int
    name: str
    english: str
    chinese: str
    layouts: Mapping[str, Struct]
    """The body's declarations by what tells them apart: an edition, a variant, a length."""
    direction: Direction = Direction.UP
    answer: Enum = Unanswered.NONE
    """How the platform answers it, once it is stored, in a few words."""
    answered_by: tuple[int, ...] = ()
    """What the device answers with, in order, if the platform sends it; it may leave out all but the last."""
    ends_session: bool = False
    command: CommandRule | None = None
    """How operators may send it; None if it is the platform's alone, such as an answer."""

    @property
    def only_layout(self) -> Struct:
        """The first, which for most messages is the only one."""
        return next(iter(self.layouts.values()))
