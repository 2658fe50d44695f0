"""Making the bodies of JT/T 808's messages, in the layout of one edition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from construct import Struct

from protocols.filling import fill
from protocols.jt808.messages import MESSAGES
from protocols.jt808.rows import MessageType

EDITIONS = ("2011", "2013", "2019")
_IDS = {row.name: row.id for row in MESSAGES.values()}


def build(kind: str | int, fields: Mapping[str, Any], edition: str = "2013") -> bytes:
    """The body of a message, by its name or its id.

    Of the layouts that an edition knows, the one is taken whose fields are those that are given: ``2011 complete``
    beside ``2011``.

    Raises: ValueError, with the field, its value and what it may be.
    """
    row = MESSAGES.get(_IDS.get(kind, -1) if isinstance(kind, str) else kind)
    if row is None:
        raise ValueError(f"there is no message {kind!r}")
    if edition not in EDITIONS:
        raise ValueError(f"{edition!r} is none of {', '.join(EDITIONS)}")
    first: ValueError | None = None
    for layout in _layouts(row, edition):
        try:
            return fill(layout, fields)
        except ValueError as error:
            first = first or error
    raise ValueError(f"{row.name}, {edition}: {first}") from first


def _layouts(row: MessageType, edition: str) -> list[Struct]:
    """The layouts of the newest edition that is not newer; of the oldest, where all are."""
    known = sorted({name.split()[0] for name in row.layouts})
    chosen = max((name for name in known if name <= edition), default=known[0])
    return [layout for name, layout in row.layouts.items() if name.split()[0] == chosen]
