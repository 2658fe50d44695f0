"""The ladder names what is wrong, and what to do about it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from iotgw.evidence import Seen
from iotgw.ladder import OPEN, Case, Rung, in_words, knock_of, ladder
from tasks.contract import Facts, Stranger, near_misses

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOON_MS = int(NOON.timestamp() * 1000)
PHONE = "13800138000"
NAMES = ["known", "link", "identified", "frames", "decoded", "handed over", "stored", "acked", "plausible"]


def facts(**more: Any) -> Facts:
    """Of a device that is well and sent something two seconds ago."""
    well = {
        "gateway": "gw",
        "port": 6808,
        "peer": "192.0.2.7:4000",
        "devices": 1,
        "opened_ms": NOON_MS - 60_000,
        "begun_ms": NOON_MS - 59_000,
        "messages": 37,
        "heard_ms": NOON_MS - 2_000,
        "message_ms": NOON_MS - 2_000,
        "kind": "location",
        "settled_ms": NOON_MS - 1_900,
        "outcome": "stored",
        "acked_ms": NOON_MS - 1_900,
        "ack_seconds": 0.1,
    }
    return Facts(**{**well, **more})


def summary(**more: Any) -> dict[str, Any]:
    received = (NOON - timedelta(seconds=2)).isoformat()
    last = {"kind": "location", "time": (NOON - timedelta(seconds=5)).isoformat(), "received_at": received}
    well = {
        "exists": True,
        "is_enabled": True,
        "created_at": (NOON - timedelta(days=9)).isoformat(),
        "last_seen": received,
        "last_report": last,
        "last_dated": {**last, "latitude": 31.0, "longitude": 121.0, "fix": True},
        "quarantined": 0,
        "last_quarantined": None,
    }
    return {**well, **more}


def dated(**more: Any) -> dict[str, Any]:
    return {**summary()["last_dated"], **more}


def stranger(identity: str = "", **more: Any) -> Stranger:
    well = {"gateway": "gw", "port": 6808, "peer": "192.0.2.7:4000", "at_ms": NOON_MS - 4_740_000, "reason": "closed.peer"}
    return Stranger(**{"protocol": "jt808", "identity": identity, **well, **more})


NEW = summary(last_seen=None, last_report=None, last_dated=None)
UNHEARD = "no reply from tasks.devices.summary in 5 s"
LINKED: dict[str, Any] = {"facts": facts(), "gateway": "gw", "summary": summary()}


def case(identity: str = PHONE, *strangers: Stranger, **more: Any) -> Case:
    known = {"summary": NEW, "ports": [6808], "is_open": False, **more}
    seen = Seen(known.get("facts"), known.get("gateway", ""), strangers)
    misses, knock = near_misses("jt808", identity, strangers), knock_of("jt808", identity, seen)
    return Case("jt808", identity, NOON_MS, misses=misses, knock=knock, **known)


def opened(case: Case) -> list[Rung]:
    rungs = ladder(case)
    assert [rung.name for rung in rungs] == NAMES
    assert all(bool(rung.remedy) == (rung.state == OPEN) for rung in rungs)
    return [rung for rung in rungs if rung.state == OPEN]


def states(case: Case) -> str:
    """A letter a rung: o for ok, O for open, n and u."""
    return "".join("O" if rung.state == OPEN else rung.state[0] for rung in ladder(case))


def test_a_device_that_is_well_has_no_rung_open():
    assert states(case(**LINKED)) == "ooooooooo"


FAULTS = {
    "never linked": (case(), "oOnnnnnnn", "link", "set the device's server to this host and port 6808"),
    "a zero before it": (
        case("013800138000", stranger(PHONE, reason="refused.unknown"), summary={"exists": False}),
        "OOnnnnnnn",
        "known",
        "a device 13800138000 knocked: it has not the zero before it that this one has, last 2026-03-01 10:41:00 UTC",
    ),
    "a bad credential": (
        case(PHONE, stranger(PHONE, reason="refused.credential", messages=1)),
        "ooOonnnnn",
        "identified",
        "iotgw devices credential jt808 13800138000",
    ),
    "bad checksums": (
        case(**{**LINKED, "facts": facts(malformed={"checksum": 3})}),
        "oooOooooo",
        "frames",
        "iotgw decode jt808 HEX --explain",
    ),
    "a worker that is stopped": (
        case(facts=facts(), gateway="gw", summary=None, no_summary=UNHEARD),
        "uooouoOou",
        "stored",
        "is a worker running that takes the queues ingest, media and default",
    ),
    "a clock a day off": (
        case(**{**LINKED, "summary": summary(last_dated=dated(time=(NOON - timedelta(days=1)).isoformat()))}),
        "ooooooooO",
        "plausible",
        "set its clock",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(fault: str):
    of, wanted, name, remedy = FAULTS[fault]
    assert states(of) == wanted
    first = opened(of)[0]
    assert first.name == name
    assert remedy in first.remedy


def only(case: Case) -> Rung:
    (rung,) = opened(case)
    return rung


@pytest.mark.parametrize(
    ("of", "name", "evidence", "remedy"),
    [
        (case(summary={"exists": False}, is_open=True), "link", "never linked", "port 6808"),
        (case(summary=summary(is_enabled=False), facts=facts(), gateway="gw"), "known", "it is disabled", "devices enable jt808"),
        (case(facts=facts(ended_ms=NOON_MS, cause="idle"), summary=summary()), "link", "silent for longer", "idle_timeouts"),
        (case(facts=facts(ended_ms=NOON_MS, cause="new"), summary=summary()), "link", "closed for new", "the gateway's log"),
        (case(facts=facts(), summary=summary()), "link", "its gateway gw has ended", "look after that gateway"),
        (case(summary=summary()), "link", "no link of it for a week", "port 6808"),
        (
            case(PHONE, stranger(PHONE, reason="refused.disabled", messages=1)),
            "identified",
            "it is disabled",
            "devices enable jt808",
        ),
        (case(PHONE, stranger(PHONE, messages=1)), "identified", "gone before it was let in", "is a worker running"),
        (
            case(PHONE, stranger(first=bytes.fromhex("7e000200000138001380000000ff7e"), malformed={"checksum": 1})),
            "frames",
            "0 good, 1 of 1 bad: 1 checksum",
            "--explain",
        ),
        (case(**{**LINKED, "facts": facts(is_broker_away=True)}), "handed over", "the broker takes no batches", "broker_url"),
        (
            case(**{**LINKED, "facts": facts(waiting=2, waiting_ms=NOON_MS - 20_000)}),
            "stored",
            "receipt: 2, the first since 2026-03-01 11:59:40 UTC",
            "is a worker running",
        ),
        (
            case(**{**LINKED, "summary": summary(last_seen=(NOON - timedelta(minutes=6)).isoformat())}),
            "stored",
            "came 2026-03-01 11:54:00 UTC",
            "is a worker running",
        ),
        (case(**{**LINKED, "facts": facts(resends=4)}), "acked", "again 4 times of 37", "our ack does not arrive"),
        (
            case(**{**LINKED, "summary": summary(last_dated=dated(time=(NOON + timedelta(days=3)).isoformat()))}),
            "plausible",
            "its clock is 3.0 days ahead",
            "set its clock",
        ),
        (
            case(**{**LINKED, "summary": summary(last_dated=dated(time=(NOON - timedelta(minutes=6)).isoformat()))}),
            "plausible",
            "its clock is 6 min behind",
            "set its clock",
        ),
        (case(**{**LINKED, "summary": summary(last_dated=dated(fix=False))}), "plausible", "no fix", "antenna"),
        (case(**{**LINKED, "summary": summary(last_dated=dated(latitude=0.0, longitude=0.0))}), "plausible", "0/0", "antenna"),
    ],
)
def test_each_step_says_what_is_wrong_with_it(of: Case, name: str, evidence: str, remedy: str):
    rung = only(of)
    assert rung.name == name
    assert evidence in rung.evidence
    assert remedy in rung.remedy


def test_a_message_that_cannot_be_decoded_is_told_until_one_can_that_came_later():
    bad = {"kind": "location", "cause": "truncated", "path": "items[2]", "received_at": (NOON - timedelta(seconds=1)).isoformat()}
    rung = only(case(**{**LINKED, "summary": summary(quarantined=4, last_quarantined=bad)}))
    assert (rung.name, rung.evidence) == ("decoded", "4 in quarantine, the last of them location: truncated at items[2]")
    bad["received_at"] = (NOON - timedelta(seconds=9)).isoformat()
    assert states(case(**{**LINKED, "summary": summary(quarantined=4, last_quarantined=bad)})) == "ooooooooo"


@pytest.mark.parametrize(
    "more",
    [
        {"facts": facts(malformed={"checksum": 1})},
        {"facts": facts(resends=2)},
        {"facts": facts(resends=10, messages=1000)},
        {"facts": facts(waiting=3, waiting_ms=NOON_MS - 5_000)},
        {"facts": facts(acked_ms=0, ack_seconds=0.0)},
        {"facts": facts(devices=3, message_ms=NOON_MS + 600_000)},
        {"summary": summary(last_dated=dated(latitude=None, longitude=None, fix=None))},
    ],
)
def test_what_is_no_fault_opens_nothing(more: dict[str, Any]):
    assert states(case(**{**LINKED, **more})) == "ooooooooo"


def test_who_waits_to_be_let_in_for_too_long_waits_for_a_worker():
    waits = facts(begun_ms=0, settled_ms=0, acked_ms=0, outcome="", waiting=1, waiting_ms=NOON_MS - 60_000)
    of = case(facts=waits, gateway="gw", summary=None, no_summary=UNHEARD)
    assert [rung.name for rung in opened(of)] == ["identified"]


def test_what_a_device_says_that_is_not_let_in_yet_is_not_handed_over():
    waits = facts(begun_ms=0, settled_ms=0, acked_ms=0, outcome="", waiting=1, waiting_ms=NOON_MS - 500)
    by_name = {rung.name: rung.state for rung in ladder(case(**{**LINKED, "facts": waits}))}
    assert (by_name["identified"], by_name["handed over"], by_name["acked"]) == ("ok", "not reached", "not reached")


def test_a_device_that_was_refused_under_its_name_and_let_in_since_is_not_refused():
    knock = stranger(PHONE, reason="refused.unknown")
    old = facts(opened_ms=knock.at_ms - 20, ended_ms=knock.at_ms - 10, cause="idle")
    assert knock_of("jt808", PHONE, Seen(None, "", [knock])) == knock
    assert knock_of("jt808", PHONE, Seen(old, "", [knock])) == knock
    assert knock_of("jt808", PHONE, Seen(facts(), "gw", [knock])) is None
    assert knock_of("jt808", PHONE, Seen(facts(), "", [knock])) is None
    later = old._replace(ended_ms=knock.at_ms + 1)
    assert knock_of("jt808", PHONE, Seen(later, "", [knock])) is None
    assert knock_of("jt808", PHONE, Seen(later._replace(cause="refused"), "", [knock])) == knock


def test_what_was_handed_over_before_it_was_refused_says_nothing_of_now():
    old = facts(opened_ms=NOON_MS - 9_000_000, ended_ms=NOON_MS - 8_000_000, cause="idle")
    refused = stranger(PHONE, reason="refused.disabled", messages=1)
    assert states(case(PHONE, refused, facts=old, summary=summary(is_enabled=False))) == "OoOoonono"


def test_a_device_whose_gateway_does_not_tell_more_is_linked_all_the_same():
    assert states(case(gateway="gw", summary=summary())) == "ooononono"


def test_how_often_a_device_knocked_is_told():
    knocks = stranger(PHONE, reason="refused.unknown", times=7, first_ms=NOON_MS - 7_200_000)
    link = ladder(case(PHONE, knocks))[1]
    assert link.evidence.endswith(f"7 times since {in_words(NOON_MS - 7_200_000)}")
