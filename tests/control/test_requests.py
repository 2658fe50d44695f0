"""What a caller gets, right or wrong; a wrong request harms nobody and is counted."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import connectionDone
from twisted.internet.testing import StringTransport

from iotgw.control.server import IDLE_SECONDS, MOST_BODY_BYTES, MOST_CONNECTIONS, make_site
from tasks.contract import Fault, Reply
from tests.control.desk import TOKEN, Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()


def online(desk: Desk, identity: str = "7", host: str = "192.168.1.1") -> Any:
    link, transport = desk.house.connect(host)
    desk.house.say(link, f"{identity} 1 hello")
    desk.house.commit()
    return link, transport


WRONG: list[tuple[str, str, str, Any, dict[str, Any], int]] = [
    ("no_token", "GET", "/metrics", None, {"token": None}, 401),
    ("no_token", "GET", "/metrics", None, {"token": None, "Authorization": "Basic eDp5"}, 401),
    ("wrong_token", "GET", "/v1/sessions", None, {"token": TOKEN[:-1]}, 401),
    ("wrong_token", "POST", "/v1/drain", {}, {"token": ""}, 401),
    ("unknown_path", "GET", "/nothing", None, {}, 404),
    ("unknown_path", "GET", "/v1/sessions/line/", None, {}, 404),
    ("wrong_method", "DELETE", "/v1/sessions", None, {}, 405),
    ("unknown_device", "GET", "/v1/sessions/line/404", None, {}, 404),
    ("unknown_device", "POST", "/v1/sessions/line/404/kick", None, {}, 404),
    ("unknown_task", "POST", "/v1/tasks/tasks.ingest.store_batch", {}, {}, 404),
    ("bad_query", "GET", "/v1/sessions?limit=0", None, {}, 400),
    ("bad_query", "GET", "/v1/sessions?limt=1", None, {}, 400),
    ("bad_query", "GET", "/v1/bans?limit=1", None, {}, 400),
    ("bad_body", "POST", "/v1/drain", b"{", {}, 400),
    ("bad_body", "POST", "/v1/drain", b"\xff\xfe", {}, 400),
    ("bad_body", "POST", "/v1/drain", b"[" * 30_000, {}, 400),
    ("bad_body", "POST", "/v1/drain", [], {}, 400),
    ("bad_body", "POST", "/v1/drain", {"seconds": -1}, {}, 400),
    ("bad_body", "POST", "/v1/drain", {"seconds": "1"}, {}, 400),
    ("bad_body", "POST", "/v1/drain", {"second": 1}, {}, 400),
    ("bad_body", "PUT", "/v1/bans/devices/line/7", {}, {}, 400),
    ("bad_body", "POST", "/v1/tasks/tasks.devices.summary", {"args": [1 << 64]}, {}, 400),
    ("bad_body", "POST", "/v1/tasks/tasks.devices.summary", {"kwargs": {"protocol": [float("nan")]}}, {}, 400),
    ("bad_address", "PUT", "/v1/bans/addresses/nowhere", {"seconds": 1}, {}, 400),
    ("bad_address", "PUT", "/v1/bans/addresses/127.0.0.1", {"seconds": 1}, {}, 400),
    ("not_banned", "DELETE", "/v1/bans/devices/line/7", None, {}, 404),
    ("not_banned", "DELETE", "/v1/bans/addresses/192.0.2.1", None, {}, 404),
    ("body_too_long", "POST", "/v1/drain", b" " * (MOST_BODY_BYTES + 1), {}, 413),
]


@pytest.mark.parametrize(("code", "method", "path", "body", "options", "status"), WRONG)
def test_a_wrong_request_gets_a_clear_error_and_a_count(
    desk: Desk, code: str, method: str, path: str, body: Any, options: dict[str, Any], status: int
):
    _, transport = online(desk)
    answered = desk.ask(method, path, body, **options)
    assert (answered.status, answered.code) == (status, code)
    assert len(answered.json["error"]["message"]) > 20, "a sentence"
    assert TOKEN not in answered.text
    assert desk.count(f"control.errors.{code}") == 1
    assert desk.count("control.requests") == 1
    assert (desk.sent, desk.draining.state, transport.disconnecting) == ([], "no", False)
    assert len(desk.house.gateway.sessions) == 1


def test_a_long_body_of_unknown_length_is_not_kept(desk: Desk):
    chunk = b"%x\r\n" % 60_000 + b" " * 60_000 + b"\r\n"
    head = f"POST /v1/drain HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n"
    asking = desk.raw(head.encode())
    for _ in range(20):
        asking.channel.dataReceived(chunk)
    assert len(asking.channel._channel.requests[0]._body) <= MOST_BODY_BYTES
    asking.channel.dataReceived(b"0\r\n\r\n")
    assert (asking.answer().status, asking.answer().code) == (413, "body_too_long")


def test_without_a_token_set_only_health_is_told():
    desk = Desk(control_token="")
    assert desk.get("/healthz", token=None).status == 200
    for token in (None, "", TOKEN):
        answered = desk.get("/v1/sessions", token=token)
        assert (answered.status, answered.code) == (403, "token_not_set")
        assert "IOTGW_CONTROL_TOKEN_FILE" in answered.json["error"]["message"]


def test_health_needs_no_token_and_head_has_no_body(desk: Desk):
    assert desk.get("/healthz", token=None).json == {"status": "ok"}
    answered = desk.ask("HEAD", "/healthz")
    assert (answered.status, answered.text, answered.headers["content-length"]) == (200, "", "15")


def test_a_fault_of_ours_is_told_as_one_and_harms_no_later_request(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as broken:
        broken.setattr(desk.house.gateway, "sessions", None)
        answered = desk.get("/v1/sessions")
    assert (answered.status, answered.code) == (500, "fault")
    assert "NoneType" not in answered.text
    assert desk.get("/v1/sessions").status == 200


def test_sessions_are_listed_in_pages(desk: Desk):
    for identity in ("1", "2", "3"):
        online(desk, identity)
    told = desk.get("/v1/sessions?offset=1&limit=1&protocol=line").json
    assert (told["total"], [row["identity"] for row in told["sessions"]]) == (3, ["2"])
    assert desk.get("/v1/sessions?protocol=other").json["sessions"] == []


def test_a_device_is_told_while_it_is_there_and_why_it_is_not(desk: Desk):
    _, transport = online(desk, "7/é")
    path = "/v1/sessions/line/7%2F%C3%A9"
    desk.house.clock.advance(2)
    told = desk.get(path).json
    assert told["is_online"]
    assert (told["session"]["identity"], told["session"]["seconds"]) == ("7/é", 2)
    assert told["session"]["peer"] == "192.168.1.1:54321"
    assert 0 <= told["session"]["ack_seconds"] < 60
    assert told["last_departure"] is None
    transport.finish()
    told = desk.get(path).json
    assert (told["is_online"], told["session"], told["last_departure"]["cause"]) == (False, None, "peer")


def test_a_kick_closes_the_link(desk: Desk):
    _, transport = online(desk)
    assert desk.ask("POST", "/v1/sessions/line/7/kick").json == {"kicked": True}
    assert transport.disconnecting
    assert desk.get("/v1/sessions/line/7").json["last_departure"]["cause"] == "kicked"


def test_a_device_is_banned_listed_and_let_in_again(desk: Desk):
    _, transport = online(desk)
    told = desk.ask("PUT", "/v1/bans/devices/line/7", {"seconds": 60, "cause": "stolen"}).json
    assert (told["protocol"], told["identity"], told["seconds"], told["cause"]) == ("line", "7", 60, "stolen")
    assert transport.disconnecting
    (listed,) = desk.get("/v1/bans").json["devices"]
    assert {**listed, "until": ""} == {**told, "until": ""}
    assert desk.get("/v1/sessions/line/7").json["ban"]["cause"] == "stolen"
    assert desk.ask("DELETE", "/v1/bans/devices/line/7").json == {"lifted": True}
    assert desk.get("/v1/bans").json["devices"] == []


def test_a_ban_ends(desk: Desk):
    desk.ask("PUT", "/v1/bans/devices/line/7", {"seconds": 60})
    desk.house.clock.advance(61)
    assert desk.get("/v1/bans").json["devices"] == []


@pytest.mark.parametrize(("given", "kept"), [("192.168.1.1", "192.168.1.1"), ("2001:db8::1", "2001:db8::/64")])
def test_an_address_is_banned_and_let_in_again(desk: Desk, given: str, kept: str):
    _, transport = online(desk, host=given)
    told = desk.ask("PUT", f"/v1/bans/addresses/{given}", {"seconds": 60}).json
    assert (told["address"], told["is_automatic"]) == (kept, False)
    assert transport.disconnecting
    assert desk.house.accept(given) is None
    listed = kept.replace("/", "%2F")
    assert desk.ask("PUT", f"/v1/bans/addresses/{listed}", {"seconds": 90}).json["address"] == kept
    assert [ban["seconds"] for ban in desk.get("/v1/bans").json["addresses"]] == [90]
    assert desk.ask("DELETE", f"/v1/bans/addresses/{listed}").status == 200
    assert desk.house.accept(given) is not None


def test_no_more_bans_than_there_may_be():
    desk = Desk(max_bans=1)
    assert desk.ask("PUT", "/v1/bans/devices/line/7", {"seconds": 60}).status == 200
    answered = desk.ask("PUT", "/v1/bans/devices/line/8", {"seconds": 60})
    assert (answered.status, answered.code) == (409, "too_many_bans")


RUN = "/v1/tasks/tasks.devices.summary"


def test_a_task_is_run_and_its_result_told(desk: Desk):
    assert desk.get("/v1/tasks").json == {"tasks": ["tasks.devices.summary"]}
    asking = desk.begin("POST", RUN, {"args": ["jt808"], "kwargs": {"identity": "1"}, "timeout_seconds": 5})
    assert not asking.is_answered
    call = desk.sent[0][0]
    assert (call.task, call.arguments, call.named) == ("tasks.devices.summary", ("jt808",), {"identity": "1"})
    desk.offload.receive(Reply(call.id, {"exists": True, 1: b"\x00\xff", "n": float("nan")}))
    assert asking.answer().json == {"result": {"exists": True, "1": "00ff", "n": None}}


@pytest.mark.parametrize(
    ("end", "status", "code"),
    [
        (lambda desk: desk.offload.receive(Reply(desk.sent[0][0].id, None, Fault("KeyError", "no", "File x"))), 502, "task_failed"),
        (lambda desk: desk.house.clock.advance(30), 504, "task_timed_out"),
        (lambda desk: desk.sent[0][1].errback(OSError("refused")), 503, "broker_away"),
        (lambda desk: desk.offload.stop(), 503, "stopping"),
    ],
)
def test_a_task_without_result_is_told_why(desk: Desk, end: Any, status: int, code: str):
    asking = desk.begin("POST", RUN)
    end(desk)
    answered = asking.answer()
    assert (answered.status, answered.code) == (status, code)
    if code == "task_failed":
        assert (answered.json["error"]["type"], answered.json["error"]["traceback"]) == ("KeyError", "File x")


def test_whoever_hangs_up_waits_no_more(desk: Desk):
    asking = desk.begin("POST", RUN)
    assert desk.offload.waiting == 1
    asking.channel.connectionLost(connectionDone)
    assert desk.offload.waiting == 0
    assert desk.count("calls.cancelled") == 1
    assert desk.count("control.errors.fault") == 0


def test_a_drain_is_begun_and_watched(desk: Desk):
    _, transport = online(desk)
    answered = desk.ask("POST", "/v1/drain", {"seconds": 0})
    assert (answered.status, answered.json["state"]) == (202, "flushing")
    assert desk.get("/readyz").status == 503
    desk.house.pass_time(1)
    transport.finish()
    desk.house.pass_time(1)
    assert desk.get("/v1/drain").json == {"state": "done", "links": 0, "batches_in_flight": 0}
    assert desk.ask("POST", "/v1/drain", {"seconds": 5}).json["state"] == "done"


def failing(desk: Desk) -> dict[str, str]:
    answered = desk.get("/readyz")
    bad = {check["name"]: check["reason"] for check in answered.json["checks"] if not check["is_ok"]}
    assert answered.status == (503 if bad else 200)
    assert answered.json["is_ready"] is not bool(bad)
    assert all(bad.values()), "each with its reason"
    return bad


def test_it_is_ready_when_all_is_well(desk: Desk):
    assert failing(desk) == {}


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("listening", lambda desk: setattr(desk, "is_listening", False)),
        ("broker", lambda desk: setattr(desk.queues, "asked_at", None)),
        ("broker", lambda desk: setattr(desk.queues, "asked_at", 80.0)),
        ("mailbox", lambda desk: setattr(desk.mailbox, "read_at", None)),
        ("mailbox", lambda desk: setattr(desk.mailbox, "read_at", 90.0)),
    ],
)
def test_it_is_not_ready_and_says_why(desk: Desk, name: str, spoil: Any):
    spoil(desk)
    assert list(failing(desk)) == [name]


def test_it_is_not_ready_while_nothing_is_read_from_devices():
    desk = Desk(batches_in_flight=1)
    link, _ = desk.house.connect()
    desk.house.say(link, "7 1 hello")
    assert list(failing(desk)) == ["reading"]
    desk.house.commit()
    assert failing(desk) == {}


def test_a_connection_that_asks_nothing_is_closed_and_one_that_waits_for_a_result_is_not(desk: Desk):
    silent, half = desk.raw(b""), desk.raw(b"GET /healthz HTTP/1.1\r\nHo")
    waiting = desk.begin("POST", RUN, {"timeout_seconds": 3 * IDLE_SECONDS})
    desk.house.clock.advance(IDLE_SECONDS + 1)
    assert [asking.transport.disconnecting for asking in (silent, half, waiting)] == [True, True, False]
    desk.offload.receive(Reply(desk.sent[0][0].id, 1))
    assert waiting.answer().json == {"result": 1}


def test_only_so_many_connections_are_open_at_once(desk: Desk):
    site = make_site(desk.reach, desk.house.clock)
    address = IPv4Address("TCP", "127.0.0.1", 1)
    protocols = [site.buildProtocol(address) for _ in range(MOST_CONNECTIONS)]
    assert all(protocols)
    assert site.buildProtocol(address) is None
    protocols[0].makeConnection(StringTransport())
    protocols[0].connectionLost(connectionDone)
    assert site.buildProtocol(address) is not None


def test_a_connection_that_ended_is_freed_without_the_garbage_collector(desk: Desk):
    address = IPv4Address("TCP", "127.0.0.1", 1)
    connection, transport = make_site(desk.reach, desk.house.clock).buildProtocol(address), StringTransport(peerAddress=address)
    gc.disable()
    try:
        connection.makeConnection(transport)
        connection.dataReceived(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert transport.value().startswith(b"HTTP/1.1 200 ")
        transport.unregisterProducer()
        connection.connectionLost(connectionDone)
        freed = weakref.ref(connection)
        del connection, transport
        assert freed() is None
    finally:
        gc.enable()
