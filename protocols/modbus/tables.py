"""Reading the tables of a map so that no key in them is overlooked."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.-]+)\s*\]\]?")
_REQUIRED: Any = object()


class MapError(ValueError):
    """Something in a map that cannot be, with the file, the line where it can be told, and the key's path."""


class Label(NamedTuple):
    """What people call something."""

    en: str
    zh: str

    def numbered(self, n: int) -> Label:
        """Of one of several alike."""
        return Label(self.en.replace("{n}", str(n)), self.zh.replace("{n}", str(n)))


class Source(NamedTuple):
    """Where tables come from."""

    name: str
    text: str = ""
    """Empty where they were not read from a file."""

    def error(self, path: str, text: str) -> MapError:
        line = self._line(path)
        return MapError(f"{self.name}:{line}: {path}: {text}" if line else f"{self.name}: {path}: {text}")

    def _line(self, path: str) -> int:
        """The line of a key; of its table where the key itself does not stand there. 0 if that is not to be found."""
        names = [re.sub(r"\[\d+\]", "", part) for part in path.split(".")]
        wanted = path.split(".")
        counts: dict[str, int] = {}
        here, best, best_depth = "", 0, 0
        for number, line in enumerate(self.text.splitlines(), 1):
            header = _HEADER.match(line)
            if header:
                here = self._entered(header[1] == "[[", header[2], counts)
            inside = here.split(".") if here else []
            depth = len(inside)
            if wanted[:depth] != inside:
                continue
            if header and depth > best_depth:
                best, best_depth = number, depth
            key = re.match(r"\s*\"?([A-Za-z0-9_-]+)\"?\s*[.=]", line)
            if not header and key and len(names) > depth and key[1] == names[depth]:
                return number
        return best

    @staticmethod
    def _entered(is_entry: bool, name: str, counts: dict[str, int]) -> str:
        """The path of the table that a header opens: each part of it that is a list, with the number of its last entry."""
        if is_entry:
            counts[name] = counts.get(name, -1) + 1
            for longer in [other for other in counts if other.startswith(f"{name}.")]:
                del counts[longer]
        parts = name.split(".")
        shown = []
        for index, part in enumerate(parts):
            count = counts.get(".".join(parts[: index + 1]))
            shown.append(part if count is None else f"{part}[{count}]")
        return ".".join(shown)


class Table:
    """One table, whose keys are taken one after the other; what nobody took is a mistake of the writer's."""

    def __init__(self, source: Source, path: str, values: Any, defaults: Mapping[str, Any] | None = None) -> None:
        self.source = source
        self.path = path
        if not isinstance(values, Mapping):
            raise source.error(path or "file", "is no table")
        self.values = {**(defaults or {}), **values}
        self._own = frozenset(map(str, values))
        self._left = dict.fromkeys(map(str, values))

    def error(self, key: str, text: str) -> MapError:
        return self.source.error(f"{self.path}.{key}" if self.path and key else self.path or key, text)

    def end(self) -> None:
        """Raises: MapError for a key that was not taken."""
        for key in self._left:
            raise self.error(key, "there is no such key")

    def has(self, key: str) -> bool:
        return key in self.values

    def is_own(self, key: str) -> bool:
        """Whether it stands in the table itself and does not come from defaults."""
        return key in self._own

    def take(self, key: str, default: Any = _REQUIRED) -> Any:
        self._left.pop(key, None)
        if key in self.values:
            return self.values[key]
        if default is _REQUIRED:
            raise self.error(key, "is missing")
        return default

    def text(self, key: str, default: Any = _REQUIRED, pattern: str = r"[^\0-\x1f]{1,200}") -> str:
        value = self.take(key, default)
        if value is not default and not (isinstance(value, str) and re.fullmatch(pattern, value)):
            raise self.error(key, f"{value!r} is no text like {pattern}")
        return str(value)

    def integer(self, key: str, low: int, high: int, default: Any = _REQUIRED) -> int:
        value = self.take(key, default)
        if value is default:
            return value  # type: ignore[no-any-return]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.error(key, f"{value!r} is no whole number from {low} to {high}")
        return value

    def boolean(self, key: str, default: Any = _REQUIRED) -> bool:
        value = self.take(key, default)
        if not isinstance(value, bool):
            raise self.error(key, f"{value!r} is neither true nor false")
        return value

    def decimal(self, key: str, default: Any = _REQUIRED) -> Any:
        value = self.take(key, default)
        return value if value is default and not isinstance(value, str) else self._decimal(key, value)

    def word(self, key: str, words: Collection[str], default: Any = _REQUIRED) -> str:
        value = self.take(key, default)
        if value not in words:
            raise self.error(key, f"{value!r} is none of {', '.join(words)}")
        return str(value)

    def label(self, key: str) -> Label:
        table = self.table(key)
        label = Label(table.text("en"), table.text("zh"))
        table.end()
        return label

    def table(self, key: str, default: Any = _REQUIRED) -> Table:
        return Table(self.source, f"{self.path}.{key}".lstrip("."), self.take(key, default))

    def tables(self, key: str, defaults: Mapping[str, Any] | None = None) -> list[Table]:
        entries = self.take(key, [])
        if not isinstance(entries, list):
            raise self.error(key, "is no list of tables")
        path = f"{self.path}.{key}".lstrip(".")
        return [Table(self.source, f"{path}[{index}]", entry, defaults) for index, entry in enumerate(entries)]

    def integers(self, key: str) -> tuple[int, ...]:
        values = self.take(key, [])
        if not isinstance(values, list) or any(isinstance(value, bool) or not isinstance(value, int) for value in values):
            raise self.error(key, f"{values!r} is no list of whole numbers")
        return tuple(values)

    def range(self, key: str) -> tuple[Decimal, Decimal] | None:
        values = self.take(key, None)
        if values is None:
            return None
        if not isinstance(values, list) or len(values) != 2:
            raise self.error(key, f"{values!r} is no lowest and highest value")
        low, high = (self._decimal(key, value) for value in values)
        if low > high:
            raise self.error(key, f"{low} is more than {high}")
        return low, high

    def _decimal(self, key: str, value: Any) -> Decimal:
        is_number = isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)
        if not is_number and not (isinstance(value, str) and re.fullmatch(r"[-+]?\d+(\.\d+)?([eE][-+]?\d{1,2})?", value)):
            raise self.error(key, f"{value!r} is no decimal number")
        number = Decimal(str(value))
        if not number.is_finite():
            raise self.error(key, f"{value!r} is no decimal number")
        return number
