"""Writes the function that parses."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from construct import Adapter, Subconstruct

from protocols.compiler import conversions
from protocols.compiler.expressions import context_of
from protocols.compiler.structure import is_contextual, is_own
from protocols.compiler.writer import Place, Scope, Writer
from protocols.fields import Declaration

BIG = ">"
NATIVE = "<" if sys.byteorder == "little" else BIG
REFUSE = "raise _Refused"
"""Whatever is wrong is found out by construct, which parses it again and raises its own error."""


class Fixed(NamedTuple):
    """A field of fixed size in the notation of :mod:`struct`. Single bytes have no byte order."""

    order: str
    code: str
    variable: str


def order_of(part: Any) -> str:
    """A :class:`FormatField`'s byte order, empty for one byte."""
    if part.length == 1:
        return ""
    return NATIVE if part.fmtstr[0] == "=" else str(part.fmtstr[0])


class Parsing(Writer):
    """Follows a declaration. Fields of fixed size are collected until one comes that needs to know where it is."""

    def __init__(self, declaration: Declaration, parsers: Mapping[type, Parser]) -> None:
        super().__init__()
        self._parsers = parsers
        self.is_contextual = is_contextual(declaration)
        self.data, self.at = "data", "at"
        self._from, self._offset = "", 0
        self.layouts: list[str] = []
        """What is read in one go, in the notation of :mod:`struct`, in the order of the source."""
        self._run: list[Fixed] = []
        self._run_at = 0
        self._run_depth = 0

    def write(self, declaration: Declaration) -> None:
        value = self.value(declaration, Place(Scope(), "parsed", "(parsing)"))
        self.flush()
        self.line(f"return {value}")

    def value(self, part: Declaration, place: Place) -> str:
        """Code that reads ``part``; the expression of its value, good after the next :meth:`flush`."""
        if part.parsed is None:
            write = self._parsers.get(type(part))
            value = None if write is None else write(self, part, place)
            if value is not None:
                return value
            if is_own(part, Adapter, "_parse"):
                return conversions.decode(part, self._inner(part, place), place, self)  # type: ignore[arg-type]
            if is_own(part, Subconstruct, "_parse"):
                return self._inner(part, place)
        return self.construct(part, place)

    def _inner(self, part: Any, place: Place) -> str:
        return self.value(part.subcon, place)

    def fixed(self, order: str, code: str, name: str) -> str:
        """A variable for the next bytes."""
        if self._run and order and any(other.order not in ("", order) for other in self._run):
            self.flush()
        if not self._run:
            self._run_at, self._run_depth = len(self.lines), self._depth
        self._run.append(Fixed(order, code, self.name(name)))
        return self._run[-1].variable

    def flush(self) -> None:
        """Read the fields that have been collected, in front of what was written about them since."""
        if not self._run:
            return
        run, self._run = self._run, []
        line = "    " * self._run_depth + self._unpack(run)
        self.lines.insert(self._run_at, line)
        self._offset += struct.calcsize(BIG + "".join(field.code for field in run))

    def _unpack(self, run: list[Fixed]) -> str:
        first, at = run[0], self.position
        order = next((field.order for field in run if field.order), BIG)
        layout = order + "".join(field.code for field in run)
        self.layouts.append(layout)
        if len(run) == 1 and first.code == "B":
            return f"{first.variable} = {self.data}[{at}]"
        if len(run) == 1 and first.code == "H":
            # Two look-ups and a shift are faster than a call.
            high, low = (at, self.position_after(1)) if order == BIG else (self.position_after(1), at)
            return f"{first.variable} = {self.data}[{high}] << 8 | {self.data}[{low}]"
        unpack = self.constant("unpack", struct.Struct(layout).unpack_from, layout)
        variables = ", ".join(field.variable for field in run)
        return f"{variables if len(run) > 1 else f'({variables},)'} = {unpack}({self.data}{'' if at == '0' else f', {at}'})"

    @property
    def position(self) -> str:
        """The expression of where the next byte is."""
        return self.position_after(0)

    def position_after(self, count: int) -> str:
        offset = self._offset + count
        if not self._from:
            return str(offset)
        return f"{self._from} + {offset}" if offset else self._from

    def settle(self) -> None:
        """Have the position in its variable, for code that runs more than once or not at all."""
        self.flush()
        if self.position != self.at:
            self.line(f"{self.at} = {self.position}")
        self.move()

    def move(self, position: str = "") -> None:
        """What follows was read up to ``position``; without one, up to the variable's value."""
        self._from, self._offset = position or self.at, 0

    @contextmanager
    def within(self, data: str, start: str = "") -> Iterator[None]:
        """Code that reads other bytes than those around it."""
        kept = self.data, self.at, self._from, self._offset
        self.data, self.at, self._from, self._offset = data, self.name("at"), start, 0
        yield
        self.flush()
        self.data, self.at, self._from, self._offset = kept

    def cut(self, name: str, length: str) -> str:
        """The variable of the next ``length`` bytes, which the function refuses to be fewer."""
        self.flush()
        length = self.variable(length, f"{name}_length")
        found, start = self.name(name), self.position
        self.line(f"{found} = {self.data}[{start}:{start} + {length}]")
        with self.block(f"if len({found}) != {length}:"):
            self.line(REFUSE)
        if length.isdecimal():
            self._offset += int(length)
        else:
            self.line(f"{self.at} = {start} + {length}")
            self.move()
        return found

    def construct(self, part: Declaration, place: Place) -> str:
        """Hand a part to construct: the same bytes, position, context and path."""
        self.flush()
        stream, value = self.name("stream"), self.name(place.name)
        self.line(f"{stream} = _BytesIO({self.data})")
        self.line(f"{stream}.seek({self.position})")
        kept = self.constant(place.name, part, id(part))
        self.line(f"{value} = {kept}._parsereport({stream}, {context_of(place.scope, stream, False)}, {place.path!r})")
        self.line(f"{self.at} = {stream}.tell()")
        self.move()
        return value


Parser = Callable[[Parsing, Any, Place], str | None]
"""Writes what parses one kind of part; None where construct has to do it."""
