"""Commands over the control API: asked for, waited for, shown, cancelled, listed; and why they are not taken."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.protocol import connectionDone

from iotgw.callers import MOST_CALLERS
from iotgw.control.commands import ANSWER_SECONDS, STATUSES, CatalogueTold, catalogues
from iotgw.control.server import MOST_CONNECTIONS
from protocols.registry import PROTOCOLS
from settings import Settings
from tasks.contract import ASK_TASK, CANCEL_COMMAND_TASK, SHOW_COMMAND_TASK, CommandEnded, Fault, Reply
from tests.control.desk import Asking, Desk

PATH = "/v1/devices/jt808/013800138000/commands"
GIVEN = {"name": "query_location"}


@pytest.fixture
def desk() -> Desk:
    return Desk(gateway_id="gw")


def told(state: str = "queued", **more: Any) -> dict[str, Any]:
    """A command, as a worker tells it."""
    ended = None if state in ("queued", "sent") else "2026-01-01T00:00:05+00:00"
    step = {
        "at": "2026-01-01T00:00:00+00:00",
        "state": state,
        "cause": "asked",
        "text": "",
        "gateway": "",
        "kind": "",
        "data": None,
    }
    names = {"id": 7, "protocol": "jt808", "identity": "013800138000", "name": "query_location", "effect": "query"}
    return {**names, "state": state, "ended_at": ended, "reason": "", "steps": [step], **more}


def answer(desk: Desk, result: Any, task: str) -> None:
    """A worker's, to the newest call."""
    call = desk.sent[-1][0]
    assert call.task == task
    desk.offload.receive(Reply(call.id, result))


def asked(desk: Desk, command: dict[str, Any] | None = None, wait: str = "15", **given: Any) -> Asking:
    """A command that is taken."""
    asking = desk.begin("POST", f"{PATH}?wait={wait}", {**GIVEN, **given})
    answer(desk, {"command": command or told()}, ASK_TASK)
    return asking


def test_a_worker_is_told_all_that_was_given_who_asks_and_what_is_permitted(desk: Desk) -> None:
    given = {
        "fields": {"interval_s": 5, "flag": True},
        "expires_seconds": 60,
        "condition": "speed_kmh <= 0 within 30 s",
        "confirm": True,
        "must_be_online": True,
        "key": "k1",
    }
    asked(desk, **given)
    request, by, address, permitted = desk.sent[0][0].arguments
    assert request == {
        "protocol": "jt808",
        "identity": "013800138000",
        "name": "query_location",
        "fields": {"interval_s": 5, "flag": True},
        "expires_in": 60,
        "condition": "speed_kmh <= 0 within 30 s",
        "is_confirmed": True,
        "must_be_online": True,
        "waiter": "gw",
        "key": "k1",
    }
    assert (by, address, permitted) == ("control of gw", "127.0.0.1", ["query", "configure"])


def test_what_the_token_permits_is_a_setting() -> None:
    desk = Desk(control_commands=["query", "raw"])
    desk.begin("POST", PATH, GIVEN)
    assert desk.sent[0][0].arguments[3] == ["query", "raw"]
    with pytest.raises(ValueError, match="control_commands"):
        Settings(control_commands=["everything"])  # type: ignore[list-item]


def test_a_caller_is_told_when_the_device_has_answered(desk: Desk) -> None:
    asking = asked(desk)
    desk.house.clock.advance(2)
    desk.callers.ended(CommandEnded(8))
    assert not asking.is_answered
    desk.callers.ended(CommandEnded(7))
    said = {
        "at": "2026-01-01T00:00:05+00:00",
        "state": "acknowledged",
        "cause": "answered",
        "text": "",
        "kind": "location",
        "data": "0a",
    }
    answer(desk, told("acknowledged", steps=[said], tries=1), SHOW_COMMAND_TASK)
    answered = asking.answer()
    assert (answered.status, answered.json["state"], answered.json["ended_at"]) == (200, "acknowledged", "2026-01-01T00:00:05Z")
    assert [(step["cause"], step["data"]) for step in answered.json["steps"]] == [("answered", "0a")]
    assert len(desk.callers) == 0


def test_a_caller_whose_time_is_over_is_told_how_it_is_then(desk: Desk) -> None:
    asking = desk.begin("POST", f"{PATH}?wait=15", GIVEN)
    desk.house.clock.advance(5)
    answer(desk, {"command": told()}, ASK_TASK)
    desk.house.clock.advance(9.9)
    assert len(desk.sent) == 1
    desk.house.clock.advance(0.1)
    answer(desk, told("sent"), SHOW_COMMAND_TASK)
    assert (asking.answer().status, asking.answer().json["state"]) == (202, "sent")


