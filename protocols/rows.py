"""The rows of a protocol's table of messages."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from construct import Struct


class Direction(Enum):
    """Who sends a message."""

    UP = "up"
    """The device."""
    DOWN = "down"
    """The platform."""


class MessageType(NamedTuple):
    """A row, for protocols whose messages have nothing beside what all have."""

    id: int
    name: str
    english: str
    chinese: str
    layouts: Mapping[str, Struct]
    """The body's declarations by what tells them apart: an edition, a variant, a length."""
    direction: Direction
    answer: Enum
    """How the platform answers it, in a few words."""
    answered_by: tuple[int, ...] = ()
    """What the device answers with, if the platform sends it."""
    ends_session: bool = False
