"""Both ends of a link without a network: a simulated device, a codec, and a platform that stores at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from protocols import Acked, DeviceProtocol, Event, Made, Malformed, Message, Moment, Outcome, Report, Send

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Conversation:
    """A device and what it is linked with, on a clock of their own."""

    def __init__(self, protocol: DeviceProtocol, identity: str = "", outcome: Outcome = Outcome.STORED) -> None:
        self.protocol = protocol
        self.terminal = protocol.terminal(identity or protocol.simulated_identity(0))
        self.outcome = outcome
        self.now = 0.0
        self.messages: list[Message] = []
        self.malformed: list[Malformed] = []
        self.stored: list[tuple[str, Report]] = []
        self.errors: list[str] = []
        self.made: dict[int, Made] = {}
        self.acked: list[int] = []
        self.connect()

    @property
    def time(self) -> datetime:
        return START + timedelta(seconds=self.now)

    def moment(self) -> Moment:
        """Somewhere further east each second."""
        return Moment(self.time, 31.2, 121.5 + self.now / 10_000, 12.0, 36.0, 90.0, self.now / 100)

    def connect(self) -> None:
        """A new link; what was under way on the last one is lost. A moment later the platform knows who it is."""
        self.codec = self.protocol.codec()
        self.talk(self.terminal.connect())
        self.pass_time(1)

    def report(self) -> list[Made]:
        """What the device has to say now, not sent yet."""
        made = list(self.terminal.report(self.moment()))
        self.made.update((one.sequence, one) for one in made)
        return made

    def send(self, made: list[Made]) -> None:
        """Send reports as far as the device will, and let both ends talk until they are silent."""
        waiting = list(made)
        while waiting:
            data, count = self.terminal.send(waiting)
            if not count:
                return
            del waiting[:count]
            self.talk(data)

    def pass_time(self, seconds: float) -> None:
        """Let the clock go on; the codec is woken when it wants to be."""
        end = self.now + seconds
        while (deadline := self.codec.deadline) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.talk(self._take(self.codec.wake(self.now), hear=True))
        self.now = end

    def talk(self, data: bytes) -> None:
        """Bytes of the device's, and all that follows at once."""
        while data:
            data = self._take(self.codec.receive(data, self.now), hear=True)

    def _take(self, events: object, hear: bool) -> bytes:
        """What the platform makes of its codec's events, and the bytes the device answers that with."""
        down = b""
        for event in list(events):  # type: ignore[call-overload]
            down += self._store(event)
        return self._hear(down) if hear and down else b""

    def _store(self, event: Event) -> bytes:
        if isinstance(event, Send):
            return event.data
        if isinstance(event, Malformed):
            self.malformed.append(event)
            return b""
        self.messages.append(event)
        if self.outcome is not Outcome.REFUSED:
            decoded = self.protocol.decode(event)
            self.stored += [(event.identity, report) for report in decoded.reports]
            self.errors += [str(decoded.error)] if decoded.error else []
        return self.codec.ack(event, self.outcome, self.time)

    def _hear(self, down: bytes) -> bytes:
        up = b""
        for event in self.terminal.receive(down):
            if isinstance(event, Send):
                up += event.data
            elif isinstance(event, Acked):
                self.acked.append(event.sequence)
            else:
                self.made[event.sequence] = event
        return up
