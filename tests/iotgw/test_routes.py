"""What a gateway asks of Redis about its sessions, and what it makes of the answers and of kicks."""

from __future__ import annotations

import time
from typing import Any

import pytest
import redis

from iotgw.link import Link
from iotgw.routes import CHUNK, DELAY_SECONDS
from iotgw.routetable import Answer
from protocols import Outcome
from tasks.contract import Kick
from tests.iotgw.fakes import FakeRouteTable, House


class Shared(House):
    """A house whose routes are in a stand-in for Redis."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.table = FakeRouteTable()
        self.gateway.routes.keep_in(self.table)
        self.table.on_ready()

    def enter(self, *devices: str) -> tuple[Link, Any]:
        """Devices on a new link, let in."""
        link, transport = self.connect()
        self.say(link, *(f"{device} 1 a" for device in devices))
        self.commit()
        return link, transport

    def sent(self) -> tuple[list[str], list[str]]:
        """Which devices the change that is on its way claims and releases."""
        self.pass_time(DELAY_SECONDS)
        claims, releases, _ = self.table.changes[-1]
        return [claim.field for claim in claims], list(releases)

    def answer(self, *answers: Answer) -> None:
        self.table.changes[-1][2].callback(list(answers))

    def win(self, epoch: int = 10) -> None:
        claims = self.table.changes[-1][0]
        self.answer(*(Answer(True, epoch, 5) for _ in claims))

    def kick(self, device: str, epoch: int, run: str = FakeRouteTable.run) -> None:
        self.gateway.routes.kicked(Kick("line", device, run, epoch))

    def session(self, device: str) -> Any:
        return self.gateway.sessions.get("line", device)


def test_a_session_is_claimed_and_has_the_epoch_of_its_route():
    house = Shared()
    link, _ = house.enter("dev")
    assert house.sent() == (["line/dev"], [])
    (claim,) = house.table.changes[-1][0]
    assert (claim.link, claim.opened_us) == (link.number, 0)
    assert 0 <= time.monotonic() - claim.opened_at < 60
    assert house.session("dev").epoch == 0
    house.win(10)
    assert (house.session("dev").epoch, house.session("dev").opened_us) == (10, 5)
    assert house.gateway.snapshot()["routes_held"] == 1


def test_a_refused_device_claims_nothing():
    house = Shared()
    link, _ = house.connect()
    house.say(link, "dev 1 a")
    house.commit(dev=Outcome.REFUSED)
    house.pass_time(1)
    assert house.table.changes == []


def test_what_begins_together_shares_a_change_and_chunks_follow_each_other():
    house = Shared(max_links=10_000)
    for number in range(CHUNK * 2 + 10):
        house.enter(f"d{number}")
    sizes = []
    house.pass_time(DELAY_SECONDS)
    while len(house.table.changes) > len(sizes):
        sizes.append(len(house.table.changes[-1][0]))
        house.pass_time(1)
        assert len(house.table.changes) == len(sizes), "one change at a time"
        house.win()
        assert len(house.table.changes) == (2 if sizes == [CHUNK] else len(sizes)), "a full chunk leaves at once"
        house.pass_time(DELAY_SECONDS)
    assert sizes == [CHUNK, CHUNK, 10]
    assert house.gateway.snapshot()["routes_waiting"] == 0


def test_a_lost_claim_closes_the_link_and_asks_for_no_release():
    house = Shared()
    _, transport = house.enter("dev")
    house.sent()
    house.answer(Answer(False, 99, kept_by="b"))
    assert transport.disconnecting
    assert house.session("dev") is None
    transport.finish()
    house.pass_time(1)
    assert len(house.table.changes) == 1
    assert (
        house.statistics["links.closed.replaced"] == house.statistics["sessions.replaced"] == house.statistics["routes.lost"] == 1
    )
    assert house.gateway.snapshot()["routes_held"] == 0


def test_a_lost_claim_on_a_shared_link_ends_one_session():
    house = Shared()
    link, transport = house.enter("one", "two")
    house.sent()
    house.answer(Answer(False, 99, kept_by="b"), Answer(True, 10, 5))
    assert not transport.disconnecting
    assert link.identities == {"two"}
    house.say(link, "one 1 again")
    house.commit()
    house.pass_time(1)
    assert len(house.table.changes) == 1, "it is not claimed with each message"


def test_an_ended_session_releases_its_route():
    house = Shared()
    _, transport = house.enter("dev")
    house.sent()
    house.win()
    transport.finish()
    assert house.sent() == ([], ["line/dev"])
    house.answer()
    assert house.gateway.snapshot()["routes_held"] == 0


def test_a_session_that_comes_and_goes_before_its_claim_leaves_is_never_sent():
    house = Shared()
    _, transport = house.enter("dev")
    transport.finish()
    house.pass_time(1)
    assert house.table.changes == []
    assert house.gateway.snapshot()["routes_waiting"] == 0


def test_a_session_that_ends_while_its_claim_is_on_its_way_is_released_after_it():
    house = Shared()
    _, transport = house.enter("dev")
    house.sent()
    transport.finish()
    house.pass_time(1)
    assert len(house.table.changes) == 1
    house.win()
    assert house.sent() == ([], ["line/dev"])


def test_a_newer_link_here_is_claimed_anew_and_the_answer_of_the_old_one_is_not_its():
    house = Shared()
    house.enter("dev")
    house.sent()
    newer, transport = house.enter("dev")
    house.win(10)
    assert house.session("dev").link is newer
    assert house.session("dev").epoch == 0
    assert house.sent() == (["line/dev"], [])
    assert house.table.changes[-1][0][0].link == newer.number
    house.win(11)
    assert house.session("dev").epoch == 11
    assert not transport.disconnecting


def test_the_lost_claim_of_an_older_link_does_not_close_the_newer_one_here():
    house = Shared()
    house.enter("dev")
    house.sent()
    newer, transport = house.enter("dev")
    house.answer(Answer(False, 99, kept_by="b"))
    assert house.session("dev").link is newer
    assert (house.statistics["routes.lost"], house.statistics["sessions.replaced"]) == (0, 1), "it was replaced here"
    assert house.sent() == (["line/dev"], [])
    house.win(100)
    assert not transport.disconnecting


def test_a_kick_of_a_later_epoch_closes_the_link():
    house = Shared()
    _, transport = house.enter("dev")
    house.sent()
    house.win(10)
    house.kick("dev", 11)
    assert transport.disconnecting
    assert house.session("dev") is None
    transport.finish()
    house.pass_time(1)
    assert len(house.table.changes) == 1, "the route is another gateway's: nothing to release"


def test_a_kick_on_a_shared_link_ends_one_session():
    house = Shared()
    link, transport = house.enter("one", "two")
    house.sent()
    house.win(10)
    house.kick("one", 11)
    assert link.identities == {"two"}
    assert not transport.disconnecting


@pytest.mark.parametrize(("epoch", "run"), [(9, FakeRouteTable.run), (10, FakeRouteTable.run), (11, "an earlier run")])
def test_a_kick_that_comes_too_late_closes_nothing(epoch: int, run: str):
    """The device is back on a newer link of the same gateway, whose epoch is higher; or it is a run's that is gone."""
    house = Shared()
    _, transport = house.enter("dev")
    house.sent()
    house.win(10)
    house.kick("dev", epoch, run)
    assert not transport.disconnecting
    assert house.statistics["routes.kicks.late"] == 1


