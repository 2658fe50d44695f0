"""Building blocks of declarations: construct's own, and the ones that field protocols need beside them.

Each rebuilds the bytes it was parsed from, and none raises on a value that a device sends: what has no meaning
stays as it came. They hold plain data (a divisor, a table), so that a declaration can be walked for documents and
translated into code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any, ClassVar, NamedTuple

from construct import Adapter, Bytes, Construct, GreedyBytes, Int32ub, MappingError, StringError, Subconstruct

if TYPE_CHECKING:
    from construct.core import Context

    # construct is generic in its stubs only.
    Declaration = Construct[Any, Any]
    Adapted = Adapter[Any, Any, Any, Any]
    Wrapped = Subconstruct[Any, Any, Any, Any]
else:
    Declaration, Adapted, Wrapped = Construct, Adapter, Subconstruct

Number = int | float


class Scaled(Adapted):
    """A number with a unit: the integer on the wire over ``divisor``. With divisor 1 it stays an integer."""

    def __init__(self, subcon: Declaration, divisor: int, unit: str) -> None:
        super().__init__(subcon)
        self.divisor = divisor
        self.unit = unit

    def _decode(self, obj: int, context: Context, path: str) -> Number:
        return obj if self.divisor == 1 else obj / self.divisor

    def _encode(self, obj: Number, context: Context, path: str) -> int:
        return round(obj * self.divisor)


class Measured(Adapted):
    """A number with a unit and a zero of its own, of whose codes some stand for a word and not for a number.

    The value is the integer on the wire less ``zero``, over ``divisor``; with divisor 1 it stays an integer. Where
    ``words`` are not given, the highest code is ``invalid`` and the one below it ``abnormal``. A value above what
    ``highest`` on the wire stands for is none that the standard allows; it is decoded all the same.

    Shape: ``int``, ``float``, or the word, a ``str``.
    """

    def __init__(
        self,
        subcon: Declaration,
        divisor: int = 1,
        unit: str = "",
        zero: int = 0,
        highest: int | None = None,
        words: Mapping[int, str] | None = None,
    ) -> None:
        super().__init__(subcon)
        self.divisor = divisor
        self.unit = unit
        self.zero = zero
        top = 1 << 8 * subcon.sizeof()
        self.words = {top - 2: "abnormal", top - 1: "invalid"} if words is None else dict(words)
        self.limit = float("inf") if highest is None else (highest - zero) / divisor
        self._codes = {word: code for code, word in self.words.items()}

    def _decode(self, obj: int, context: Context, path: str) -> Number | str:
        if obj in self.words:
            return self.words[obj]
        return obj - self.zero if self.divisor == 1 else (obj - self.zero) / self.divisor

    def _encode(self, obj: Number | str, context: Context, path: str) -> int:
        if isinstance(obj, str):
            if obj not in self._codes:
                raise MappingError(f"{obj!r} is no number and none of {', '.join(self._codes)}", path)
            return self._codes[obj]
        code = round(obj * self.divisor) + self.zero
        if code in self.words:
            raise MappingError(f"{obj!r} would be written like {self.words[code]!r}", path)
        return code


class BCD(Adapted):
    """Packed decimal of ``size`` bytes, as its digits; bytes that are no decimal, as their upper-case hex."""

    def __init__(self, size: int) -> None:
        super().__init__(Bytes(size))
        self.size = size

    def _decode(self, obj: bytes, context: Context, path: str) -> str:
        return obj.hex().upper()

    def _encode(self, obj: str, context: Context, path: str) -> bytes:
        digits = obj.zfill(2 * self.size)
        if len(digits) != 2 * self.size:
            raise StringError(f"{obj!r} has more than {2 * self.size} digits", path)
        return bytes.fromhex(digits)


class ClockTime(Adapted):
    """Year, month, day, hour, minute and second in a byte each, 2000 to 2099, on a clock ``hours_east`` of Greenwich.

    Shape: an aware datetime in UTC; the six bytes as they are, where they name no moment.
    """

    numbers: ClassVar[tuple[int | None, ...]]
    """The number of two digits that a byte stands for; None for a byte that is none."""

    def __init__(self, hours_east: int) -> None:
        super().__init__(Bytes(6))
        self.hours_east = hours_east
        self._offset = timedelta(hours=hours_east)

    def _decode(self, obj: bytes, context: Context, path: str) -> datetime | bytes:
        numbers = [number for byte in obj if (number := self.numbers[byte]) is not None]
        try:
            year, month, day, hour, minute, second = numbers
            return datetime(2000 + year, month, day, hour, minute, second, tzinfo=UTC) - self._offset
        except ValueError:
            return obj

    def _encode(self, obj: datetime | bytes, context: Context, path: str) -> bytes:
        if isinstance(obj, bytes):
            return obj
        if obj.tzinfo is None:
            raise StringError(f"{obj} names no moment without a time zone", path)
        local = obj.astimezone(UTC) + self._offset
        if not 2000 <= local.year <= 2099:
            raise StringError(f"{obj} is outside 2000 to 2099", path)
        parts = (local.year - 2000, local.month, local.day, local.hour, local.minute, local.second)
        return bytes([self.numbers.index(part) for part in parts])


class BcdTime(ClockTime):
    """``YYMMDDhhmmss`` in packed decimal."""

    numbers = tuple(10 * (byte >> 4) + (byte & 15) if byte >> 4 < 10 and byte & 15 < 10 else None for byte in range(256))


class BinaryTime(ClockTime):
    """A time whose six bytes are plain numbers, the year less 2000."""

    numbers = (*range(100), *(None,) * 156)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_SECOND = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)


class UnixTime(Adapted):
    """A count since 1970 UTC, of seconds, or of milliseconds with ``per_second`` 1000.

    Shape: an aware datetime in UTC; the number itself where it is below ``first``, as that of a clock which was never
    set, or where no calendar goes so far.
    """

    def __init__(self, subcon: Declaration = Int32ub, per_second: int = 1, first: int = 1) -> None:
        super().__init__(subcon)
        self.per_second = per_second
        self.first = first
        self._tick = timedelta(seconds=1) / per_second
        self._end = _LAST_SECOND * per_second

    def _decode(self, obj: int, context: Context, path: str) -> datetime | int:
        return _EPOCH + obj * self._tick if self.first <= obj < self._end else obj

    def _encode(self, obj: datetime | int, context: Context, path: str) -> int:
        if isinstance(obj, int):
            return obj
        if obj.tzinfo is None:
            raise StringError(f"{obj} names no moment without a time zone", path)
        return (obj - _EPOCH) // self._tick


class KeptText(str):
    """Text whose bytes were not those that writing it again would give: padded oddly, or not in its encoding."""

    raw: bytes

    def __new__(cls, text: str, raw: bytes) -> KeptText:
        kept = super().__new__(cls, text)
        kept.raw = raw
        return kept


class Text(Adapted):
    """Text of ``size`` bytes padded with 0x00, or up to the end where ``size`` is None.

    Padding is taken off on both sides, blanks behind; a 0x00 inside and bytes that are no text become U+FFFD.
    Some devices send UTF-8 whatever the standard says: it is taken for UTF-8 if it is no text otherwise, or if only
    so it matches ``likely``, a pattern of what is expected here.

    Shape: ``str``; a :class:`KeptText` where the bytes could not be had back from it.
    """

    def __init__(self, size: int | None = None, encoding: str = "gb18030", likely: str | None = None) -> None:
        super().__init__(GreedyBytes if size is None else Bytes(size))
        self.size = size
        self.encoding = encoding
        self.likely = likely

    def _decode(self, obj: bytes, context: Context, path: str) -> str:
        text = self._read(obj.strip(b"\0").rstrip(b"\0 ")).replace("\0", "\N{REPLACEMENT CHARACTER}")
        try:
            is_exact = self._padded(text.encode(self.encoding)) == obj
        except UnicodeEncodeError:
            is_exact = False
        return text if is_exact else KeptText(text, obj)

    def _encode(self, obj: str, context: Context, path: str) -> bytes:
        raw = obj.raw if isinstance(obj, KeptText) else obj.encode(self.encoding)
        if self.size is not None and len(raw) > self.size:
            raise StringError(f"{obj!r} takes {len(raw)} bytes where there are {self.size}", path)
        return self._padded(raw)

    def _padded(self, raw: bytes) -> bytes:
        return raw if self.size is None else raw.ljust(self.size, b"\0")

    def _read(self, raw: bytes) -> str:
        text, unicode = _strictly(raw, self.encoding), _strictly(raw, "utf-8")
        if unicode is not None and (text is None or (self._is_likely(unicode) and not self._is_likely(text))):
            return unicode
        return raw.decode(self.encoding, "replace") if text is None else text

    def _is_likely(self, text: str) -> bool:
        return self.likely is not None and re.fullmatch(self.likely, text) is not None


def _strictly(raw: bytes, encoding: str) -> str | None:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        return None


class Bit(NamedTuple):
    """What one bit of a word says, or ``width`` bits from there on: a number, or one of ``choices``."""

    name: str
    text: str
    width: int = 1
    choices: tuple[str, ...] = ()


class FlagWord(int):
    """A word of flags. It is the number it was on the wire, so that bits without a name are not lost."""

    __slots__ = ()

    flags: Flags
    """The table of its names, which has a class of its own: so a word costs no more to make than a number."""

    @property
    def names(self) -> list[str]:
        """The names of the single bits that are set, lowest first."""
        return [name for name, mask in self.flags.singles if self & mask]

    @property
    def values(self) -> dict[str, bool | int | str]:
        """Every declared bit by its name."""
        values: dict[str, bool | int | str] = {}
        for bit, (name, _, width, choices) in self.flags.bits.items():
            part = self >> bit & (1 << width) - 1
            values[name] = choices[part] if choices else bool(part) if width == 1 else part
        return values


class Flags(Adapted):
    """A word of bits with names.

    Shape: a :class:`FlagWord`. Built from a number, from the names of the bits to set, or from values by name.
    """

    def __init__(self, subcon: Declaration, bits: Mapping[int, Bit]) -> None:
        super().__init__(subcon)
        self.bits = bits

    @cached_property
    def word(self) -> type[FlagWord]:
        """The class of this table's words."""
        return type("FlagWord", (FlagWord,), {"__slots__": (), "__module__": FlagWord.__module__, "flags": self})

    @cached_property
    def singles(self) -> tuple[tuple[str, int], ...]:
        """Name and mask of each declared single bit."""
        return tuple((bit.name, 1 << at) for at, bit in sorted(self.bits.items()) if bit.width == 1)

    @cached_property
    def _places(self) -> dict[str, tuple[int, Bit]]:
        return {bit.name: (at, bit) for at, bit in self.bits.items()}

    def _decode(self, obj: int, context: Context, path: str) -> FlagWord:
        return self.word(obj)

    def _build(self, obj: Any, stream: IO[bytes], context: Context, path: str) -> FlagWord:
        # The word, whatever it was built from: fields behind it may depend on its bits.
        return self.word(super()._build(self._encode(obj, context, path), stream, context, path))

    def _encode(self, obj: int | Mapping[str, Any] | Iterable[str], context: Context, path: str) -> int:
        if isinstance(obj, int):
            return int(obj)
        word = 0
        for name, value in (obj if isinstance(obj, Mapping) else dict.fromkeys(obj, True)).items():
            if name not in self._places:
                raise MappingError(f"there is no bit {name!r}", path)
            at, bit = self._places[name]
            part = bit.choices.index(value) if bit.choices else int(value)
            if part >> bit.width:
                raise MappingError(f"{name} has {bit.width} bits, too few for {part}", path)
            word |= part << at
        return word


