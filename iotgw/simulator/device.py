"""One simulated device: it keeps each report until its ack, across links, and sends it again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple

from twisted.internet.interfaces import IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from iotgw.simulator.track import Track
from protocols import Acked, Camera, Made, Send, Terminal
from protocols.executions import Execution, Executions

OFFERED = 256
"""Waiting reports that a terminal is shown at a time: more than any sends at once, and few however long a link was away."""


class Kept(NamedTuple):
    """A report that is not acked yet."""

    made: Made
    at: float
    """When it was made, by the reactor's clock."""


RecordAck = Callable[["Device", Kept], None]


class Device:
    """A device through all its links.

    It makes a report every interval, online or not. What is not acked is sent again on the next link, and on the
    same link when no ack came for a while.
    """

    def __init__(self, terminal: Terminal, clock: IReactorTime, resend_seconds: float, record_ack: RecordAck) -> None:
        self.identity = terminal.identity
        self.sent = 0
        self.unanswered = 0
        """Reports that were sent and to which the protocol has no answer."""
        self._terminal = terminal
        self._clock = clock
        self._resend_seconds = resend_seconds
        self._record_ack = record_ack
        self._track = Track.begin(terminal.identity)
        self._kept: dict[int, Kept] = {}
        self._waiting: dict[int, Made] = {}
        """Those of the kept that are still to be sent on this link, oldest first."""
        self._sent_at: dict[int, float] = {}
        self._transport: ITCPTransport | None = None

    @property
    def kept(self) -> int:
        return len(self._kept)

    @property
    def executed(self) -> dict[Execution, int]:
        """How often it has carried out each command that it was told. Terminals of other packages need not know."""
        executions: Executions | None = getattr(self._terminal, "executed", None)
        return executions.times() if executions else {}

    @property
    def is_online(self) -> bool:
        return self._transport is not None and self._terminal.is_online

    @property
    def heartbeat_seconds(self) -> float:
        return self._terminal.heartbeat_seconds

    def make_report(self, interval: float) -> None:
        """Drive on, report, send it if there is a link, and repeat what has waited too long for its ack."""
        self._track.drive(interval)
        self._keep(self._terminal.report(self._track.moment(datetime.now(UTC))))
        self.resend_overdue()

    def take_photo(self) -> None:
        """Take a photo where it is now; reported like the rest from here on.

        Raises: TypeError when its protocol's terminals have no camera.
        """
        if not isinstance(self._terminal, Camera):
            raise TypeError(f"{type(self._terminal).__name__} has no camera")
        self._keep(self._terminal.photo(self._track.moment(datetime.now(UTC))))
        self._flush()

    def beat(self) -> None:
        """Say that it is there."""
        if self.is_online and self._transport is not None and (data := self._terminal.heartbeat()):
            self._transport.write(data)

    def resend_overdue(self) -> None:
        """Send what waits, and once more what was sent and has waited too long for its ack."""
        overdue = self._clock.seconds() - self._resend_seconds
        again = {sequence for sequence, at in self._sent_at.items() if at < overdue}
        if again:
            self._waiting = {
                sequence: kept.made for sequence, kept in self._kept.items() if sequence in self._waiting or sequence in again
            }
        self._flush()

    def link_up(self, transport: ITCPTransport) -> None:
        self._transport = transport
        self._sent_at.clear()
        self._waiting = {sequence: kept.made for sequence, kept in self._kept.items()}
        transport.write(self._terminal.connect(self._track.moment(datetime.now(UTC))))

    def drop_link(self) -> None:
        """Lose the link without a word, as a device does whose power fails: what was on its way to it is gone."""
        if self._transport is not None:
            self._transport.abortConnection()

    def link_down(self) -> None:
        self._transport = None
        self._sent_at.clear()

    def receive(self, data: bytes) -> None:
        for event in self._terminal.receive(data):
            if isinstance(event, Send):
                if self._transport is not None:
                    self._transport.write(event.data)
            elif isinstance(event, Acked):
                self._settle(event.sequence)
            else:
                # What the platform has asked for has left with the answer already.
                self._kept[event.sequence] = Kept(event, self._clock.seconds())
        self._flush()

    def _keep(self, reports: Iterable[Made]) -> None:
        for made in reports:
            self._kept[made.sequence] = Kept(made, self._clock.seconds())
            self._waiting[made.sequence] = made

    def _settle(self, sequence: int) -> None:
        kept = self._kept.pop(sequence, None)
        self._waiting.pop(sequence, None)
        self._sent_at.pop(sequence, None)
        if kept is not None:
            self._record_ack(self, kept)

    def _flush(self) -> None:
        """Let the terminal send as much of what waits as it will now."""
        while self._waiting and self.is_online and self._transport is not None:
            offered = list(islice(self._waiting.values(), OFFERED))
            data, count = self._terminal.send(offered)
            if not count:
                return
            self._transport.write(data)
            self.sent += count
            for made in offered[:count]:
                del self._waiting[made.sequence]
                if made.is_answered:
                    self._sent_at[made.sequence] = self._clock.seconds()
                else:
                    del self._kept[made.sequence]
                    self.unanswered += 1


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
