from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from iotgw.reference import read_frames, write_pages
from protocols.reference import INDEX, page_name, pages
from protocols.registry import PROTOCOLS
from tests.protocols.captures import FOLDER

DOCS = Path(__file__).parents[2] / "docs" / "protocols"
each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))


@each_protocol
def test_committed_pages_are_what_the_declarations_say(protocol: Any) -> None:
    made = pages(protocol, read_frames(FOLDER / f"{protocol.name}.jsonl"))
    there = {path.name: path.read_text("utf-8") for path in (DOCS / protocol.name).glob("*.md")}
    assert sorted(there) == sorted(made), "run make docs"
    changed = [name for name, text in made.items() if there[name] != text]
    assert changed == [], "run make docs"


@each_protocol
def test_pages_are_the_same_each_time(protocol: Any) -> None:
    frames = read_frames(FOLDER / f"{protocol.name}.jsonl")
    assert pages(protocol, frames) == pages(protocol, frames)


@each_protocol
def test_index_names_every_message_and_every_page_its_fields(protocol: Any) -> None:
    made = pages(protocol)
    for row in protocol.messages.values():
        assert f"({page_name(row)})" in made[INDEX]
        page = made[page_name(row)]
        assert row.chinese in page
        for layout in row.layouts.values():
            assert all(f"`{field.name}" in page for field in layout.subcons), row.name


def test_location_page_has_offsets_units_bits_items_and_an_example() -> None:
    page = pages(PROTOCOLS["jt808"], read_frames(FOLDER / "jt808.jsonl"))["0200-location.md"]
    assert "| 18 | 2 | `speed` | u16, value × 10 | km/h | Speed 速度 |" in page
    assert "| 22 | 6 | `time` | BCD YYMMDDhhmmss, GMT+8 |" in page
    assert "| 8 to 9 | `load` | Load 载重状态: 0 empty, 1 half, 2 reserved, 3 full |" in page
    assert "| `0x01` | 4 | `odometer_km` | u32, value × 10 | km | Odometer 里程 |" in page
    assert "Answered with:" in page


def test_secrets_of_examples_are_masked_where_they_are_explained() -> None:
    page = pages(PROTOCOLS["jt808"], read_frames(FOLDER / "jt808.jsonl"))["0102-authenticate.md"]
    assert "`•• •• " in page


def test_pages_of_messages_that_are_gone_are_removed(tmp_path: Path) -> None:
    (tmp_path / "0fff-gone.md").write_text("old")
    (tmp_path / "notes.md").write_text("kept")
    written, removed = write_pages(PROTOCOLS["jt808"], tmp_path, None)
    assert (written, removed) == (len(PROTOCOLS["jt808"].messages) + 1, 1)
    assert not (tmp_path / "0fff-gone.md").exists()
    assert (tmp_path / "notes.md").exists()
