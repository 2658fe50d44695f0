"""Where is my data? The rungs from a device to its stored and acked message, and which of them it does not reach.

known ─ link ─ identified ─ frames ─ decoded ─ handed over ─ stored ─ acked ─ plausible

Put together from what gateways have seen and what the database knows. A rung that is open has what to do about it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from iotgw.evidence import Seen
from iotgw.remedies import CLOSED, NO_WORKER, REFUSED
from tasks.contract import Facts, NearMiss, Stranger

OK, OPEN, NOT_REACHED, UNKNOWN = "ok", "open", "not reached", "unknown"
RECEIPT_MS = 15_000
"""A message that waits for longer does not wait for its turn."""
BEHIND_MS = 60_000
CLOCK_OFF_MS = 300_000
BAD_SHARE = 0.05
"""Of frames; a few bad ones are radio's."""
LEAST_RESENDS = 3
RESEND_SHARE = 0.1
NOWHERE_DEGREES = 0.001


class Rung(NamedTuple):
    """One step, and how the device stands on it."""

    name: str
    state: str
    """ok, open (here is something wrong), not reached, or unknown (it cannot be told now)."""
    at_ms: int
    """Since when, or when last. Units: milliseconds since 1970 UTC; 0 for no time."""
    evidence: str
    remedy: str = ""


class Case(NamedTuple):
    """A device, and all that is known of it."""

    protocol: str
    identity: str
    now_ms: int
    facts: Facts | None = None
    gateway: str = ""
    """Which gateway has it now."""
    knock: Stranger | None = None
    """The device under its own name, refused or gone before it was let in."""
    misses: Sequence[NearMiss] = ()
    summary: Mapping[str, Any] | None = None
    """As the task ``tasks.devices.summary`` gives it; None if no worker told it."""
    no_summary: str = ""
    """Why not."""
    is_open: bool = True
    """Whether devices that nobody has added may come in."""
    ports: Sequence[int] = ()
    """Where this gateway listens for the protocol."""


def knock_of(protocol: str, identity: str, seen: Seen) -> Stranger | None:
    """The device itself among strangers, unless it was let in since."""
    same = (stranger for stranger in seen.strangers if (stranger.protocol, stranger.identity) == (protocol, identity))
    knock, facts = next(same, None), seen.facts
    if knock is None or seen.gateway:
        return None
    if facts is not None and (knock.at_ms < facts.opened_ms or (knock.at_ms < facts.ended_ms and facts.cause != "refused")):
        return None
    return knock


def ladder(case: Case) -> list[Rung]:
    """All rungs, in their order."""
    rungs = (_known, _link, _identified, _frames, _decoded, _handed_over, _stored, _acked, _plausible)
    return [rung(case) for rung in rungs]


