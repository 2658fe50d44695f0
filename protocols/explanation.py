"""What an explanation is made of: fields, which bytes they are and what those mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

UNREAD = "unread"
"""The name of a leaf for bytes that nothing could make sense of."""


class BitValue(NamedTuple):
    """What one declared bit of a word says."""

    name: str
    text: str
    value: bool | int | str


@dataclass(slots=True)
class Field:
    """Some bytes of a frame and what they mean. Offsets count from the frame's first byte, with escaping undone."""

    name: str
    text: str
    start: int
    raw: bytes
    value: Any = None
    """As JSON knows it; None where there is none to show, as for most fields that have children."""
    unit: str = ""
    meaning: str = ""
    """What the value stands for, in words."""
    error: str = ""
    children: list[Field] = field(default_factory=list)
    """The fields that these bytes divide into; empty for a leaf."""
    bits: list[BitValue] = field(default_factory=list)
    is_secret: bool = False
    """Nobody may be shown the value, nor the bytes."""

    @property
    def end(self) -> int:
        return self.start + len(self.raw)

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Field]]:
        """This field and all below it, with their depths, in the order of their bytes."""
        yield depth, self
        for child in self.children:
            yield from child.walk(depth + 1)

    def leaves(self) -> Iterator[Field]:
        """The fields that share the bytes among them, in order."""
        return (found for _, found in self.walk() if not found.children)


class Label(NamedTuple):
    """How a field is called."""

    name: str
    text: str = ""


def branch(label: Label, children: list[Field], **more: Any) -> Field:
    """A field made of others, which follow one another without a gap."""
    return Field(label.name, label.text, children[0].start, b"".join(child.raw for child in children), children=children, **more)


def unread(data: bytes, start: int, label: Label, error: str) -> Field:
    """Bytes that nothing could make sense of."""
    return Field(label.name or UNREAD, label.text, start, data, data.hex(), error=error)
