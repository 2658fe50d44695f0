from __future__ import annotations

import pytest

from protocols.native import NATIVE
from tests.protocols.native.frames import NOON, moment, reading, readings
from tests.protocols.test_explain import check_cover

GOOD = readings(moment(NOON, reading(2, "f32", 21.5)))


def test_a_good_frame_divides_into_header_body_and_check() -> None:
    tree = NATIVE.explain(GOOD)
    assert [part.name for part in tree.children] == ["header", "body", "check"]
    assert [part.name for part in tree.children[0].children] == ["mark", "type", "length", "sequence"]
    assert tree.error == ""
    assert tree.children[-1].error == ""


@pytest.mark.parametrize("size", range(1, len(GOOD)))
def test_a_cut_frame_does_not_end(size: int) -> None:
    tree = NATIVE.explain(GOOD[:size])
    check_cover(tree, GOOD[:size])
    assert tree.error == ("the frame does not end" if size > 1 else "there is no frame in these bytes")


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", "there is no frame in these bytes"),
        (b"junk", "there is no frame in these bytes"),
        (b"junk" + GOOD, ""),
        (GOOD + b"junk", ""),
        (GOOD[:-1] + bytes((GOOD[-1] ^ 1,)), "the check does not fit the bytes before it"),
        (GOOD[:3] + b"\x0f\xf1" + GOOD[5:], "4081 bytes announced, 4080 are the most"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, error: str) -> None:
    tree = NATIVE.explain(data)
    check_cover(tree, data)
    assert tree.error == error
    assert b"".join(leaf.raw for leaf in tree.leaves()) == data


def test_what_no_version_knows_is_unread() -> None:
    tree = NATIVE.explain(GOOD[:2] + b"\x30" + GOOD[3:])
    assert "no message 0x30" in [leaf.error for leaf in tree.leaves()]
