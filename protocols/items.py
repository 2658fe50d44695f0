"""Lists in which each entry says how long it is, parsed so that a broken entry costs nothing but itself."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from construct import ConstructError, FormatField, GreedyBytes, MappingError, Prefixed, Renamed, SizeofError

from protocols.fields import Count, Declaration, Secret, Wrapped

if TYPE_CHECKING:
    from construct.core import Context


class Item(NamedTuple):
    """An entry of :class:`Items`; its value is raw bytes where no declaration fits."""

    id: int
    length: int
    name: str
    """Its declaration's name; empty where there is none for this id and length."""
    value: Any


class Entries(list[Any]):
    """Entries in the order they came, and the bytes behind them that are no entry."""

    __slots__ = ("trailing",)

    trailing: bytes

    def __init__(self, entries: Iterable[Any] = (), trailing: bytes = b"") -> None:
        super().__init__(entries)
        self.trailing = trailing

    @property
    def is_cut(self) -> bool:
        """Whether the bytes behind are more than padding."""
        return bool(self.trailing.strip(b"\0"))


class Items(Declaration):
    """Items of id, length and value, up to the end.

    ``table`` maps an id to its declarations, one per length that it comes in. An item is decoded only if id and
    length are both in the table, for vendors use standard ids with lengths of their own; all others stay raw. An
    item that says it is longer than what is left stays in ``trailing``, as does a run of 0x00 at the end. A declaration
    without a size of its own, a text, takes the lengths that are left.

    Shape: :class:`Entries` of :class:`Item`, duplicates included. Built from these, or from values by name; the name
    of an item in no table is its id in hex, ``0xF364``, and its value bytes.
    """

    def __init__(self, table: Mapping[int, tuple[Declaration, ...]], head: str = ">BB") -> None:
        super().__init__()
        self.table = table
        self.head = head
        """Id and length in the notation of :mod:`struct`."""
        self._head = struct.Struct(head)
        self._declared = {(id, _size(declaration)): declaration for id, row in table.items() for declaration in row}
        self.has_secrets = any(isinstance(_bare(declaration), Secret) for row in table.values() for declaration in row)
        self._ids = {declaration.name: id for id, row in table.items() for declaration in row}

    def _parse(self, stream: IO[bytes], context: Context, path: str) -> Entries:
        data = stream.read()
        padding_from = len(data.rstrip(b"\0"))
        entries, at = Entries(), 0
        while at + self._head.size <= len(data):
            id, length = self._head.unpack_from(data, at)
            start = at + self._head.size
            if start + length > len(data) or (id == 0 and at >= padding_from):
                break
            at = start + length
            entries.append(self._item(id, length, data[start:at]))
        entries.trailing = data[at:]
        return entries

    @property
    def id_digits(self) -> int:
        """How many hexadecimal digits an id has."""
        return 2 * struct.calcsize(self.head[:2])

    def declaration(self, id: int, length: int) -> Declaration | None:
        """What declares the values of this id and length."""
        return self._declared.get((id, length)) or self._declared.get((id, None))

    def _item(self, id: int, length: int, raw: bytes) -> Item:
        declaration = self.declaration(id, length)
        if declaration is None:
            return Item(id, length, "", raw)
        try:
            return Item(id, length, declaration.name or "", declaration.parse(raw))
        except ConstructError:
            return Item(id, length, "", raw)

    def _build(self, obj: Iterable[Item] | Mapping[str, Any], stream: IO[bytes], context: Context, path: str) -> Any:
        items = [self._named(name, value, path) for name, value in obj.items()] if isinstance(obj, Mapping) else obj
        for item in items:
            raw = self.raw(item)
            try:
                stream.write(self._head.pack(item.id, len(raw)) + raw)
            except struct.error as error:
                raise MappingError(f"an item 0x{item.id:02X} of {len(raw)} bytes does not fit its head", path) from error
        stream.write(getattr(obj, "trailing", b""))
        return obj

    def _named(self, name: str, value: Any, path: str) -> Item:
        if re.fullmatch("0[xX][0-9A-Fa-f]+", name):
            if not isinstance(value, bytes):
                raise MappingError(f"{name} is in no table: its value must be bytes, not {value!r}", path)
            return Item(int(name, 16), len(value), "", value)
        if name not in self._ids:
            raise MappingError(f"there is no item {name!r}", path)
        # The longest first: a shorter one would take a value with more fields than it has.
        for declaration in sorted(self.table[self._ids[name]], key=lambda row: _size(row) or 0, reverse=True):
            try:
                raw = declaration.build(value)
            except (ConstructError, LookupError, TypeError, AttributeError):
                continue
            return Item(self._ids[name], len(raw), name, raw)
        raise MappingError(f"no length of {name} takes {value!r}", path)

    def raw(self, item: Item) -> bytes:
        """An item's value as it is on the wire.

        Raises: MappingError when a decoded item is in no table.
        """
        if isinstance(item.value, bytes):
            return item.value
        declaration = self.declaration(item.id, item.length)
        if declaration is None:
            raise MappingError(f"there is no item 0x{item.id:02X} of {item.length} bytes", "items")
        return declaration.build(item.value)


