"""A simulated DTU with the units of its line, for simulators and tests.

It reports nothing by itself: it is asked. That the platform has stored a reading it learns from being asked for the
same group once more, for the platform does so only then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, auto

from protocols.command import Effect
from protocols.executions import Executions
from protocols.message import Send
from protocols.modbus.catalogue import rule_of
from protocols.modbus.pdu import EXCEPTION_BIT, MORE, READS, ExceptionCode, Request
from protocols.modbus.planner import Block, GroupPlan, UnitPlan, longer
from protocols.modbus.reading import ANSWERED, Result, reading_body
from protocols.modbus.simulation import SimulatedUnit
from protocols.modbus.site import Dtu
from protocols.modbus.stream import MAX_HELD_BYTES
from protocols.terminal import Acked, Made, Moment, TerminalEvent


class Fault(Enum):
    """What may go wrong with one answer."""

    SILENT = auto()
    """The unit does not answer."""
    LATE = auto()
    """Its answer comes together with the next one, before it."""
    GARBLED = auto()
    """The line spoils a bit."""
    ECHOED = auto()
    """The line sends the request back first."""
    BUSY = auto()
    """Exception 06."""


Faults = Callable[[int, Request], Fault | None]
"""What goes wrong with the answer to a request, given how many came before it."""


class ModbusTerminal:
    """One DTU. The object lives as long as the DTU does, through all its links."""

    def __init__(self, dtu: Dtu, registration: bytes, faults: Faults = lambda number, request: None) -> None:
        self.identity = dtu.identity(registration)
        self.heartbeat_seconds = dtu.heartbeat_seconds
        self._dtu = dtu
        self._registration = registration
        self._faults = faults
        self._units = {plan.unit: SimulatedUnit(plan, f"{self.identity}/{plan.unit}") for plan in dtu.plan.units}
        self.executed = Executions()
        """Of writes; the body is the unit's number and the request's data."""
        self._rounds: list[_Rounds] = []
        self._buffer = bytearray()
        self._kept = b""
        self._requests = 0
        self._sequence = 0
        self._is_online = False

    @property
    def is_online(self) -> bool:
        return self._is_online

    def connect(self, moment: Moment | None = None) -> bytes:
        self._go_on(moment)
        self._is_online = False
        self._buffer = bytearray()
        self._kept = b""
        self._rounds = [_Rounds(plan, group) for plan in self._dtu.plan.units for group in plan.groups]
        return b"" if self._dtu.sent == "each" else self._registration

    def receive(self, data: bytes) -> Sequence[TerminalEvent]:
        self._buffer += data
        del self._buffer[:-MAX_HELD_BYTES]
        events: list[TerminalEvent] = []
        at = 0
        while at < len(self._buffer):
            size = self._dtu.framing.request_at(self._buffer, at)
            if size == MORE:
                break
            if size == 0:
                at += 1
                continue
            frame = bytes(self._buffer[at : at + size])
            at += size
            events += self._asked(frame)
        del self._buffer[:at]
        return events

    def report(self, moment: Moment) -> Sequence[Made]:
        """Nothing: its units go on with the time, and are asked."""
        self._go_on(moment)
        return []

    def send(self, waiting: Sequence[Made]) -> tuple[bytes, int]:
        return b"", 0

    def heartbeat(self) -> bytes:
        return next(iter(self._dtu.heartbeats), b"")

    def _go_on(self, moment: Moment | None) -> None:
        for unit in self._units.values():
            unit.moment = moment or unit.moment

    def _asked(self, frame: bytes) -> list[TerminalEvent]:
        """A request: who is asked answers, and what is known to be stored by it is told."""
        adu = self._dtu.framing.unframed(frame)
        unit = self._units.get(adu[0])
        self._is_online = True
        if unit is None:
            return []
        request = Request(adu[0], adu[1], adu[2:])
        fault = self._faults(self._requests, request)
        self._requests += 1
        answer = bytes((request.function | EXCEPTION_BIT, ExceptionCode.BUSY)) if fault is Fault.BUSY else unit.answer(request.pdu)
        if rule_of(request.function).effect is not Effect.QUERY and not answer[0] & EXCEPTION_BIT:
            self.executed.add(request.function, 0, bytes((request.unit,)) + request.data)
        events: list[TerminalEvent] = []
        for rounds in self._rounds:
            body = rounds.take(request, answer)
            if body is not None:
                self._sequence += 1
                events += [Made(self._sequence, "reading", body, identity=f"{self.identity}/{request.unit}"), Acked(self._sequence)]
        sent = self._sent(frame, self._dtu.framing.wrap(request.unit, answer, int.from_bytes(frame[:2], "big")), fault)
        return [Send(sent), *events] if sent else events

    def _sent(self, request: bytes, answer: bytes, fault: Fault | None) -> bytes:
        """What comes out of the DTU."""
        if self._dtu.sent != "connect":
            answer = self._registration + answer
        if fault is Fault.SILENT:
            return b""
        if fault is Fault.LATE:
            self._kept += answer
            return b""
        if fault is Fault.GARBLED:
            answer = answer[:-1] + bytes((answer[-1] ^ 0x10,))
        elif fault is Fault.ECHOED:
            answer = request + answer
        kept, self._kept = self._kept, b""
        return kept + answer


class _Rounds:
    """A group of a unit, as it is asked for: round after round, block after block.

    A round is certain only if its blocks were asked for once each and in the plan's order. A request that comes twice
    may be one whose answer the platform did not get in time, and then nobody here knows which answer it took.
    """

    def __init__(self, plan: UnitPlan, group: GroupPlan) -> None:
        self._unit = plan.unit
        self._blocks = group.blocks
        self._places = {block.request(plan.unit): index for index, block in enumerate(group.blocks)}
        varied = [longer(block, plan.model.limits) for block in group.blocks]
        self._varied = {block.request(plan.unit) for block in varied if block is not None}
        self._is_tellable = self._has_one_meaning(plan)
        self._results: list[Result] = []
        self._is_certain = True

    def _has_one_meaning(self, plan: UnitPlan) -> bool:
        """Whether asking for the first block again always means that a new round begins, and is no second try, no probe
        and no reading back."""
        if not plan.model.limits.retries:
            return False
        if len(self._blocks) > 1:
            return True
        (block,) = self._blocks
        points = (plan.model.point(command.readback) for command in plan.model.commands.values() if command.readback)
        read_back = [Block(point.function, point.address, point.format.size) for point in points if point is not None]
        return bool(self._varied) and block != plan.shortest and block not in read_back

    def take(self, request: Request, answer: bytes) -> bytes | None:
        """Take a request with its answer; the body of the reading that it says is stored, if it does."""
        if request.unit != self._unit or request.function not in READS:
            return None
        if request in self._varied and request not in self._places:
            self._is_certain = False
            return None
        place = self._places.get(request)
        if place is None:
            return None
        body = None
        if place == 0:
            is_whole = len(self._results) == len(self._blocks)
            if is_whole and self._is_certain and self._is_tellable:
                body = reading_body(self._results)
            # After a round that broke off, the answer to this request may be the one to the last.
            self._is_certain = is_whole or not self._results
            self._results = []
        elif place != len(self._results):
            self._is_certain = False
            return None
        if answer[0] & EXCEPTION_BIT:
            self._is_certain = False
        self._results.append(Result(self._blocks[place], ANSWERED, 0, answer[2:]))
        return body
