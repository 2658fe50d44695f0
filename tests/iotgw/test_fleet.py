"""One session a device in a fleet: gateways on fake reactors that share a real Redis, each step of them taken by hand."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from itertools import count
from queue import Empty
from typing import Any, NamedTuple

import pytest
import redis
from twisted.internet.testing import StringTransport

from iotgw.link import Link
from iotgw.routes import DELAY_SECONDS
from iotgw.routetable import RouteTable
from tasks.contract import ALIVE, KICK_FIELD, ROUTES, mailbox, unpack_kicks
from tests.iotgw.fakes import House
from tests.iotgw.test_routetable import DirectReactor
from tests.servers import Redis


class Place(NamedTuple):
    """A link of a fleet's."""

    member: Member
    link: Link
    transport: StringTransport
    devices: tuple[str, ...]


class Member(House):
    """A gateway of a fleet, each step of which is taken by hand."""

    def __init__(self, url: str, name: str, run: str) -> None:
        super().__init__(gateway_id=name)
        self.name, self.run = name, run
        self.table = RouteTable(url, name, run, DirectReactor(), self.gateway.statistics)
        self.gateway.routes.keep_in(self.table)
        self._client = redis.Redis.from_url(url)
        self._last = b"0-0"
        self.table.work(None)

    def send(self) -> None:
        """Let a change leave for the thread."""
        self.pass_time(DELAY_SECONDS)

    def work(self, is_lost: bool = False, is_done: bool = True) -> None:
        """Let the thread make a change, or lose the connection before or after it is made."""
        try:
            change = self.table._jobs.get_nowait()
        except Empty:
            return
        assert change is not None
        if not is_lost:
            self.table.work(change)
            return
        if is_done:
            self.table._change(change)
        self.table._failed(redis.ConnectionError("cut"))
        change.changed.errback(redis.ConnectionError("cut"))

    def beat(self) -> None:
        self.table._beat_at = 0.0
        self.table.work(None)

    def read_mailbox(self, most: int = 1000) -> None:
        for entry, fields in self._client.xrange(mailbox(self.name), f"({self._last.decode()}", "+", count=most):
            self._last = entry
            for kick in unpack_kicks(fields[KICK_FIELD]):
                self.gateway.routes.kicked(kick)

    def settle(self) -> None:
        """All that can happen by itself."""
        for _ in range(3):
            self.commit()
            self.send()
            self.work()
            self.read_mailbox()

    def close(self) -> None:
        self.table._client.close()
        self._client.close()


class Fleet:
    """Gateways that share a real Redis."""

    def __init__(self, url: str, server: Redis, names: str = "ab") -> None:
        self._url, self._server = url, server
        self.client = redis.Redis.from_url(url, decode_responses=True)
        self._runs = count(1)
        self.members = {name: self._start(name) for name in names}
        self._opened = (time.monotonic() - 1000 + number / 5 for number in count())
        self.newest: dict[str, Place] = {}
        self.places: list[Place] = []

    def _start(self, name: str) -> Member:
        return Member(self._url, name, f"run{next(self._runs)}")

    def enter(self, name: str, *devices: str, is_let_in: bool = True) -> Place:
        """Devices on a new link, which is younger than any before by what no round trip takes."""
        member = self.members[name]
        link, transport = member.connect()
        member.gateway._links[link] = next(self._opened)
        member.say(link, *(f"{device} 1 a" for device in devices))
        place = Place(member, link, transport, devices)
        self.places.append(place)
        self.newest.update(dict.fromkeys(devices, place))
        if is_let_in:
            member.commit()
        return place

    def leave(self, place: Place) -> None:
        """The device, or its radio, closes the link."""
        if place.link in place.member.gateway._links:
            place.transport.finish()

    def kill(self, name: str, is_expired: bool) -> None:
        """A gateway is gone at once, and started again."""
        dead = self.members[name]
        if is_expired:
            self.client.delete(ALIVE + dead.run)
        self.places = [place for place in self.places if place.member is not dead]
        self.newest = {device: place for device, place in self.newest.items() if place.member is not dead}
        dead.close()
        self.members[name] = self._start(name)

    def flush(self) -> None:
        self._server.flush()

    def settle(self) -> None:
        for _ in range(4):
            for member in self.members.values():
                member.beat()
                member.settle()
            for place in self.places:
                if place.transport.disconnecting:
                    self.leave(place)

    def route(self, device: str) -> list[str] | None:
        value = self.client.hget(ROUTES, f"line/{device}")
        return value.split() if value else None

    def holders(self, device: str) -> list[Any]:
        found = [member.gateway.sessions.get("line", device) for member in self.members.values()]
        return [session for session in found if session is not None]

    def check(self, *devices: str) -> None:
        """A device has one session at the most, on its newest link if that is there, and the route says so."""
        for device in devices:
            holders = self.holders(device)
            assert len(holders) <= 1, device
            route = self.route(device)
            if holders:
                place = next(place for place in self.places if place.link is holders[0].link)
                wanted = [place.member.name, place.member.run, str(place.link.number), str(holders[0].epoch)]
                assert route is not None, device
                assert route[:4] == wanted, device
            elif route is not None:
                assert route[1] not in {member.run for member in self.members.values()}, f"{device}: a route to nobody"
            newest = self.newest.get(device)
            if newest is not None and newest.link in newest.member.gateway._links:
                assert holders, device
                assert holders[0].link is newest.link, device
        for place in self.places:
            if place.link in place.member.gateway._links:
                assert place.link.identities, "a link whose devices are all elsewhere is closed"

    def close(self) -> None:
        for member in self.members.values():
            member.close()
        self.client.close()


