from __future__ import annotations

from protocols.gb32960 import GB32960
from tests.protocols.gb32960.frames import BODIES, REPORT, TIME, VEHICLE, up
from tests.protocols.test_explain import check_cover, paths

FRAME = up(0x02, REPORT)


def test_every_body_is_divided_into_its_fields() -> None:
    tree = GB32960.explain(FRAME)
    check_cover(tree, FRAME)
    shown = paths(tree)
    assert shown["header.start"] == "edition_2016"
    assert shown["header.identity"] == "LZZTEST0000000001"
    assert shown["body.time"] == "2026-03-05T06:30:45Z"
    assert shown["body.bodies.[0].type"] == "vehicle"
    assert shown["body.bodies.[0].body.total_current_a"] == 35.5
    assert shown["body.bodies.[1].body.motors.[0].controller_temperature_c"] == "abnormal"
    assert shown["body.bodies.[7].body.pack_voltages.[0].cell_voltages_v.[3]"] == "invalid"
    assert shown["body.bodies.[9].type"] == 0x80
    assert shown["body.bodies.[9].body.content"] == "010203"
    assert shown["check"] == f"{FRAME[-1]:02x}"
    assert sum(path.endswith("].type") for path in shown) == len(BODIES)
    leaf = next(field for field in tree.leaves() if field.name == "speed_kmh")
    assert (leaf.start, leaf.unit, leaf.value) == (34, "km/h", 52.3)


def test_every_cut_is_covered_and_said() -> None:
    for cut in range(len(FRAME)):
        tree = GB32960.explain(FRAME[:cut])
        check_cover(tree, FRAME[:cut])
        assert tree.error
    tree = GB32960.explain(FRAME[:-3])
    assert tree.children[1].error == f"a data unit of {len(REPORT)} bytes announced, {len(REPORT) - 2} there"


def test_what_is_wrong_is_said_where_it_is() -> None:
    damaged = GB32960.explain(FRAME[:-1] + b"\x00")
    assert damaged.children[-1].error == f"00 found, {FRAME[-1]:02x} computed"
    behind = GB32960.explain(FRAME + b"xy")
    assert [leaf.error for leaf in behind.leaves() if leaf.error] == ["bytes behind the frame's end"]
    check_cover(behind, FRAME + b"xy")
    assert GB32960.explain(b"?" + FRAME).error == "no start mark"
    assert GB32960.explain(up(0x0B, TIME)).children[1].error == "edition 2016 has no message 0x0B"
    unknown = GB32960.explain(up(0x02, TIME + VEHICLE + b"\x30\x01\x00"))
    assert [leaf.error for leaf in unknown.leaves() if leaf.error] == ["256 > 0 left"]


def test_answers_are_explained_in_both_directions() -> None:
    for data in (up(0x01, TIME, flag=0x01), up(0x07, flag=0x01), up(0x02, REPORT, flag=0x02), up(0x81, TIME, flag=0x02)):
        tree = GB32960.explain(data)
        check_cover(tree, data)
        assert not tree.error
        assert not any(leaf.error for leaf in tree.leaves())
