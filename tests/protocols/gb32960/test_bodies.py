"""The tables of bodies, which the walk over all messages does not see into."""

from __future__ import annotations

import re
from typing import Any

import pytest

from protocols.describe import rows
from protocols.gb32960 import bodies_2016, bodies_2025
from tests.protocols.test_tables import inside
from tests.protocols.test_tables import test_every_field_has_text_in_both_languages as check_texts
from tests.protocols.test_tables import test_names_in_a_word_or_choice_are_unique_and_bits_do_not_overlap as check_words

TABLES = [
    pytest.param(row, id=f"{edition} {row.name}")
    for edition, table in (("2016", bodies_2016.BODIES), ("2025", bodies_2025.BODIES))
    for row in table.values()
]
SUFFIXES = {
    **{"V": "_v", "A": "_a", "°C": "_c", "%": "_percent", "km/h": "_kmh", "km": "_km", "r/min": "_rpm", "N·m": "_nm"},
    **{"kΩ": "_kohm", "MPa": "_mpa", "kPa": "_kpa", "mg/kg": "_mg_kg", "kg/100 km": "_kg_100km", "L/100 km": "_l_100km"},
}


@pytest.mark.parametrize("row", TABLES)
def test_texts_and_words(row: Any) -> None:
    check_texts(row.layout)
    check_words(row.layout)
    assert re.search("[\u4e00-\u9fff]", row.text)


@pytest.mark.parametrize("row", TABLES)
def test_units_are_in_the_names(row: Any) -> None:
    for field in rows(row.layout):
        if field.unit and field.unit != "°":
            assert field.name.removesuffix("[]").endswith(SUFFIXES[field.unit]), field.name
    assert list(inside(row.layout))


def test_sizes_of_the_bodies_that_have_one() -> None:
    sizes = {1: 20, 4: 5, 5: 9, 6: 14}
    assert {id: bodies_2016.BODIES[id].layout.sizeof() for id in sizes} == sizes
    sizes = {1: 18, 3: 12, 4: 2, 5: 10, 0x32: 18}
    assert {id: bodies_2025.BODIES[id].layout.sizeof() for id in sizes} == sizes
