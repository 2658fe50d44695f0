"""What a gateway tells of its sessions, when, and how often."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from iotgw import presence
from iotgw.offload import TaskFailedError
from iotgw.presence import DELAY_SECONDS, LONGEST_PAUSE_SECONDS, PROBE
from iotgw.routetable import Answer
from protocols import Outcome
from tasks.contract import MOST_CHANGES, PRESENCE_TASK, Fault, Kick, PresenceChange, presence_changes
from tests.iotgw.fakes import FakeRouteTable, House, LineProtocol


class Desk(House):
    """A house whose routes are won one by one, and whose workers reply when they are told to."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(gateway_id="gw", **settings)
        self.table = FakeRouteTable()
        self.gateway.routes.keep_in(self.table)
        self.gateway.presence.tell_with("run", self.call)
        self.table.on_ready()
        self.epoch = 9
        self.calls: list[list[PresenceChange]] = []
        self.replies: list[Deferred[Any]] = []

    def call(self, task: str, *arguments: Any, timeout_seconds: float) -> Deferred[Any]:
        gateway, run, changes = arguments
        assert (task, gateway, run) == (PRESENCE_TASK, "gw", "run")
        self.calls.append(list(presence_changes(changes)))
        self.replies.append(Deferred())
        return self.replies[-1]

    def enter(self, *devices: str) -> Any:
        """Devices on a new link, let in; their routes are not known yet."""
        link, transport = self.connect()
        self.say(link, *(f"{device} 1 a" for device in devices))
        self.commit()
        return transport

    def win(self) -> None:
        """Have all changes of routes answered that are due."""
        self.clock.advance(0.02)
        while self.table.changes and not self.table.changes[-1][2].called:
            claims, _, changed = self.table.changes[-1]
            first, self.epoch = self.epoch + 1, self.epoch + len(claims)
            changed.callback([Answer(True, first + at, 5) for at in range(len(claims))])
            self.clock.advance(0.02)

    def told(self) -> list[tuple[str, int, bool, str]]:
        """What leaves next, which is stored: device, epoch, whether it is over, and why."""
        self.pass_time(DELAY_SECONDS)
        reply = self.replies.pop()
        changes = self.calls[-1]
        reply.callback(None)
        return [(change.identity, change.epoch, change.ended_ms > 0, change.cause) for change in changes]

    def fail(self) -> None:
        self.replies.pop().errback(RuntimeError("away"))


def test_a_session_is_told_with_its_epoch_once_it_has_one():
    desk = Desk()
    transport = desk.enter("dev")
    desk.pass_time(5)
    assert desk.calls == [], "nobody knows yet which session of the fleet is the newest"
    desk.win()
    assert desk.told() == [("dev", 10, False, "")]
    (begun,) = desk.calls[-1]
    assert begun.peer == "192.168.1.1:54321"
    transport.finish()
    assert desk.told() == [("dev", 10, True, "peer")]
    (ended,) = desk.calls[-1]
    assert begun.begun_ms == ended.begun_ms <= ended.ended_ms
    assert desk.statistics["presence.told"] == 2
    desk.pass_time(60)
    assert len(desk.calls) == 2, "what is told is told"


def test_a_visit_is_one_change_and_many_share_a_task():
    desk = Desk()
    links = [desk.enter(f"d{number}") for number in range(30)]
    desk.win()
    for transport in links:
        transport.finish()
    assert desk.told() == [(f"d{number}", 10 + number, True, "peer") for number in range(30)]


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        (lambda desk, link: desk.say(link, f"dev {LineProtocol.LOGOUT} bye") or desk.commit(), "logout"),
        (lambda desk, link: desk.gateway.kick("line", "dev"), "kicked"),
        (lambda desk, link: desk.gateway.ban_device("line", "dev", 60, "by hand"), "banned"),
        (lambda desk, link: desk.say(link, "dev 1 b") or desk.commit(dev=Outcome.REFUSED), "refused"),
        (lambda desk, link: desk.pass_time(2000, 10), "idle"),
        (lambda desk, link: desk.gateway.close_links("shutdown"), "shutdown"),
    ],
)
def test_why_it_ended_is_told(end: Any, cause: str):
    desk = Desk()
    transport = desk.enter("dev")
    desk.win()
    desk.told()
    end(desk, transport.link)
    if transport.disconnecting:
        transport.finish()
    if not desk.replies:
        desk.pass_time(DELAY_SECONDS)
    assert [(change.ended_ms > 0, change.cause) for change in desk.calls[-1]] == [(True, cause)]


def test_a_link_that_takes_over_here_begins_anew_and_ends_nothing():
    desk = Desk()
    desk.enter("dev")
    desk.win()
    desk.told()
    newer = desk.enter("dev")
    desk.win()
    assert desk.told() == [("dev", 11, False, "")]
    newer.finish()
    assert desk.told() == [("dev", 11, True, "peer")]


@pytest.mark.parametrize("is_kick", [True, False])
def test_a_gateway_that_loses_a_device_to_another_one_says_nothing(is_kick: bool):
    desk = Desk()
    transport = desk.enter("dev")
    if is_kick:
        desk.win()
        desk.told()
        desk.gateway.routes.kicked(Kick("line", "dev", FakeRouteTable.run, 99))
    else:
        desk.clock.advance(0.02)
        desk.table.changes[-1][2].callback([Answer(False, 99, kept_by="b")])
    assert transport.disconnecting
    transport.finish()
    calls = len(desk.calls)
    desk.pass_time(60)
    assert len(desk.calls) == calls


