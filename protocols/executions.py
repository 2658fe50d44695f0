"""What simulated devices have done that they were told to: for whoever wants to know if anything was done twice."""

from __future__ import annotations

from typing import NamedTuple

MOST_REMEMBERED = 10_000


class Execution(NamedTuple):
    """A command that was carried out."""

    kind: int
    number: int
    """By which the platform told it: a sequence, a mark, an id; 0 where the protocol has none."""
    body: bytes


class Executions:
    """How often each command was carried out, of the newest ones."""

    def __init__(self) -> None:
        self._times: dict[Execution, int] = {}

    def add(self, kind: int, number: int, body: bytes) -> None:
        done = Execution(kind, number, body)
        self._times[done] = self._times.pop(done, 0) + 1
        if len(self._times) > MOST_REMEMBERED:
            del self._times[next(iter(self._times))]

    def times(self) -> dict[Execution, int]:
        return dict(self._times)

    def of(self, kind: int) -> list[bytes]:
        """The bodies of one kind, as often as they were carried out."""
        return [done.body for done, times in self._times.items() if done.kind == kind for _ in range(times)]
