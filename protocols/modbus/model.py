"""The register map of a device model: what there is to read in it, how, and how often; what may be written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from hashlib import blake2b
from typing import Any, NamedTuple

from protocols.command import Effect
from protocols.modbus.pdu import BIT_READS, MAX_READ_BITS, MAX_READ_REGISTERS, MAX_WRITE_BITS, MAX_WRITE_REGISTERS, Function
from protocols.modbus.tables import Label, Source, Table
from protocols.modbus.values import ORDERS, SIGNS, TYPES, Format, Raw, as_json, decimal

KEY = r"[a-z][a-z0-9_]{0,63}"
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
VERSION_BYTES = 8
RESERVED = ("model", "group", "missing", "map_changed")
"""What a reading's values have beside its points."""
_DEFAULTS = ("function", "type", "order", "sign", "group", "kind", "scale", "offset", "unit", "decimals", "invalid", "valid")


class Point(NamedTuple):
    """One named value."""

    key: str
    label: Label
    function: int
    address: int
    format: Format
    scale: Decimal
    offset: Decimal
    unit: str
    decimals: int | None
    invalid: tuple[int, ...]
    """Bit patterns, or raw numbers, that mean there is no value."""
    valid: tuple[Decimal, Decimal] | None
    text: Mapping[int, Label]
    kind: str
    group: str

    @property
    def end(self) -> int:
        """The address behind it."""
        return self.address + self.format.size

    def value(self, data: bytes) -> tuple[Any, str]:
        """What its registers say, as JSON has it, and in one word why not."""
        raw = self.format.read(data)
        if raw is None or (self.invalid and (self.format.pattern(data) in self.invalid or raw in self.invalid)):
            return None, "invalid"
        if isinstance(raw, str):
            return raw, ""
        number = decimal(raw, self.scale, self.offset)
        if self.valid and not self.valid[0] <= number <= self.valid[1]:
            return None, "out_of_range"
        return bool(raw) if self.format.type == "bit" else as_json(number, self.is_whole, self.decimals), ""

    @property
    def is_whole(self) -> bool:
        """Whether its values are whole numbers."""
        return not self.format.is_float and _is_whole(self.scale) and _is_whole(self.offset)


class Command(NamedTuple):
    """Something that may be written."""

    key: str
    label: Label
    function: int
    address: int
    alike: int
    """How many there are of it, one after the other; ``n`` chooses."""
    format: Format
    quantity: int
    """Values that are written at once."""
    scale: Decimal
    offset: Decimal
    unit: str
    low: Decimal | None
    high: Decimal | None
    step: Decimal | None
    readback: str
    settle_seconds: float
    is_repeatable: bool
    """Whether sending it twice does no harm."""
    expires_seconds: float
    effect: Effect
    is_confirmed_twice: bool

    @property
    def is_number(self) -> bool:
        return self.format.type not in ("bit", "string")

    def raw(self, value: Any) -> Raw:
        """What has to be written for one value.

        Raises: ValueError when it must not be.
        """
        if self.format.type == "string":
            if not isinstance(value, str):
                raise ValueError(f"{value!r} is no text")
            return value
        if self.format.type == "bit":
            if value not in (0, 1):
                raise ValueError(f"{value!r} is neither on (true) nor off (false)")
            return int(value)
        if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
            raise ValueError(f"{value!r} is no number")
        number = Decimal(str(value))
        if not number.is_finite() or (self.low is not None and number < self.low) or (self.high is not None and number > self.high):
            raise ValueError(f"{value!r} is not from {_end(self.low)} to {_end(self.high)} {self.unit}".rstrip())
        raw = (number - self.offset) / self.scale
        step = self.step or (None if self.format.is_float else self.scale)
        if step is not None and (number - (self.low if self.step and self.low is not None else self.offset)) % step:
            raise ValueError(f"{value!r} is no step of {step} {self.unit}".rstrip())
        return float(raw) if self.format.is_float else int(raw)


class Group(NamedTuple):
    """Points that are read together."""

    name: str
    interval_seconds: float
    at_login: bool
    points: tuple[Point, ...]
    version: bytes
    """Of its definition: another one, another version."""


class Limits(NamedTuple):
    """What units of a model can bear."""

    max_registers: int
    max_bits: int
    merge_gap: int
    gap_readable: bool
    timeout_seconds: float
    retries: int
    turnaround_seconds: float


class Model(NamedTuple):
    """A device model's map."""

    name: str
    label: Label
    limits: Limits
    groups: Mapping[str, Group]
    commands: Mapping[str, Command]
    identification: int
    """The read code of function 2B with which a unit is asked at login what it is; 0 for not at all."""

    def point(self, key: str) -> Point | None:
        return next((point for group in self.groups.values() for point in group.points if point.key == key), None)


