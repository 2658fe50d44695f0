from __future__ import annotations

from typing import Any

import pytest

from protocols.explanation import Field
from protocols.teltonika import TELTONIKA
from protocols.teltonika.explain import explain_frame
from protocols.teltonika.families import FAMILIES
from tests.protocols.captures import captures
from tests.protocols.teltonika.frames import ALL, EVENT, GETVER, LOGIN, TWO_RECORDS, VARIABLE, packed, receive
from tests.protocols.test_explain import check_cover

FRAMES = [*ALL, *(capture["frame"] for capture in captures("teltonika"))]
each_frame = pytest.mark.parametrize("data", FRAMES, ids=range(len(FRAMES)))


def explain(data: bytes) -> Field:
    tree = TELTONIKA.configure({"family": "fmb"}).explain(data)
    check_cover(tree, data)
    return tree


def found(tree: Field, *names: str) -> Any:
    for name in names:
        tree = next(child for child in tree.children if child.name == name)
    return tree


def errors(tree: Field) -> list[str]:
    return [part.error for _, part in tree.walk() if part.error]


@each_frame
def test_good_frames_are_explained_whole(data: bytes) -> None:
    tree = explain(data)
    assert errors(tree) == []
    if not data.startswith(b"\0\x0f"):
        assert [leaf.raw for leaf in tree.leaves() if leaf.name == "check"] == [data[-4:]]


@each_frame
def test_cut_and_damaged_frames_are_covered_and_complained_of(data: bytes) -> None:
    # Everywhere in a short frame, in a hundred places of a long one.
    for at in range(0, len(data), 1 + len(data) // 100):
        assert explain(data[:at]).error
        bad = data[:at] + bytes((data[at] ^ 0x10,)) + data[at + 1 :]
        assert errors(explain(bad)) or receive(bad), at


def test_record_is_told_field_by_field() -> None:
    tree = explain(TWO_RECORDS)
    record = found(tree, "body", "records", "[0]")
    assert found(tree, "header", "codec_id").meaning == "0x08"
    assert (found(record, "latitude").value, found(record, "latitude").unit) == (-23.5505, "°")
    assert found(record, "latitude").start == 8 + 2 + 13
    assert found(record, "time").value == "2025-03-07T14:05:09Z"
    voltage = found(record, "io_2", "external_v")
    assert (voltage.value, voltage.unit, voltage.raw.hex(), voltage.text) == (13.847, "V", "423617", "External voltage 外部电压")
    assert [(leaf.name, leaf.value) for leaf in voltage.leaves()] == [("id", 66), ("value", 13847)]
    assert found(tree, "check").meaning == "00002222 computed"


def test_properties_of_unknown_families_are_numbers() -> None:
    tree = explain_frame(TWO_RECORDS, FAMILIES["common"])
    group = found(tree, "body", "records", "[0]", "io_4")
    assert [child.name for child in group.children] == ["count", "[0]", "gsm_operator"]


def test_values_that_tell_their_length() -> None:
    group = found(explain(VARIABLE), "body", "records", "[0]", "io_x")
    assert found(group, "beacons").value["beacons"][0]["rssi_dbm"] == -60
    assert found(group, "ble_1_custom", "value", "length").value == 0


def test_what_is_wrong_is_told() -> None:
    assert explain(EVENT[:-1] + b"\0").error == "the check does not fit the data"
    assert "00 found" not in explain(EVENT).error
    differs = packed(EVENT[8:-5].hex() + "05")
    assert errors(explain(differs)) == ["5 is not the 1 of Number of Data 1"]
    assert errors(explain(packed("ff0000"))) == ["no codec 0xFF"]
    assert explain(b"\0\0\0\0\0\0\0\2\x08\0").error == "the length is too small"
    assert explain(LOGIN[:-1] + b"x").error == "an IMEI has nothing but digits"
    assert explain(b"GET / HTTP/1.1").error == explain(b"").error == "there is no frame in these bytes"
    assert explain(GETVER + b"\xff").children[-1].error == "bytes behind the frame's end"
    assert explain(b"\xff").error == ""
