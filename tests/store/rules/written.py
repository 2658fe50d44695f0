"""Rules and reports for tests of rules."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from store.audit import Actor
from store.bulk import Incoming, write
from store.models import Alarm, Event, Rule, RuleState
from store.rules import changes
from store.rules.reading import declared
from store.rules.rulebook import KnownRules
from tests.records import NOON, anybody, incoming, minutes, report

ANA = Actor("ana")
HOT = {"channel": "temperature_c", "op": ">", "value": 8}


def add(name: str = "hot", when: Any = HOT, **fields: Any) -> Rule:
    return changes.add(declared({"name": name, "when": when, **fields}), ANA)


def told(at: float, identity: str = "1", *, kind: str = "location", received: float | None = None, **values: Any) -> Incoming:
    """A report of a minute; ``latitude`` and ``longitude`` are its place, other names its values."""
    place = {name: values.pop(name) for name in ("latitude", "longitude", "speed_kmh") if name in values}
    sent = report(f"{at} {values} {place} {kind}".encode(), NOON + minutes(at), kind=kind, values=values, **place)
    return incoming(sent, identity=identity, received_at=NOON + minutes(at if received is None else received))


class Worker:
    """Stores batches as one process does."""

    def __init__(self) -> None:
        self.known = KnownRules()

    def store(self, *batch: Incoming) -> None:
        assert write(batch, is_open=anybody, rules=self.known) == {}


def minute(time: datetime) -> float:
    return (time - NOON) / timedelta(minutes=1)


def events(name: str = "hot", identity: str = "1") -> list[tuple[str, float]]:
    """What happened to a rule's alarm."""
    rows = Event.objects.filter(subject=f"rule:{name}", device__identity=identity).order_by("time", "id")
    return [(row.kind.removeprefix("alarm_"), minute(row.time)) for row in rows]


def alarm(name: str = "hot", identity: str = "1") -> Alarm:
    return Alarm.objects.get(kind=f"rule:{name}", device__identity=identity)


def phases() -> list[tuple[str, str, str]]:
    rows = RuleState.objects.order_by("device__identity", "rule__name")
    return list(rows.values_list("device__identity", "rule__name", "phase"))