def read_model(source: Source, values: Mapping[str, Any]) -> Model:
    """A model's map from its tables.

    Raises: MapError
    """
    table = Table(source, "", values)
    table.integer("schema", 1, 1)
    name, label = table.text("model", pattern=NAME), table.label("name")
    identification = ("none", "basic", "regular", "extended").index(
        table.word("identification", ("none", "basic", "regular", "extended"), "none")
    )
    limits = _limits(table.table("limits", {}))
    intervals = _intervals(table.table("groups"))
    defaults = _defaults(table.table("defaults", {}))
    points: dict[str, list[Point]] = {group: [] for group in intervals}
    tables: dict[str, list[Any]] = {group: [] for group in intervals}
    keys: set[str] = set()
    for entry in table.tables("point", defaults):
        for point in _points(entry, intervals):
            if point.key in RESERVED:
                raise entry.error("key", f"{point.key} is a word of every reading")
            if point.key in keys:
                raise entry.error("key", f"there is a point {point.key} already")
            if point.format.size > (limits.max_bits if point.function in BIT_READS else limits.max_registers):
                raise entry.error("type", "is longer than one read may be, as [limits] say")
            keys.add(point.key)
            points[point.group].append(point)
        tables[point.group].append(entry.values)
    commands = _commands(table, keys)
    table.end()
    groups = {
        group: Group(group, *interval, tuple(points[group]), _version(interval, tables[group]))
        for group, interval in intervals.items()
    }
    return Model(name, label, limits, groups, commands, identification)


def _limits(table: Table) -> Limits:
    limits = Limits(
        table.integer("max_registers", 1, MAX_READ_REGISTERS, 60),
        table.integer("max_bits", 1, MAX_READ_BITS, 256),
        table.integer("merge_gap", 0, MAX_READ_BITS, 0),
        table.boolean("gap_readable", False),
        table.integer("timeout_ms", 50, 60_000, 1000) / 1000,
        table.integer("retries", 0, 2, 1),
        table.integer("turnaround_ms", 0, 10_000, 100) / 1000,
    )
    table.end()
    return limits


def _intervals(table: Table) -> dict[str, tuple[float, bool]]:
    intervals = {}
    for name in table.values:
        group = table.table(name)
        intervals[name] = (float(group.integer("interval_s", 1, 31 * 86_400)), group.boolean("at_login", False))
        group.end()
    if not intervals:
        raise table.error("", "there is no group")
    return intervals


def _defaults(table: Table) -> dict[str, Any]:
    defaults = {key: table.take(key) for key in _DEFAULTS if table.has(key)}
    table.end()
    return defaults


def _points(table: Table, intervals: Mapping[str, Any]) -> list[Point]:
    """A point; or, with a count, one after the other, or one bit after the other where it is a register's."""
    key, label = table.text("key", pattern=KEY), table.label("name")
    function = table.integer("function", 1, 4, 3)
    format = _format(table, function in BIT_READS)
    count = table.integer("count", 1, MAX_READ_BITS, 1)
    address = table.integer("address", 0, 0xFFFF)
    is_bits = format.bit is not None
    if is_bits and (format.bit or 0) + count > 16:
        raise table.error("count", "there are 16 bits in a register")
    if not is_bits and address + count * format.size > 0x10000:
        raise table.error("address", "it ends behind the last address")
    scale = table.decimal("scale", "1")
    if not scale:
        raise table.error("scale", "must not be 0")
    point = Point(
        key,
        label,
        function,
        address,
        format,
        scale,
        table.decimal("offset", "0"),
        table.text("unit", ""),
        table.integer("decimals", 0, 12, None),
        table.integers("invalid"),
        table.range("valid"),
        _labels(table),
        table.word("kind", ("gauge", "counter", "state"), "gauge"),
        table.word("group", tuple(intervals), next(iter(intervals))),
    )
    if not table.has("count"):
        table.end()
        return [point]
    table.end()
    return [_repeated(point, n) for n in range(1, count + 1)]


def _repeated(point: Point, n: int) -> Point:
    format, address = point.format, point.address
    if format.bit is None:
        address += (n - 1) * format.size
    else:
        format = format._replace(bit=format.bit + n - 1)
    return point._replace(key=f"{point.key}_{n}", label=point.label.numbered(n), address=address, format=format)


