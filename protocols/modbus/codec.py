"""The platform's end of a DTU's link: the DTU dials in, and the platform asks.

DTU                                            platform
  ── registration, free bytes ──────────────────▶   compared with the rules of the site's map
                                                     nothing is answered; once it is stored, polling begins
  ◀───────────────────── requests to its units ──
  ── answers, one by one ───────────────────────▶   a reading when a group is complete
                                                     the group is read again only when that is stored
  ── heartbeats, at any time ───────────────────▶   passed over
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from protocols.command import Prepared
from protocols.framing import SAMPLE_BYTES
from protocols.message import Event, Malformed, Message, Outcome, RawFrame
from protocols.modbus import kinds
from protocols.modbus.frame import is_mbap
from protocols.modbus.line import Line
from protocols.modbus.registration import BLANKS, MAX_BYTES
from protocols.modbus.site import Dtu, Maps, unmapped_dtu
from protocols.modbus.writes import Wanted
from protocols.modbus.writing import wanted

QUIET_SECONDS = 0.5
"""An unnamed link that says nothing more for so long has said all it has to say."""


class ModbusCodec:
    """One link."""

    def __init__(self, maps: Maps, identity: str = "") -> None:
        self.is_watched = False
        self._maps = maps
        self._line: Line | None = None
        self._buffer = bytearray()
        self._quiet_at = 0.0
        self._now = 0.0
        self._stranger = ""
        """A device of no map on whose link frames are only looked at: nothing is known of its line, and it is asked nothing."""
        if identity:
            self._begin(identity)

    @property
    def deadline(self) -> float | None:
        if self._line is not None:
            return self._line.deadline
        return self._quiet_at if self._buffer else None

    def receive(self, data: bytes, now: float) -> Sequence[Event]:
        self._now = now
        if self._line is None and self._stranger:
            self._line = Line(unmapped_dtu("mbap" if is_mbap(data) else "rtu"), self._stranger, b"")
        if self._line is not None:
            self._line.is_watched = self.is_watched
            return self._line.receive(data, now)
        events = self._quiet(now)
        self._buffer += data
        self._quiet_at = now + QUIET_SECONDS
        return events + self._name(now, is_quiet=False)

    def wake(self, now: float) -> Sequence[Event]:
        self._now = now
        if self._line is None:
            return self._quiet(now)
        self._line.is_watched = self.is_watched
        return self._line.wake(now)

    def ack(self, message: Message, outcome: Outcome, time: datetime) -> bytes:
        """Nothing to send, ever: Modbus has no answer. What is stored lets polling begin, and go on."""
        if self._line is None:
            return b""
        if message.kind == kinds.REGISTRATION and outcome is not Outcome.REFUSED:
            self._line.admit()
        else:
            self._line.settle(message, outcome)
        return b""

    def prepare(self, head: bytes, kind: int, body: bytes, number: int, time: datetime) -> Prepared:
        """The frame of a command as it would leave, but for the number of its transaction where there is one.

        Raises: ValueError when it could not be done, with the reason.
        """
        if self._line is None:
            raise ValueError("the DTU has not registered yet")
        request = self._line.checked(self._wanted(kind, body, self._line)).request
        return Prepared(kind, self._line.dtu.framing.wrap(request.unit, request.pdu, 0), None, body)

    def launch(self, prepared: Prepared, now: float) -> Sequence[Event]:
        """It leaves when the line is free; what became of it comes as a message of its own."""
        self._now = now
        if self._line is not None:
            self._line.command(self._wanted(prepared.kind, prepared.body, self._line), now)
        return []

    def end(self) -> Sequence[Event]:
        if self._line is not None:
            return self._line.end()
        left, self._buffer = bytes(self._buffer), bytearray()
        if not left.strip(BLANKS):
            return []
        is_beginning = self._maps.registered(left, 0)[1].may_grow
        return [Malformed("cut" if is_beginning else "unidentified", left[:SAMPLE_BYTES])]

    def _wanted(self, kind: int, body: bytes, line: Line) -> Wanted:
        return wanted(kind, body, {number: unit.plan.model for number, unit in line.units.items()})

    def _begin(self, identity: str) -> None:
        """As if this DTU had registered and were stored already."""
        known = self._maps.dtu(identity) or self._maps.dtu(identity.rpartition("/")[0])
        if known is None:
            self._stranger = identity
            return
        dtu, registration = known
        self._line = Line(dtu, dtu.identity(registration), registration)
        self._line.admit()

    def _name(self, now: float, is_quiet: bool) -> list[Event]:
        """Look for a registration in what has come so far; modems may put words of their own before it."""
        data = bytes(self._buffer)
        for at in range(min(len(data), MAX_BYTES)):
            dtu, match = self._maps.registered(data, at)
            if match.may_grow and not is_quiet:
                return []
            if dtu is not None:
                return self._named(dtu, at, match.end, now)
        if is_quiet or len(data) > MAX_BYTES:
            return self._unidentified()
        return []

    def _named(self, dtu: Dtu, at: int, end: int, now: float) -> list[Event]:
        before, packet, behind = bytes(self._buffer[:at]), bytes(self._buffer[at:end]), bytes(self._buffer[end:])
        self._buffer = bytearray()
        self._line = Line(dtu, dtu.identity(packet), packet, now)
        self._line.is_watched = self.is_watched
        events = [*self._frame(before), Malformed("garbage", before)] if before.strip(BLANKS) else []
        events += self._frame(packet)
        events.append(Message(self._line.identity, kinds.REGISTRATION, 0, b"", packet))
        return events + (self._line.receive(behind, now) if behind else [])

    def _quiet(self, now: float) -> list[Event]:
        return self._name(now, is_quiet=True) if self._buffer and now >= self._quiet_at else []

    def _unidentified(self) -> list[Event]:
        left, self._buffer = bytes(self._buffer), bytearray()
        # A heartbeat that many send does not say who this one is, but it is nothing bad either.
        if not left.strip(BLANKS) or self._maps.is_heartbeat(left.strip(BLANKS)):
            return self._frame(left)
        return [*self._frame(left), Malformed("unidentified", left[:SAMPLE_BYTES])]

    def _frame(self, raw: bytes) -> list[Event]:
        return [RawFrame(raw)] if self.is_watched else []
