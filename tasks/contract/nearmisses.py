"""Strangers that may be the device that is missing: its name is almost theirs, or stands in what they sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tasks.contract.evidence import Stranger

SHORTEST_COMPARED = 5
"""Shorter names are too often alike by chance."""
LAST = 8
MOST_MISSES = 10


class NearMiss(NamedTuple):
    """A stranger, and why it may be the device."""

    stranger: Stranger
    reason: str
    """port, more_zeros, fewer_zeros, bytes, swapped, digit or last_eight."""
    sentence: str


def near_misses(protocol: str, identity: str, strangers: Iterable[Stranger]) -> list[NearMiss]:
    """Those among some strangers, the likeliest first; of these the newest.

    The device itself, refused under its own name, is none.
    """
    found = [
        NearMiss(stranger, reason, _SENTENCES[reason].format(_name(stranger), stranger.protocol, stranger.port))
        for stranger in strangers
        if (reason := _reason(protocol, identity, stranger))
    ]
    rank = list(_SENTENCES)
    found.sort(key=lambda miss: (rank.index(miss.reason), -miss.stranger.at_ms))
    return found[:MOST_MISSES]


_SENTENCES = {
    "port": "{0} knocked at the port of another protocol: {2}, which is {1}'s",
    "more_zeros": "{0} knocked: it has a zero before it that this one has not",
    "fewer_zeros": "{0} knocked: it has not the zero before it that this one has",
    "bytes": "{0} sent bytes in which this name stands, but no frame that could be opened",
    "swapped": "{0} knocked: two characters are swapped",
    "digit": "{0} knocked: one character is another",
    "last_eight": "{0} knocked: its last eight characters are the same",
}


def _name(stranger: Stranger) -> str:
    return f"a device {stranger.identity}" if stranger.identity else f"somebody at {stranger.peer}"


def _reason(protocol: str, identity: str, stranger: Stranger) -> str:
    claimed, bare = stranger.identity, identity.lstrip("0")
    is_elsewhere = stranger.protocol != protocol
    if len(bare) < SHORTEST_COMPARED:
        return "port" if is_elsewhere and claimed == identity else ""
    if is_elsewhere:
        return "port" if claimed.lstrip("0") == bare or (not claimed and _names(stranger.first, bare)) else ""
    if not claimed:
        return "bytes" if _names(stranger.first, bare) else ""
    if claimed == identity:
        return ""
    if claimed.lstrip("0") == bare:
        return "more_zeros" if len(claimed) > len(identity) else "fewer_zeros"
    return _slip(identity, claimed)


def _names(first: bytes, bare: str) -> bool:
    """Whether a name stands in some bytes, as text or with two digits in each."""
    return bare.encode() in first or (bare.isdecimal() and bare in first.hex())


def _slip(identity: str, claimed: str) -> str:
    if len(claimed) == len(identity):
        differ = [at for at, (one, other) in enumerate(zip(identity, claimed, strict=True)) if one != other]
        if len(differ) == 1:
            return "digit"
        if len(differ) == 2 and differ[1] == differ[0] + 1:
            first, second = differ
            if (identity[first], identity[second]) == (claimed[second], claimed[first]):
                return "swapped"
    if min(len(identity), len(claimed)) >= LAST and identity[-LAST:] == claimed[-LAST:]:
        return "last_eight"
    return ""
