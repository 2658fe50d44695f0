"""The reference pages of a protocol, made from its declarations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from protocols.command import CommandRule
from protocols.describe import Row, rows, size_of, text_of, type_of
from protocols.explanation import Field
from protocols.fields import Choice, Declaration, Flags
from protocols.items import Items
from protocols.message import Message, Outcome
from protocols.protocol import Codec, DeviceProtocol, MessageRow

INDEX = "README.md"
_MADE = "<!-- Made by iotgw reference from the declarations in protocols/. Change those, not this page. -->"
_TIME = datetime(2026, 1, 1, tzinfo=UTC)
_EXAMPLE_BYTES = 400
"""A longer frame explains no more than a shorter one."""
_NAMES_IN_A_TITLE = 4


def pages(protocol: DeviceProtocol, examples: Iterable[bytes] = ()) -> dict[str, str]:
    """Markdown by file name: an index, and a page for each message. Of each kind the first short example is explained."""
    of_kind = _by_kind(protocol, examples)
    made = {INDEX: _index(protocol)}
    for row in protocol.messages.values():
        made[page_name(row)] = _page(protocol, row, of_kind.get(row.id))
    return made


def page_name(row: MessageRow) -> str:
    """The file of a message's page."""
    return f"{row.id:04x}-{row.name.replace('_', '-')}.md"


def _by_kind(protocol: DeviceProtocol, examples: Iterable[bytes]) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for frame in examples:
        events = _logged_in(protocol).receive(frame, 0.0)
        if len(events) == 1 and isinstance(events[0], Message) and len(frame) <= _EXAMPLE_BYTES:
            found.setdefault(events[0].kind, frame)
    return found


def _logged_in(protocol: DeviceProtocol) -> Codec:
    """A link on which some device has logged in, for the frames that do not say who sends them."""
    return protocol.codec(protocol.simulated_identity(0))


def _index(protocol: DeviceProtocol) -> str:
    lines = [_MADE, "", f"# {protocol.title}: messages", ""]
    lines += [
        "Numbers are big-endian unless a type says LE. Offsets count from 0 at the beginning of the body, or of an entry",
        "in a list; none is given behind a field whose length varies. `value × 10` is what stands on the wire: 532 for 53.2.",
        "",
    ]
    for direction, title in (("up", "From the device"), ("down", "From the platform")):
        of_direction = [row for _, row in sorted(protocol.messages.items()) if row.direction.value == direction]
        if not of_direction:
            continue
        lines += [f"## {title}", ""]
        lines += _table(("id", "name", "message", "editions", "answer"), (_index_row(protocol, row) for row in of_direction))
    lines += ["## Header", ""]
    for title, header in protocol.headers.items():
        lines += [f"### {title}", "", *_rows_table(rows(header))]
    lines += _words({title: rows(header) for title, header in protocol.headers.items()}, "###")
    return _text(lines)


def _index_row(protocol: DeviceProtocol, row: MessageRow) -> Sequence[str]:
    link = f"[`0x{row.id:04X}`]({page_name(row)})"
    return link, f"`{row.name}`", f"{row.english} {row.chinese}", ", ".join(row.layouts), _answer(protocol, row)


def _answer(protocol: DeviceProtocol, row: MessageRow) -> str:
    if row.direction.value == "up":
        return str(row.answer.value)
    return " or ".join(_link(protocol, id) for id in row.answered_by) or "none"


def _link(protocol: DeviceProtocol, id: int) -> str:
    row = protocol.messages.get(id)
    return f"[`0x{id:04X}`]({page_name(row)})" if row else f"`0x{id:04X}`"


def _page(protocol: DeviceProtocol, row: MessageRow, example: bytes | None) -> str:
    sender = "device" if row.direction.value == "up" else "platform"
    answered = _answer(protocol, row)
    lines = [_MADE, "", f"# 0x{row.id:04X} {row.english} {row.chinese}", ""]
    lines += [f"`{row.name}`, sent by the {sender}. Answer: {answered}. [All messages]({INDEX})", ""]
    rule: CommandRule | None = getattr(row, "command", None)
    lines += [_command(rule), ""] if rule else []
    of_edition = {edition: rows(layout) for edition, layout in row.layouts.items()}
    for editions, found in _grouped(of_edition):
        lines += [f"## Body, {editions}", "", *_rows_table(found)]
    lines += _words(of_edition, "##")
    if example:
        lines += _example(protocol, example)
    return _text(lines)


def _command(rule: CommandRule) -> str:
    """How operators may send it."""
    told = [
        f"Operators may send it, with the permission `{rule.effect.value}`" + (" or another, by its fields" if rule.differs else "")
    ]
    if rule.is_confirmed_twice:
        told.append("it has to be confirmed" + (", unless its fields are known to be harmless" if rule.differs else ""))
    told.append(f"an answer is waited for {rule.answer_seconds:g} s")
    if rule.form is not None:
        told.append(
            "given are " + ", ".join(f"`{field.name}`" + ("" if field.is_needed else " (not needed)") for field in rule.form)
        )
    if rule.defaults:
        told.append("may be left out: " + ", ".join(f"`{name}`" for name in rule.defaults))
    return "; ".join(told) + "."


def _grouped(of_edition: Mapping[str, list[Row]]) -> Iterator[tuple[str, list[Row]]]:
    """Editions whose tables look the same, together."""
    groups: dict[str, tuple[list[str], list[Row]]] = {}
    for edition, found in of_edition.items():
        editions, _ = groups.setdefault("\n".join(_rows_table(found)), ([], found))
        editions.append(edition)
    for editions, found in groups.values():
        yield ", ".join(editions), found