@pytest.fixture
def make_fleet(redis_url: str, redis_server: Redis) -> Iterator[Callable[..., Fleet]]:
    fleets: list[Fleet] = []

    def make(names: str = "ab") -> Fleet:
        fleets.append(Fleet(redis_url, redis_server, names))
        return fleets[-1]

    yield make
    for fleet in fleets:
        fleet.close()


@pytest.fixture
def fleet(make_fleet: Callable[..., Fleet]) -> Fleet:
    return make_fleet()


def test_a_device_that_goes_to_another_gateway_is_closed_on_the_first(fleet: Fleet):
    first = fleet.enter("a", "dev")
    fleet.settle()
    second = fleet.enter("b", "dev")
    fleet.settle()
    assert first.transport.disconnecting
    assert not second.transport.disconnecting
    fleet.check("dev")
    assert fleet.route("dev")[0] == "b"


def test_a_late_receipt_of_the_older_link_takes_nothing_back(fleet: Fleet):
    older = fleet.enter("a", "dev", is_let_in=False)
    newer = fleet.enter("b", "dev")
    fleet.settle()
    assert older.transport.disconnecting
    assert not newer.transport.disconnecting
    fleet.check("dev")


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_both_at_once(fleet: Fleet, order: str):
    older, newer = fleet.enter("a", "dev"), fleet.enter("b", "dev")
    for name in order:
        fleet.members[name].send()
    for name in order:
        fleet.members[name].work()
    fleet.settle()
    assert older.transport.disconnecting
    assert not newer.transport.disconnecting
    fleet.check("dev")


def test_the_close_of_the_old_link_leaves_the_winners_route(fleet: Fleet):
    first = fleet.enter("a", "dev")
    fleet.settle()
    fleet.enter("b", "dev")
    fleet.members["b"].settle()
    fleet.leave(first)
    fleet.members["a"].settle()
    assert fleet.route("dev")[0] == "b"
    fleet.settle()
    fleet.check("dev")


def test_a_kick_that_arrives_when_the_device_is_back_closes_nothing(fleet: Fleet):
    fleet.enter("a", "dev")
    fleet.settle()
    fleet.enter("b", "dev")
    fleet.members["b"].settle()
    back = fleet.enter("a", "dev")
    for step in (fleet.members["a"].send, fleet.members["a"].work, fleet.members["a"].read_mailbox):
        step()
    assert not back.transport.disconnecting
    assert fleet.members["a"].statistics["routes.kicks.late"] == 1
    fleet.settle()
    fleet.check("dev")
    assert fleet.route("dev")[0] == "a"


def test_a_kick_for_a_claim_whose_answer_was_lost(fleet: Fleet):
    """The claim was made, the other gateway has won over it, and all that this one knows is a kick."""
    first = fleet.enter("a", "dev")
    fleet.members["a"].send()
    fleet.members["a"].work(is_lost=True, is_done=True)
    second = fleet.enter("b", "dev")
    fleet.members["b"].settle()
    fleet.members["a"].read_mailbox()
    assert not first.transport.disconnecting
    fleet.settle()
    assert first.transport.disconnecting
    assert not second.transport.disconnecting
    fleet.check("dev")


