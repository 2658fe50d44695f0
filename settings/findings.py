"""What ``iotgw doctor`` finds: its words, for checks of any part.

first check ── ok ──▶ those that need it ──▶ a finding each
     └─ fault ──────▶ those that need it are skipped, and say what they wait for
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple, TypeVar

Subject = TypeVar("Subject")

MOST_CLOCK_SECONDS = 1.0
MIB = 1 << 20


class State(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """It works, and will not always."""
    FAULT = "fault"
    SKIPPED = "skipped"
    """What it needs is away, or does not tell."""


class Verdict(NamedTuple):
    """What a check has found, and what to do about it, in a line each."""

    state: State
    found: str
    do: str = ""


class Finding(NamedTuple):
    """The verdict of a check that has a name."""

    check: str
    state: State
    found: str
    do: str = ""


def ok(found: str) -> Verdict:
    return Verdict(State.OK, found)


def warning(found: str, do: str) -> Verdict:
    return Verdict(State.WARNING, found, do)


def fault(found: str, do: str) -> Verdict:
    return Verdict(State.FAULT, found, do)


def skipped(found: str) -> Verdict:
    return Verdict(State.SKIPPED, found)


def first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def finding(name: str, check: Callable[[Subject], Verdict], subject: Subject) -> Finding:
    """A check's finding; one that fails has found that."""
    try:
        return Finding(name, *check(subject))
    except Exception as error:
        return Finding(name, State.FAULT, first_line(error), "what was asked does not answer as it should: look at its log")


def after(first: Finding, checks: Mapping[str, Callable[[Subject], Verdict]], subject: Subject) -> Iterator[Finding]:
    """The findings of what needs the first."""
    for name, check in checks.items():
        if first.state in (State.FAULT, State.SKIPPED):
            yield Finding(name, State.SKIPPED, f"waits for {first.check}")
        else:
            yield finding(name, check, subject)


def clocks(before: float, there: float, after: float) -> Verdict:
    """Of another host's clock that was asked between two moments of this one's, all in seconds."""
    apart = max(before - there, there - after, 0.0)
    if apart > MOST_CLOCK_SECONDS:
        is_ahead = "ahead of" if there > after else "behind"
        return warning(f"{apart:.1f} s {is_ahead} this host", "set the clocks of both hosts by NTP, see timedatectl")
    return ok(f"less than {MOST_CLOCK_SECONDS:g} s from this host's")


def size(count: float) -> str:
    """Bytes for people."""
    return f"{count / (MIB << 10):.1f} GiB" if count >= MIB << 10 else f"{count / MIB:.1f} MiB"
