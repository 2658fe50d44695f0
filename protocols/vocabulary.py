"""What the values of reports are called among people and measured in, from the declarations that they are read by.

declarations ─▶ vocabulary of a protocol ─┐
catalogue ────────────────────────────────┼─▶ entry of a value's name
the unit at the name's end ───────────────┘
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from construct import FocusedSeq, IfThenElse, Struct, Switch

from protocols.catalogue import CATALOGUE, MEASURES, UNITS, Entry, languages
from protocols.describe import bare, text_of
from protocols.fields import Flags
from protocols.items import Items

if TYPE_CHECKING:
    from protocols.protocol import DeviceProtocol

Vocabulary = Mapping[str, Entry]


def entry(name: str, vocabulary: Vocabulary) -> Entry:
    """What a value's name stands for: as all protocols have it, else as its own does, else by the unit at its end."""
    found = CATALOGUE.get(name) or MEASURES.get(name) or vocabulary.get(name)
    return found or Entry(UNITS.get(name.rpartition("_")[2], "") if "_" in name else "", "", "")


def vocabulary(protocol: DeviceProtocol) -> Vocabulary:
    """What a protocol says of its values' names; of a name that it uses in two units, neither."""
    # Protocols of other packages need not have them.
    more: Callable[[], dict[str, Entry]] = getattr(protocol, "more_entries", dict)
    return declared(layout for row in protocol.messages.values() for layout in row.layouts.values()) | more()


def declared(declarations: Iterable[Any]) -> dict[str, Entry]:
    """The entries of all fields, items and bits in these declarations, by name."""
    found: dict[str, Entry] = {}
    for declaration in declarations:
        for name, unit, text in _named(declaration):
            one = Entry(unit, *(part.partition(";")[0] for part in languages(text)))
            if found.setdefault(name, one).unit != unit:
                found[name] = found[name]._replace(unit="")
    return found


def _named(declaration: Any) -> Iterator[tuple[str, str, str]]:
    """Name, unit and text of whatever has a name in a declaration."""
    if declaration.name:
        yield declaration.name, _unit(declaration), text_of(declaration)
    inner = bare(declaration)
    if isinstance(inner, Flags):
        for bit in inner.bits.values():
            yield bit.name, "", bit.text
    for part in _parts(inner):
        yield from _named(part)


def _unit(declaration: Any) -> str:
    """Of a number, also of one that comes under a condition or of which there are several."""
    inner = bare(declaration)
    while not hasattr(inner, "unit") and (isinstance(inner, IfThenElse) or hasattr(inner, "subcon")):
        inner = bare(inner.thensubcon if isinstance(inner, IfThenElse) else inner.subcon)
    return str(getattr(inner, "unit", ""))


def _parts(inner: Any) -> Iterable[Any]:
    if isinstance(inner, (Struct, FocusedSeq)):
        return list(inner.subcons)
    if isinstance(inner, Items):
        return [part for row in inner.table.values() for part in row]
    if isinstance(inner, IfThenElse):
        return [inner.thensubcon, inner.elsesubcon]
    if isinstance(inner, Switch):
        return list(inner.cases.values())
    return [inner.subcon] if hasattr(inner, "subcon") else []
