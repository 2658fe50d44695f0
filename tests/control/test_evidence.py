"""What the control API tells of where a device's data stops, and of who knocked."""

from __future__ import annotations

from typing import Any

import pytest

from iotgw.control.evidence import SUMMARY_SECONDS
from tasks.contract import Facts, Reply, Stranger
from tests.control.desk import Answered, Desk

PHONE = "013800138000"
UNSEEN: dict[str, Any] = {"exists": False}


@pytest.fixture
def desk() -> Desk:
    desk = Desk(gateway_id="gw")
    desk.house.clock.advance(1000)
    return desk


def look(desk: Desk, identity: str = PHONE, summary: dict[str, Any] | None = UNSEEN) -> Answered:
    """What is told when the database knows this, or is not asked."""
    asking = desk.begin("GET", f"/v1/evidence/line/{identity}")
    if summary is not None:
        desk.offload.receive(Reply(desk.sent[-1][0].id, summary))
    desk.house.pass_time(SUMMARY_SECONDS + 0.5)
    return asking.answer()


def summary(**more: Any) -> dict[str, Any]:
    known = {"exists": True, "is_enabled": True, "created_at": "2026-03-01T12:00:00+00:00", "last_seen": None, "quarantined": 0}
    return {**known, "last_report": None, "last_dated": None, "last_quarantined": None, **more}


def opened(answered: Answered) -> list[str]:
    return [rung["name"] for rung in answered.json["ladder"] if rung["state"] == "open"]


def online(desk: Desk, identity: str = PHONE) -> Any:
    link, transport = desk.house.connect()
    desk.house.say(link, f"{identity} 1 hello")
    desk.house.commit()
    return link, transport


def test_a_device_that_is_here_is_told_as_it_is_now(desk: Desk):
    link, _ = online(desk)
    desk.house.say(link, "nonsense", f"{PHONE} 2 more")
    answered = look(desk, summary=summary())
    told = answered.json
    assert answered.status == 200
    assert (told["gateway"], told["is_known"], told["is_complete"], told["near_misses"]) == ("gw", True, True, [])
    assert (told["facts"]["messages"], told["facts"]["malformed"], told["facts"]["waiting"]) == (2, {"line": 1}, 1)
    assert told["facts"]["ended_at"] is None
    assert told["summary"]["exists"]
    assert opened(answered) == ["frames", "stored"]


def test_while_the_database_is_not_asked_the_rest_is_told(desk: Desk):
    online(desk)
    answered = look(desk, summary=None)
    assert (answered.status, answered.json["summary"]) == (200, None)
    assert answered.json["ladder"][0]["state"] == "unknown"
    assert "no reply from tasks.devices.summary in 5 s" in answered.json["ladder"][0]["evidence"]
    assert opened(answered) == ["stored"]


def test_one_that_nobody_has_seen_is_404_and_still_told_is_who_it_may_be(desk: Desk):
    desk.house.gateway.ports["line"] = [7007]
    desk.house.directory.is_holding = True
    link, transport = desk.house.connect()
    desk.house.say(link, f"{PHONE[1:]} 1 hello")
    transport.finish()
    desk.house.pass_time(1)
    answered = look(desk)
    told = answered.json
    assert (answered.status, told["is_known"], told["facts"], told["knock"]) == (404, False, None, None)
    (miss,) = told["near_misses"]
    assert (miss["reason"], miss["stranger"]["identity"], miss["stranger"]["first"][:6]) == ("fewer_zeros", PHONE[1:], b"138".hex())
    link_rung = told["ladder"][1]
    assert link_rung["remedy"].startswith(
        "set the device's server to this host and port 7007; or is it this one: a device 13800138000"
    )


def test_one_that_is_in_the_database_only_is_known(desk: Desk):
    answered = look(desk, summary=summary())
    assert (answered.status, opened(answered)) == (200, ["link"])


def test_one_that_was_refused_is_told_with_why(desk: Desk):
    # Nobody has let it in yet: of one with a session, what ends that would be told.
    desk.house.directory.is_holding = True
    link, transport = desk.house.connect()
    desk.house.say(link, f"{PHONE} 1 hello")
    desk.house.gateway.refused(link, PHONE, "credential")
    transport.finish()
    desk.house.pass_time(1)
    answered = look(desk)
    assert (answered.status, answered.json["knock"]["reason"]) == (200, "refused.credential")
    assert opened(answered) == ["identified"]


def test_one_that_is_elsewhere_is_told_by_that_gateway(desk: Desk):
    desk.house.evidence.told[f"line/{PHONE}"] = Facts("other", 1, messages=1, opened_ms=1)
    desk.house.evidence.route = "other"
    answered = look(desk, summary=summary())
    assert desk.house.evidence.asked[0][0] == "other"
    assert (answered.json["gateway"], answered.json["facts"]["gateway"]) == ("other", "other")


def test_without_redis_what_this_gateway_knows_is_told(desk: Desk):
    desk.house.evidence.is_away = True
    assert look(desk).json["is_complete"] is False
    online(desk)
    assert look(desk).json["facts"]["messages"] == 1
    answered = desk.get("/v1/strangers")
    assert (answered.status, answered.code) == (503, "redis_away")


def test_strangers_are_listed(desk: Desk):
    desk.house.evidence.knocked += [
        Stranger("line", "7", "gw", 7, "192.0.2.7:1", "refused.unknown", b"\x7e\xff", 1, {"x": 1}, 2000, 1000, 3),
        Stranger("other", "8", at_ms=1000),
        Stranger("line", "9", at_ms=1000),
    ]
    assert [stranger["identity"] for stranger in desk.get("/v1/strangers").json["strangers"]] == ["7", "8", "9"]
    (told,) = desk.get("/v1/strangers?protocol=line&limit=1").json["strangers"]
    assert told == {
        "protocol": "line",
        "identity": "7",
        "gateway": "gw",
        "port": 7,
        "peer": "192.0.2.7:1",
        "reason": "refused.unknown",
        "first": "7eff",
        "messages": 1,
        "malformed": {"x": 1},
        "first_at": "1970-01-01T00:00:01Z",
        "last_at": "1970-01-01T00:00:02Z",
        "times": 3,
    }


def test_whether_a_new_device_may_come_in_is_its_protocol_s_rule():
    closed = Desk(gateway_id="gw", admissions={"line": "known"})
    assert "only known devices may come in" in look(closed).json["ladder"][0]["evidence"]
    opened_up = Desk(gateway_id="gw", admission="known", admissions={"line": "open"})
    assert "admission is open" in look(opened_up).json["ladder"][0]["evidence"]
