"""Bytes of a file that a device sends, a photo or a log: all of it in one message, or piece by piece in many."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class MediaKind(StrEnum):
    """What a file is for people."""

    PHOTO = "photo"
    AUDIO = "audio"
    VIDEO = "video"
    FILE = "file"
    """Anything else."""


class Piece(NamedTuple):
    """What one report brings of a file, or says about it.

    The bytes stay in the report's body, so that nothing is held twice.
    """

    file: str
    """Which of the device's files. Empty where a report is a whole file by itself."""
    kind: MediaKind | None = None
    name: str = ""
    """As the device says it."""
    channel: int | None = None
    cause: str = ""
    """What made the device take it."""
    data_at: int = 0
    """Where in the report's body the bytes are."""
    data_size: int = 0
    offset: int = 0
    """Where in the file they belong."""
    size: int | None = None
    """Of the whole file, where the report says it."""
    crc32: int | None = None
    """The same, of all its bytes."""
    is_last: bool = False
    """Whether the device has sent all that it has of the file."""
