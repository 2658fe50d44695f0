"""Text as cells of CSV files that people open in spreadsheets, which take some text for a formula.

A cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line's end is written with an apostrophe before it, which has
spreadsheets show it as text; so is one that begins with an apostrophe, so that what is read is what was written.
"""

from __future__ import annotations

_MARK = "'"
_GUARDED = ("=", "+", "-", "@", "\t", "\r", "\n", _MARK)


def guarded(text: str) -> str:
    return _MARK + text if text.startswith(_GUARDED) else text


def unguarded(cell: str) -> str:
    """What :func:`guarded` was given."""
    return cell[1:] if cell.startswith(_MARK) and cell[1:].startswith(_GUARDED) else cell
