"""A protocol's frames: what stands around a body, declared once for both directions.

mark, length ... header | body | check | stop          counted: the length says where a frame ends
flag | header | body | check | flag                    delimited: flags do, and bytes are escaped
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from construct import Const, ConstructError, FormatField, SizeofError, Struct

from protocols.compiler import compile
from protocols.compiler.structure import bare
from protocols.fields import Declaration
from protocols.framing import SAMPLE_BYTES, DelimitedSplitter, Escaping, Marked, MarkedSplitter
from protocols.message import Malformed

COUNTS = ("body", "body and check", "rest", "frame")
"""What a length may count; ``rest`` is all that stands behind it."""


class DeclarationError(ValueError):
    """A protocol is declared wrongly. The text names the field or message, and says what to do."""


class Check(NamedTuple):
    """The check behind the body."""

    of: Callable[[bytes], int]
    """A function of :mod:`protocols.checksum` or any other; the field takes as many low bits of it as it has."""
    field: Declaration
    """An unsigned number with its text: ``Int16ul * "CRC-16/MODBUS, low byte first"``."""
    since: str = ""
    """The header's field at which the checked bytes begin, or ``body``; empty for the frame's first byte."""


class Opened(NamedTuple):
    """A frame whose check is right."""

    head: bytes
    fields: Mapping[str, Any]
    """The header's."""
    body: bytes


class Frame:
    """The frames of a protocol, or of one direction of it.

    ``header`` is a struct of fixed size. These names in it mean something: ``kind``, which has to be there; ``length``,
    ``sequence`` and ``identity``. What it begins with is the frame's mark if it is a :class:`Const`. With a ``flag``,
    one byte, frames are delimited by it. ``counts`` is one of :data:`COUNTS`, or how many bytes of the frame the length
    leaves out. A longer frame than ``limit`` is passed over.

    Raises: DeclarationError
    """

    def __init__(
        self,
        header: Struct,
        check: Check | None = None,
        *,
        counts: str | int = "body",
        stop: bytes = b"",
        flag: bytes = b"",
        escaping: Escaping | None = None,
        limit: int = 1024,
    ) -> None:
        self.header, self.check, self.stop, self.flag, self.escaping, self.limit = header, check, stop, flag, escaping, limit
        self.places = _places(header)
        self.head_size = header.sizeof()
        self.mark = b"" if flag else _mark(header)
        self._check = struct.Struct(_number("check", check.field) if check else "")
        self.check_size = self._check.size
        self._checked_from = self._since(check.since if check else "")
        self._length_at, self._length = self._told("length") if "length" in self.places else (0, struct.Struct(""))
        self._uncounted = self._left_out(counts)
        self._told("kind")
        self.sequences = 1 << 8 * self._told("sequence")[1].size if "sequence" in self.places else 0
        """How many sequence numbers there are; 0 if frames have none."""
        if not flag and "length" not in self.places:
            raise DeclarationError("header: no field 'length': add one, or give the Frame a flag that ends frames")
        if flag and (len(flag) != 1 or stop):
            raise DeclarationError("frame: a flag is one byte, and takes the place of a stop")
        if escaping and escaping.flag != flag:
            raise DeclarationError("frame: the escaping is for another flag")

    @property
    def around(self) -> int:
        """Bytes of a frame without its body."""
        return self.head_size + self.check_size + len(self.stop)

    def splitter(self) -> DelimitedSplitter | MarkedSplitter:
        """What cuts a link's bytes into frames for :meth:`open`."""
        if self.flag:
            return DelimitedSplitter(self.flag, self.limit * (2 if self.escaping else 1))
        shape = Marked(self.mark, self._length.format, self._length_at, self._uncounted, self.stop)
        return (MarkedSplitter if self.mark else UnmarkedSplitter)([shape], self.limit, self.fault)

    def open(self, raw: bytes) -> Opened | Malformed:
        """Header and body of what a splitter gave."""
        data, is_legal = self.escaping.take(raw) if self.escaping else (raw, True)
        fault = self.fault(data) if is_legal else "escape"
        try:
            if not fault:
                head = data[: self.head_size]
                return Opened(head, self.read(head), data[self.head_size : len(data) - self.check_size - len(self.stop)])
        except ConstructError:
            fault = "header"
        return Malformed(fault, raw[:SAMPLE_BYTES])

    def read(self, head: bytes) -> Mapping[str, Any]:
        """The fields of a header's bytes.

        Raises: ConstructError when a field has a value that cannot be.
        """
        fields: Mapping[str, Any] = compile(self.header).parse(head)
        return fields

    def close(self, fields: Mapping[str, Any], body: bytes) -> bytes:
        """The frame of a body, as it goes on the wire. The length is filled in, and constants may be left out.

        Raises: ValueError when the body is too long, or a field does not fit.
        """
        size = self.around + len(body)
        if size > self.limit:
            raise ValueError(f"a body of {len(body)} bytes does not fit a frame of {self.limit}")
        try:
            data = compile(self.header).build({**fields, "length": size - self._uncounted}) + body
        except ConstructError as error:
            raise ValueError(f"header: {str(error).splitlines()[-1]}") from error
        data += self.check_of(data) + self.stop
        return self.flag + (self.escaping.put(data) if self.escaping else data) + self.flag

    def fault(self, data: bytes) -> str:
        """What is wrong with a whole frame, without flags and escapes, in one word; empty if nothing is."""
        if len(data) < self.around:
            return "header" if self.flag else "length"
        ends = len(data) - len(self.stop) - self.check_size
        if data[ends : ends + self.check_size] != self.check_of(data[:ends]):
            return "checksum"
        return "length" if self._length.size and self.told_size(data) != len(data) else ""

    def check_of(self, data: bytes) -> bytes:
        """The check behind a frame's bytes; empty if it has none."""
        if self.check is None:
            return b""
        return self._check.pack(self.check.of(data[self._checked_from :]) & (1 << 8 * self.check_size) - 1)

    def told_size(self, data: bytes) -> int | None:
        """The size of the frame that begins so, by its own word; None if it has none, or it has not come yet."""
        if not self._length.size or len(data) < self._length_at + self._length.size:
            return None
        return int(self._length.unpack_from(data, self._length_at)[0]) + self._uncounted

    def _told(self, name: str) -> tuple[int, struct.Struct]:
        if name not in self.places:
            raise DeclarationError(f'header: no field {name!r}: add one, for example {name!r} / Int8ub * "..."')
        at, declaration = self.places[name]
        return at, struct.Struct(_number(f"header: {name}", declaration))

    def _since(self, since: str) -> int:
        if since == "body":
            return self.head_size
        if since and since not in self.places:
            raise DeclarationError(f"check: since {since!r} is no field of the header, which has {', '.join(self.places)}")
        return self.places[since][0] if since else 0

    def _left_out(self, counts: str | int) -> int:
        if isinstance(counts, int):
            return counts
        if counts not in COUNTS:
            raise DeclarationError(f"frame: counts {counts!r} is none of {', '.join(COUNTS)}, nor a number of bytes left out")
        left_out = {"body": self.around, "body and check": self.head_size + len(self.stop), "frame": 0}
        return left_out.get(counts, self._length_at + self._length.size)


