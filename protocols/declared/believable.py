"""Values that a simulated device might measure, made from declarations: the same for the same device and moment."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from zlib import crc32

from construct import (
    Array,
    Bytes,
    Const,
    ConstructError,
    Container,
    FormatField,
    GreedyBytes,
    IfThenElse,
    Struct,
    Subconstruct,
    Switch,
)

from protocols.fields import BCD, Choice, ClockTime, Count, Flags, Measured, Scaled, Text, UnixTime
from protocols.items import Items, Records, UntilEnd
from protocols.terminal import Moment

RANGES = {
    **{"V": (3.6, 4.1), "mV": (3600, 4100), "A": (0.2, 2.4), "mA": (5, 60), "W": (1, 40), "kWh": (10, 90)},
    **{"°C": (8, 26), "%": (35, 95), "hPa": (990, 1030), "kPa": (98, 104), "lx": (50, 900), "ppm": (400, 900)},
    **{"m": (0.5, 4.5), "mm": (1, 40), "cm": (5, 200), "km": (1, 900), "m/s": (0, 12), "km/h": (0, 90), "L": (15, 60)},
    **{"°": (0, 359), "dBm": (-105, -65), "s": (1, 3600), "ms": (1, 900), "min": (1, 600), "bytes": (100, 9000)},
}
"""What is usual by a unit."""
PLAIN_RANGES = {"satellites": (7, 13), "signal": (14, 30)}
USUAL = (0.0, 100.0)
USUALLY_SET = frozenset(("ignition", "fix", "moving"))
ALARM_EVERY = 40
"""Moments between one alarm and the next."""


class Scene(NamedTuple):
    """Who measures, and when."""

    identity: str
    moment: Moment
    turn: int = 1
    """Which moment it is of the device's life, from 1."""

    def wave(self, name: str, low: float, high: float) -> float:
        """A curve that rises and falls in the course of some hours, each device's and each name's its own."""
        chance = crc32(f"{self.identity} {name}".encode()) / 2**32
        turns = self.moment.time.timestamp() / (3600 * (2 + 10 * chance)) + chance
        return low + (high - low) * (0.5 + 0.5 * math.sin(2 * math.pi * turns))


def believable(layout: Struct, scene: Scene, given: Mapping[str, Any], outer: Any = None) -> dict[str, Any]:
    """Values for the fields of a layout, from which it can be built. Those that are ``given`` stay."""
    made: dict[str, Any] = {}
    meanings: Any = Container(_=outer)
    for field in layout.subcons:
        name = str(field.name)
        made[name] = given[name] if name in given else _value(field, name, scene, meanings)
        # Later fields may depend on it as it is parsed: a word of flags, a choice's name.
        meanings[name] = made[name]
    return made


def _value(declaration: Any, name: str, scene: Scene, meanings: Any) -> Any:
    for kind, make in _MAKERS:
        if isinstance(declaration, kind):
            return make(declaration, name, scene, meanings)
    if declaration is GreedyBytes:
        return b""
    try:
        # Whatever the author has made himself, reads zeros as something.
        return declaration.parse(bytes(256))
    except ConstructError:
        return None


def _inner(declaration: Any, name: str, scene: Scene, meanings: Any) -> Any:
    return _value(declaration.subcon, name, scene, meanings)


def _branch(declaration: Any, name: str, scene: Scene, meanings: Any) -> Any:
    chosen = declaration.thensubcon if _evaluate(declaration.condfunc, meanings) else declaration.elsesubcon
    return _value(chosen, name, scene, meanings)


def _case(declaration: Any, name: str, scene: Scene, meanings: Any) -> Any:
    key = _evaluate(declaration.keyfunc, meanings)
    return _value(declaration.cases.get(key, declaration.default), name, scene, meanings)


def _array(declaration: Any, name: str, scene: Scene, meanings: Any) -> list[Any]:
    count = _evaluate(declaration.count, meanings)
    return [_value(declaration.subcon, name, scene, meanings) for _ in range(1 if count is None else count)]


