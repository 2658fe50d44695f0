"""One simulated device: it keeps each report until its ack, across links, and sends it again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from twisted.internet.interfaces import IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from iotgw.simulator.track import Track
from protocols import Camera, Terminal


class Kept(NamedTuple):
    """A report that is not acked yet."""

    kind: str
    body: bytes
    made: float
    """By the reactor's clock."""


Acked = Callable[["Device", Kept], None]


class Device:
    """A device through all its links.

    It makes a report every interval, online or not. What is not acked is sent again on the next link, and on the
    same link when no ack came for a while.
    """

    def __init__(self, terminal: Terminal, clock: IReactorTime, resend_seconds: float, acked: Acked) -> None:
        self.identity = terminal.identity
        self.sent = 0
        self._terminal = terminal
        self._clock = clock
        self._resend_seconds = resend_seconds
        self._acked = acked
        self._track = Track.begin(terminal.identity)
        self._kept: dict[int, Kept] = {}
        self._sent_at: dict[int, float] = {}
        self._transport: ITCPTransport | None = None
        self._was_online = False

    @property
    def kept(self) -> int:
        return len(self._kept)

    @property
    def is_online(self) -> bool:
        return self._transport is not None and self._terminal.is_online

    def make_report(self, interval: float) -> None:
        """Drive on, make a report, send it if there is a link, and repeat what has waited too long for its ack."""
        track = self._track
        track.drive(interval)
        self._keep_and_send(
            *self._terminal.report(datetime.now(UTC), track.latitude, track.longitude, track.speed_kmh, track.course_deg)
        )
        self.resend_overdue()

    def take_photo(self) -> None:
        """Take a photo where it is now; a report like the others from here on.

        Raises: TypeError when its protocol's terminals have no camera.
        """
        if not isinstance(self._terminal, Camera):
            raise TypeError(f"{type(self._terminal).__name__} has no camera")
        self._keep_and_send(*self._terminal.photo(datetime.now(UTC), self._track.latitude, self._track.longitude))

    def resend_overdue(self) -> None:
        overdue = self._clock.seconds() - self._resend_seconds
        for sequence, sent_at in list(self._sent_at.items()):
            if sent_at < overdue:
                self._send(sequence)

    def link_up(self, transport: ITCPTransport) -> None:
        self._transport = transport
        self._was_online = False
        self._sent_at.clear()
        transport.write(self._terminal.connect())

    def link_down(self) -> None:
        self._transport = None
        self._sent_at.clear()

    def receive(self, data: bytes) -> None:
        answer, acked = self._terminal.receive(data)
        for sequence in acked:
            kept = self._kept.pop(sequence, None)
            self._sent_at.pop(sequence, None)
            if kept is not None:
                self._acked(self, kept)
        if answer and self._transport is not None:
            self._transport.write(answer)
        if self._terminal.is_online and not self._was_online:
            self._was_online = True
            for sequence in list(self._kept):
                self._send(sequence)

    def _keep_and_send(self, sequence: int, kind: str, body: bytes) -> None:
        self._kept[sequence] = Kept(kind, body, self._clock.seconds())
        self._send(sequence)

    def _send(self, sequence: int) -> None:
        if not self.is_online or self._transport is None:
            return
        self._sent_at[sequence] = self._clock.seconds()
        self._transport.write(self._terminal.frame(sequence, self._kept[sequence].body))
        self.sent += 1


class DeviceLink(Protocol):
    """The device's end of one TCP connection."""

    transport: ITCPTransport

    def __init__(self, device: Device) -> None:
        self._device = device

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self._device.link_up(self.transport)

    def dataReceived(self, data: bytes) -> None:
        self._device.receive(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._device.link_down()