def test_a_newer_link_that_is_gone_before_it_has_a_route_ends_what_was_told_of_the_older_one():
    desk = Desk()
    desk.enter("dev")
    desk.win()
    desk.told()
    desk.table.on_away()
    desk.enter("dev").finish()
    assert desk.told() == [("dev", 10, True, "peer")]


def test_what_is_over_before_it_has_a_route_is_not_told():
    desk = Desk()
    desk.enter("dev").finish()
    desk.win()
    desk.pass_time(60)
    assert desk.calls == []


def test_all_are_told_anew_when_routes_are_claimed_anew():
    desk = Desk()
    desk.enter("one", "two")
    desk.win()
    first = desk.told()
    begun = [change.begun_ms for change in desk.calls[-1]]
    desk.table.on_ready()
    desk.win()
    assert [device for device, *_ in desk.told()] == [device for device, *_ in first]
    assert [change.begun_ms for change in desk.calls[-1]] == begun, "it is the same session"


def test_a_fleet_leaves_in_full_tasks_one_after_the_other():
    desk = Desk(devices_per_link=10_000)
    desk.enter(*(f"d{number}" for number in range(MOST_CHANGES * 2 + 10)))
    desk.win()
    sizes = []
    desk.pass_time(DELAY_SECONDS)
    for _ in range(3):
        assert len(desk.replies) == 1, "one at a time"
        sizes.append(len(desk.calls[-1]))
        desk.replies.pop().callback(None)
        desk.clock.advance(0 if len(sizes) < 2 else DELAY_SECONDS)
    assert sizes == [MOST_CHANGES, MOST_CHANGES, 10]
    assert desk.gateway.snapshot()["presence_waiting"] == 0


def test_what_nobody_has_stored_is_told_again_with_what_came_since():
    desk = Desk()
    links = {name: desk.enter(name) for name in ("one", "two")}
    desk.win()
    desk.pass_time(DELAY_SECONDS)
    desk.enter("three")
    desk.win()
    links["one"].finish()
    desk.fail()
    assert desk.gateway.snapshot()["presence_waiting"] == 3
    desk.pass_time(DELAY_SECONDS)
    assert desk.told() == [("two", 11, False, ""), ("three", 12, False, ""), ("one", 10, True, "peer")]
    assert desk.statistics["presence.not_told"] == 1
    assert desk.gateway.snapshot()["presence_waiting"] == 0


def test_while_nobody_takes_it_little_is_asked_and_seldom_and_then_all_is_told():
    desk = Desk()
    for number in range(200):
        desk.enter(f"d{number}")
    desk.win()
    desk.pass_time(DELAY_SECONDS)
    for _ in range(20):
        desk.fail()
        before = len(desk.calls)
        desk.pass_time(LONGEST_PAUSE_SECONDS)
        assert len(desk.calls) == before + 1
        assert len(desk.calls[-1]) == PROBE
    desk.fail()
    calls = len(desk.calls)
    desk.pass_time(LONGEST_PAUSE_SECONDS - 1)
    assert len(desk.calls) == calls, "it waits for as long as it ever does"
    desk.pass_time(1)
    assert len(desk.told()) == PROBE
    assert len(desk.told()) == 150


def test_what_a_worker_refuses_is_told_once_and_what_comes_after_it_goes_on():
    desk = Desk()
    desk.enter("one")
    desk.win()
    desk.pass_time(DELAY_SECONDS)
    desk.replies.pop().errback(TaskFailedError(Fault("BadPayloadError", "changes[0] is no change", "")))
    desk.pass_time(LONGEST_PAUSE_SECONDS)
    assert len(desk.calls) == 1
    assert desk.statistics["presence.dropped"] == 1
    assert desk.statistics["presence.not_told"] == desk.gateway.presence.waiting == 0
    desk.enter("two")
    desk.win()
    assert desk.told() == [("two", 11, False, "")]


def test_what_waits_is_bounded_and_the_oldest_goes_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(presence, "MOST_WAITING", 5)
    desk = Desk()
    transports = [desk.enter(f"d{number}") for number in range(7)]
    desk.win()
    assert desk.statistics["presence.dropped"] == 2, "begins are told again anyway"
    for transport in transports[3:]:
        transport.finish()
    assert desk.gateway.snapshot()["presence_waiting"] == 5
    assert [(device, is_over) for device, _, is_over, _ in desk.told()] == [
        ("d2", False), ("d3", True), ("d4", True), ("d5", True), ("d6", True),
    ]  # fmt: skip
    assert desk.statistics["presence.dropped"] == 4
    transports[0].finish()
    assert desk.told() == [("d0", 10, True, "peer")]


def test_a_stopping_gateway_waits_until_its_ends_are_stored():
    desk = Desk()
    desk.enter("one")
    desk.win()
    desk.pass_time(DELAY_SECONDS)
    desk.enter("two")
    desk.win()
    drained: list[Any] = []
    desk.gateway.presence.drain().addCallback(drained.append)
    desk.replies.pop().callback(None)
    desk.clock.advance(0)
    assert drained == []
    desk.replies.pop().callback(None)
    assert drained == [None]
    desk.gateway.presence.drain().addCallback(drained.append)
    assert drained == [None, None], "nothing waits"


def test_a_stopping_gateway_does_not_wait_for_workers_that_take_nothing():
    desk = Desk()
    desk.enter("one")
    desk.win()
    drained: list[Any] = []
    desk.gateway.presence.drain().addCallback(drained.append)
    desk.clock.advance(0)
    desk.fail()
    assert drained == [None]