class UnmarkedSplitter(MarkedSplitter):
    """Of frames that begin with no mark: behind a bad one, every byte may be the first of the next."""

    def _behind_fault(self, shape: Marked, at: int, size: int) -> int:
        return max(super()._behind_fault(shape, at, size), at + 1)


def _places(header: Struct) -> dict[str, tuple[int, Declaration]]:
    """The header's fields by name, each with its offset."""
    places: dict[str, tuple[int, Declaration]] = {}
    at = 0
    for field in header.subcons:
        if not field.name or field.name in places:
            raise DeclarationError(f'header: the field at byte {at} needs a name of its own: write "name" / ... * "its text"')
        places[field.name] = at, bare(field)
        try:
            at += field.sizeof()
        except SizeofError as error:
            raise DeclarationError(f"header: {field.name} has no fixed size: put it into the bodies") from error
    return places


def _mark(header: Struct) -> bytes:
    """The constants that the header begins with."""
    mark = b""
    for field in header.subcons:
        if not isinstance(bare(field), Const):
            break
        mark += field.build(None)
    return mark


def _number(path: str, declaration: Declaration) -> str:
    """An unsigned number's format in the notation of :mod:`struct`."""
    number = bare(declaration)
    if not isinstance(number, FormatField) or number.fmtstr[-1] not in "BHLIQ":
        raise DeclarationError(f"{path}: has to be an unsigned number, such as Int8ub, Int16ub or Int16ul")
    return str(number.fmtstr)