class Records(Declaration):
    """Records of a length and that many bytes, up to the end; what each holds, ``subcon`` declares.

    Shape: :class:`Entries` of ``bytes``, for a record has to be recognised by them when it comes again alone.
    """

    def __init__(self, subcon: Declaration, head: str = ">H") -> None:
        super().__init__()
        self.subcon = subcon
        self.head = head
        """The length in the notation of :mod:`struct`."""
        self._head = struct.Struct(head)

    def _parse(self, stream: IO[bytes], context: Context, path: str) -> Entries:
        data = stream.read()
        entries, at = Entries(), 0
        while at + self._head.size <= len(data):
            (length,) = self._head.unpack_from(data, at)
            start = at + self._head.size
            if start + length > len(data):
                break
            at = start + length
            entries.append(data[start:at])
        entries.trailing = data[at:]
        return entries

    def _build(self, obj: Iterable[Any], stream: IO[bytes], context: Context, path: str) -> Any:
        for entry in obj:
            raw = entry if isinstance(entry, bytes) else self.subcon.build(entry)
            stream.write(self._head.pack(len(raw)) + raw)
        stream.write(getattr(obj, "trailing", b""))
        return obj


class Pairs(Declaration):
    """A count, and that many pairs of an id and a value. ``count`` and ``id`` are numbers, and so is ``value``, or bytes.

    Of numbers and of bytes in a fixed size, all pairs are read at once. ``value`` can also be bytes behind their length,
    ``Prefixed(Int16ub, GreedyBytes)``.

    Shape: a list of tuples, in the order they came, duplicates included.
    """

    def __init__(self, count: Declaration, id: Declaration, value: Declaration) -> None:
        super().__init__()
        self.count = count
        self.id = id
        self.value = value

    @property
    def layout(self) -> str:
        """One pair in the notation of :mod:`struct`, up to the length of a value that tells it."""
        id, value = self.id, self.value
        if isinstance(value, Prefixed):
            value = value.lengthfield
        code = str(value.fmtstr[1:]) if isinstance(value, FormatField) else f"{value.sizeof()}s"
        return (str(id.fmtstr) if isinstance(id, FormatField) else "") + code

    @property
    def is_prefixed(self) -> bool:
        """Whether a value stands behind its length."""
        return isinstance(self.value, Prefixed) and self.value.subcon is GreedyBytes

    def _parse(self, stream: IO[bytes], context: Context, path: str) -> list[tuple[int, Any]]:
        count = self.count._parsereport(stream, context, path)
        pairs = []
        for index in range(count):
            id = self.id._parsereport(stream, context, f"{path} -> [{index}] -> id")
            pairs.append((id, self.value._parsereport(stream, context, f"{path} -> [{index}] -> value")))
        return pairs

    def _build(self, obj: Iterable[tuple[int, Any]], stream: IO[bytes], context: Context, path: str) -> Any:
        pairs = list(obj)
        self.count._build(len(pairs), stream, context, path)
        for index, (id, value) in enumerate(pairs):
            self.id._build(id, stream, context, f"{path} -> [{index}] -> id")
            self.value._build(value, stream, context, f"{path} -> [{index}] -> value")
        return obj


class Total(Count):
    """How many entries several lists have together. Counted when it is not given, as :class:`Count` is."""

    def __init__(self, subcon: Declaration, *lists: str) -> None:
        super().__init__(subcon, ", ".join(lists))
        self.lists = lists

    def _build(self, obj: int | None, stream: IO[bytes], context: Context, path: str) -> Any:
        count = sum(len(context[name]) for name in self.lists) if obj is None else obj
        return self.subcon._build(count, stream, context, path)


class UntilEnd(Wrapped):
    """``subcon`` again and again, up to the end; what is left at the end and cannot be one stays in ``trailing``.

    Shape: :class:`Entries`.
    """

    def _parse(self, stream: IO[bytes], context: Context, path: str) -> Entries:
        entries = Entries()
        while True:
            start = stream.tell()
            try:
                entry = self.subcon._parsereport(stream, context, path)
            except ConstructError:
                break
            if stream.tell() == start:
                break
            entries.append(entry)
        stream.seek(start)
        entries.trailing = stream.read()
        return entries

    def _build(self, obj: Iterable[Any], stream: IO[bytes], context: Context, path: str) -> Any:
        for entry in obj:
            self.subcon._build(entry, stream, context, path)
        stream.write(getattr(obj, "trailing", b""))
        return obj


def _bare(declaration: Declaration) -> Declaration:
    return _bare(declaration.subcon) if isinstance(declaration, Renamed) else declaration


def _size(declaration: Declaration) -> int | None:
    try:
        return declaration.sizeof()
    except SizeofError:
        return None
