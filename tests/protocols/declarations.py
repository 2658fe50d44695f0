"""Declarations and bytes on which compiled and interpreted code are held against each other."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from construct import ConstructError

from protocols.compiler import compile
from protocols.fields import Declaration, FlagWord, KeptText
from protocols.items import Entries, Item
from protocols.registry import PROTOCOLS
from tests.protocols.captures import captures

Outcome = tuple[str, Any, Any]


def layouts() -> dict[str, Declaration]:
    """Every body of every message of every protocol, by a name for it."""
    return {
        f"{protocol.name} {row.name} {edition}": layout
        for protocol in PROTOCOLS.values()
        for row in protocol.messages.values()
        for edition, layout in row.layouts.items()
    }


def bodies() -> list[bytes]:
    """The bodies of all captured frames that can be opened."""
    found: set[bytes] = set()
    for protocol in PROTOCOLS.values():
        for capture in captures(protocol.name):
            for event in protocol.codec(protocol.simulated_identity(0)).receive(capture["frame"], 0.0):
                found.add(getattr(event, "body", b""))
    return sorted(found)


def outcome(function: Any, given: Any) -> Outcome:
    """What a function gives, or how it fails: the error's class, its path if it is construct's, and its text."""
    try:
        return ("result", function(given), None)
    except ConstructError as error:
        return (type(error).__name__, error.path, str(error))
    except Exception as error:
        return (type(error).__name__, None, str(error))


def same(left: Any, right: Any) -> bool:
    """Whether two values are alike in all that can be seen of them, and not just equal."""
    if isinstance(left, dict) and isinstance(right, dict):
        names = [name for name in left if name != "_io"], [name for name in right if name != "_io"]
        return names[0] == names[1] and type(left) is type(right) and all(same(left[name], right[name]) for name in names[0])
    if isinstance(left, FlagWord):
        return isinstance(right, FlagWord) and int(left) == int(right) and left.flags is right.flags and left.names == right.names
    if type(left) is not type(right):
        return False
    if isinstance(left, Item):
        return left[:3] == right[:3] and same(left.value, right.value)
    if isinstance(left, (list, tuple)):
        is_alike = len(left) == len(right) and all(map(same, left, right))
        return is_alike and (not isinstance(left, Entries) or left.trailing == right.trailing)
    if isinstance(left, KeptText):
        return left == right and left.raw == right.raw
    if isinstance(left, datetime):
        return left == right and left.tzinfo is right.tzinfo
    # nan is what it is, though it does not equal itself.
    return repr(left) == repr(right) and getattr(left, "raw", None) == getattr(right, "raw", None)


def differences(declaration: Declaration, body: bytes | bytearray | memoryview) -> Iterator[str]:
    """Where the compiled code does anything else than construct does with a body, and with what is parsed from it."""
    compiled = compile(declaration)
    expected, found = outcome(declaration.parse, body), outcome(compiled.parse, body)
    if expected[0] != found[0] or not same(expected[1], found[1]) or expected[2] != found[2]:
        yield f"parse {bytes(body).hex()}: {found} is not {expected}"
    if expected[0] == "result":
        # A nan does not even equal itself.
        has_nan = "nan" in repr(expected[1])
        if found[0] == "result" and not has_nan and not (expected[1] == found[1] and found[1] == expected[1]):
            yield f"parse {bytes(body).hex()}: not equal"
        yield from build_differences(declaration, expected[1])
        yield from build_differences(declaration, found[1])


def build_differences(declaration: Declaration, value: Any) -> Iterator[str]:
    expected, found = outcome(declaration.build, value), outcome(compile(declaration).build, value)
    if expected != found:
        yield f"build {value}: {found} is not {expected}"