def _format(table: Table, is_bit: bool) -> Format:
    """The type with all that goes with it. A bit of a register has a number; a coil or an input can be nothing else."""
    bit = table.integer("bit", 0, 15, None)
    type = "bit" if is_bit or bit is not None else table.word("type", TYPES, "u16")
    wanted = table.take("type", type)
    if wanted != type and table.is_own("type"):
        raise table.error("type", f"{wanted!r} is none for coils, inputs and bits")
    if bit is not None and is_bit:
        raise table.error("bit", "coils and inputs have none")
    if type == "bit" and bit is None and not is_bit:
        raise table.error("bit", "is missing: which of the register")
    if type != "string" and table.has("length"):
        raise table.error("length", "is for strings")
    length = table.integer("length", 1, MAX_READ_REGISTERS) if type == "string" else 1
    order, sign = ORDERS[table.word("order", ORDERS, "ABCD")], table.word("sign", SIGNS, "complement")
    return Format(type, "ABCD" if is_bit else order, sign, length, bit)


def _labels(table: Table) -> dict[int, Label]:
    if not table.has("text"):
        return {}
    labels = table.table("text")
    found = {}
    for value in labels.values:
        if not value.lstrip("-").isdecimal():
            raise labels.error(value, "is no whole number")
        found[int(value)] = labels.label(value)
    return found


def _commands(table: Table, points: set[str]) -> dict[str, Command]:
    commands: dict[str, Command] = {}
    for entry in table.tables("command"):
        command = _command(entry)
        if command.key in commands:
            raise entry.error("key", f"there is a command {command.key} already")
        wanted = [f"{command.readback}_{n}" for n in range(1, command.alike + 1)] if command.alike > 1 else [command.readback]
        if command.readback and not points.issuperset(wanted):
            raise entry.error("readback", f"there is no point {next(key for key in wanted if key not in points)}")
        commands[command.key] = command
    return commands


def _command(table: Table) -> Command:
    key, label = table.text("key", pattern=KEY), table.label("name")
    function = table.integer("function", 1, 0x7F)
    if function not in (Function.WRITE_COIL, Function.WRITE_REGISTER, Function.WRITE_COILS, Function.WRITE_REGISTERS):
        raise table.error("function", f"{function} is none of 5, 6, 15, 16")
    is_bit = function in (Function.WRITE_COIL, Function.WRITE_COILS)
    type = table.word("type", TYPES, "bit" if is_bit else "u16")
    if type not in {Function.WRITE_COILS: ("bit",), Function.WRITE_COIL: ("bit", "u16")}.get(Function(function), TYPES[1:]):
        raise table.error("type", f"function {function} does not write {type}")
    length = table.integer("length", 1, MAX_WRITE_BITS if is_bit else MAX_WRITE_REGISTERS, 1)
    order, sign = ORDERS[table.word("order", ORDERS, "ABCD")], table.word("sign", SIGNS, "complement")
    format = Format(type, order, sign, length if type == "string" else 1)
    quantity = 1 if type == "string" else length
    most = {Function.WRITE_COILS: MAX_WRITE_BITS, Function.WRITE_REGISTERS: MAX_WRITE_REGISTERS}.get(Function(function), 1)
    if quantity * format.size > most:
        raise table.error("length" if table.has("length") else "type", f"function {function} writes at most {most}")
    address, count = table.integer("address", 0, 0xFFFF), table.integer("count", 1, 0xFFFF, 1)
    if address + count * quantity * format.size > 0x10000:
        raise table.error("address", "it ends behind the last address")
    scale = table.decimal("scale", "1")
    if scale <= 0:
        raise table.error("scale", "must be more than 0")
    is_switch = function == Function.WRITE_COIL and type != "bit"
    command = Command(
        key,
        label,
        function,
        address,
        count,
        format,
        quantity,
        scale,
        table.decimal("offset", "0"),
        table.text("unit", ""),
        table.decimal("min", None),
        table.decimal("max", None),
        table.decimal("step", None),
        table.text("readback", "", KEY),
        table.integer("settle_ms", 0, 60_000, 0) / 1000,
        # A coil that is written anything but on or off is toggled, or flashed.
        table.boolean("repeatable", False) and not is_switch,
        float(table.integer("expires_s", 1, 3600, 30)),
        Effect(table.word("effect", (Effect.ACTUATE, Effect.CONFIGURE), Effect.ACTUATE)),
        table.boolean("confirm", False),
    )
    if command.step is not None and command.step <= 0:
        raise table.error("step", "must be more than 0")
    if command.readback and (quantity > 1 or is_switch):
        raise table.error("readback", "is for commands that write one value, and leave it as written")
    table.end()
    return command


def _version(interval: tuple[float, bool], tables: list[Any]) -> bytes:
    text = json.dumps([interval, tables], sort_keys=True, default=str, ensure_ascii=False)
    return blake2b(text.encode(), digest_size=VERSION_BYTES).digest()


def _is_whole(number: Decimal) -> bool:
    return number == number.to_integral_value()


def _end(end: Decimal | None) -> str:
    return "anywhere" if end is None else str(end)
