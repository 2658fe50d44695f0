from __future__ import annotations

from typing import Any

import pytest

from protocols.jt808 import JT808
from protocols.registry import PROTOCOLS
from tests.fuzz.rounds import HELD_LIMIT, FuzzError, Rounds
from tests.held import held_bytes

COUNT = 5_000
"""Enough for the damage to get everywhere; ``make fuzz`` goes on to a million."""


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))
def test_no_bytes_raise_or_are_held_for_ever(protocol: Any) -> None:
    rounds = Rounds(protocol, seed=808)
    assert list(rounds.run(COUNT))[-1] == COUNT
    counts = rounds.counts
    # The damage has to get everywhere, or the test says nothing.
    assert counts["messages"] > COUNT / 10
    assert sum(times for name, times in counts.items() if name.startswith("malformed")) > COUNT / 10
    assert sum(times for name, times in counts.items() if name.startswith("decode error")) > COUNT / 100


def test_same_seed_makes_same_rounds() -> None:
    first, second, other = (Rounds(JT808, seed) for seed in (1, 1, 2))
    for rounds in (first, second, other):
        assert list(rounds.run(300)) == list(range(1, 301))
    assert first.counts == second.counts != other.counts


def test_a_raise_is_told_with_the_bytes_that_cause_it(monkeypatch: pytest.MonkeyPatch) -> None:
    decode = type(JT808).decode

    def broken(self: Any, message: Any) -> Any:
        if message.kind == 0x0200 and message.body[:1] == b"\xff":
            raise KeyError("broken")
        return decode(self, message)

    monkeypatch.setattr(type(JT808), "decode", broken)
    with pytest.raises(FuzzError, match=r"KeyError: 'broken'\nreproduce with: [0-9a-f]+$") as caught:
        list(Rounds(JT808, seed=3).run(20_000))
    messages = JT808.codec().receive(b"".join(caught.value.data), 0.0)
    with pytest.raises(KeyError):
        [JT808.decode(message) for message in messages]


def test_held_bytes_are_found_wherever_they_are() -> None:
    codec: Any = JT808.codec()
    assert held_bytes(codec) == 0 or held_bytes(codec) < 100
    before = held_bytes(codec)
    codec.receive(b"x" * 1000, 0.0)
    assert held_bytes(codec) == before + 1000
    codec._splitter.flag = {"kept": [(bytes(HELD_LIMIT),)]}
    assert held_bytes(codec) > HELD_LIMIT
