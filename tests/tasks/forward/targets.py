"""Targets, and reports for them, made for tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from store import targets
from store.audit import Actor
from store.bulk import write
from store.forwarding import Wanted
from store.models import ForwardSource, Target
from store.targets import Plan
from tasks.forward.target import Notice, TargetKind
from tests.records import NOON, anybody, incoming, minutes, report

ANA = Actor("ana")


class NoOptions(BaseModel):
    """Nothing may be set."""


class FakeTarget:
    """Takes what comes, or does what ``behave`` does with it."""

    def __init__(self, behave: Callable[[Sequence[Notice]], None] | None = None, notices: int = 100, size: int = 1 << 20) -> None:
        self.behave = behave
        self.most_notices, self.most_bytes = notices, size
        self.tried: list[list[str]] = []
        self.taken: list[Notice] = []
        self.opened = self.closed = 0
        self.change = threading.Condition()

    def open(self) -> None:
        self.opened += 1

    def close(self) -> None:
        self.closed += 1

    def send(self, notices: Sequence[Notice]) -> None:
        self.tried.append([notice.id for notice in notices])
        if self.behave is not None:
            self.behave(notices)
        self.taken.extend(notices)

    def ids(self) -> list[str]:
        return [notice.id for notice in list(self.taken)]

    def kind(self, name: str = "fake") -> TargetKind:
        return TargetKind(name, NoOptions, lambda address: None, lambda address, options: self)


def add(
    name: str = "hub",
    kind: str = "fake",
    sources: Sequence[str] = ForwardSource.values,
    wanted: Wanted | None = None,
    since: datetime | None = None,
    address: str = "there",
    **options: Any,
) -> Target:
    return targets.add(name, Plan(kind, address, options, sources, wanted or Wanted()), since, ANA)


def store(count: int, first: int = 0, identity: str = "7", protocol: str = "fake", **fields: Any) -> None:
    """So many reports of a device, a minute apart."""
    fields = {"values": {"speed_kmh": 1.5}, **fields}
    received = fields.pop("received_at", NOON)
    rows = [
        incoming(
            report(f"{identity} {number}".encode(), NOON + minutes(number), **fields),
            identity=identity,
            protocol=protocol,
            received_at=received,
        )
        for number in range(first, first + count)
    ]
    assert write(rows, is_open=anybody) == {}