class Option(NamedTuple):
    """One of the values that a field can have."""

    name: str
    text: str


class Choice(Adapted):
    """A number with a meaning: its option's name, or the number itself where ``options`` has none."""

    def __init__(self, subcon: Declaration, options: Mapping[int, Option]) -> None:
        super().__init__(subcon)
        self.options = options
        self._numbers = {option.name: number for number, option in options.items()}

    def _decode(self, obj: int, context: Context, path: str) -> str | int:
        option = self.options.get(obj)
        return obj if option is None else option.name

    def _build(self, obj: Any, stream: IO[bytes], context: Context, path: str) -> Any:
        # The name, also where its number was given: fields behind it may depend on it.
        number = self._encode(obj, context, path)
        super()._build(number, stream, context, path)
        return self._decode(number, context, path)

    def _encode(self, obj: str | int, context: Context, path: str) -> int:
        if isinstance(obj, int):
            return obj
        if obj not in self._numbers:
            raise MappingError(f"{obj!r} is none of {', '.join(self._numbers)}", path)
        return self._numbers[obj]


class Secret(Wrapped):
    """A field that nobody may be shown: it is parsed and built, and left out of values and logs."""


class Count(Wrapped):
    """How many entries the field ``of`` has. Counted when it is not given, so that what was read stays as it came."""

    def __init__(self, subcon: Declaration, of: str) -> None:
        super().__init__(subcon)
        self.of = of
        self.flagbuildnone = True

    def _build(self, obj: int | None, stream: IO[bytes], context: Context, path: str) -> Any:
        count = len(context[self.of]) if obj is None else obj
        return self.subcon._build(count, stream, context, path)
