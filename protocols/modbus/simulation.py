"""The units behind a simulated DTU: registers and coils that behave as their map says they do."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import blake2b
from math import pi, sin

from protocols.modbus.model import Point
from protocols.modbus.pdu import (
    BIT_READS,
    EXCEPTION_BIT,
    FUNCTIONS,
    IDENTIFICATION,
    MAX_READ_BITS,
    MAX_READ_REGISTERS,
    READS,
    ExceptionCode,
    Function,
)
from protocols.modbus.planner import UnitPlan
from protocols.modbus.values import Raw, bit_at, packed_bits
from protocols.terminal import Moment

_SHAPES = {
    **{"V": (230.0, 4.0), "kV": (10.2, 0.2), "A": (9.0, 6.0), "Hz": (50.0, 0.04), "W": (8450.0, 2500.0), "kW": (8.4, 2.5)},
    **{"°C": (26.0, 6.0), "%": (58.0, 12.0), "bar": (4.2, 0.4), "MPa": (0.42, 0.04), "m": (2.6, 0.5), "mA": (12.0, 3.0)},
}
"""By unit: around what a value goes, and how far."""
_FACTOR = (0.95, 0.03)
_DEFAULT = (100.0, 20.0)
_PERIOD_SECONDS = 3600.0
_JITTER = 0.05
_PER_HOUR = 6.0
"""How fast a counter goes: an energy, a volume. Seconds, and what has no unit, go with the clock."""
_NOON = Moment(datetime(2026, 3, 1, 12, tzinfo=UTC), 31.2, 121.5)
_OBJECTS = ((0, b"IOTGW"), (2, b"1.0"))


class SimulatedUnit:
    """One unit. What is written to it stays; what nobody writes goes its way with the time and a little by chance."""

    def __init__(self, plan: UnitPlan, name: str) -> None:
        self.moment = _NOON
        self._plan = plan
        self._name = name
        self._reads = 0
        self._written: dict[tuple[bool, int], int] = {}
        """By whether it is a coil and its address."""
        self._counters: dict[str, float] = {}
        self._began = _NOON.time.timestamp()
        self._points = [point for group in plan.groups for point in group.group.points]
        commands = plan.model.commands.values()
        self._writable = {
            (command.function in (Function.WRITE_COIL, Function.WRITE_COILS), address)
            for command in commands
            for address in range(command.address, command.address + command.alike * command.quantity * command.format.size)
        }

    def answer(self, pdu: bytes) -> bytes:
        """What it answers to a request, without its address."""
        function = pdu[0]
        try:
            if function in READS:
                return self._read(function, *_words(pdu, 1, 2))
            if function not in FUNCTIONS:
                return _refusal(function, ExceptionCode.ILLEGAL_FUNCTION)
            return self._write(function, pdu)
        except _RefusedError as refused:
            return _refusal(function, refused.code)

    def _write(self, function: int, pdu: bytes) -> bytes:
        address = int.from_bytes(pdu[1:3], "big")
        if function == Function.READ_IDENTIFICATION:
            return self._identify(pdu)
        if function == Function.WRITE_COIL:
            if pdu[3:5] not in (b"\xff\0", b"\0\0"):
                raise _RefusedError(ExceptionCode.ILLEGAL_DATA_VALUE)
            self._store(True, address, [int(pdu[3] > 0)])
            return pdu
        if function == Function.WRITE_REGISTER:
            self._store(False, address, list(_words(pdu, 3, 1)))
            return pdu
        if function == Function.WRITE_COILS:
            self._store(True, address, [bit_at(pdu[6:], index)[0] for index in range(_counted(pdu, 3, 5, is_bits=True))])
            return pdu[:5]
        if function == Function.WRITE_REGISTERS:
            self._store(False, address, list(_words(pdu, 6, _counted(pdu, 3, 5))))
            return pdu[:5]
        if function == Function.MASK_WRITE_REGISTER:
            (old,) = _words(self._read(Function.READ_HOLDING_REGISTERS, address, 1), 2, 1)
            keep, put = _words(pdu, 3, 2)
            self._store(False, address, [old & keep | put & ~keep & 0xFFFF])
            return pdu
        # Function 17 writes first, then reads.
        self._store(False, int.from_bytes(pdu[5:7], "big"), list(_words(pdu, 10, _counted(pdu, 7, 9))))
        read = self._read(Function.READ_HOLDING_REGISTERS, *_words(pdu, 1, 2))
        return bytes((function,)) + read[1:]

    def _read(self, function: int, address: int, quantity: int) -> bytes:
        is_bits = function in BIT_READS
        if not 1 <= quantity <= (MAX_READ_BITS if is_bits else MAX_READ_REGISTERS):
            raise _RefusedError(ExceptionCode.ILLEGAL_DATA_VALUE)
        inside = [point for point in self._points if point.function == function]
        inside = [point for point in inside if point.address < address + quantity and address < point.end]
        if not self._plan.model.limits.gap_readable:
            known = {at for point in inside for at in range(point.address, point.end)}
            is_written = function in (Function.READ_COILS, Function.READ_HOLDING_REGISTERS)
            known |= {at for is_coil, at in self._writable if is_written and is_coil == is_bits}
            if not known.issuperset(range(address, address + quantity)):
                raise _RefusedError(ExceptionCode.ILLEGAL_DATA_ADDRESS)
        self._reads += 1
        found: dict[int, int] = {}
        for point in inside:
            for at, word in self._words_of(point).items():
                found[at] = found.get(at, 0) | word
        if function in (Function.READ_COILS, Function.READ_HOLDING_REGISTERS):
            found |= {at: value for (is_coil, at), value in self._written.items() if is_coil == is_bits}
        values = [found.get(at, 0) for at in range(address, address + quantity)]
        data = packed_bits([bool(value) for value in values]) if is_bits else b"".join(value.to_bytes(2, "big") for value in values)
        return bytes((function, len(data))) + data

    def _store(self, is_coil: bool, address: int, values: list[int]) -> None:
        wanted = {(is_coil, address + index): value for index, value in enumerate(values)}
        if not values or not self._writable.issuperset(wanted):
            raise _RefusedError(ExceptionCode.ILLEGAL_DATA_ADDRESS)
        self._written |= wanted

    def _identify(self, pdu: bytes) -> bytes:
        if pdu[1] != IDENTIFICATION or not 1 <= pdu[2] <= 4:
            raise _RefusedError(ExceptionCode.ILLEGAL_DATA_VALUE)
        model = self._plan.model.name.encode()[:64]
        objects = {**dict(_OBJECTS), 1: model}
        if pdu[2] == 4:
            if pdu[3] not in objects:
                raise _RefusedError(ExceptionCode.ILLEGAL_DATA_ADDRESS)
            objects = {pdu[3]: objects[pdu[3]]}
        body = b"".join(bytes((id, len(value))) + value for id, value in sorted(objects.items()))
        return pdu[:3] + bytes((0x81, 0, 0, len(objects))) + body

    def _words_of(self, point: Point) -> dict[int, int]:
        """A point's registers by address, or its one coil."""
        raw = self._raw(point)
        if point.function in BIT_READS:
            return {point.address: int(bool(raw))}
        data = point.format.write(raw)
        return {point.address + at: int.from_bytes(data[2 * at : 2 * at + 2], "big") for at in range(point.format.size)}

    def _raw(self, point: Point) -> Raw:
        if point.format.type == "string":
            return f"SN{self._seed(point.key) % 1_000_000:06d}"[: 2 * point.format.length]
        time = self.moment.time.timestamp()
        if point.format.type == "bit":
            return (int(time / 300) + self._seed(point.key)) % 7 < 2
        if point.kind == "counter":
            return self._count(point, time)
        if point.kind == "state":
            return self._seed(point.key) % 4
        if point.group in {group.group.name for group in self._plan.groups if group.group.at_login}:
            # What is read once is a setting.
            return self._fitted(point, 200.0)
        middle, reach = _SHAPES.get(point.unit) or (_FACTOR if "factor" in point.key else _DEFAULT)
        wave = sin(2 * pi * (time / _PERIOD_SECONDS + self._seed(point.key) % 1000 / 1000))
        chance = self._seed(f"{point.key} {self._reads}") % 2001 / 1000 - 1
        return self._fitted(point, middle + reach * (wave * (1 - _JITTER) + chance * _JITTER))

    def _count(self, point: Point, time: float) -> Raw:
        """A counter: it goes on with the time, by one step at least from read to read, and never back."""
        step = 0.05 if point.format.is_float else float(point.scale)
        begun = self._seed(point.key) % 5000 * (1.0 if point.unit else step)
        rate = _PER_HOUR / 3600 if point.unit not in ("", "s") else 1.0
        last = self._counters.get(point.key, begun)
        value = self._counters[point.key] = max(last + step, begun + max(0.0, time - self._began) * rate)
        if point.format.is_float:
            return self._fitted(point, value)
        return round((value - float(point.offset)) / float(point.scale)) % (
            1 << 16 * point.format.size - point.format.type.startswith("s")
        )

    def _fitted(self, point: Point, value: float) -> Raw:
        """The raw number for a value, within what the type and the map allow."""
        if point.valid:
            value = min(max(value, float(point.valid[0])), float(point.valid[1]))
        raw = (value - float(point.offset)) / float(point.scale)
        if point.format.is_float:
            return raw
        bits = 16 * point.format.size
        highest = {"bcd16": 9999, "bcd32": 99_999_999}.get(point.format.type, (1 << bits - point.format.type.startswith("s")) - 1)
        return min(max(round(raw), -highest if point.format.type.startswith("s") else 0), highest)

    def _seed(self, name: str) -> int:
        return int.from_bytes(blake2b(f"{self._name} {name}".encode(), digest_size=4).digest(), "big")


class _RefusedError(Exception):
    """The request gets an exception."""

    def __init__(self, code: ExceptionCode) -> None:
        self.code = code


def _refusal(function: int, code: ExceptionCode) -> bytes:
    return bytes((function | EXCEPTION_BIT, code))


def _words(data: bytes, at: int, count: int) -> tuple[int, ...]:
    return tuple(int.from_bytes(data[place : place + 2], "big") for place in range(at, at + 2 * count, 2))


def _counted(pdu: bytes, quantity_at: int, count_at: int, is_bits: bool = False) -> int:
    """How many values are written, if the byte count says so too."""
    (quantity,) = _words(pdu, quantity_at, 1)
    size = (quantity + 7) // 8 if is_bits else 2 * quantity
    if not quantity or pdu[count_at] != size or len(pdu) != count_at + 1 + size:
        raise _RefusedError(ExceptionCode.ILLEGAL_DATA_VALUE)
    return quantity
