"""A command on its way: sent, answered, read back.

queued -> sent -> accepted -> confirmed | different       the echo is right; what is read back is equal, or not
               -> refused                                 an exception
               -> unknown                                 no answer: it may have been done all the same
       -> expired                                         it waited too long to be meant still

After a time-out it is read back first. Sent again is only what may be done twice, and only if it was not done.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

from protocols.compiler import compile
from protocols.modbus import kinds
from protocols.modbus.model import Command, Point
from protocols.modbus.pdu import EXCEPTION_BIT, ExceptionCode, Function, Request, read_request
from protocols.modbus.polls import BUSY_SECONDS, COMMAND, READ_BACK, Note, Unit
from protocols.modbus.reading import COMMAND_RESULT, head
from protocols.modbus.values import decimal

RAW_EXPIRES_SECONDS = 30.0
"""How long a command may wait that no map describes."""
ACKNOWLEDGED_SECONDS = 5.0
"""A unit that says it will take long is read back after this at the earliest."""
MAX_SENT = 2


class Wanted(NamedTuple):
    """What a command asks for, and how it is seen that it was done."""

    request: Request
    body: bytes
    """The command as it was given."""
    command: Command | None
    """None for one that no map describes: it is sent once, and not read back."""
    readback: Point | None


class _Step(Enum):
    QUEUED = auto()
    READING = auto()
    DONE = auto()


class Write:
    """One command. It is a client of the line until it has its outcome."""

    is_under_way = False

    def __init__(self, unit: Unit, wanted: Wanted, queued_at: float) -> None:
        self.unit = unit
        self.queued_at = queued_at
        self._wanted = wanted
        self._step = _Step.QUEUED
        self._due_at = queued_at
        self._sent = 0
        self._reads = 0
        self._was_accepted = False
        self._answer = b""

    @property
    def rank(self) -> int:
        return COMMAND if self._step is _Step.QUEUED else READ_BACK

    @property
    def is_done(self) -> bool:
        return self._step is _Step.DONE

    @property
    def due(self) -> float | None:
        return None if self.is_done else self._due_at

    @property
    def expires_at(self) -> float:
        command = self._wanted.command
        return self.queued_at + (command.expires_seconds if command else RAW_EXPIRES_SECONDS)

    @property
    def waits_until(self) -> float | None:
        """When it will have waited too long; None once it was sent."""
        return self.expires_at if self._step is _Step.QUEUED and not self._sent else None

    def expire(self, now: float) -> list[Note]:
        """What becomes of it if it has waited too long."""
        return self._ends("expired") if self.waits_until is not None and now >= self.waits_until else []

    def request(self, now: float) -> Request | None:
        if self._step is _Step.QUEUED:
            return self._wanted.request
        assert self._wanted.readback is not None
        point = self._wanted.readback
        return read_request(self.unit.number, point.function, point.address, point.format.size)

    def answered(self, pdu: bytes, now: float) -> list[Note]:
        if self._step is _Step.READING:
            return self._read_back(pdu, now)
        self._sent += 1
        self._answer = pdu
        if not pdu[0] & EXCEPTION_BIT:
            self._was_accepted = True
            return self._accepted(now)
        if pdu[1] == ExceptionCode.BUSY and self._sent < MAX_SENT:
            # Busy is not done, so that it may be sent again whatever it is.
            self._due_at = now + BUSY_SECONDS
            return []
        if pdu[1] == ExceptionCode.ACKNOWLEDGE:
            self._was_accepted = True
            return self._accepted(now, ACKNOWLEDGED_SECONDS)
        return self._ends("refused", pdu[1])

    def unanswered(self, now: float) -> list[Note]:
        if self._step is _Step.QUEUED:
            self._sent += 1
            if self._wanted.readback is None:
                return self._ends("unknown")
            self._step, self._due_at, self._reads = _Step.READING, now, 0
            return []
        return self._not_read(now)

    def told(self, sequence: int) -> None:
        pass

    def settled(self, sequence: int) -> None:
        pass

    def _accepted(self, now: float, at_least: float = 0.0) -> list[Note]:
        command = self._wanted.command
        if command is None and self._wanted.request.function not in _WRITES:
            return self._ends("answered")
        if self._wanted.readback is None or command is None:
            return self._ends("accepted")
        self._step, self._due_at, self._reads = _Step.READING, now + max(command.settle_seconds, at_least), 0
        return []

    def _read_back(self, pdu: bytes, now: float) -> list[Note]:
        if pdu[0] & EXCEPTION_BIT:
            if pdu[1] == ExceptionCode.BUSY:
                return self._not_read(now, BUSY_SECONDS)
            return self._ends("accepted" if self._was_accepted else "unknown", pdu[1])
        self._answer = pdu
        if self._is_as_written(pdu[2:]):
            return self._ends("confirmed")
        command = self._wanted.command
        if not self._was_accepted and command is not None and command.is_repeatable and self._sent < MAX_SENT:
            self._step, self._due_at = _Step.QUEUED, now
            return []
        return self._ends("different")

    def _not_read(self, now: float, pause: float = 0.0) -> list[Note]:
        self._reads += 1
        self._due_at = now + pause
        if self._reads <= max(1, self.unit.limits.retries):
            return []
        return self._ends("accepted" if self._was_accepted else "unknown")

    def _is_as_written(self, data: bytes) -> bool:
        """Whether what is read back is what was written: equal, for floats within one step of the scale."""
        command, point = self._wanted.command, self._wanted.readback
        assert command is not None
        assert point is not None
        written = command.format.read(written_data(self._wanted.request))
        found = point.format.read(data)
        if written is None or found is None or isinstance(written, str) or isinstance(found, str):
            return written == found
        wanted, there = decimal(written, command.scale, command.offset), decimal(found, point.scale, point.offset)
        return abs(wanted - there) <= (abs(point.scale) if point.format.is_float or command.format.is_float else 0)

    def _ends(self, state: str, exception: int = 0) -> list[Note]:
        self._step = _Step.DONE
        body = compile(COMMAND_RESULT).build(
            {
                "state": state,
                "exception": exception,
                "answer": self._answer,
                "function": self._wanted.request.function,
                "request": self._wanted.body,
            }
        )
        return [Note(kinds.COMMAND_RESULT, head(self.unit.plan.model), body)]


_WRITES = frozenset(
    {
        Function.WRITE_COIL,
        Function.WRITE_REGISTER,
        Function.WRITE_COILS,
        Function.WRITE_REGISTERS,
        Function.MASK_WRITE_REGISTER,
        Function.READ_WRITE_REGISTERS,
    }
)


def written_data(request: Request) -> bytes:
    """The values in a request to write: registers, or one byte for a coil."""
    if request.function == Function.WRITE_COIL:
        return bytes((int(request.data[2:4] != b"\0\0"),))
    if request.function == Function.WRITE_REGISTER:
        return request.data[2:4]
    return request.data[5:]
