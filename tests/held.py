"""How many bytes an object holds on to."""

from __future__ import annotations

from types import FunctionType, ModuleType
from typing import Any


def held_bytes(thing: Any) -> int:
    """The lengths of all byte strings that can be reached from an object through its attributes and containers."""
    seen: set[int] = set()
    waiting, total = [thing], 0
    while waiting:
        part = waiting.pop()
        if id(part) in seen or isinstance(part, (type, FunctionType, ModuleType, int, float, str)):
            continue
        seen.add(id(part))
        if isinstance(part, (bytes, bytearray)):
            total += len(part)
        elif isinstance(part, dict):
            waiting += [*part.keys(), *part.values()]
        elif isinstance(part, (list, tuple, set, frozenset)) or type(part).__name__ == "deque":
            waiting += part
        else:
            waiting += vars(part).values() if hasattr(part, "__dict__") else []
            waiting += [getattr(part, name) for name in getattr(type(part), "__slots__", ()) if hasattr(part, name)]
    return total