def test_an_end_that_comes_before_the_command_s_number_is_heard(desk: Desk) -> None:
    asking = desk.begin("POST", PATH, GIVEN)
    desk.callers.ended(CommandEnded(7))
    answer(desk, {"command": told()}, ASK_TASK)
    answer(desk, told("failed", reason="no_answer"), SHOW_COMMAND_TASK)
    assert (asking.answer().status, asking.answer().json["reason"]) == (200, "no_answer")


@pytest.mark.parametrize(("state", "wait", "status"), [("queued", "0", 202), ("cancelled", "15", 200)])
def test_who_does_not_wait_or_need_not_is_told_at_once(desk: Desk, state: str, wait: str, status: int) -> None:
    answered = asked(desk, told(state), wait).answer()
    assert (answered.status, answered.json["id"], len(desk.sent)) == (status, 7, 1)
    assert desk.sent[0][0].arguments[0]["waiter"] == ("gw" if wait == "15" else "")


def test_who_waits_is_told_of_the_command_though_nobody_knows_what_became_of_it(desk: Desk) -> None:
    asking = asked(desk)
    desk.house.clock.advance(15)
    assert desk.sent[-1][0].task == SHOW_COMMAND_TASK
    desk.house.clock.advance(ANSWER_SECONDS)
    assert (asking.answer().status, asking.answer().json["id"], asking.answer().json["state"]) == (202, 7, "queued")


def test_a_stopping_gateway_tells_who_waits_what_it_knows(desk: Desk) -> None:
    asking, early = asked(desk), desk.begin("POST", PATH, GIVEN)
    desk.offload.stop()
    desk.callers.stop()
    assert (asking.answer().status, asking.answer().json["id"]) == (202, 7)
    assert early.answer().code == "stopping"
    assert len(desk.callers) == 0


def test_whoever_hangs_up_is_forgotten(desk: Desk) -> None:
    early, late = desk.begin("POST", PATH, GIVEN), asked(desk)
    assert len(desk.callers) == 2
    for asking in (early, late):
        asking.channel.connectionLost(connectionDone)
    assert (len(desk.callers), desk.offload.waiting) == (0, 0)
    desk.callers.ended(CommandEnded(7))
    desk.house.clock.advance(60)
    assert [call.task for call, _ in desk.sent] == [ASK_TASK, ASK_TASK]
    assert desk.count("control.errors.fault") == 0


def test_no_more_callers_wait_than_leave_room_for_others(desk: Desk) -> None:
    for _ in range(MOST_CALLERS):
        desk.begin("POST", PATH, GIVEN)
    answered = desk.ask("POST", PATH, GIVEN)
    assert (answered.status, answered.code) == (503, "too_many_callers")
    assert len(desk.sent) == MOST_CALLERS
    assert f"iotgw_callers_waiting {float(MOST_CALLERS)}" in desk.get("/metrics").text
    assert MOST_CALLERS <= MOST_CONNECTIONS / 2
    assert asked(desk, wait="0").answer().status == 202
    assert desk.get("/healthz").status == 200


@pytest.mark.parametrize(("code", "status"), [*STATUSES.items(), ("of a newer release", 422)])
def test_why_it_is_not_taken_is_told_in_a_status_a_code_and_words(desk: Desk, code: str, status: int) -> None:
    asking = desk.begin("POST", PATH, GIVEN)
    answer(desk, {"error": {"code": code, "text": "channels: 'x' is no number from 1 to 64"}}, ASK_TASK)
    answered = asking.answer()
    known = code if code in STATUSES else "refused"
    assert (answered.status, answered.code) == (status, known)
    assert answered.json["error"]["message"] == "channels: 'x' is no number from 1 to 64"
    assert str(status) in desk.get("/openapi.json").json["paths"]["/v1/devices/{protocol}/{identity}/commands"]["post"]["responses"]
    assert (desk.count(f"control.errors.{known}"), len(desk.callers)) == (1, 0)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"name": ""},
        {"name": 5},
        {"name": "x", "fields": []},
        {"name": "x", "fields": {"a": 1 << 64}},
        {"name": "x", "expires_seconds": 0},
        {"name": "x", "confirm": "yes"},
        {"name": "x", "field": {}},
    ],
)
def test_what_is_not_as_described_reaches_no_worker(desk: Desk, given: Any) -> None:
    answered = desk.ask("POST", PATH, given)
    assert (answered.status, answered.code, desk.sent, len(desk.callers)) == (400, "bad_body", [], 0)


