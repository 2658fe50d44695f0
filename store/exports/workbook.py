"""A spreadsheet of lines of cells.

rows, a JSON array a line ──▶ XlsxWriter, a row at a time in memory ──▶ a zip file

Text is written as text: nothing in it is a formula or a link.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import orjson
from xlsxwriter import Workbook
from xlsxwriter.exceptions import XlsxWriterException

from store.exports.cells import Cell
from store.exports.errors import ExportError
from store.exports.folder import Workplace

MOST_ROWS = 1_048_576
"""Of a sheet, with its heading."""
LONGEST_TEXT = 32_767
"""Of a cell. What is longer ends with three dots."""
_ROWS_A_LOOK = 1_000
_LOOK_SECONDS = 0.5


def pack(place: Workplace, tell: Callable[[int], None]) -> None:
    """Make the spreadsheet. It tells now and then how many rows are in it, and whoever is told may raise to end it.

    Raises: ExportError
    """
    rows = 0
    with closing(place.packing(lambda: tell(rows))) as file:
        options = {"constant_memory": True, "tmpdir": str(place.path)}
        book = Workbook(file, options)
        book.use_zip64()
        sheet, bold = book.add_worksheet(), book.add_format({"bold": True})
        sheet.freeze_panes(1, 0)
        next_tell = 0.0
        try:
            with place.rows.open("rb") as lines:
                for number, line in enumerate(lines):
                    _write_row(sheet, number, orjson.loads(line), bold if number == 0 else None)
                    rows = number
                    if number % _ROWS_A_LOOK == 0 and time.monotonic() >= next_tell:
                        place.check_disk()
                        tell(rows)
                        next_tell = time.monotonic() + _LOOK_SECONDS
            # What it has written so far is copied before it is packed.
            place.check_disk(more=sum(path.stat().st_size for path in place.path.iterdir()))
            book.close()
        except (OSError, XlsxWriterException) as error:
            raise ExportError(f"the spreadsheet cannot be written: {error}") from error


def _write_row(sheet: Any, number: int, cells: list[Cell], style: Any) -> None:
    for column, cell in enumerate(cells):
        if isinstance(cell, bool):
            sheet.write_boolean(number, column, cell, style)
        elif isinstance(cell, str):
            sheet.write_string(number, column, cell if len(cell) <= LONGEST_TEXT else cell[: LONGEST_TEXT - 3] + "...", style)
        elif cell is not None:
            sheet.write_number(number, column, cell, style)
