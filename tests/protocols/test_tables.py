"""Walks the tables of all protocols: what a declaration leaves out is missing in every page made from it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from construct import IfThenElse, SizeofError, Struct

from protocols.catalogue import CATALOGUE
from protocols.fields import Choice, Declaration, Flags, Scaled
from protocols.items import Items, Records
from protocols.jt808.header import HEADERS
from protocols.registry import PROTOCOLS

CHINESE = re.compile("[\u4e00-\u9fff]")
UNITS = {
    **{"km": "_km", "km/h": "_kmh", "L": "_l", "°C": "_c", "%": "_percent", "s": "_s", "V": "_v"},
    **{"m": "_m", "ms": "_ms", "min": "_min", "°": "_deg", "bytes": "_bytes"},
}


def inside(declaration: Declaration) -> Iterator[Declaration]:
    """A declaration and all it is made of."""
    yield declaration
    parts: list[Declaration] = []
    if isinstance(declaration, Items):
        parts = [part for row in declaration.table.values() for part in row]
    elif isinstance(declaration, Struct):
        parts = declaration.subcons
    elif isinstance(declaration, IfThenElse):
        parts = [declaration.thensubcon, declaration.elsesubcon]
    elif hasattr(declaration, "subcon"):
        parts = [declaration.subcon]
    for part in parts:
        yield from inside(part)


def size(declaration: Declaration) -> int | None:
    try:
        return declaration.sizeof()
    except SizeofError:
        return None


DECLARATIONS = [
    pytest.param(layout, id=f"{protocol.name} {row.name} {edition}")
    for protocol in PROTOCOLS.values()
    for row in protocol.messages.values()
    for edition, layout in row.layouts.items()
] + [pytest.param(header, id=f"jt808 header {layout}") for layout, header in HEADERS.items()]


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))
def test_messages_have_names_of_their_own_in_both_languages(protocol) -> None:
    rows = list(protocol.messages.values())
    assert [row.id for row in rows] == list(protocol.messages)
    assert len({row.name for row in rows}) == len(rows)
    for row in rows:
        assert re.fullmatch("[a-z][a-z0-9_]*", row.name)
        assert row.english
        assert CHINESE.search(row.chinese), row.name
        assert row.layouts, row.name
        assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ,.-]*", edition) for edition in row.layouts), row.name
        assert protocol.kind_name(row.id) == row.name
        assert protocol.ends_session(row.id) == row.ends_session


@pytest.mark.parametrize("declaration", DECLARATIONS)
def test_every_field_has_text_in_both_languages(declaration: Declaration) -> None:
    for part in inside(declaration):
        if isinstance(part, Struct):
            for field in part.subcons:
                assert field.name
                assert field.docs, field.name
                assert CHINESE.search(field.docs) or field.name == "imei", field.name
        if isinstance(part, Items):
            for row in part.table.values():
                assert all(item.name and CHINESE.search(item.docs) for item in row)
        if isinstance(part, (Flags, Choice)):
            for entry in (part.bits if isinstance(part, Flags) else part.options).values():
                assert re.fullmatch("[a-z][a-z0-9_]*", entry.name)
                assert re.search("[A-Za-z]", entry.text), entry.name
                # A word that is Latin in Chinese too stands for itself.
                assert CHINESE.search(entry.text) or entry.name in {"abs"}, entry.name


@pytest.mark.parametrize("declaration", DECLARATIONS)
def test_names_in_a_word_or_choice_are_unique_and_bits_do_not_overlap(declaration: Declaration) -> None:
    for part in inside(declaration):
        if isinstance(part, Flags):
            taken = [at + n for at, bit in part.bits.items() for n in range(bit.width)]
            assert len(set(taken)) == len(taken)
            assert max(taken) < 8 * part.sizeof()
            assert len({bit.name for bit in part.bits.values()}) == len(part.bits)
            assert all(not bit.choices or len(bit.choices) == 1 << bit.width for bit in part.bits.values())
        if isinstance(part, Choice):
            assert len({option.name for option in part.options.values()}) == len(part.options)
        if isinstance(part, Items):
            sizes = [(id, size(item)) for id, row in part.table.items() for item in row]
            assert len(set(sizes)) == len(sizes)
            names = [{item.name for item in row} for row in part.table.values()]
            assert all(len(row) == 1 for row in names)
            assert len(set.union(*names)) == len(names)


@pytest.mark.parametrize("declaration", DECLARATIONS)
def test_scaled_fields_have_a_unit(declaration: Declaration) -> None:
    assert all(part.unit for part in inside(declaration) if isinstance(part, Scaled))


@pytest.mark.parametrize("declaration", DECLARATIONS)
def test_items_carry_their_unit_in_their_name_and_agree_with_the_catalogue(declaration: Declaration) -> None:
    for part in inside(declaration):
        if not isinstance(part, Items):
            continue
        for item in (item for row in part.table.values() for item in row):
            unit = getattr(item.subcon, "unit", "")
            if unit:
                assert item.name.endswith(UNITS[unit])
            if item.name in CATALOGUE:
                assert CATALOGUE[item.name].unit == unit


def test_catalogue_has_both_languages_and_units_in_the_names() -> None:
    for name, entry in CATALOGUE.items():
        assert entry.english
        assert entry.chinese
        assert not entry.unit or name.endswith(UNITS[entry.unit]), name


def test_records_tell_what_they_hold() -> None:
    batches = [part for declaration in DECLARATIONS for part in inside(declaration.values[0]) if isinstance(part, Records)]
    assert batches
    assert all(isinstance(part.subcon, Struct) for part in batches)