def test_a_kick_for_nobody_is_passed_over():
    house = Shared()
    house.kick("dev", 10)
    assert house.statistics["routes.kicks.late"] == 1


@pytest.mark.parametrize("is_sent", [False, True])
@pytest.mark.parametrize(("epoch", "is_closed"), [(10, True), (12, False)])
def test_a_kick_while_the_claim_is_under_way_is_judged_by_its_answer(is_sent: bool, epoch: int, is_closed: bool):
    """The answer says whether the claim or the other gateway's came first."""
    house = Shared()
    _, transport = house.enter("dev")
    if is_sent:
        house.sent()
    house.kick("dev", 11)
    assert not transport.disconnecting
    if not is_sent:
        house.sent()
    house.win(epoch)
    assert transport.disconnecting is is_closed
    assert (house.session("dev") is None) is is_closed


def test_while_redis_is_away_sessions_go_on_and_changes_wait():
    house = Shared()
    _, one = house.enter("one")
    house.sent()
    house.win()
    house.table.on_away()
    _, two = house.enter("two")
    _, three = house.enter("three")
    three.finish()
    _, old_transport = house.enter("four")
    house.enter("four")
    house.pass_time(60)
    assert len(house.table.changes) == 1
    assert not one.disconnecting
    assert not two.disconnecting
    assert old_transport.disconnecting, "the rule of this gateway goes on"
    one.finish()
    assert house.gateway.snapshot() | {"routes": "away", "routes_waiting": 3} == house.gateway.snapshot()
    assert house.statistics["routes.away"] == 1
    house.table.on_ready()
    claims, releases = house.sent()
    assert sorted(claims) == ["line/four", "line/two"]
    assert releases == ["line/one"]
    assert house.gateway.snapshot()["routes"] == "ready"


def test_a_change_that_failed_is_made_when_redis_is_back():
    house = Shared()
    _, transport = house.enter("dev")
    house.enter("other")
    house.sent()
    house.table.on_away()
    house.table.changes[-1][2].errback(redis.ConnectionError())
    transport.finish()
    house.pass_time(60)
    assert len(house.table.changes) == 1
    house.table.on_ready()
    assert house.sent() == (["line/other"], ["line/dev"]), "whether the claim was made is not known: it is taken back"


def test_what_waits_while_redis_is_away_is_bounded_by_the_sessions():
    house = Shared()
    house.table.on_away()
    for number in range(1000):
        _, transport = house.enter(f"d{number}")
        transport.finish()
    assert house.gateway.snapshot()["routes_waiting"] == 0
    for _ in range(100):
        house.enter("dev")
    assert house.gateway.snapshot()["routes_waiting"] == 1


def test_all_sessions_are_claimed_anew_when_redis_may_have_forgotten():
    house = Shared()
    for device in ("one", "two"):
        house.enter(device)
    house.sent()
    house.win(10)
    house.table.on_ready()
    assert sorted(house.sent()[0]) == ["line/one", "line/two"]
    assert [claim.opened_us for claim in house.table.changes[-1][0]] == [5, 5]


def test_a_stopping_gateway_is_told_when_its_routes_are_released():
    house = Shared()
    house.enter("one", "two")
    house.sent()
    house.win()
    house.gateway.close_links("shutdown")
    for link in list(house.gateway._links):
        link.transport.finish()
    released: list[Any] = []
    house.gateway.routes.drain().addCallback(released.append)
    assert sorted(house.sent()[1]) == ["line/one", "line/two"]
    assert released == []
    house.answer()
    assert released == [None]


def test_a_stopping_gateway_does_not_wait_for_a_redis_that_is_away():
    house = Shared()
    house.enter("dev")
    house.table.on_away()
    released: list[Any] = []
    house.gateway.routes.drain().addCallback(released.append)
    assert released == [None]
