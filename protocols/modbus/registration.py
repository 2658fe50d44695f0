"""How a DTU says who it is: the first bytes of a link, by rules that the operator has written.

A rule is a row of bytes, or a pattern that many DTUs have in common: letters and digits as they are, ``[0-9A-F]``,
``.`` for any visible character, each with ``{6}``, ``{4,6}`` or ``?`` behind it. It has to match from its first to its
last character, and its longest text is known beforehand, so that nothing is collected without end.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_BYTES = 64
BLANKS = b"\r\n\0 \t"
"""What modems add before and behind."""
_VISIBLE = frozenset(range(0x21, 0x7F))
_SIGNS = re.compile(r"(\[[^\]]+\]|\\[.\[\]{}?\\d]|[^\[\]{}?*+|()^$\\])(?:\{(\d+)(?:,(\d+))?\}|(\?))?")


class Element(NamedTuple):
    """One of some bytes, so many times."""

    bytes: frozenset[int]
    low: int
    high: int


class Match(NamedTuple):
    """What a place of a stream has to do with a rule."""

    end: int
    """Behind the longest match; 0 for none."""
    may_grow: bool
    """Bytes to come may make it one, or a longer one."""


class Rule(NamedTuple):
    """What a registration looks like."""

    elements: tuple[Element, ...]
    text: str
    """As the operator wrote it."""
    literal: bytes = b""
    """The very bytes, if it is no pattern."""

    @property
    def is_pattern(self) -> bool:
        return not self.literal

    @property
    def longest(self) -> int:
        return sum(element.high for element in self.elements)

    def example(self, number: int) -> bytes:
        """One of the texts that fulfil the rule: those of different numbers differ, as long as there are enough."""
        signs = []
        for choice in reversed([sorted(element.bytes) for element in self.elements for _ in range(element.high)]):
            number, rest = divmod(number, len(choice))
            signs.append(choice[rest])
        return bytes(reversed(signs))

    def match(self, data: bytes | bytearray, at: int) -> Match:
        """Match from a place on."""
        end, places = 0, {(0, 0)}
        for position in range(at, len(data) + 1):
            places = self._reached(places)
            if (len(self.elements), 0) in places:
                end = position
            if position == len(data):
                break
            places = {
                (index, times + 1)
                for index, times in places
                if index < len(self.elements) and times < self.elements[index].high and data[position] in self.elements[index].bytes
            }
            if not places:
                return Match(end, False)
        return Match(end, any(index < len(self.elements) and times < self.elements[index].high for index, times in places))

    def _reached(self, places: set[tuple[int, int]]) -> set[tuple[int, int]]:
        """The same places, and those behind elements that have been often enough."""
        found, waiting = set(places), list(places)
        while waiting:
            index, times = waiting.pop()
            if index < len(self.elements) and times >= self.elements[index].low and (index + 1, 0) not in found:
                found.add((index + 1, 0))
                waiting.append((index + 1, 0))
        return found


def exact(data: bytes, text: str) -> Rule:
    """The rule that these very bytes fulfil."""
    return Rule(tuple(Element(frozenset((byte,)), 1, 1) for byte in data), text, data)


def pattern(text: str) -> Rule:
    """The rule that a pattern writes.

    Raises: ValueError, with what is wrong with it.
    """
    elements, at = [], 0
    while at < len(text):
        found = _SIGNS.match(text, at)
        if found is None:
            raise ValueError(f"{text[at:]!r} is no part of a pattern: letters, digits, [0-9], ., each with {{n}}, {{n,m}} or ?")
        sign, low, high, maybe = found.groups()
        most = int(high or low or 1)
        least = 0 if maybe else int(low or 1)
        if most > MAX_BYTES or most < max(least, 1):
            raise ValueError(f"{found[0]!r} repeats from {least} to {most} times, at most {MAX_BYTES} make sense")
        elements.append(Element(_members(sign), least, most))
        at = found.end()
    rule = Rule(tuple(elements), text)
    if not 1 <= sum(element.low for element in elements) <= rule.longest <= MAX_BYTES:
        raise ValueError(f"{text!r} must match 1 to {MAX_BYTES} bytes")
    if any(byte in b"/" for element in elements for byte in element.bytes):
        raise ValueError(f"{text!r} must not match a slash, which stands between a DTU and its unit")
    return rule


def _members(sign: str) -> frozenset[int]:
    if sign == ".":
        return _VISIBLE - {ord("/")}
    if sign == "\\d":
        return frozenset(b"0123456789")
    if not sign.startswith("["):
        return frozenset(sign[-1].encode("ascii", "strict"))
    members: set[int] = set()
    inside = sign[1:-1].encode("ascii", "strict")
    at = 0
    while at < len(inside):
        is_range = inside[at + 1 : at + 2] == b"-" and at + 2 < len(inside)
        last = inside[at + 2] if is_range else inside[at]
        if last < inside[at]:
            raise ValueError(f"{sign!r} has a range that runs backwards")
        members.update(range(inside[at], last + 1))
        at += 3 if is_range else 1
    if not members <= _VISIBLE:
        raise ValueError(f"{sign!r} holds more than visible ASCII characters")
    return frozenset(members)
