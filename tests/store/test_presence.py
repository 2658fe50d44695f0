"""Where devices are follows from what is told of their sessions, in whatever order and however often it is stored."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import permutations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from store.bulk import tables_of
from store.models import Device, Event, Presence
from store.presence import Visit, online_after, online_of, online_runs, presume, standing, still_online, take
from store.rows import DeviceKey, PresenceRow
from tests.records import NOON, minutes

DEVICE = DeviceKey("fake", "1")


@pytest.fixture(autouse=True)
def device(database_url: str) -> Device:
    return Device.objects.create(protocol="fake", identity="1")


def visit(epoch: int, begun: float, ended: float | None = None, cause: str = "peer", device: DeviceKey = DEVICE) -> Visit:
    end = None if ended is None else NOON + minutes(ended)
    return Visit(device, epoch, NOON + minutes(begun), end, "10.2.3.4:51120", "" if end is None else cause)


def tell(*visits: Visit, gateway: str = "a") -> None:
    take(gateway, f"run-of-{gateway}", visits)


def row() -> Presence:
    return Presence.objects.get(device__identity="1")


def stands() -> tuple[bool, float, str, int, str]:
    found = row()
    return found.is_online, _minute(found.since), found.gateway, found.epoch, found.cause


def timeline() -> list[tuple[str, float, str]]:
    rows = Event.objects.filter(device__identity="1").order_by("time", "id")
    return [(event.kind, _minute(event.time), event.detail.get("cause", "")) for event in rows]


def _minute(time: datetime) -> float:
    return (time - NOON) / timedelta(minutes=1)


def test_a_device_comes_and_goes() -> None:
    tell(visit(10, 0))
    assert stands() == (True, 0, "a", 10, "")
    assert (row().run, row().peer) == ("run-of-a", "10.2.3.4:51120")
    tell(visit(10, 0, 5, "idle"))
    assert stands() == (False, 5, "a", 10, "idle")
    assert timeline() == [("online", 0, ""), ("offline", 5, "idle")]
    offline = Event.objects.get(kind="offline")
    assert offline.detail == {"gateway": "a", "peer": "10.2.3.4:51120", "cause": "idle"}


TOLD = [("a", visit(10, 0)), ("a", visit(10, 0, 5, "idle")), ("b", visit(12, 6)), ("a", visit(14, 9)), ("a", visit(14, 9, 12))]
"""Two visits on one gateway, and between them one on another, from which the device was taken over."""
TIMELINE = [("online", 0, ""), ("offline", 5, "idle"), ("online", 6, ""), ("online", 9, ""), ("offline", 12, "peer")]


def test_the_same_comes_of_it_in_any_order_and_number() -> None:
    for order in permutations(TOLD):
        for gateway, told in [*order, *order[::-1]]:
            tell(told, gateway=gateway)
        assert stands() == (False, 12, "a", 14, "peer")
        assert timeline() == TIMELINE
        Presence.objects.all().delete()
        Event.objects.all().delete()


def test_a_late_end_of_an_old_session_leaves_the_device_where_it_is() -> None:
    tell(visit(12, 6), gateway="b")
    tell(visit(10, 0, 7))
    assert stands() == (True, 6, "b", 12, "")


def test_one_task_may_tell_of_several_sessions_of_a_device() -> None:
    tell(visit(14, 9), visit(10, 0, 5), visit(12, 6, 8))
    assert stands() == (True, 9, "a", 14, "")
    assert [time for _, time, _ in timeline()] == [0, 5, 6, 8, 9]


def test_what_another_worker_has_written_meanwhile_is_held_to_the_same_order() -> None:
    tell(visit(10, 0, 5, "idle"))
    (known,) = Presence.objects.values_list(*PresenceRow._fields)
    ended = PresenceRow(*known)
    with connection.cursor() as cursor:
        for stale in (
            ended._replace(is_online=True, cause=""),
            ended._replace(cause="peer"),
            ended._replace(epoch=9, cause="peer"),
        ):
            tables_of(cursor).write_presence([stale])
            assert stands() == (False, 5, "a", 10, "idle")
        tables_of(cursor).write_presence([ended._replace(is_online=True, epoch=11)])
    assert row().is_online


def test_a_session_that_is_told_anew_writes_nothing() -> None:
    tell(visit(10, 0))
    with CaptureQueriesContext(connection) as queries:
        tell(visit(10, 0))
    assert not [query["sql"] for query in queries if query["sql"].startswith(("INSERT", "UPDATE"))]


def test_a_session_whose_route_was_forgotten_is_the_same_session_under_a_new_epoch() -> None:
    tell(visit(10, 0))
    tell(visit(20, 0))
    assert stands() == (True, 0, "a", 20, "")
    assert timeline() == [("online", 0, "")]


def test_unknown_devices_are_passed_over_and_names_are_data() -> None:
    hostile = ["2", "\0", "x" * 65, "", "';DROP TABLE store_device;--", "%s"]
    tell(
        *[visit(10, 0, device=DeviceKey("fake", name)) for name in hostile], visit(10, 0), visit(9, 0, device=DeviceKey("\0", "1"))
    )
    assert Presence.objects.count() == Event.objects.count() == 1
    long = visit(11, 1, 2, "c\0" * 40)._replace(peer="p" * 100)
    tell(long, gateway="g\0" * 70)
    assert len(row().cause) == 32
    assert len(row().gateway) == len(row().peer) == 64


def test_who_is_presumed_gone_is_until_his_gateway_says_that_he_is_not() -> None:
    tell(visit(10, 0))
    assert presume({row().device_id: 9}, "unknown", NOON + minutes(3)) == 0, "it was of an older session"
    assert presume({row().device_id: 10}, "gateway_lost", NOON + minutes(3)) == 1
    assert presume({row().device_id: 10}, "unknown", NOON + minutes(4)) == 0
    assert stands() == (False, 3, "a", 10, "gateway_lost")
    for _ in range(2):
        tell(visit(10, 0))
    assert stands() == (True, 0, "a", 10, "")
    assert timeline() == [("online", 0, ""), ("offline", 3, "gateway_lost"), ("online", 3, "")]
    tell(visit(10, 0, 8))
    assert stands() == (False, 8, "a", 10, "peer")


def test_what_really_ended_a_session_counts_more_than_what_was_presumed() -> None:
    tell(visit(10, 0))
    presume({row().device_id: 10}, "unknown", NOON + minutes(3))
    tell(visit(10, 0, 2, "idle"))
    assert stands() == (False, 2, "a", 10, "idle")
    tell(visit(10, 0))
    assert stands() == (False, 2, "a", 10, "idle"), "its begin comes late"


def test_who_is_here_is_found_by_process_and_slice_by_slice() -> None:
    for number in range(2, 6):
        Device.objects.create(protocol="fake", identity=f"{number}")
    tell(*[visit(10 + number, 0, device=DeviceKey("fake", f"{number}")) for number in (2, 3)])
    tell(visit(20, 0, device=DeviceKey("fake", "4")), visit(21, 0, 1, device=DeviceKey("fake", "5")), gateway="b")
    assert online_runs() == {"run-of-a", "run-of-b"}
    two, three, four = online_after(0, 10)
    assert (two.protocol, two.identity, two.epoch) == ("fake", "2", 12)
    assert online_after(0, 2) == [two, three]
    assert online_after(three.device_id, 2) == [four]
    assert online_of("run-of-a", 10) == {two.device_id: 12, three.device_id: 13}
    assert len(online_of("run-of-a", 1)) == 1
    presume({two.device_id: 12}, "unknown", NOON)
    assert still_online([two.device_id, three.device_id]) == [three]


def test_a_device_that_is_here_and_silent_is_stale() -> None:
    stale_after = minutes(15)
    assert standing(None, None, NOON, stale_after).state == "never"
    assert standing(None, NOON, NOON, stale_after).state == "offline"
    tell(visit(10, 0))
    since = NOON + minutes(0)

    def state(last_seen: float | None, now: float) -> str:
        found = standing(row(), None if last_seen is None else NOON + minutes(last_seen), NOON + minutes(now), stale_after)
        assert (found.since, found.gateway, found.cause) == (since, "a", "")
        return found.state

    assert state(None, 15) == state(-60, 15) == state(50, 65) == "online"
    assert state(None, 16) == state(-60, 16) == state(50, 66) == "stale"
    tell(visit(10, 0, 70, "idle"))
    assert standing(row(), NOON, NOON + minutes(71), stale_after) == ("offline", NOON + minutes(70), "a", "idle")


def test_a_device_that_is_deleted_takes_its_presence_and_events_with_it(device: Device) -> None:
    tell(visit(10, 0))
    device.delete()
    assert Presence.objects.count() == Event.objects.count() == 0


def test_workers_that_store_the_same_devices_at_once_wait_for_each_other() -> None:
    identities = [f"d{number}" for number in range(300)]
    Device.objects.bulk_create([Device(protocol="fake", identity=identity) for identity in identities])
    start = threading.Barrier(4)

    def run(worker: int) -> None:
        chance = random.Random(worker)
        try:
            for turn in range(5):
                told = [visit(10 * turn + 10, turn, device=DeviceKey("fake", identity)) for identity in identities]
                ended = [one._replace(ended=one.begun + minutes(0.5), cause="idle") for one in told]
                # One is told of its begin while another is told of its end.
                for part in [told, ended][:: chance.choice((1, -1))]:
                    start.wait(30)
                    tell(*chance.sample(part, len(part)))
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(run, worker) for worker in range(4)]:
            future.result(60)
    assert set(Presence.objects.values_list("is_online", "epoch", "cause")) == {(False, 50, "idle")}
    assert Event.objects.filter(kind="online").count() == Event.objects.filter(kind="offline").count() == 5 * len(identities)
