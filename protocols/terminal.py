"""The device's end of a link, for simulators and tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol, runtime_checkable

from protocols.executions import Executions
from protocols.message import Send


class Moment(NamedTuple):
    """Where a simulated device is, and when. Units as in :class:`protocols.report.Report`."""

    time: datetime
    """Aware."""
    latitude: float
    longitude: float
    altitude_m: float = 40.0
    speed_kmh: float = 0.0
    course_deg: float = 0.0
    odometer_km: float = 0.0
    """What it has driven so far; never less than a moment ago."""


class Made(NamedTuple):
    """A report that a terminal has made.

    ``kind`` and ``body`` are what the stored report has as its own, so that both have the same digest.
    """

    sequence: int
    """The terminal's own number of this report; no two have the same."""
    kind: str
    body: bytes
    is_answered: bool = True
    """Whether the protocol has an answer to it. What has none is sent once and not kept."""
    identity: str = ""
    """The device that reports; empty for the terminal itself."""


class Acked(NamedTuple):
    """The platform has a report that was made, and says so."""

    sequence: int


TerminalEvent = Send | Made | Acked


class Terminal(Protocol):
    """One simulated device. The object lives as long as the device does, through all its links.

    It does not keep reports for sending them again: whoever runs it does, and hands them to :meth:`send`.
    """

    identity: str
    heartbeat_seconds: float
    """How often it says that it is there."""
    executed: Executions
    """What it was told to do, and has done."""

    def connect(self, moment: Moment | None = None) -> bytes:
        """A new link is up: what the device sends first. What was not acked on the last one is not acked yet.

        ``moment`` is now and here; None for a device that has no clock before the platform tells it the time.
        """

    def receive(self, data: bytes) -> Sequence[TerminalEvent]:
        """Take the platform's bytes: what to send now, what is acked, and reports that were asked for, in order.

        Garbage is passed over.
        """

    @property
    def is_online(self) -> bool:
        """Whether the platform has let the device in."""

    def report(self, moment: Moment) -> Sequence[Made]:
        """What the device has to say of a moment: a report, several such as an alarm beside it, or nothing."""

    def send(self, waiting: Sequence[Made]) -> tuple[bytes, int]:
        """Send reports, oldest first: the bytes that leave now, and how many of the reports are in them.

        None while the device is not online, or if it waits for an answer before it goes on. A report that is sent again
        has the same bytes in it as before.
        """

    def heartbeat(self) -> bytes:
        """What says that it is there; empty for a protocol without such a message."""


@runtime_checkable
class Camera(Protocol):
    """What a terminal has beside the rest if it can send photos."""

    def photo(self, moment: Moment) -> Sequence[Made]:
        """Take a photo: what the protocol makes of one, a report of many frames or many reports."""
