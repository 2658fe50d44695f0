"""What a device protocol offers: one object per protocol, one codec per link, one terminal per simulated device."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from protocols.message import Event, Message, Outcome
from protocols.report import Decoded


class Codec(Protocol):
    """The platform's end of one link.

    It never raises on a peer's bytes, and holds a bounded number of them.
    """

    def receive(self, data: bytes, now: float) -> Sequence[Event]:
        """Take bytes as they came, at ``now`` (seconds of any steady clock); give what they complete, in order."""

    def ack(self, message: Message, outcome: Outcome) -> bytes:
        """The bytes that answer a message which came over this link; empty if the protocol has none."""

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


class DeviceProtocol(Protocol):
    """A protocol as the rest of the house sees it."""

    name: str
    """Its word in settings, commands and rows: ``jt808``."""
    title: str
    """Its name among people: ``JT/T 808``."""
    port: int
    """The TCP port it listens on by default."""

    def codec(self) -> Codec:
        """The platform's end of a new link."""

    def terminal(self, identity: str) -> Terminal:
        """A simulated device."""

    def decode(self, message: Message) -> Decoded:
        """Decode a body. Bad bytes never raise: they are the ``error`` of what is returned."""

    def kind_name(self, kind: int) -> str:
        """The message's word in reports and pages; its hex where the protocol has no such message."""

    def ends_session(self, kind: int) -> bool:
        """Whether the device takes its leave with this message."""
