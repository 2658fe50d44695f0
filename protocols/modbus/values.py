"""How registers hold numbers and text.

A register has 16 bits, high byte first. The bytes of a longer number are named A (most significant) to D, or to H,
and an order tells how they lie on the wire: ABCD is the habit, CDAB has the low word first, BADC has the bytes of
each word swapped, DCBA is both.
"""

from __future__ import annotations

import math
import struct
from decimal import Decimal
from typing import NamedTuple

Raw = int | float | str
"""What registers hold, before any scale."""

_NUMBERS = {"u16": ">H", "s16": ">h", "u32": ">I", "s32": ">i", "f32": ">f", "u64": ">Q", "s64": ">q", "f64": ">d"}
_DIGITS = {"bcd16": 4, "bcd32": 8}
TYPES = ("bit", *_NUMBERS, *_DIGITS, "string")
ORDERS = {
    **{"ABCD": "ABCD", "CDAB": "CDAB", "BADC": "BADC", "DCBA": "DCBA"},
    **{"ABCDEFGH": "ABCD", "GHEFCDAB": "CDAB", "BADCFEHG": "BADC", "HGFEDCBA": "DCBA"},
}
"""Every name of an order, and the one it has here."""
SIGNS = ("complement", "magnitude")


class Format(NamedTuple):
    """How one value lies in registers, or in one coil or input."""

    type: str = "u16"
    order: str = "ABCD"
    sign: str = "complement"
    length: int = 1
    """Registers of a string."""
    bit: int | None = None
    """Which bit of a register a ``bit`` is; None for a coil or an input."""

    @property
    def size(self) -> int:
        """How many registers it takes; coils or inputs, for a bit that is one."""
        if self.type in _NUMBERS:
            return struct.calcsize(_NUMBERS[self.type]) // 2
        return _DIGITS[self.type] // 4 if self.type in _DIGITS else self.length if self.type == "string" else 1

    @property
    def is_float(self) -> bool:
        return self.type in ("f32", "f64")

    def read(self, data: bytes) -> Raw | None:
        """The value in these registers; None where they hold none: no number, no decimal digits."""
        data = self._arranged(data)
        if self.type == "string":
            return data.strip(b"\0 ").decode("gb18030", "replace").strip("\0 ")
        if self.type == "bit":
            return int.from_bytes(data, "big") >> (self.bit or 0) & 1
        if self.type in _DIGITS:
            digits = data.hex()
            return int(digits) if digits.isdecimal() else None
        (number,) = struct.unpack(_NUMBERS[self.type], data)
        if self.is_float:
            return _shortest(self.type, number) if math.isfinite(number) else None
        if self.sign == "magnitude":
            return _signed_magnitude(int.from_bytes(data, "big"), 8 * len(data))
        return int(number)

    def write(self, raw: Raw) -> bytes:
        """The registers that hold a value.

        Raises: ValueError when they cannot.
        """
        if self.type == "string":
            text = str(raw).encode("gb18030")
            if len(text) > 2 * self.length:
                raise ValueError(f"{raw!r} takes {len(text)} bytes, where there are {2 * self.length}")
            return self._arranged(text.ljust(2 * self.length, b"\0"))
        number = float(raw) if self.is_float else int(raw)
        try:
            return self._arranged(self._packed(number))
        except (struct.error, OverflowError, ValueError) as error:
            raise ValueError(f"{raw} does not fit into {self.type}") from error

    def pattern(self, data: bytes) -> int:
        """The bits of these registers as a whole number without a sign: what makers mean by an invalid code."""
        return int.from_bytes(self._arranged(data), "big")

    def _packed(self, number: float) -> bytes:
        if self.type == "bit":
            return struct.pack(">H", int(bool(number)) << (self.bit or 0))
        if self.type in _DIGITS:
            if not 0 <= number < 10 ** _DIGITS[self.type]:
                raise ValueError
            return bytes.fromhex(f"{int(number):0{_DIGITS[self.type]}d}")
        if self.sign == "magnitude" and not self.is_float:
            top = 1 << 16 * self.size - 1
            if abs(number) >= top:
                raise ValueError
            return (int(abs(number)) | (top if number < 0 else 0)).to_bytes(2 * self.size, "big")
        return struct.pack(_NUMBERS[self.type], number)

    def _arranged(self, data: bytes) -> bytes:
        """From the order on the wire to ABCD or back: both are the same exchange."""
        if self.order == "ABCD":
            return data
        if self.order == "DCBA":
            # In text only the pairs are swapped: its registers stand in the order of reading.
            return data[::-1] if self.type != "string" else _swapped(data)
        if self.order == "BADC":
            return _swapped(data)
        return data if self.type == "string" else b"".join(data[at : at + 2] for at in range(len(data) - 2, -1, -2))


def decimal(raw: int | float, scale: Decimal, offset: Decimal) -> Decimal:
    """What a raw number means."""
    return Decimal(repr(raw)) * scale + offset


def as_json(value: Decimal, is_whole: bool, decimals: int | None) -> int | float:
    """A number as JSON has it: whole where scale and offset are."""
    if decimals is not None:
        value = round(value, decimals)
    return int(value) if is_whole else float(value)


def bit_at(data: bytes, index: int) -> bytes:
    """One of many coils or inputs, as the single byte that it would be alone."""
    return bytes((data[index // 8] >> index % 8 & 1,))


def packed_bits(bits: list[bool]) -> bytes:
    """Coils or inputs, the lowest address in the lowest bit of the first byte."""
    data = bytearray((len(bits) + 7) // 8)
    for index, bit in enumerate(bits):
        data[index // 8] |= bit << index % 8
    return bytes(data)


def _swapped(data: bytes) -> bytes:
    return b"".join(data[at : at + 2][::-1] for at in range(0, len(data), 2))


def _signed_magnitude(pattern: int, bits: int) -> int:
    top = 1 << bits - 1
    return -(pattern & top - 1) if pattern & top else pattern


def _shortest(type: str, number: float) -> float:
    """The number with the fewest digits that is the same in this type: 123.456, where f32 has 123.45600128173828."""
    if type == "f64":
        return number
    packed = struct.pack(">f", number)
    for digits in range(6, 9):
        short = float(f"{number:.{digits}g}")
        try:
            if struct.pack(">f", short) == packed:
                return short
        except OverflowError:
            # Rounded up beyond the largest there is.
            continue
    return float(f"{number:.9g}")