def test_a_takeover_while_redis_is_away_is_made_up_for(fleet: Fleet):
    first = fleet.enter("a", "dev")
    fleet.settle()
    second = fleet.enter("b", "dev")
    fleet.members["b"].send()
    fleet.members["b"].work(is_lost=True, is_done=False)
    fleet.members["b"].send()
    assert not first.transport.disconnecting
    assert not second.transport.disconnecting
    fleet.settle()
    assert first.transport.disconnecting
    fleet.check("dev")


def test_a_flushed_redis_is_filled_anew(fleet: Fleet):
    fleet.enter("a", "one")
    fleet.enter("b", "two")
    moved = fleet.enter("a", "moved")
    fleet.settle()
    fleet.flush()
    fleet.enter("b", "moved")
    fleet.members["b"].settle()
    assert not moved.transport.disconnecting, "nobody could tell"
    fleet.settle()
    assert moved.transport.disconnecting
    fleet.check("one", "two", "moved")


def test_devices_of_a_killed_gateway_are_free_at_once(fleet: Fleet):
    fleet.enter("a", "one", "two")
    fleet.settle()
    fleet.kill("a", is_expired=False)
    fleet.enter("b", "one")
    fleet.settle()
    fleet.check("one", "two")
    assert fleet.route("one")[0] == "b"


def test_an_older_link_takes_what_a_killed_gateway_had_when_its_key_has_expired(fleet: Fleet):
    older = fleet.enter("b", "dev", is_let_in=False)
    fleet.enter("a", "dev")
    fleet.members["a"].settle()
    fleet.kill("a", is_expired=True)
    fleet.settle()
    assert not older.transport.disconnecting
    assert fleet.route("dev")[0] == "b"


def test_a_gateway_that_could_not_reach_redis_for_long_takes_back_what_is_its(fleet: Fleet):
    older = fleet.enter("b", "dev", is_let_in=False)
    newer = fleet.enter("a", "dev")
    fleet.members["a"].settle()
    fleet.client.delete(ALIVE + fleet.members["a"].run)
    fleet.members["b"].settle()
    assert fleet.route("dev")[0] == "b"
    fleet.settle()
    assert not newer.transport.disconnecting
    assert older.transport.disconnecting
    fleet.check("dev")


def test_a_device_that_goes_to_and_fro_a_hundred_times_has_one_session(fleet: Fleet):
    dice = random.Random(7)
    for round_ in range(100):
        fleet.enter("ab"[round_ % 2], "dev")
        member = fleet.members[dice.choice("ab")]
        dice.choice([member.send, member.work, member.read_mailbox, member.settle])()
    fleet.settle()
    fleet.check("dev")
    assert len(fleet.holders("dev")) == 1
    assert fleet.client.hlen(ROUTES) == 1
    assert sum(member.gateway.links for member in fleet.members.values()) == 1


def test_devices_leave_a_shared_link_one_by_one(fleet: Fleet):
    shared = fleet.enter("a", "one", "two")
    fleet.settle()
    fleet.enter("b", "one")
    fleet.settle()
    assert not shared.transport.disconnecting
    assert shared.link.identities == {"two"}
    fleet.check("one", "two")
    fleet.enter("b", "two")
    fleet.settle()
    assert shared.transport.disconnecting
    fleet.check("one", "two")


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_in_whatever_order_a_device_ends_with_one_session(make_fleet: Callable[..., Fleet], seed: int):
    fleet = make_fleet("abc")
    dice = random.Random(seed)
    devices = ("d1", "d2", "d3")
    for _ in range(60):
        name = dice.choice("abc")
        member = fleet.members[name]
        match dice.choices(range(9), (5, 4, 4, 3, 3, 2, 1, 0.3, 0.3))[0]:
            case 0:
                fleet.enter(name, *dice.sample(devices, dice.choice((1, 1, 1, 2))), is_let_in=dice.random() < 0.7)
            case 1:
                member.send()
            case 2:
                member.work()
            case 3:
                member.read_mailbox(dice.choice((1, 2, 1000)))
            case 4:
                member.commit()
            case 5 if fleet.places:
                fleet.leave(dice.choice(fleet.places))
            case 6:
                member.work(is_lost=True, is_done=dice.random() < 0.5)
            case 7:
                fleet.flush()
            case 8:
                fleet.kill(name, is_expired=dice.random() < 0.5)
        for place in fleet.places:
            if place.transport.disconnecting and dice.random() < 0.3:
                fleet.leave(place)
    fleet.settle()
    fleet.check(*devices)
