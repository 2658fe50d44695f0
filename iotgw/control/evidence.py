"""Where a device's data stops, told from what the whole fleet has seen; and who knocked without being let in."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import Field
from twisted.internet.defer import Deferred, inlineCallbacks

from iotgw.control.route import Asked, ControlError, Given, Route, Told
from iotgw.evidence import EvidenceAwayError
from iotgw.ladder import Case, Rung, knock_of, ladder
from iotgw.offload import OffloadError
from settings import Admission
from tasks.contract import SUMMARY_TASK, Facts, FactsWanted, NearMiss, Stranger, near_misses

SUMMARY_SECONDS = 5.0
"""A worker that is there answers within milliseconds."""


class StrangersQuery(Given):
    protocol: str | None = Field(None, description="Of this protocol's listeners only.")
    limit: int = Field(100, ge=1, le=1000, description="So many at the most, the newest first.")


class FactsTold(Told):
    gateway: str = Field(description="The gateway that has its newest link, or had.")
    written_at: datetime = Field(description="When that gateway told this.")
    port: int = Field(description="Of the listener.")
    peer: str = Field(description="The device's address and port.")
    devices: int = Field(description="Devices on the link. What is counted below is counted for all of them.")
    opened_at: datetime | None = Field(description="When the link was opened.")
    begun_at: datetime | None = Field(description="When the session began; null for one that waits to be let in.")
    messages: int
    malformed: dict[str, int] = Field(description="Bytes that were no message, by cause.")
    heard_at: datetime | None = Field(description="When bytes came last.")
    message_at: datetime | None = Field(description="When a message came last.")
    kind: str = Field(description="Of that message.")
    resends: int = Field(description="How often the number of the message before came again, where messages have one.")
    waiting: int = Field(description="Messages that were handed over and have no outcome yet.")
    waiting_since: datetime | None
    is_broker_away: bool
    settled_at: datetime | None = Field(description="When messages had their outcome last.")
    outcome: str = Field(description="Of the newest of these: stored, in the spool too; refused or quarantined.")
    acked_at: datetime | None
    ack_seconds: float = Field(description="How long that ack took; 0 for one that left at once.")
    ended_at: datetime | None = Field(description="When the session ended.")
    cause: str = Field(description="As in links.closed.<cause>; logout or refused as well.")


class StrangerTold(Told):
    protocol: str = Field(description="Whose listener it came to.")
    identity: str = Field(description="As it was claimed; empty if no message could be opened.")
    gateway: str
    port: int = Field(description="Of the listener.")
    peer: str
    reason: str = Field(description="refused.<cause> or closed.<cause>, the last time.")
    first: str = Field(description="The first bytes that it sent, in hexadecimal digits. They may hold a password.")
    messages: int
    malformed: dict[str, int]
    last_at: datetime
    first_at: datetime
    times: int = Field(description="How often it was refused, or its link closed.")


class StrangersTold(Told):
    strangers: list[StrangerTold]


class NearMissTold(Told):
    reason: str = Field(description="port, more_zeros, fewer_zeros, bytes, swapped, digit or last_eight.")
    sentence: str
    stranger: StrangerTold


class RungTold(Told):
    name: str
    state: str = Field(description="ok; open: here is something wrong; not reached; unknown: it cannot be told now.")
    at: datetime | None = Field(description="Since when, or when last.")
    evidence: str
    remedy: str = Field(description="What to do, of one that is open.")


class EvidenceTold(Told):
    protocol: str
    identity: str
    is_known: bool = Field(description="Whether the database or any gateway has ever seen it, or a refused one of its name.")
    is_complete: bool = Field(description="False while Redis is away: then it is what this gateway knows itself.")
    gateway: str = Field(description="The gateway that has it now; empty for none.")
    facts: FactsTold | None
    knock: StrangerTold | None = Field(description="The device itself, refused or gone before it was let in.")
    near_misses: list[NearMissTold] = Field(description="Who it may be, of the last 24 h, while it is not here.")
    summary: dict[str, Any] | None = Field(description="What the database knows, as tasks.devices.summary tells it.")
    ladder: list[RungTold]


@inlineCallbacks
def show_evidence(asked: Asked) -> Generator[Deferred[Any], Any, EvidenceTold]:
    reach, (protocol, identity) = asked.reach, (asked.path["protocol"], asked.path["identity"])
    summarised = _summary(asked, protocol, identity)
    seen = yield reach.gateway.evidence.look(FactsWanted(protocol, identity))
    summary, no_summary = yield summarised
    misses = [] if seen.gateway else near_misses(protocol, identity, seen.strangers)
    knock = knock_of(protocol, identity, seen)
    case = Case(
        protocol=protocol,
        identity=identity,
        now_ms=time.time_ns() // 1_000_000,
        facts=seen.facts,
        gateway=seen.gateway,
        knock=knock,
        misses=misses,
        summary=summary,
        no_summary=no_summary,
        is_open=reach.settings.admission_of(protocol) is Admission.OPEN,
        ports=reach.gateway.ports.get(protocol, ()),
    )
    return EvidenceTold(
        protocol=protocol,
        identity=identity,
        is_known=bool(seen.facts or knock or (summary and summary["exists"])),
        is_complete=seen.is_complete,
        gateway=seen.gateway,
        facts=_facts(seen.facts) if seen.facts else None,
        knock=_stranger(knock) if knock else None,
        near_misses=[_miss(miss) for miss in misses],
        summary=None if summary is None else dict(summary),
        ladder=[_rung(rung) for rung in ladder(case)],
    )


@inlineCallbacks
def list_strangers(asked: Asked) -> Generator[Deferred[Any], Any, StrangersTold]:
    query: StrangersQuery = asked.query
    try:
        strangers = yield asked.reach.gateway.evidence.strangers()
    except EvidenceAwayError as error:
        raise ControlError(503, "redis_away", f"strangers are kept in Redis, which is away: {error}") from error
    wanted = [stranger for stranger in strangers if query.protocol in (None, stranger.protocol)]
    return StrangersTold(strangers=[_stranger(stranger) for stranger in wanted[: query.limit]])


def _summary(asked: Asked, protocol: str, identity: str) -> Deferred[tuple[Mapping[str, Any] | None, str]]:
    """What the database knows, or why it was not asked. It never fails but with a fault of ours."""
    called = asked.reach.offload(SUMMARY_TASK, protocol, identity, timeout_seconds=SUMMARY_SECONDS)

    def failed(failure: Any) -> tuple[None, str]:
        failure.trap(OffloadError)
        return None, str(failure.value)

    return called.addCallbacks(lambda summary: (summary, ""), failed)


def _facts(facts: Facts) -> FactsTold:
    told: dict[str, Any] = facts._asdict()
    for name in facts._fields:
        if name.endswith("_ms"):
            told[name.replace("_ms", "_since" if name == "waiting_ms" else "_at")] = _at(told.pop(name))
    return FactsTold(**told)


def _stranger(stranger: Stranger) -> StrangerTold:
    told = {**stranger._asdict(), "first": stranger.first.hex()}
    at_ms, first_ms = told.pop("at_ms"), told.pop("first_ms")
    return StrangerTold(**told, last_at=_time(at_ms), first_at=_time(first_ms or at_ms))


def _miss(miss: NearMiss) -> NearMissTold:
    return NearMissTold(reason=miss.reason, sentence=miss.sentence, stranger=_stranger(miss.stranger))


def _rung(rung: Rung) -> RungTold:
    return RungTold(name=rung.name, state=rung.state, at=_at(rung.at_ms), evidence=rung.evidence, remedy=rung.remedy)


def _at(ms: int) -> datetime | None:
    return _time(ms) if ms else None


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


ROUTES = (
    Route(
        "GET",
        "/v1/evidence/{protocol}/{identity}",
        "Where a device's data stops: what the fleet has seen of it, step by step",
        show_evidence,
        EvidenceTold,
        errors={404: "Nobody has ever seen the device; told all the same is who it may be, and what to do."},
        tells=frozenset({404}),
        status_of=lambda told: 200 if told.is_known else 404,
        describe="The gateway that has the device is asked, and a worker, for a few seconds at the most.",
    ),
    Route(
        "GET",
        "/v1/strangers",
        "Who knocked and had no session, on any gateway in the last 24 h",
        list_strangers,
        StrangersTold,
        query=StrangersQuery,
        errors={503: "Redis is away."},
        describe="The newest 1,000 are kept. Their first bytes may hold passwords and tokens of devices.",
    ),
)
