"""Writes the function that builds."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

import construct
from construct import Adapter, Subconstruct

from protocols.compiler import conversions
from protocols.compiler.expressions import context_of
from protocols.compiler.parsing import BIG, Fixed
from protocols.compiler.structure import is_contextual, is_own
from protocols.compiler.writer import Place, Scope, Writer
from protocols.fields import Declaration

Kept = tuple[list[Fixed], list[str]]


class Building(Writer):
    """Follows a declaration. Fields of fixed size are collected, and packed together."""

    def __init__(self, declaration: Declaration, builders: Mapping[type, Builder]) -> None:
        super().__init__()
        self._builders = builders
        self.is_contextual = is_contextual(declaration)
        self._run: list[Fixed] = []
        self._pieces: list[str] = []

    def write(self, declaration: Declaration) -> None:
        self.put(declaration, "whole", Place(Scope(), "whole", "(building)"))
        self.line(f"return {self.end(([], []))}")

    def put(self, part: Declaration, value: str, place: Place) -> str:
        """Code that writes ``part``, given its value's variable.

        Returns the expression of what construct takes for the value from then on, where other fields depend on it.
        """
        write = self._builders.get(type(part))
        built = None if write is None else write(self, part, value, place)
        if built is not None:
            return built
        if is_own(part, Adapter, "_build"):
            self._inner(part, conversions.encode(part, value, place, self), place)  # type: ignore[arg-type]
            return value
        if is_own(part, Subconstruct, "_build"):
            return self._inner(part, value, place)
        return self._construct(part, value, place)

    def _inner(self, part: Any, value: str, place: Place) -> str:
        if type(part.subcon) is not construct.FormatField:
            value = self.variable(value, place.name)
        return self.put(part.subcon, value, place)

    def fixed(self, order: str, code: str, value: str) -> None:
        """The next bytes, from an expression."""
        if order and any(other.order not in ("", order) for other in self._run):
            self.flush()
        self._run.append(Fixed(order, code, value))

    def flush(self) -> None:
        if self._run:
            run, self._run = self._run, []
            layout = next((field.order for field in run if field.order), BIG) + "".join(field.code for field in run)
            pack = self.constant("pack", struct.Struct(layout).pack, layout)
            self._pieces.append(f"{pack}({', '.join(field.variable for field in run)})")

    def add(self, piece: str) -> None:
        """The next bytes, from the expression of a piece. Its variables must keep their values up to :meth:`end`."""
        self.flush()
        self._pieces.append(piece)

    def start(self, order: str = "", codes: str = "", values: tuple[str, ...] = ()) -> Kept:
        """Build something for itself; until :meth:`end`, which is to be given what this returns."""
        kept = self._run, self._pieces
        self._run, self._pieces = [], []
        for code, value in zip(codes, values, strict=True):
            self.fixed("" if code in "Bb" else order, code, value)
        return kept

    def end(self, kept: Kept) -> str:
        """The expression of all that was built since :meth:`start`."""
        self.flush()
        pieces, (self._run, self._pieces) = self._pieces, kept
        if len(pieces) < 3:
            return " + ".join(pieces) or 'b""'
        return f'b"".join(({", ".join(pieces)}))'

    def _construct(self, part: Declaration, value: str, place: Place) -> str:
        """Hand a part to construct: the same value, context and path."""
        stream, built = self.name("stream"), self.name("built")
        kept = self.constant(place.name, part, id(part))
        self.line(f"{stream} = _BytesIO()")
        self.line(f"{built} = {kept}._build({value}, {stream}, {context_of(place.scope, stream, True)}, {place.path!r})")
        self.add(f"{stream}.getvalue()")
        return built


Builder = Callable[[Building, Any, str, Place], str | None]
"""Writes what builds one kind of part; None where construct has to do it."""
