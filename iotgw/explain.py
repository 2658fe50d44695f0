"""Printing what every byte of a frame means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from iotgw.decode import decode_line, frame_bytes
from protocols import DecodeError, DeviceProtocol
from protocols.explanation import Field

MASK = "••"
_BYTES_A_ROW = 8
_WIDTH_WITHOUT_TERMINAL = 140


def console() -> Console:
    """Standard output; wide enough for the table where it is no terminal."""
    plain = Console(highlight=False)
    return plain if plain.is_terminal else Console(highlight=False, width=_WIDTH_WITHOUT_TERMINAL)


def print_explanation(protocol: DeviceProtocol, hex_text: str, out: Console, identity: str = "") -> None:
    """The tree of one frame, then what is wrong with it or what answers it."""
    try:
        data = frame_bytes(hex_text)
    except DecodeError as error:
        out.print(Text(f"error: {error.text}", "red"))
        return
    explanation = protocol.explain(data)
    out.print(_table(explanation))
    for line in _verdicts(explanation, decode_line(protocol, hex_text, identity)):
        out.print(line, soft_wrap=True)


def shown_bytes(field: Field) -> str:
    """A field's bytes in hex, a space between them, eight a row; masked where nobody may see them."""
    pairs = [MASK if field.is_secret else f"{byte:02x}" for byte in field.raw]
    rows = [pairs[at : at + _BYTES_A_ROW] for at in range(0, len(pairs), _BYTES_A_ROW)]
    return "\n".join(" ".join(row) for row in rows)


def shown_value(field: Field) -> str:
    """A field's value with its unit, in one line."""
    if field.is_secret:
        return MASK
    if field.bits:
        return ""
    if field.value is None or (field.value == field.raw.hex() and not field.value.isdecimal()):
        # Its bytes stand beside it.
        return ""
    value = " ".join(field.value) if isinstance(field.value, list) else str(field.value)
    return f"{value} {field.unit}".rstrip()


def _table(explanation: Field) -> Table:
    table = Table("at", "bytes", "field", "value", "meaning", box=None, header_style="bold", pad_edge=False)
    table.columns[0].justify = "right"
    table.columns[1].no_wrap = True
    for depth, field in explanation.walk():
        if depth == 0:
            continue
        indent = "  " * (depth - 1)
        meaning = Text(" · ".join(filter(None, (field.text, field.meaning))))
        if field.error:
            meaning.append(("  " if meaning else "") + field.error, "red")
        name = Text(indent + field.name, "bold" if field.children else "")
        raw = "" if field.children else shown_bytes(field)
        table.add_row(str(field.start), raw, name, Text("" if field.children else shown_value(field)), meaning)
        for row in _bits(field):
            table.add_row("", "", Text(f"{indent}  {row[0]}", "dim"), row[1], Text(row[2], "dim"))
    return table


def _bits(field: Field) -> Iterator[tuple[str, str, str]]:
    """A line for each bit that is set or tells a number, and one for all that are not set."""
    for bit in field.bits:
        if bit.value is not False:
            yield bit.name, "1" if bit.value is True else str(bit.value), bit.text
    unset = [bit.name for bit in field.bits if bit.value is False]
    if unset:
        yield "not set", "0", ", ".join(unset)


def _verdicts(explanation: Field, line: dict[str, Any]) -> Iterator[Text]:
    check = next((field for field in explanation.leaves() if field.name == "check"), None)
    if check is not None:
        verdict = check.error or f"{check.value} found, {check.meaning}"
        yield Text(f"check    {verdict}", "red" if check.error else "green")
    if explanation.error:
        yield Text(f"frame    {explanation.error}", "red")
    elif "error" in line:
        error = line["error"]
        yield Text("error    " + ": ".join(filter(None, (error["path"], error["text"]))), "red")
    yield Text(f"ack      {line.get('ack') or 'none'}")
