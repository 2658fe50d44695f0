"""Whether commands were carried out as their rows have it: what was asked for, beside what devices have done.

Every command has come to its end; none that must not be repeated was carried out twice, and no other more often than it was sent;
what is acknowledged was carried out; what was carried out is acknowledged, or is one of which nobody knew (``no_answer``); and
each row's steps are in an order in which a command can live.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

_TAG = re.compile(rb"no(\d{7})")
FINAL = ("acknowledged", "failed", "expired", "cancelled")
_STEPS: Mapping[str, frozenset[tuple[str, str]]] = {
    "": frozenset({("asked", "queued")}),
    "queued": frozenset(
        {
            *(("sent", "sent"), ("fault", "failed"), ("condition", "failed"), ("expired", "expired"), ("cancelled", "cancelled")),
            # One that is to be done again may be answered yet, or be too late.
            *(("accepted", "queued"), ("answered", "acknowledged"), ("answered", "failed"), ("no answer", "failed")),
        }
    ),
    "sent": frozenset(
        {
            *(("unsent", "queued"), ("fault", "failed"), ("accepted", "sent"), ("answered", "acknowledged")),
            *(("answered", "failed"), ("no answer", "queued"), ("no answer", "failed")),
        }
    ),
    "acknowledged": frozenset(),
    "failed": frozenset({("late answer", "failed")}),
    "expired": frozenset(),
    "cancelled": frozenset(),
}
"""By a command's state, what may happen to it, and the state that it has then."""


class Told(NamedTuple):
    """A command that was asked for, as the database has it at the end."""

    number: int
    identity: str
    state: str
    """Empty for one that is not there."""
    steps: Sequence[Sequence[str]]
    """Each its state, its cause and its text."""
    reason: str = ""
    tries: int = 0
    is_repeatable: bool = False


class Verdict(NamedTuple):
    """What has become of commands, and what is wrong with that."""

    states: Counter[str]
    """By state; failures by ``no_answer``, and ``refused`` for a device's word."""
    done_unknown: int
    """Carried out, and nobody knew: ``no_answer``."""
    late: int
    """Of these, those whose answer came after they were given up."""
    repeated: int
    """Carried out more than once, as they may be."""
    faults: Mapping[str, list[int]]
    """Numbers of commands, by what is wrong with them."""

    @property
    def is_well(self) -> bool:
        return not any(self.faults.values())


def tag_of(number: int) -> str:
    """The text by which a command is known wherever it comes."""
    return f"no{number:07}"


def read_told(lines: Iterable[str]) -> list[Told]:
    return [Told(**json.loads(line)) for line in lines]


def read_executed(lines: Iterable[str]) -> Counter[tuple[str, int]]:
    """How often each device has carried out the command of each number; what has none is of number -1."""
    times: Counter[tuple[str, int]] = Counter()
    for line in lines:
        done: dict[str, Any] = json.loads(line)
        tag = _TAG.search(bytes.fromhex(done["body"]))
        times[done["identity"], int(tag[1]) if tag else -1] += done["times"]
    return times


def judge(told: Sequence[Told], executed: Mapping[tuple[str, int], int]) -> Verdict:
    faults: dict[str, list[int]] = {
        name: [] for name in ("lost", "twice", "acknowledged, not done", "done, not told", "steps", "unknown")
    }
    states: Counter[str] = Counter()
    unknown = late = repeated = 0
    for one in told:
        times = executed.get((one.identity, one.number), 0)
        states[_state(one)] += 1
        if one.state not in FINAL:
            faults["lost"].append(one.number)
        if times > (one.tries if one.is_repeatable else 1):
            faults["twice"].append(one.number)
        if one.state == "acknowledged" and not times:
            faults["acknowledged, not done"].append(one.number)
        if times and one.state in FINAL and _state(one) not in ("acknowledged", "no_answer"):
            faults["done, not told"].append(one.number)
        if not _is_life(one):
            faults["steps"].append(one.number)
        repeated += times > 1
        unknown += times > 0 and _state(one) == "no_answer"
        late += any(cause == "late answer" for _, cause, _ in one.steps)
    asked = {(one.identity, one.number) for one in told}
    faults["unknown"] = [number for identity, number in executed if (identity, number) not in asked]
    return Verdict(states, unknown, late, repeated, faults)


def _state(one: Told) -> str:
    if one.state != "failed" or one.reason in ("no_answer", "condition"):
        return one.reason or one.state
    return "refused"


def _is_life(one: Told) -> bool:
    """Whether its steps follow from each other, lead to where it is, and were as many tries as it says."""
    state = ""
    for after, cause, _ in one.steps:
        is_again = (state, cause, after) == ("sent", "no answer", "queued")
        if (cause, after) not in _STEPS[state] or (is_again and not one.is_repeatable):
            return False
        state = after
    causes = Counter(cause for _, cause, _ in one.steps)
    return state == one.state and one.tries == causes["sent"] - causes["unsent"]
