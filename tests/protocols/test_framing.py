from __future__ import annotations

import sys
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocols.framing import SAMPLE_BYTES, DelimitedSplitter, Escaping
from protocols.message import Malformed

FLAG = b"\x7e"
LIMIT = 300
ESCAPING = Escaping(b"\x7d", FLAG, b"\x7d\x01", b"\x7d\x02")
noisy = st.lists(st.one_of(st.binary(max_size=20), st.sampled_from([FLAG, b"\x7d", b"\x7d\x01", b"a" * LIMIT])), max_size=12).map(
    b"".join
)


def by_hand(data: bytes) -> tuple[list[bytes | Malformed], bytes]:
    """The splitter, slow and plain: a byte at a time over everything at once."""
    found: list[bytes | Malformed] = []
    run = b""
    for byte in data:
        if bytes([byte]) == FLAG:
            if run and len(run) <= LIMIT:
                found.append(run)
            run = b""
            continue
        run += bytes([byte])
        if len(run) == LIMIT + 1:
            found.append(Malformed("oversized", run[:SAMPLE_BYTES]))
    return found, run if len(run) <= LIMIT else b""


@given(noisy, st.lists(st.integers(0, 400), max_size=8))
def test_splitter_finds_what_a_plain_one_finds_however_reads_end(data: bytes, cuts: list[int]) -> None:
    splitter = DelimitedSplitter(FLAG, LIMIT)
    found = []
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        found += splitter.feed(data[start:end])
    assert (found, splitter.pending) == by_hand(data)


@pytest.mark.parametrize("size", [LIMIT, LIMIT + 1])
@pytest.mark.parametrize("cut", [0, 1, LIMIT])
def test_limit_is_the_longest_run_that_passes(size: int, cut: int) -> None:
    run = b"x" * size
    splitter = DelimitedSplitter(FLAG, LIMIT)
    found = splitter.feed(run[:cut]) + splitter.feed(run[cut:] + FLAG)
    assert found == [run if size <= LIMIT else Malformed("oversized", run[:SAMPLE_BYTES])]


def test_frames_may_share_a_flag_and_follow_garbage() -> None:
    splitter = DelimitedSplitter(FLAG, LIMIT)
    assert splitter.feed(b"junk~one~two~~~three~") == [b"junk", b"one", b"two", b"three"]


def test_what_never_ends_is_reported_once_and_not_held() -> None:
    splitter = DelimitedSplitter(FLAG, LIMIT)
    found = [event for _ in range(100) for event in splitter.feed(b"x" * LIMIT)]
    assert found == [Malformed("oversized", b"x" * SAMPLE_BYTES)]
    assert splitter.pending == b""
    assert sys.getsizeof(splitter._pending) < 2 * LIMIT
    assert splitter.feed(b"rest~good~") == [b"good"]


@given(st.binary())
@example(b"\x7d\x01")
@example(b"\x7d\x02")
def test_escaping_is_undone_and_leaves_no_flag(data: bytes) -> None:
    assert FLAG not in ESCAPING.put(data)
    assert ESCAPING.take(ESCAPING.put(data)) == (data, True)


def test_standard_s_example() -> None:
    assert ESCAPING.put(bytes.fromhex("307e087d55")) == bytes.fromhex("307d02087d0155")


@pytest.mark.parametrize(("raw", "meant"), [("7d", "7d"), ("017d03", "017d03"), ("7d7d02", "7d7e"), ("7d017d", "7d7d")])
def test_illegal_escape_is_told_and_left_as_it_is(raw: str, meant: str) -> None:
    assert ESCAPING.take(bytes.fromhex(raw)) == (bytes.fromhex(meant), False)