@pytest.mark.parametrize("wait", ["-1", "61", "nan", "x", ""])
def test_no_wait_is_longer_than_a_minute(desk: Desk, wait: str) -> None:
    assert desk.ask("POST", f"{PATH}?wait={wait}", GIVEN).code == "bad_query"


@pytest.mark.parametrize("result", [None, 5, [], {}, {"command": None}, {"command": {"id": 7}}, {"command": told(steps=[{}])}])
def test_what_is_no_command_is_told_as_that(desk: Desk, result: Any) -> None:
    asking = desk.begin("POST", PATH, GIVEN)
    answer(desk, result, ASK_TASK)
    assert (asking.answer().status, asking.answer().code) == (502, "bad_answer")


@pytest.mark.parametrize(
    ("end", "status", "code"),
    [
        (lambda desk: desk.offload.receive(Reply(desk.sent[0][0].id, None, Fault("KeyError", "no", "File x"))), 502, "task_failed"),
        (lambda desk: desk.house.clock.advance(ANSWER_SECONDS), 504, "task_timed_out"),
        (lambda desk: desk.sent[0][1].errback(OSError("refused")), 503, "broker_away"),
        (lambda desk: desk.offload.stop(), 503, "stopping"),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", PATH), ("GET", "/v1/commands/7"), ("DELETE", "/v1/commands/7")])
def test_without_a_worker_s_word_it_is_told_why(desk: Desk, method: str, path: str, end: Any, status: int, code: str) -> None:
    asking = desk.begin(method, path, GIVEN if method == "POST" else None)
    end(desk)
    assert (asking.answer().status, asking.answer().code) == (status, code)
    assert len(desk.callers) == 0


def test_a_command_is_shown_with_what_a_newer_worker_adds(desk: Desk) -> None:
    asking = desk.begin("GET", "/v1/commands/7")
    assert desk.sent[0][0].arguments == (7,)
    answer(desk, told("sent", mood="good"), SHOW_COMMAND_TASK)
    assert (asking.answer().status, asking.answer().json["mood"]) == (200, "good")


@pytest.mark.parametrize("id", ["0", "-1", "x", "9" * 19, "9" * 100, "%D9%A3"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_what_is_no_command_s_number_reaches_no_worker(desk: Desk, method: str, id: str) -> None:
    answered = desk.ask(method, f"/v1/commands/{id}")
    assert (answered.status, answered.code, desk.sent) == (404, "unknown_command", [])


@pytest.mark.parametrize(("method", "task"), [("GET", SHOW_COMMAND_TASK), ("DELETE", CANCEL_COMMAND_TASK)])
def test_a_command_that_there_is_not_is_not_found(desk: Desk, method: str, task: str) -> None:
    asking = desk.begin(method, "/v1/commands/7")
    answer(desk, None, task)
    assert (asking.answer().status, asking.answer().code) == (404, "unknown_command")


def test_what_was_not_sent_is_cancelled_and_may_be_so_again(desk: Desk) -> None:
    for is_cancelled in (True, False):
        asking = desk.begin("DELETE", "/v1/commands/7")
        assert desk.sent[-1][0].arguments == (7, "control of gw", "127.0.0.1")
        answer(desk, {"is_cancelled": is_cancelled, "command": told("cancelled")}, CANCEL_COMMAND_TASK)
        assert (asking.answer().status, asking.answer().json["state"]) == (200, "cancelled")


@pytest.mark.parametrize("state", ["sent", "acknowledged", "failed", "expired"])
def test_what_was_sent_or_has_ended_is_not_cancelled(desk: Desk, state: str) -> None:
    asking = desk.begin("DELETE", "/v1/commands/7")
    answer(desk, {"is_cancelled": False, "command": told(state)}, CANCEL_COMMAND_TASK)
    assert (asking.answer().status, asking.answer().code) == (409, "too_late")
    assert state in asking.answer().json["error"]["message"]


def test_what_a_protocol_s_devices_can_be_told_is_listed(desk: Desk) -> None:
    listed = desk.get("/v1/protocols/jt808/commands").json
    assert listed["protocol"] == "jt808"
    names = {command["name"]: command for command in listed["commands"]}
    assert names["query_location"]["effect"] == "query"
    assert names["raw"]["is_confirmed_twice"]
    answered = desk.get("/v1/protocols/none/commands")
    assert (answered.status, answered.code, desk.sent) == (404, "unknown_protocol", [])


def test_what_is_listed_of_every_protocol_is_as_described() -> None:
    for name, catalogue in catalogues(PROTOCOLS).items():
        assert CatalogueTold.model_validate_json(catalogue).protocol == name
