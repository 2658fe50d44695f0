"""Showing measurements: numbers as numbers, and of what is none, where it is and why.

A measurement that its sensor or its bus could not give is ``abnormal`` or ``invalid`` on the wire. Among values it is
None, and its path stands in one of two lists, so that nobody takes a code for a number and nobody has to look for words
among numbers. A third list has the paths of numbers beyond what the standard allows; these keep their value.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from construct import Array, Container, Renamed, Struct

from protocols.body import json_value
from protocols.fields import Choice, Count, Measured

MISSING = ("abnormal", "invalid")
"""Words for a number that there is not."""
OUT_OF_RANGE = "out_of_range"


class Notes:
    """Paths of measurements that are no numbers, or no likely ones."""

    def __init__(self) -> None:
        self.paths: dict[str, list[str]] = {}

    def add(self, why: str, path: str) -> None:
        self.paths.setdefault(why, []).append(path)


def fields(declaration: Struct, parsed: Container[Any], path: str, notes: Notes, first: int = 0) -> dict[str, Any]:
    """A struct's fields by name, as JSON knows them, with None for each measurement that is missing.

    A count is left out, for the list behind it has it; one that is missing is noted. ``first`` is the index that notes
    give to the first entry of its lists.
    """
    told = {}
    for name, field, is_number in _plan(declaration):
        value = parsed[name]
        if is_number:
            if value.__class__ is str:
                if value in MISSING:
                    notes.add(value, _join(path, name))
                    value = None
            elif isinstance(field, Measured) and value > field.limit:
                notes.add(OUT_OF_RANGE, _join(path, name))
            told[name] = value
        elif isinstance(field, Count):
            lowest = (1 << 8 * field.sizeof()) - 2
            if value >= lowest:
                notes.add(MISSING[value - lowest], _join(path, name))
        elif isinstance(field, Struct):
            told[name] = fields(field, value, _join(path, name), notes)
        elif isinstance(field, Array):
            told[name] = _list(_bare(field.subcon), value, _join(path, name), notes, first)
        else:
            told[name] = json_value(value)
    return told


@cache
def _plan(declaration: Struct) -> list[tuple[str, Any, bool]]:
    """Name and declaration of each field, and whether it is a number or a word."""
    bare = [(str(field.name), _bare(field)) for field in declaration.subcons]
    return [(name, field, isinstance(field, (Measured, Choice))) for name, field in bare]


def _list(entry: Any, values: list[Any], path: str, notes: Notes, first: int) -> list[Any]:
    if isinstance(entry, Measured):
        return _series(entry, values, path, notes)
    if isinstance(entry, Struct):
        return [fields(entry, value, f"{path}[{at}]", notes) for at, value in enumerate(values, first)]
    return [json_value(value) for value in values]


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _series(declaration: Measured, values: list[Any], path: str, notes: Notes) -> list[Any]:
    """Numbers of one kind, hundreds of them at times; notes tell runs of them."""
    try:
        if not values or max(values) <= declaration.limit:
            return list(values)
    except TypeError:
        pass  # There are words among them.
    for why, first, last in _runs([_note(declaration, value) for value in values]):
        notes.add(why, f"{path}[{first}]" if first == last else f"{path}[{first}..{last}]")
    return [None if value.__class__ is str else value for value in values]


def _note(declaration: Measured, value: Any) -> str:
    if value.__class__ is str:
        return str(value)
    return OUT_OF_RANGE if value > declaration.limit else ""


def _runs(notes: list[str]) -> Iterator[tuple[str, int, int]]:
    """Each note with the first and the last index of those in a row that have it."""
    first = 0
    for at, note in enumerate(notes):
        if at + 1 == len(notes) or notes[at + 1] != note:
            if note:
                yield note, first, at
            first = at + 1


def _bare(declaration: Any) -> Any:
    while isinstance(declaration, Renamed):
        declaration = declaration.subcon
    return declaration