def _rows_table(found: list[Row]) -> list[str]:
    if not found:
        return ["Empty.", ""]
    has_condition = any(row.condition for row in found)
    head = ("offset", "bytes", "field", "type", "unit", "meaning") + (("when",) if has_condition else ())
    return _table(head, ((*_cells(row), *((row.condition,) if has_condition else ())) for row in found))


def _cells(row: Row) -> Sequence[str]:
    offset = "" if row.offset is None else str(row.offset)
    size = "" if row.size is None else str(row.size)
    return offset, size, f"`{row.name}`", row.type, row.unit, row.text


def _words(of_title: Mapping[str, list[Row]], level: str) -> list[str]:
    """The tables of bits, values and items, each once; with the editions it holds for where they differ."""
    titles_of: dict[tuple[str, str], list[str]] = {}
    for title, of_one in of_title.items():
        for row in of_one:
            for name, table in _tables(row):
                titles = titles_of.setdefault((name, "\n".join(table)), [])
                titles += [] if title in titles else [title]
    tables_of = Counter(name for name, _ in titles_of)
    named: dict[str, list[str]] = {}
    for (name, table_text), titles in titles_of.items():
        editions = f" ({', '.join(titles)})" if tables_of[name] > 1 else ""
        named.setdefault(table_text, []).append(f"`{name}`{editions}")
    lines = []
    for table_text, names in named.items():
        listed = ", ".join(names) if len(names) <= _NAMES_IN_A_TITLE else f"{names[0]} to {names[-1]}, {len(names)} alike"
        lines += [f"{level} {listed}", "", table_text]
    return lines


def _tables(row: Row) -> Iterator[tuple[str, list[str]]]:
    if isinstance(row.words, Items):
        yield row.name, _items_table(row.words)
        for item_name, item in _named_items(row.words):
            for inner in rows(item):
                for name, table in _tables(inner):
                    yield f"{row.name}.{item_name}{name.removeprefix(item_name)}", table
    elif isinstance(row.words, (Flags, Choice)):
        yield row.name, _words_table(row.words)


def _named_items(items: Items) -> Iterator[tuple[str, Declaration]]:
    return ((item.name or "", item) for declared in items.table.values() for item in declared)


def _items_table(items: Items) -> list[str]:
    digits = 4 if max(items.table, default=0) > 0xFF else 2

    def cells(id: int, item: Declaration) -> Sequence[str]:
        inner = rows(item)
        size = size_of(item)
        parts = [f"`{row.name.removeprefix(item.name or '').lstrip('.')}` {row.type}" for row in inner]
        kind = inner[0].type if len(inner) == 1 and inner[0].name == item.name else "; ".join(parts) or type_of(item)
        unit = inner[0].unit if len(inner) == 1 else ""
        return f"`0x{id:0{digits}X}`", "" if size is None else str(size), f"`{item.name}`", kind, unit, text_of(item)

    table = [cells(id, item) for id, declared in items.table.items() for item in declared]
    return _table(("id", "bytes", "item", "type", "unit", "meaning"), table)


def _words_table(words: Flags | Choice) -> list[str]:
    if isinstance(words, Choice):
        listed = ((f"`0x{value:02X}`", str(value), f"`{name}`", text) for value, (name, text) in sorted(words.options.items()))
        return _table(("hex", "value", "name", "meaning"), listed)
    bits = []
    for at, bit in sorted(words.bits.items()):
        place = str(at) if bit.width == 1 else f"{at} to {at + bit.width - 1}"
        values = ", ".join(f"{value} {name}" for value, name in enumerate(bit.choices))
        bits.append((place, f"`{bit.name}`", bit.text + (f": {values}" if values else "")))
    return _table(("bit", "name", "meaning"), bits)


def _example(protocol: DeviceProtocol, frame: bytes) -> list[str]:
    lines = ["## Example", "", "```", *_hex_lines(frame), "```", ""]
    lines += _table(("at", "bytes", "field", "value", "meaning"), _explained(protocol.explain(frame)))
    codec = _logged_in(protocol)
    (message,) = codec.receive(frame, 0.0)
    ack = codec.ack(message, Outcome.STORED, _TIME) if isinstance(message, Message) else b""
    return lines + (["Answered with:", "", "```", *_hex_lines(ack), "```", ""] if ack else [])


def _hex_lines(data: bytes) -> list[str]:
    return [data[at : at + 32].hex(" ") for at in range(0, len(data), 32)]


def _explained(tree: Field) -> Iterator[Sequence[str]]:
    for depth, field in tree.walk():
        if depth == 0:
            continue
        raw = "" if field.children else " ".join("••" if field.is_secret else f"{byte:02x}" for byte in field.raw)
        indent = "&emsp;" * (depth - 1)
        value = ""
        if not field.children and not field.is_secret and field.value is not None:
            value = ", ".join(field.value) if isinstance(field.value, list) else f"{field.value} {field.unit}".rstrip()
        meaning = " · ".join(filter(None, (field.text, field.meaning, field.error)))
        yield str(field.start), f"`{raw}`" if raw else "", f"{indent}`{field.name}`", value, meaning


def _table(head: Sequence[str], body: Iterable[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |" for cells in body]
    return [*lines, ""]


def _text(lines: list[str]) -> str:
    return "\n".join(lines).rstrip() + "\n"
