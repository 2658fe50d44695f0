"""Values as cells: text, numbers, true and false; and lines of cells as bytes.

value ──▶ cell ──▶ CSV                            a file that is appended to
               ──▶ a JSON array a line ──▶ xlsx    which cannot be, so that it is packed of the lines at the end
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from io import StringIO
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from store.csv_text import guarded
from store.json_text import plain_text

Cell = str | int | float | bool | None
LARGEST_EXACT = 2**53
"""A spreadsheet's numbers are floats: larger ones are written as text, so that no digit changes."""
BOM = "\ufeff"
"""By which spreadsheets know that a CSV file is UTF-8."""


class Cells:
    """Cells of values, with times in a zone."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone

    def of(self, value: Any) -> Cell:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return plain_text(value)
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if isinstance(value, int):
            return value if -LARGEST_EXACT <= value <= LARGEST_EXACT else str(value)
        if isinstance(value, datetime):
            return value.astimezone(self._zone).isoformat()
        if isinstance(value, date):
            return value.isoformat()
        return plain_text(json.dumps(value, ensure_ascii=False))


def csv_lines(rows: Iterable[Sequence[Cell]]) -> bytes:
    text = StringIO(newline="")
    csv.writer(text).writerows([_csv_cell(cell) for cell in row] for row in rows)
    return text.getvalue().encode()


def json_lines(rows: Iterable[Sequence[Cell]]) -> bytes:
    return b"".join([orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows])


def _csv_cell(cell: Cell) -> Cell:
    if isinstance(cell, str):
        return guarded(cell)
    return ("true" if cell else "false") if isinstance(cell, bool) else cell
