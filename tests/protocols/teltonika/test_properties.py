"""Walks the tables of properties: what each is called, in which unit, and that any value of it can be shown."""

from __future__ import annotations

import json
import re

import pytest
from construct import SizeofError
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols import Message
from protocols.catalogue import CATALOGUE
from protocols.describe import bare
from protocols.fields import Choice, Declaration, Flags
from protocols.teltonika import TELTONIKA
from protocols.teltonika.families import FAMILIES
from protocols.teltonika.properties import AST, COMMON, FM6, FMB, FT, OLD_FM, Table
from protocols.teltonika.records import CODEC_8_EXTENDED, GROUPS, RECORDS
from tests.protocols.teltonika.frames import NOON

CHINESE = re.compile("[\u4e00-\u9fff]")
TABLES = {"common": COMMON, "fmb": FMB, "fm6": FM6, "ast": AST, "ft": FT, "old_fm": OLD_FM}
UNITS = {
    **{"km": "_km", "km/h": "_kmh", "L": "_l", "°C": "_c", "%": "_percent", "s": "_s", "V": "_v", "A": "_a", "ms": "_ms"},
    **{"min": "_min", "°": "_deg", "mG": "_mg", "kPa": "_kpa", "10 kPa": "_10kpa", "rpm": "_rpm", "g/s": "_g_per_s"},
    **{"L/h": "_l_per_h", "L/100km": "_l_per_100km", "kg": "_kg", "lx": "_lx", "Hz": "_hz", "h": "_h"},
}
each_table = pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))


def unit(declaration: Declaration) -> str:
    return str(getattr(bare(declaration), "unit", ""))


@each_table
def test_names_are_unique_told_in_both_languages_and_end_in_their_unit(table: Table) -> None:
    declarations = [declaration for row in table.values() for declaration in row]
    names = [declaration.name for declaration in declarations]
    assert len(set(names)) == len(names)
    assert all(0 < id < 1 << 16 for id in table)
    for declaration in declarations:
        assert re.fullmatch("[a-z][a-z0-9_]*", declaration.name)
        assert CHINESE.search(declaration.docs), declaration.name
        assert re.search("[A-Z]", declaration.docs), declaration.name
        if unit(declaration):
            assert declaration.name.endswith(UNITS[unit(declaration)]), declaration.name
        if declaration.name in CATALOGUE:
            assert CATALOGUE[declaration.name].unit == unit(declaration), declaration.name
        inner = bare(declaration)
        for entry in (
            inner.bits.values() if isinstance(inner, Flags) else inner.options.values() if isinstance(inner, Choice) else ()
        ):
            assert CHINESE.search(entry.text), entry.name


@each_table
def test_sizes_are_those_of_a_group(table: Table) -> None:
    for row in table.values():
        for declaration in row:
            try:
                assert declaration.sizeof() in GROUPS.values(), declaration.name
            except SizeofError:
                assert declaration.name not in ("external_v", "odometer_km")


def test_what_is_the_same_in_all_families_is_in_all() -> None:
    assert set(COMMON) <= set(FMB) & set(FM6) & set(OLD_FM)
    assert all(FMB[id] is COMMON[id] for id in COMMON)


ids = st.sampled_from(sorted(set(FMB) | set(FM6)))
pairs = {
    "io_1": st.lists(st.tuples(ids, st.integers(0, 255)), max_size=6),
    "io_2": st.lists(st.tuples(ids, st.integers(0, 0xFFFF)), max_size=6),
    "io_4": st.lists(st.tuples(ids, st.integers(0, 0xFFFFFFFF)), max_size=6),
    "io_8": st.lists(st.tuples(ids, st.binary(min_size=8, max_size=8)), max_size=6),
    "io_x": st.lists(st.tuples(st.one_of(ids, st.sampled_from([385, 548])), st.binary(max_size=40)), max_size=6),
}


@given(st.sampled_from(list(FAMILIES)), st.fixed_dictionaries(pairs), st.integers(0, 0xFFFF))
@settings(max_examples=300, deadline=None)
def test_any_values_are_shown(name: str, groups: dict[str, list[tuple[int, object]]], event_id: int) -> None:
    fixed = {"time": NOON, "priority": 0, "longitude": 1, "latitude": 1, "altitude": 0, "course": 0, "satellites": 5, "speed": 0}
    body = b"\1" + RECORDS[CODEC_8_EXTENDED].build({**fixed, "event_id": event_id, **groups}) + b"\1"
    decoded = TELTONIKA.configure({"family": name}).decode(Message("1", CODEC_8_EXTENDED, 0, b"", body))
    assert decoded.error is None
    (report,) = decoded.reports
    json.dumps([report.values, report.alarms])
    taken = sum(map(len, groups.values())) - len(report.values.get("repeated", ()))
    others = {"fix", "satellites", "priority", "event", "repeated"} & report.values.keys()
    assert len(report.values) == taken + len(others)
    TELTONIKA.configure({"family": name}).explain(bytes.fromhex("00000000000000ff8e") + body)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_one_byte_value_is_read(name: str) -> None:
    for entry in FAMILIES[name].properties["io_1"].values():
        json.dumps([entry.read(byte) for byte in range(256)])


@pytest.mark.parametrize("name", FAMILIES)
def test_numbers_are_read_as_their_declaration_parses_them(name: str) -> None:
    for group, size in (("io_1", 1), ("io_2", 2), ("io_4", 4)):
        for entry in FAMILIES[name].properties[group].values():
            if isinstance(bare(entry.declaration), Flags):
                continue
            for raw in (0, 1, 2, 3, 100, (1 << 8 * size - 1) - 1, 1 << 8 * size - 1, (1 << 8 * size) - 1):
                parsed = entry.declaration.parse(raw.to_bytes(size, "big"))
                assert entry.read(raw) == (list(parsed) if isinstance(parsed, tuple) else parsed), entry.name
