"""What a device protocol offers: one object per protocol, one codec per link, one terminal per simulated device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Protocol, runtime_checkable

from construct import Struct

from protocols.explanation import Field
from protocols.message import Event, Message, Outcome
from protocols.report import Decoded


class Codec(Protocol):
    """The platform's end of one link.

    It never raises on a peer's bytes, and holds a bounded number of them. Times called ``now`` are seconds of one
    steady clock, whichever; the codec has no other.
    """

    @property
    def deadline(self) -> float | None:
        """When it wants to be woken, by the clock of ``now``; None for never. Any call may move it.

        A protocol in which the platform never speaks first has a plain ``deadline = None``.
        """

    def wake(self, now: float) -> Sequence[Event]:
        """The deadline has come, perhaps a second or more ago; what came of it."""

    def receive(self, data: bytes, now: float) -> Sequence[Event]:
        """Take bytes as they came, at ``now``; give what they complete, in order."""

    def ack(self, message: Message, outcome: Outcome, time: datetime) -> bytes:
        """The bytes that answer a message which came over this link; empty if the protocol has none.

        ``time`` is the platform's at this moment, aware, for answers that tell it.
        """

    def end(self) -> Sequence[Event]:
        """The link is gone: what was left unfinished, as malformed events."""


class Terminal(Protocol):
    """The device's end of one link, for simulators and tests. One object lives as long as the device does."""

    identity: str

    def connect(self) -> bytes:
        """A new link is up: what the device sends first."""

    def receive(self, data: bytes) -> tuple[bytes, Sequence[int]]:
        """Take the platform's bytes: what to send now, and the sequences of reports that are acked by them."""

    @property
    def is_online(self) -> bool:
        """Whether the platform has let the device in, so that reports may be sent."""

    def report(
        self, time: datetime, latitude: float, longitude: float, speed_kmh: float, course_deg: float
    ) -> tuple[int, str, bytes]:
        """Make a new report: its sequence, its kind and its body, from which :meth:`frame` makes the bytes."""

    def frame(self, sequence: int, body: bytes) -> bytes:
        """The bytes of a report made before, the same each time they are sent."""


@runtime_checkable
class Camera(Protocol):
    """What a terminal has beside the rest if it can send photos."""

    def photo(self, time: datetime, latitude: float, longitude: float) -> tuple[int, str, bytes]:
        """Take a photo: a report like any other, of more bytes than a frame holds."""


class MessageRow(Protocol):
    """What every protocol's table says of a message."""

    @property
    def id(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def english(self) -> str: ...
    @property
    def chinese(self) -> str: ...
    @property
    def layouts(self) -> Mapping[str, Struct]:
        """The body's declarations by edition."""

    @property
    def direction(self) -> Enum:
        """Its value is ``up`` if the device sends it, ``down`` if the platform does."""

    @property
    def answer(self) -> Enum:
        """How the platform answers it; the value says it in a few words."""

    @property
    def answered_by(self) -> tuple[int, ...]:
        """What the device answers with, by id."""


class DeviceProtocol(Protocol):
    """A protocol as the rest of the house sees it."""

    name: str
    """Its word in settings, commands and rows: ``jt808``."""
    title: str
    """Its name among people: ``JT/T 808``."""
    port: int
    """The TCP port it listens on by default."""

    @property
    def messages(self) -> Mapping[int, MessageRow]:
        """The table of messages, by id."""

    @property
    def headers(self) -> Mapping[str, Struct]:
        """What stands before a body, by what tells the layouts apart."""

    def codec(self) -> Codec:
        """The platform's end of a new link."""

    def terminal(self, identity: str) -> Terminal:
        """A simulated device."""

    def decode(self, message: Message) -> Decoded:
        """Decode a body. Bad bytes never raise: they are the ``error`` of what is returned."""

    def explain(self, frame: bytes) -> Field:
        """What every byte of a frame means, be it good or bad, whole or cut."""

    def kind_name(self, kind: int) -> str:
        """The message's word in reports and pages; its hex where the protocol has no such message."""

    def ends_session(self, kind: int) -> bool:
        """Whether the device takes its leave with this message."""
