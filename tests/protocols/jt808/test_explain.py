from __future__ import annotations

from typing import Any

import pytest

from protocols.body import json_value
from protocols.explanation import Field
from protocols.jt808 import JT808
from protocols.jt808.header import ESCAPING, FLAG, is_2019
from protocols.jt808.messages import MESSAGES
from tests.protocols.captures import Capture, captures
from tests.protocols.jt808.frames import LOCATION_BODY, only, piece, up
from tests.protocols.test_explain import check_cover

CAPTURES = captures("jt808")


def child(field: Field, *names: str) -> Field:
    for name in names:
        (field,) = [part for part in field.children if part.name == name]
    return field


def agrees(field: Field, parsed: Any) -> None:
    """A field says what decoding makes of the same bytes."""
    if field.is_secret:
        assert field.value is None
    elif not field.children:
        assert field.value == json_value(parsed), field.name
    elif isinstance(parsed, dict):
        assert {part.name for part in field.children} <= set(parsed)
        for part in field.children:
            agrees(part, parsed[part.name])


@pytest.mark.parametrize("capture", CAPTURES, ids=[capture["id"] for capture in CAPTURES])
def test_explanation_agrees_with_what_is_decoded(capture: Capture) -> None:
    frame, message = capture["frame"], only(capture["frame"])
    tree = JT808.explain(frame)
    assert tree.raw == FLAG + ESCAPING.take(frame[1:-1])[0] + FLAG
    assert child(tree, "header").raw == message.head
    assert child(tree, "header", "sequence").value == message.sequence
    assert child(tree, "header", "phone").value == capture["phone"]
    parsed = MESSAGES[message.kind].layout(message.body, is_2019(message.head)).parse(message.body)
    if message.body:
        body = child(tree, "body")
        assert body.raw == message.body
        for part in body.children:
            agrees(part, parsed[part.name])
    if capture["kind"] == "location":
        items = child(tree, "body", "items").children if parsed["items"] else []
        for item, entry in zip(items, parsed["items"], strict=False):
            assert child(item, "id").value == f"0x{entry.id:02X}"
            assert item.name == (entry.name or f"0x{entry.id:02X}")
            assert not item.children[-1].value or entry.length == len(item.raw) - 2


def test_a_location_is_explained_to_the_last_bit() -> None:
    tree = JT808.explain(up(0x0200, LOCATION_BODY + bytes.fromhex("010400000064")))
    assert [(part.name, part.start, part.end) for part in tree.children] == [
        ("flag", 0, 1),
        ("header", 1, 13),
        ("body", 13, 47),
        ("check", 47, 48),
        ("flag", 48, 49),
    ]
    status = child(tree, "body", "status")
    assert [bit.name for bit in status.bits if bit.value is True] == ["ignition", "fix"]
    speed = child(tree, "body", "speed")
    assert (speed.start, speed.value, speed.unit, speed.raw) == (31, 36.0, "km/h", b"\x01\x68")
    odometer = child(tree, "body", "items", "odometer_km")
    assert [(part.name, part.value) for part in odometer.children] == [("id", "0x01"), ("length", 4), ("value", 10.0)]


def test_offsets_count_unescaped_bytes() -> None:
    frame = up(0x0900, b"\x41\x7e\x7d\x00")
    tree = JT808.explain(frame)
    assert child(tree, "body").raw == b"\x41\x7e\x7d\x00"
    assert len(tree.raw) < len(frame)


def test_wrong_check_byte_says_what_was_found_and_computed() -> None:
    frame = up(0x0002)
    bad = frame[:-2] + bytes((frame[-2] ^ 1,)) + frame[-1:]
    tree = JT808.explain(bad)
    assert tree.error == "the check byte does not fit the bytes before it"
    assert child(tree, "check").error == f"{bad[-2]:02x} found, {frame[-2]:02x} computed"
    assert child(JT808.explain(frame), "check").error == ""


def test_a_frame_that_ends_too_early_is_explained_as_far_as_it_goes() -> None:
    tree = JT808.explain(up(0x0200, LOCATION_BODY)[:22])
    assert tree.error == "the frame does not end"
    assert child(tree, "body", "alarm_flags").raw == bytes(4)
    assert (tree.children[-1].children[-1].name, tree.children[-1].children[-1].error) == ("status", "4 > 1 left") or tree.error


@pytest.mark.parametrize(
    ("frame", "text", "error"),
    [
        (up(0x0DEF, b"abc"), "Message body 消息体", "no message 0x0DEF"),
        (up(0x0200, LOCATION_BODY, encryption=1), "Location report 位置信息汇报", "the body is encrypted"),
        (piece(0x0704, 3, 2, 9, b"abc"), "Part 2 of 3", ""),
    ],
)
def test_a_body_that_cannot_be_read_is_one_leaf(frame: bytes, text: str, error: str) -> None:
    body = child(JT808.explain(frame), "body")
    assert (body.children, body.error) == ([], error)
    assert text in body.text


def test_a_wrong_length_is_told_where_it_stands() -> None:
    data = bytearray(ESCAPING.take(up(0x0200, LOCATION_BODY)[1:-1])[0])
    data[3] += 9
    data[-1] ^= data[3] ^ (data[3] - 9)
    attributes = child(JT808.explain(FLAG + ESCAPING.put(bytes(data)) + FLAG), "header", "attributes")
    assert attributes.error == "a body of 37 bytes announced, 28 there"


@pytest.mark.parametrize(("data", "error"), [(b"", "no frame"), (b"\x7e", "no frame"), (b"\x7e\x7e", "no frame")])
def test_bytes_without_a_frame(data: bytes, error: str) -> None:
    tree = JT808.explain(data)
    check_cover(tree, data)
    assert error in tree.error


def test_what_stands_behind_a_frame_is_one_leaf() -> None:
    tree = JT808.explain(up(0x0002) + b"\x7e\x01junk")
    assert (tree.children[-1].raw, tree.children[-1].error) == (b"\x7e\x01junk", "bytes behind the frame's end")
