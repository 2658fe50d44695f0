from __future__ import annotations

from typing import Any

import pytest
from construct import Bytes, GreedyBytes, Int8sb, Int8ub, Int16ub, Int16ul, Int32ub, Prefixed, Struct, VarInt
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.body import read
from protocols.compiler import compile, source
from protocols.describe import rows
from protocols.explain import explain
from protocols.explanation import Label
from protocols.filling import fill
from protocols.items import Pairs, Total
from protocols.report import DecodeError
from tests.protocols.declarations import build_differences, differences
from tests.protocols.test_explain import check_cover

VARIABLE = Prefixed(Int16ub, GreedyBytes)
GROUPS = Struct(
    "total" / Total(Int8ub, "short", "marks", "long") * "Total",
    "short" / Pairs(Int8ub, Int8ub, Int16ub) * "Short",
    "marks" / Pairs(Int16ub, Int8ub, Bytes(3)) * "Marks",
    "long" / Pairs(Int8ub, Int16ub, VARIABLE) * "Long",
    "last" / Int8ub * "Last",
)
DATA = bytes.fromhex("04 02 010102 02ffff 0001 07 aabbcc 01 0100 0002 1122 09")
VALUE = {"total": 4, "short": [(1, 0x102), (2, 0xFFFF)], "marks": [(7, b"\xaa\xbb\xcc")], "long": [(0x100, b"\x11\x22")], "last": 9}
KINDS = {
    "first": Struct("a" / Pairs(Int8ub, Int8ub, Int8ub)),
    "alone": Pairs(Int16ub, Int16ub, Int32ub),
    "two in a row": Struct("a" / Pairs(Int8ub, Int8ub, Int8ub), "b" / Pairs(Int8ub, Int8ub, VARIABLE), "c" / Int8ub),
    "signed": Struct("a" / Pairs(Int8ub, Int8ub, Int8sb), "b" / Int8ub),
    "signed count": Struct("a" / Pairs(Int8sb, Int8ub, Int8ub), "b" / Int8ub),
    "little-endian": Struct("a" / Pairs(Int8ub, Int8ub, Int16ul), "b" / Int8ub),
    "unknown": Struct("a" / Pairs(Int8ub, VarInt, Int8ub), "b" / GreedyBytes),
    "no bytes": Struct("a" / Pairs(Int8ub, Int8ub, Bytes(0)), "b" / GreedyBytes),
    "groups": GROUPS,
}


def test_pairs_are_read_and_built_in_order() -> None:
    assert compile(GROUPS).parse(DATA) == GROUPS.parse(DATA) == VALUE
    assert compile(GROUPS).build(VALUE) == GROUPS.build(VALUE) == DATA
    twice = Struct("a" / Pairs(Int8ub, Int8ub, Int8ub))
    assert compile(twice).parse(b"\2\5\1\5\2").a == [(5, 1), (5, 2)]


@pytest.mark.parametrize("declaration", KINDS.values(), ids=list(KINDS))
@given(st.one_of(st.binary(max_size=30), st.lists(st.integers(0, 3), max_size=30).map(bytes)))
@settings(max_examples=200, deadline=None)
def test_compiled_pairs_are_what_construct_makes_of_any_bytes(declaration: Any, data: bytes) -> None:
    assert not list(differences(declaration, data))


def test_all_beginnings() -> None:
    for end in range(len(DATA) + 1):
        assert not list(differences(GROUPS, DATA[:end]))


@pytest.mark.parametrize(
    "changes",
    [
        {"total": None},
        {"total": 200},
        {"total": 999},
        {"short": []},
        {"short": [[1, 2]]},
        {"short": [(1, 70_000)]},
        {"short": [(1,)]},
        {"short": None},
        {"short": [(1, 2)] * 256},
        {"marks": [(1, b"ab")]},
        {"marks": [(1, "abc")]},
        {"marks": [(1, bytearray(b"abc"))]},
        {"long": [(1, b"")]},
        {"long": [(1, 5)]},
        {"long": ((1, b"x"),)},
    ],
)
def test_what_nobody_parsed_is_built_alike(changes: dict[str, Any]) -> None:
    assert not list(build_differences(GROUPS, {**VALUE, **changes}))


def test_total_is_counted_if_it_is_not_given_and_kept_if_it_is() -> None:
    without = {name: value for name, value in VALUE.items() if name != "total"}
    assert compile(GROUPS).build(without) == GROUPS.build(without) == DATA
    assert compile(GROUPS).build({**VALUE, "total": 77})[0] == 77


def test_pairs_of_fixed_size_are_read_by_one_call() -> None:
    told = source(KINDS["first"])
    assert "iter_unpack" in told
    assert "for" not in told.split("def build")[0].split("def parse")[1]
    assert "_parsereport" not in source(GROUPS)
    assert "_parsereport" in source(KINDS["unknown"])


def test_what_is_cut_is_told_by_its_path() -> None:
    with pytest.raises(DecodeError) as raised:
        read(GROUPS, DATA[:4])
    assert (raised.value.cause, raised.value.text) == ("truncated", "2 > 1 left")
    assert raised.value.path == "short.[0].value"


def test_explanation() -> None:
    tree = explain(GROUPS, DATA, 0, Label("body"))
    check_cover(tree, DATA)
    short = next(field for field in tree.children if field.name == "short")
    assert [child.name for child in short.children] == ["count", "[0]", "[1]"]
    assert [(leaf.name, leaf.value) for leaf in short.children[2].children] == [("id", 2), ("value", 0xFFFF)]
    for end in range(len(DATA)):
        cut = explain(GROUPS, DATA[:end], 0, Label("body"))
        check_cover(cut, DATA[:end])
        with pytest.raises(DecodeError) as raised:
            read(GROUPS, DATA[:end])
        assert raised.value.text in [leaf.error for leaf in cut.leaves()]


def test_description() -> None:
    found = {row.name: row for row in rows(GROUPS)}
    assert list(found) == ["total", "short.count", "short", "marks.count", "marks", "long.count", "long", "last"]
    assert found["short"].type == "pairs of id (u8), value (u16)"
    assert (found["short.count"].offset, found["short"].offset, found["marks"].offset) == (1, 2, None)


def test_filling() -> None:
    given_fields = {**VALUE, "short": [[1, 0x102], [2, 0xFFFF]], "marks": [[7, "aabbcc"]], "long": [[0x100, "1122"]]}
    assert fill(GROUPS, given_fields) == DATA
    del given_fields["total"]
    assert fill(GROUPS, given_fields) == DATA


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"short": 5}, "short: 5 is no list of ids and values"),
        ({"short": [[1, 2, 3]]}, "is no list of ids and values"),
        ({"short": [[1, 70_000]]}, r"short\[0\].value: 70000 is no whole number from 0 to 65535"),
        ({"short": [[300, 1]]}, r"short\[0\].id: 300 is no whole number"),
        ({"short": [[1, 1]] * 256}, "short: 256 entries, where there may be 255"),
        ({"marks": [[1, "aa"]]}, r"marks\[0\].value: 1 bytes, where there are 3"),
    ],
)
def test_what_cannot_be_filled_in_is_told(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fill(GROUPS, {**VALUE, **changes})
