"""Fields that only this protocol has."""

from __future__ import annotations

import math
import struct
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from construct import Bytes, Int64ub, StringError

from protocols.fields import Adapted, UnixTime

if TYPE_CHECKING:
    from construct.core import Context

FIRST_TIME = 1 << 32
"""The lowest stamp that is a time: 1970-02-19. What is lower is a device's own number."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CODES = {4: ">f", 8: ">d"}


def milliseconds(time: datetime) -> int:
    """An aware time as it goes on the wire."""
    return (time - _EPOCH) // timedelta(milliseconds=1)


class Stamp(UnixTime):
    """When something was, in milliseconds since 1970; or below 2^32, a device's own number where it knows no time."""

    def __init__(self) -> None:
        super().__init__(Int64ub, 1000, FIRST_TIME)


class Real(Adapted):
    """A floating-point number of ``size`` bytes, IEEE 754.

    A single is read as the shortest decimal number that it can stand for: 21.3, and not 21.299999237060547.

    Shape: ``float``; the bytes as they are where they say that there is no number (NaN, infinity).
    """

    def __init__(self, size: int) -> None:
        super().__init__(Bytes(size))
        self.size = size
        self._struct = struct.Struct(_CODES[size])

    def _decode(self, obj: bytes, context: Context, path: str) -> float | bytes:
        number: float = self._struct.unpack(obj)[0]
        if not math.isfinite(number):
            return obj
        if self.size == 8:
            return number
        for digits in (6, 7, 8):
            short = float(f"{number:.{digits}g}")
            if _single(short) == obj:
                return short
        return float(f"{number:.9g}")

    def _encode(self, obj: float | bytes, context: Context, path: str) -> bytes:
        if isinstance(obj, bytes):
            return obj
        try:
            return self._struct.pack(obj)
        except (OverflowError, struct.error) as error:
            raise StringError(f"{obj!r} fits no number of {self.size} bytes", path) from error


def _single(number: float) -> bytes | None:
    try:
        return struct.pack(">f", number)
    except OverflowError:
        # The greatest single, rounded up to fewer digits.
        return None