def _items(declaration: Items, name: str, scene: Scene, meanings: Any) -> dict[str, Any]:
    return {str(row[0].name): _value(row[0], str(row[0].name), scene, meanings) for row in declaration.table.values()}


def _time(declaration: Any, name: str, scene: Scene, meanings: Any) -> datetime:
    return scene.moment.time.astimezone(UTC).replace(microsecond=0)


def _text(declaration: Text, name: str, scene: Scene, meanings: Any) -> str:
    return "1.0" if name in ("software", "firmware", "hardware") else scene.identity[-(declaration.size or 8) :]


def _bcd(declaration: BCD, name: str, scene: Scene, meanings: Any) -> str:
    return "".join(filter(str.isdecimal, scene.identity))[-2 * declaration.size :].zfill(2 * declaration.size)


def _bytes(declaration: Any, name: str, scene: Scene, meanings: Any) -> bytes:
    return bytes(_evaluate(declaration.length, meanings))


def _flags(declaration: Flags, name: str, scene: Scene, meanings: Any) -> int:
    singles = declaration.singles
    if name == "alarms":
        at, is_alarm = divmod(scene.turn, ALARM_EVERY)
        return declaration.word(singles[at % len(singles)][1] if singles and at and not is_alarm else 0)
    return declaration.word(sum(mask for bit, mask in singles if bit in USUALLY_SET))


def _choice(declaration: Choice, name: str, scene: Scene, meanings: Any) -> str | int:
    names = [option.name for option in declaration.options.values()]
    return names[int(scene.wave(name, 0, len(names) - 0.01))] if names else 0


def _number(declaration: Any, name: str, scene: Scene, meanings: Any) -> int | float:
    """A plain number, or one with a unit."""
    divisor, unit, zero = getattr(declaration, "divisor", 1), getattr(declaration, "unit", ""), getattr(declaration, "zero", 0)
    wire = declaration if isinstance(declaration, FormatField) else declaration.subcon
    lowest, highest = ((end - zero) / divisor for end in _ends(wire))
    told = scene.moment._asdict().get(name)
    if isinstance(told, (int, float)):
        value = told
    else:
        low, high = PLAIN_RANGES.get(name, RANGES.get(unit, USUAL))
        span = min(high, highest) - max(low, lowest)
        low, high = (max(low, lowest), min(high, highest)) if span > 0 else (lowest, highest)
        value = scene.wave(name, low, high)
    value = min(max(value, lowest), highest)
    return round(value) if divisor == 1 else round(value * divisor) / divisor


def _ends(wire: Any) -> tuple[int, int]:
    """The lowest and the highest number that a field holds and is no sentinel at either end."""
    bits = 8 * (struct.calcsize(wire.fmtstr) if isinstance(wire, FormatField) else wire.sizeof())
    is_signed = wire.fmtstr[-1].islower() if isinstance(wire, FormatField) else wire.signed
    return (1 - (1 << bits - 1), (1 << bits - 1) - 3) if is_signed else (0, (1 << bits) - 3)


def _evaluate(expression: Any, meanings: Any) -> Any:
    return expression(meanings) if callable(expression) else expression


_MAKERS: tuple[tuple[Any, Any], ...] = (
    (Struct, lambda declaration, name, scene, meanings: believable(declaration, scene, {}, meanings)),
    ((Const, Count), lambda *_: None),
    (Array, _array),
    (UntilEnd, lambda *known: [_inner(*known)]),
    (Records, lambda *known: [_inner(*known)]),
    (Items, _items),
    (IfThenElse, _branch),
    (Switch, _case),
    ((ClockTime, UnixTime), _time),
    (Text, _text),
    (BCD, _bcd),
    (Bytes, _bytes),
    (Flags, _flags),
    (Choice, _choice),
    ((Scaled, Measured, FormatField), _number),
    (Subconstruct, _inner),
)