def in_words(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _known(case: Case) -> Rung:
    name, told = "known", case.summary
    if told is None:
        return Rung(name, UNKNOWN, 0, f"the database was not asked: {case.no_summary}")
    if not told["exists"]:
        if case.is_open:
            return Rung(name, OK, 0, "not in the database yet; admission is open, so its first message puts it there")
        add = f"add it: iotgw devices add {case.protocol} {case.identity}"
        return Rung(name, OPEN, 0, "it is not in the database, and only known devices may come in", _or_miss(case, add))
    since = _ms(told["created_at"])
    if not told["is_enabled"]:
        remedy = f"let it in again: iotgw devices enable {case.protocol} {case.identity}"
        return Rung(name, OPEN, since, "it is disabled", remedy)
    return Rung(name, OK, since, "in the database, and enabled")


def _link(case: Case) -> Rung:
    name, facts, knock = "link", case.facts, case.knock
    if facts is not None and case.gateway:
        return Rung(name, OK, facts.opened_ms, f"open from {facts.peer} to port {facts.port} of {facts.gateway}")
    if case.gateway:
        return Rung(name, OK, 0, f"on {case.gateway}, which has not told more in time")
    if knock is not None:
        return Rung(name, OK, knock.at_ms, f"it came from {knock.peer} to port {knock.port} of {knock.gateway}{_often(knock)}")
    if facts is not None and facts.ended_ms:
        text, remedy = CLOSED.get(facts.cause, (f"closed for {facts.cause}", "look at the gateway's log"))
        return Rung(name, OPEN, facts.ended_ms, f"{text}; it was on {facts.gateway} from {facts.peer}", remedy)
    if facts is not None:
        ended = f"its gateway {facts.gateway} has ended or cannot reach Redis, and no other has it"
        return Rung(name, OPEN, facts.written_ms, ended, "look after that gateway; the device should come back by itself")
    if (named := _named(case)) is not None:
        return Rung(name, OK, named.at_ms, f"somebody came whose bytes name it, from {named.peer} to port {named.port}")
    seen = _ms(case.summary.get("last_seen")) if case.summary else 0
    where = f"port {' or '.join(map(str, case.ports))}" if case.ports else "the port of a gateway that listens for it"
    remedy = _or_miss(case, f"set the device's server to this host and {where}")
    return Rung(name, OPEN, seen, "no link of it for a week" if seen else "never linked", remedy)


def _identified(case: Case) -> Rung:
    name, facts, knock = "identified", case.facts, case.knock
    if knock is not None:
        kind, _, cause = knock.reason.partition(".")
        if kind == "refused":
            text, remedy = REFUSED.get(cause, (f"refused: {cause}", "look at the worker's log"))
            return Rung(name, OPEN, knock.at_ms, text, remedy.format(case.protocol, case.identity))
        text, remedy = CLOSED.get(cause, (f"closed for {cause}", "look at the gateway's log"))
        return Rung(name, OPEN, knock.at_ms, f"it said who it is, but was gone before it was let in: {text}", NO_WORKER)
    if facts is not None and facts.begun_ms:
        return Rung(name, OK, facts.begun_ms, "it was let in")
    if facts is not None:
        late = case.now_ms - facts.waiting_ms > RECEIPT_MS
        text = "it has said who it is and waits for a worker's word that it may come in"
        return Rung(name, OPEN if late else OK, facts.waiting_ms, text, NO_WORKER if late else "")
    if case.gateway:
        return Rung(name, OK, 0, "it has a session")
    return Rung(name, NOT_REACHED, 0, "")


def _frames(case: Case) -> Rung:
    name = "frames"
    seen: Facts | Stranger | None = case.knock or case.facts or _named(case)
    if seen is None:
        return Rung(name, NOT_REACHED, 0, "")
    at_ms = seen.message_ms or seen.heard_ms if isinstance(seen, Facts) else seen.at_ms
    bad = sum(seen.malformed.values())
    causes = ", ".join(f"{count} {cause}" for cause, count in sorted(seen.malformed.items()))
    frames = seen.messages + bad
    text = f"{seen.messages} good" + (f", {bad} of {frames} bad: {causes}" if bad else "")
    if isinstance(seen, Facts) and seen.kind:
        text += f"; the last was {seen.kind}"
    if bad and bad >= frames * BAD_SHARE:
        remedy = (
            f"look at one: iotgw decode {case.protocol} HEX --explain; is it set to this protocol, is its line or its modem bad?"
        )
        return Rung(name, OPEN, at_ms, text, remedy)
    return Rung(name, OK if seen.messages else OPEN, at_ms, text, "" if seen.messages else "it links, but sends nothing")


def _decoded(case: Case) -> Rung:
    name, told = "decoded", case.summary
    last = told.get("last_quarantined") if told else None
    if told is None or not told["exists"]:
        has_any = bool(case.facts and case.facts.settled_ms)
        return Rung(name, UNKNOWN if has_any and told is None else NOT_REACHED, 0, "")
    report = told["last_report"]
    if last is None and report is None:
        return Rung(name, NOT_REACHED, 0, "")
    if last is None:
        return Rung(name, OK, _ms(report["received_at"]), f"the last was {report['kind']}")
    at_ms, count = _ms(last["received_at"]), told["quarantined"]
    text = f"{count} in quarantine, the last of them {last['kind']}: {last['cause']} at {last['path'] or 'its beginning'}"
    if report and _ms(report["received_at"]) > at_ms:
        return Rung(name, OK, _ms(report["received_at"]), f"the last was {report['kind']}; {text}")
    return Rung(name, OPEN, at_ms, text, "iotgw quarantine shows the bytes and the field; mend the protocol, they are kept")


def _handed_over(case: Case) -> Rung:
    name, facts = "handed over", case.facts
    if facts is None or not facts.messages or not facts.begun_ms or case.knock:
        return Rung(name, NOT_REACHED, 0, "")
    waits = f"; {facts.waiting} without an outcome since {in_words(facts.waiting_ms)}" if facts.waiting else ""
    text = f"to a batch on {facts.gateway}{waits}"
    if facts.is_broker_away and case.gateway:
        return Rung(name, OPEN, facts.message_ms, f"{text}; the broker takes no batches", "look after the broker (broker_url)")
    return Rung(name, OK, facts.message_ms, text)


def _stored(case: Case) -> Rung:
    name, facts, told = "stored", case.facts, case.summary
    if facts is not None and case.gateway and facts.begun_ms and facts.waiting and case.now_ms - facts.waiting_ms > RECEIPT_MS:
        text = f"messages that wait for a receipt: {facts.waiting}, the first since {in_words(facts.waiting_ms)}"
        return Rung(name, OPEN, facts.settled_ms, text, NO_WORKER)
    settled = facts.settled_ms if facts is not None and facts.outcome != "refused" else 0
    if told is None:
        if not settled:
            return Rung(name, UNKNOWN if facts else NOT_REACHED, 0, "")
        text = "what it sent last was settled, by the database or by the spool; no worker says which"
        return Rung(name, OPEN, settled, text, NO_WORKER)
    seen = _ms(told.get("last_seen"))
    if settled and facts is not None and facts.message_ms - seen > BEHIND_MS and facts.devices <= 1:
        text = (
            f"the newest in the database came {in_words(seen)}, the newest here {in_words(facts.message_ms)}"
            if seen
            else "nothing yet"
        )
        return Rung(name, OPEN, seen, f"{text}: the rest is in the spool or in the queue", NO_WORKER)
    return Rung(name, OK, seen, "the newest message that is in the database came then") if seen else Rung(name, NOT_REACHED, 0, "")


def _acked(case: Case) -> Rung:
    name, facts = "acked", case.facts
    if facts is None or not facts.messages or case.knock:
        return Rung(name, NOT_REACHED, 0, "")
    if facts.resends >= LEAST_RESENDS and facts.resends >= facts.messages * RESEND_SHARE:
        text = f"it sent the number of the message before again {facts.resends} times of {facts.messages}"
        remedy = "our ack does not arrive, or it does not understand it: its network, or the protocol's options in docs/connect.md"
        return Rung(name, OPEN, facts.acked_ms, text, remedy)
    if facts.acked_ms:
        return Rung(name, OK, facts.acked_ms, f"in {facts.ack_seconds:.3f} s" if facts.ack_seconds else "at once")
    if facts.settled_ms:
        return Rung(name, OK, 0, "the protocol has no answer to what it sent")
    return Rung(name, NOT_REACHED, 0, "")


def _plausible(case: Case) -> Rung:
    name, last = "plausible", case.summary.get("last_dated") if case.summary else None
    if not last:
        return Rung(name, UNKNOWN if case.summary is None and case.facts else NOT_REACHED, 0, "")
    at_ms, own_ms = _ms(last["received_at"]), _ms(last["time"])
    off_ms = own_ms - at_ms
    if abs(off_ms) > CLOCK_OFF_MS:
        text = f"{last['kind']} says {in_words(own_ms)} and came {in_words(at_ms)}: its clock is {_span(off_ms)}"
        remedy = (
            "set its clock, or its time zone to UTC or as docs/connect.md says; one that was without network sends old ones, wait"
        )
        return Rung(name, OPEN, at_ms, text, remedy)
    if last["latitude"] is not None and last["longitude"] is not None:
        if last["fix"] is False:
            return Rung(name, OPEN, at_ms, "its position has no fix", "its antenna sees no sky, or is not plugged in")
        if abs(last["latitude"]) < NOWHERE_DEGREES and abs(last["longitude"]) < NOWHERE_DEGREES:
            return Rung(name, OPEN, at_ms, "its position is 0/0", "it has had no fix since its start: its antenna sees no sky")
    return Rung(name, OK, at_ms, f"{last['kind']}, by a clock that is right to {abs(off_ms) / 1000:.0f} s")


def _named(case: Case) -> Stranger | None:
    """Who sent bytes with its name in them, to the right port, and no frame that could be opened."""
    return next((miss.stranger for miss in case.misses if miss.reason == "bytes"), None)


def _or_miss(case: Case, remedy: str) -> str:
    return (
        f"{remedy}; or is it this one: {case.misses[0].sentence}, last {in_words(case.misses[0].stranger.at_ms)}"
        if case.misses
        else remedy
    )


def _often(stranger: Stranger) -> str:
    return f", {stranger.times} times since {in_words(stranger.first_ms)}" if stranger.times > 1 else ""


def _span(off_ms: int) -> str:
    hours = abs(off_ms) / 3_600_000
    much = f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.0f} min"
    return f"{much} {'ahead' if off_ms > 0 else 'behind'}"


def _ms(time: str | None) -> int:
    return int(datetime.fromisoformat(time).timestamp() * 1000) if time else 0
