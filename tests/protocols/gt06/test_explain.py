"""Every byte of a frame in one leaf."""

from __future__ import annotations

import pytest

from protocols.gt06 import GT06
from protocols.gt06.frame import bare_frame
from tests.protocols.captures import captures
from tests.protocols.gt06.frames import CELL, STATUS, TIME_GPS, long, short
from tests.protocols.gt06.test_bare import STREAM
from tests.protocols.test_explain import check_cover

FRAMES = [
    *(capture["frame"] for capture in captures("gt06")),
    short(0x01),
    short(0x8A, "1903070E061E"),
    short(0x80, "0B 00000001 53544154555323 0002"),
    short(0x36, "00000005 00000000 0400"),
    short(0x17, "2A 00000001" + b"ADDRESS&&".hex() + "6DF1 5733" + b"&&13800000001".hex() + "30" * 10 + "2323"),
    short(0x12, f"0490154203237518 {TIME_GPS} {CELL}"),
    short(0x22, f"01 0490154203237518 1903070E0700 {TIME_GPS}" + "00" * 22),
    short(0x36, f"{STATUS} 0027 02 04EF"),
    long(0x38, f"{TIME_GPS} 01 00 02 01A8 02 1A2B 0CDEF1 3C 002E 04 00002260"),
]


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: frame.hex()[:10])
def test_good_frames(frame: bytes) -> None:
    tree = GT06.explain(frame)
    check_cover(tree, frame)
    assert (tree.error, [leaf.error for leaf in tree.leaves() if leaf.error]) == ("", [])
    (check,) = [leaf for leaf in tree.leaves() if leaf.name == "check"]
    assert check.raw == frame[-4:-2]


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: frame.hex()[:10])
def test_cut_and_damaged_frames(frame: bytes) -> None:
    for cut in range(len(frame)):
        tree = GT06.explain(frame[:cut])
        check_cover(tree, frame[:cut])
        assert tree.error
    for at in range(8 * len(frame)):
        bad = bytearray(frame)
        bad[at // 8] ^= 1 << at % 8
        tree = GT06.explain(bytes(bad))
        check_cover(tree, bytes(bad))
        assert tree.error or any(leaf.error for leaf in tree.leaves()), at


@pytest.mark.parametrize("frame", STREAM, ids=lambda frame: frame.hex()[:8])
def test_frames_of_the_bare_dialect(frame: bytes) -> None:
    tree = GT06.explain(frame)
    check_cover(tree, frame)
    assert not any(leaf.error for leaf in tree.leaves())
    assert "check" not in [leaf.name for leaf in tree.leaves()]
    # Of a type whose frames tell no size, nobody can say whether the length is wrong or none.
    assert bool(tree.error) == (frame[3] in (0x10, 0x13))


def test_what_stands_around_a_frame_is_unread() -> None:
    frame = FRAMES[0]
    tree = GT06.explain(b"abc" + frame + b"xyz")
    check_cover(tree, b"abc" + frame + b"xyz")
    assert [leaf.raw for leaf in tree.leaves() if leaf.name == "unread"] == [b"abc", b"xyz"]
    assert GT06.explain(b"").error
    assert GT06.explain(b"abc").error
    check_cover(GT06.explain(b"abc"), b"abc")


def test_fields_say_what_they_mean() -> None:
    tree = GT06.explain(FRAMES[5])
    found = {field.name: field for _, field in tree.walk()}
    assert found["serial"].value == 258
    assert found["type"].meaning == "0x22"
    assert (found["upload"].value, found["upload"].meaning) == ("interval", "Time interval 定时上报")
    assert found["course"].bits[0].value == 275
    down = {short(0x36, "00000005 00000000 0400"): "wanted_bytes", short(0x8A, "1903070E061E"): "time"}
    for frame, name in down.items():
        assert name in [field.name for _, field in GT06.explain(frame).walk()]
    unknown = GT06.explain(short(0x05, "01"))
    assert [leaf.error for leaf in unknown.leaves() if leaf.error] == ["no message 0x05"]
    assert GT06.explain(bare_frame(9, 0x30, b"abc")).error
