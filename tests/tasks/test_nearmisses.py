"""Whose name is almost the one that is looked for."""

from __future__ import annotations

import pytest

from tasks.contract import Stranger, near_misses
from tasks.contract.nearmisses import MOST_MISSES

IDENTITY = "013800138000"


def stranger(identity: str = "", protocol: str = "jt808", **fields: object) -> Stranger:
    return Stranger(protocol, identity, peer="192.0.2.7:4000", **{"port": 6808, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("looked_for", "there", "reason", "words"),
    [
        (IDENTITY, stranger("13800138000"), "fewer_zeros", "has not the zero"),
        ("13800138000", stranger(IDENTITY), "more_zeros", "has a zero before it"),
        (IDENTITY, stranger("013800138001"), "digit", "one character is another"),
        (IDENTITY, stranger("103800138000"), "swapped", "two characters are swapped"),
        ("868120145233604", stranger("20145233604"), "last_eight", "last eight"),
        (IDENTITY, stranger(IDENTITY, "gt06", port=5023), "port", "5023, which is gt06's"),
        (IDENTITY, stranger("", "gt06", first=bytes.fromhex("7e0002000001380013800000")), "port", "192.0.2.7:4000"),
        (IDENTITY, stranger("", first=bytes.fromhex("7e0002000001380013800000")), "bytes", "no frame that could be opened"),
        ("dtu-0042", stranger("", first=b"\x01dtu-0042\r\n"), "bytes", "somebody at"),
    ],
)
def test_a_near_miss_is_known_and_says_why(looked_for: str, there: Stranger, reason: str, words: str):
    found = near_misses("jt808", looked_for, [there])
    assert [miss.reason for miss in found] == [reason]
    assert words in found[0].sentence


@pytest.mark.parametrize(
    "there",
    [
        stranger(IDENTITY),
        stranger("013800138111"),
        stranger("023800238001"),
        stranger("310800238000"),
        stranger("999", "gt06"),
        stranger("", first=b"GET / HTTP/1.1\r\n"),
        stranger(),
    ],
)
def test_others_are_none_and_neither_is_the_device_itself(there: Stranger):
    assert near_misses("jt808", IDENTITY, [there]) == []


def test_short_names_are_not_compared():
    assert near_misses(
        "jt808", "7", [stranger("8"), stranger("07"), stranger("", first=b"7"), stranger("7", "gt06")]
    ) == near_misses("jt808", "7", [stranger("7", "gt06")])


def test_the_likeliest_come_first_and_of_these_the_newest():
    there = [stranger("013800138001", at_ms=9), stranger("13800138000", at_ms=1), stranger("013800138002", at_ms=10)]
    there += [stranger(f"01380013800{number}", at_ms=number) for number in range(3, 10)]
    there += [stranger(f"0138001380{number}0", at_ms=number) for number in range(1, 10)]
    found = near_misses("jt808", IDENTITY, there)
    assert [miss.stranger.identity for miss in found[:3]] == ["13800138000", "013800138002", "013800138001"]
    assert len(found) == MOST_MISSES
