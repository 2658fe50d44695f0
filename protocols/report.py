"""A decoded message, in the words that all protocols share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any

from protocols.command import Answer
from protocols.download import FileResult
from protocols.piece import Piece

DIGEST_SIZE = 16


@dataclass(slots=True)
class Report:
    """One moment of one device.

    Units: degrees WGS-84, metres, km/h, degrees clockwise from north; ``values`` carry theirs in the name
    (``odometer_km``), as :mod:`protocols.catalogue` lists them. What the catalogue does not know keeps the
    protocol's own name.
    """

    kind: str
    body: bytes
    """The bytes this report was decoded from: the message's body, or one item of it."""
    time: datetime | None = None
    """When the device says it was, aware and in UTC; None where it says nothing usable."""
    latitude: float | None = None
    longitude: float | None = None
    altitude_m: float | None = None
    speed_kmh: float | None = None
    course_deg: float | None = None
    values: dict[str, Any] = field(default_factory=dict)
    """JSON values by name."""
    alarms: list[str] = field(default_factory=list)
    units: dict[str, str] = field(default_factory=dict)
    """What the device itself says that values are measured in, by name: of channels that only it knows."""
    piece: Piece | None = None
    """Of a file, if the body has bytes of one or says something of it."""
    file_result: FileResult | None = None
    """Of a file of the platform, if the body says what became of one."""
    answer: Answer | None = None
    """To a command, if the body is one."""
    is_event: bool = False
    """Whether it tells of something that happened: then its alarms are moments. Else they are all that stand, as far as
    reports of its kind say."""

    @property
    def digest(self) -> bytes:
        """What makes a report the same report when it is sent again: 16 bytes of its kind and body."""
        return digest(self.kind, self.body)

    @property
    def is_position(self) -> bool:
        """Whether it says where the device is."""
        return is_position(self.latitude, self.longitude, self.values)


def is_position(latitude: float | None, longitude: float | None, values: Mapping[str, Any]) -> bool:
    """Whether these say where a device is: coordinates that exist, with a fix unless none is told of."""
    return (
        latitude is not None
        and longitude is not None
        and abs(latitude) <= 90
        and abs(longitude) <= 180
        and values.get("fix") is not False
    )


def digest(kind: str, body: bytes) -> bytes:
    """The 16 bytes by which a report is recognised when it comes again."""
    return blake2b(body, digest_size=DIGEST_SIZE, person=kind.encode()[:16]).digest()


class DecodeError(Exception):
    """A body that its declaration cannot read.

    ``cause`` is one word for counting (``unknown-kind``, ``truncated``, ``value``...), ``path`` the field it
    happened at (``items[2].length``; empty for the body as a whole), ``text`` a sentence for people.
    """

    def __init__(self, cause: str, path: str, text: str) -> None:
        super().__init__(f"{path}: {text}" if path else text)
        self.cause = cause
        self.path = path
        self.text = text


@dataclass(slots=True)
class Decoded:
    """What a body gave: its reports, and the error that ended the decoding, if one did."""

    reports: list[Report]
    error: DecodeError | None = None
