"""Slices of files: read once, kept for a while, a few at a time."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from iotgw.slices import MOST_READS, MOST_WAITING, CrowdedError, Slices
from tasks.contract import SLICE_BYTES

FILE = b"".join(bytes((number,)) * SLICE_BYTES for number in range(4))


class Disk:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.reads: list[tuple[str, int]] = []
        self.waiting: list[Deferred[bytes | None]] = []

    def read(self, sha256: str, offset: int) -> Deferred[bytes | None]:
        self.reads.append((sha256, offset))
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def answer(self, *results: Any) -> None:
        for result in results:
            self.waiting.pop(0).callback(result)


def got(slices: Slices, offset: int, length: int, sha256: str = "a") -> list[Any]:
    """What comes of it, in the end."""
    found: list[Any] = []
    slices.read(sha256, offset, length).addBoth(found.append)
    return found


def test_bytes_are_read_once_and_at_hand_from_then_on() -> None:
    disk = Disk()
    slices = Slices(1 << 20, disk.read)
    first, second = got(slices, 10, 5), got(slices, 20, 5)
    assert (first, disk.reads) == ([], [("a", 0)])
    disk.answer(FILE[:SLICE_BYTES])
    assert first == second == [bytes(5)]
    assert got(slices, SLICE_BYTES - 3, 3) == [bytes(3)]
    assert len(disk.reads) == 1


def test_what_crosses_slices_is_put_together() -> None:
    disk = Disk()
    slices = Slices(1 << 20, disk.read)
    found = got(slices, SLICE_BYTES - 2, SLICE_BYTES + 4)
    for number in range(3):
        disk.answer(FILE[number * SLICE_BYTES : (number + 1) * SLICE_BYTES])
    assert found == [FILE[SLICE_BYTES - 2 : 2 * SLICE_BYTES + 2]]


@pytest.mark.parametrize("answer", [None, b"", b"short"], ids=["no file", "nothing", "too short"])
def test_what_is_not_there_is_nothing(answer: bytes | None) -> None:
    disk = Disk()
    slices = Slices(1 << 20, disk.read)
    found = got(slices, 5, 10)
    disk.answer(answer)
    assert found == [None]


def test_the_ones_asked_for_last_are_kept() -> None:
    disk = Disk()
    slices = Slices(2 * SLICE_BYTES, disk.read)
    for offset, reads in ((0, 1), (1, 2), (0, 2), (2, 3), (0, 3), (1, 4)):
        got(slices, offset * SLICE_BYTES, 1)
        assert len(disk.reads) == reads
        disk.answer(*[FILE[:SLICE_BYTES]] * len(disk.waiting))
        assert slices.held_bytes <= 2 * SLICE_BYTES


def test_a_few_are_read_at_a_time_and_so_many_may_wait() -> None:
    disk = Disk()
    slices = Slices(1 << 20, disk.read)
    asked = [got(slices, number * SLICE_BYTES, 1) for number in range(MOST_WAITING)]
    assert len(disk.reads) == MOST_READS
    (failure,) = got(slices, MOST_WAITING * SLICE_BYTES, 1)
    assert failure.check(CrowdedError)
    disk.answer(b"x")
    assert asked[0] == [b"x"]
    assert len(disk.reads) == MOST_READS + 1
    assert got(slices, MOST_WAITING * SLICE_BYTES, 1) == []


def test_a_failure_is_told_to_all_who_wait_and_forgotten() -> None:
    disk = Disk()
    slices = Slices(1 << 20, disk.read)
    first, second = got(slices, 0, 1), got(slices, 1, 1)
    disk.answer(Failure(OSError("away")))
    assert first[0].check(OSError)
    assert second[0].check(OSError)
    third = got(slices, 0, 1)
    disk.answer(b"x")
    assert third == [b"x"]
