"""What bench.commandkills finds wrong: a bench that cannot fail shows nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench.commandverdict import Told, judge, read_executed, tag_of

IDENTITY = "13800138007"
LIFE = {
    "acknowledged": [["queued", "asked", ""], ["sent", "sent", ""], ["acknowledged", "answered", ""]],
    "no_answer": [["queued", "asked", ""], ["sent", "sent", ""], ["failed", "no answer", ""]],
    "again": [["queued", "asked", ""], ["sent", "sent", ""], ["queued", "no answer", ""], ["sent", "sent", ""]],
}


def one_told(state: str, steps: list[list[str]], **said: Any) -> Told:
    return Told(7, IDENTITY, state, steps, **said)


@pytest.mark.parametrize(
    ("told", "times", "fault"),
    [
        (one_told("acknowledged", LIFE["acknowledged"], tries=1), 1, ""),
        (one_told("failed", LIFE["no_answer"], reason="no_answer", tries=1), 1, ""),
        (one_told("failed", LIFE["no_answer"], reason="no_answer", tries=1), 0, ""),
        (one_told("acknowledged", [*LIFE["again"], LIFE["acknowledged"][-1]], tries=2, is_repeatable=True), 2, ""),
        (one_told("", []), 0, "lost"),
        (one_told("sent", LIFE["acknowledged"][:2], tries=1), 1, "lost"),
        (one_told("acknowledged", LIFE["acknowledged"], tries=1), 2, "twice"),
        (one_told("acknowledged", LIFE["acknowledged"], tries=1, is_repeatable=True), 2, "twice"),
        (one_told("acknowledged", LIFE["acknowledged"], tries=1), 0, "acknowledged, not done"),
        (one_told("expired", [["queued", "asked", ""], ["expired", "expired", ""]]), 1, "done, not told"),
        (one_told("failed", [*LIFE["no_answer"][:2], ["failed", "answered", "busy"]], reason="busy", tries=1), 1, "done, not told"),
        (one_told("acknowledged", [*LIFE["again"], LIFE["acknowledged"][-1]], tries=2), 1, "steps"),
        (one_told("acknowledged", [LIFE["acknowledged"][0], LIFE["acknowledged"][-1]], tries=1), 1, "steps"),
        (one_told("acknowledged", LIFE["acknowledged"], tries=2), 1, "steps"),
    ],
)
def test_the_bench_sees_what_is_wrong_with_a_command(told: Told, times: int, fault: str) -> None:
    verdict = judge([told], {(IDENTITY, 7): times} if times else {})
    assert (verdict.is_well, [name for name, numbers in verdict.faults.items() if numbers]) == (not fault, [fault] if fault else [])


def test_the_bench_knows_a_command_by_what_stands_in_it() -> None:
    done = {"identity": IDENTITY, "body": (b"\1\0\x09" + tag_of(7).encode()).hex(), "times": 1}
    other = {"identity": IDENTITY, "body": "00", "times": 2}
    times = read_executed(map(json.dumps, [done, done, other]))
    assert times == {(IDENTITY, 7): 2, (IDENTITY, -1): 2}
    assert judge([], times).faults["unknown"] == [7, -1]
