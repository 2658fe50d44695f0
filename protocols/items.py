"""Lists in which each entry says how long it is, parsed so that a broken entry costs nothing but itself."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from construct import ConstructError, MappingError

from protocols.fields import Declaration

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
    item that says it is longer than what is left stays in ``trailing``, as does a run of 0x00 at the end.

    Shape: :class:`Entries` of :class:`Item`, duplicates included.
    """

    def __init__(self, table: Mapping[int, tuple[Declaration, ...]], head: str = ">BB") -> None:
        super().__init__()
        self.table = table
        self.head = head
        """Id and length in the notation of :mod:`struct`."""
        self._head = struct.Struct(head)
        self._declared = {(id, declaration.sizeof()): declaration for id, row in table.items() for declaration in row}

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

    def _item(self, id: int, length: int, raw: bytes) -> Item:
        declaration = self._declared.get((id, length))
        if declaration is None:
            return Item(id, length, "", raw)
        try:
            return Item(id, length, declaration.name or "", declaration.parse(raw))
        except ConstructError:
            return Item(id, length, "", raw)

    def _build(self, obj: Iterable[Item], stream: IO[bytes], context: Context, path: str) -> Any:
        for item in obj:
            stream.write(self._head.pack(item.id, item.length) + self.raw(item))
        stream.write(getattr(obj, "trailing", b""))
        return obj

    def raw(self, item: Item) -> bytes:
        """An item's value as it is on the wire.

        Raises: MappingError when a decoded item is in no table.
        """
        if isinstance(item.value, bytes):
            return item.value
        declaration = self._declared.get((item.id, item.length))
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
