"""Writing Python: lines, names that cannot clash, and the constants that the lines refer to."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from protocols.fields import Declaration

_RESERVED = frozenset((*keyword.kwlist, *keyword.softkwlist, *dir(builtins)))
_OWN = ("data", "at", "whole")
_LITERALS = (int, float, str, bytes, bool, type(None))


@dataclass
class Scope:
    """What construct calls a context: the fields of one struct, as far as they are known."""

    parent: Scope | None = None
    subcons: str = "None"
    """The constant that holds the struct's fields by name."""
    names: dict[str, str] = field(default_factory=dict)
    """The variable of each field."""
    whole: str = ""
    """Building: the variable of the whole struct, in which fields are found that have not been built yet."""
    index: str = "None"
    """The variable of the innermost loop's index."""


class Place(NamedTuple):
    """Where in a declaration something is."""

    scope: Scope
    name: str
    """What to call a variable here."""
    path: str
    """The path as construct writes it into its errors."""

    def named(self, name: str) -> Place:
        return Place(self.scope, name, f"{self.path} -> {name}")


class Writer:
    """Lines of one function, and the constants of its module."""

    is_contextual = False
    """Whether anything depends on other fields' values, so that each has to have a variable."""

    def __init__(self) -> None:
        self.constants: dict[str, Any] = {}
        self.lines: list[str] = []
        self._depth = 2
        self._taken: set[str] = {*_RESERVED, *_OWN}
        self._known: dict[Any, str] = {}

    def line(self, text: str) -> None:
        self.lines.append("    " * self._depth + text)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        self.line(head)
        self._depth += 1
        yield
        self._depth -= 1

    def name(self, wish: str | None) -> str:
        """A new variable. Constants begin with an underscore, variables never do."""
        stem = re.sub(r"\W+", "_", wish or "value", flags=re.ASCII).strip("_") or "value"
        stem = f"n{stem}" if stem[0].isdigit() else stem
        name, count = stem, 1
        while name in self._taken:
            count += 1
            name = f"{stem}_{count}"
        self._taken.add(name)
        return name

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Code whose variables nobody needs afterwards, so that they can be used again: each costs time at every call."""
        kept = set(self._taken)
        yield
        self._taken = kept

    def constant(self, wish: str, value: Any, key: Any = None) -> str:
        """The name under which a value is at hand in the written code; the same one for the same ``key``."""
        if key is not None and (wish, key) in self._known:
            return self._known[wish, key]
        stem = "_" + (re.sub(r"\W+", "_", wish, flags=re.ASCII).strip("_") or "value")
        name = stem if stem not in self.constants else f"{stem}_{len(self.constants)}"
        self.constants[name] = value
        if key is not None:
            self._known[wish, key] = name
        return name

    def literal(self, value: Any) -> str:
        return repr(value) if type(value) in _LITERALS else self.constant("value", value)

    def variable(self, expression: str, wish: str) -> str:
        """An expression's value in a variable, so that it can be used more than once."""
        if expression.isidentifier():
            return expression
        name = self.name(wish)
        self.line(f"{name} = {expression}")
        return name

    def choose(self, branch: str, low: int, high: int, write: Callable[[int], None]) -> None:
        """Code that runs ``write(n)`` for the ``n`` that the variable ``branch`` has, found by halving."""
        if high - low == 1:
            write(low)
            return
        middle = (low + high) // 2
        with self.block(f"if {branch} < {middle}:"):
            self.choose(branch, low, middle, write)
        with self.block("else:"):
            self.choose(branch, middle, high, write)

    def find(self, key: str, leaves: Mapping[int, Callable[[], None]], low: int | None = None, high: int | None = None) -> None:
        """Code that runs the leaf of the variable ``key``, found by halving; nothing, if it is none of them.

        ``key`` is known to be at least ``low`` and less than ``high``.
        """
        numbers = sorted(leaves)
        if len(numbers) == 1:
            if (low, high) == (numbers[0], numbers[0] + 1):
                leaves[numbers[0]]()
                return
            with self.block(f"if {key} == {numbers[0]}:"):
                leaves[numbers[0]]()
        elif numbers:
            middle = numbers[len(numbers) // 2]
            with self.block(f"if {key} < {middle}:"):
                self.find(key, {number: leaves[number] for number in numbers if number < middle}, low, middle)
            with self.block("else:"):
                self.find(key, {number: leaves[number] for number in numbers if number >= middle}, middle, high)


def comment(declaration: Declaration) -> str:
    """A field's text and unit as the end of a line; nothing in it can end the comment."""
    part, unit = declaration, ""
    while not unit and "subcon" in vars(part):
        part = part.subcon  # type: ignore[attr-defined]
        unit = getattr(part, "unit", "")
    text = " ".join(f"{declaration.docs} {f'[{unit}]' if unit else ''}".split())
    return f"  # {text}" if text else ""
