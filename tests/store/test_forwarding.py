"""Which rows are forwarded, and where one begins."""

from __future__ import annotations

from datetime import timedelta

import pytest

from store import devices, forwarding, groups, tags
from store.audit import Actor
from store.forwarding import Wanted, page
from store.models import Device, Event, EventKind, Report
from tests.records import NOON
from tests.tasks.forward.targets import store

pytestmark = pytest.mark.usefixtures("database_url")
ANA = Actor("ana")
HOUR = timedelta(hours=1)


def rows(wanted: Wanted, source: str = "reports", after: int = 0, limit: int = 100) -> list[int]:
    return [row.row_id for row in page(source, wanted, after, 1 << 40, limit).rows]


def test_filters_are_for_devices_and_for_reports() -> None:
    groups.ensure(["North/Plant", "South"], ANA)
    store(1, identity="1")
    store(1, identity="2", kind="heartbeat")
    store(1, identity="3", protocol="other", values={"battery_v": 4.1, "speed_kmh": 2})
    devices.move("fake", "1", "North/Plant", ANA)
    devices.move("fake", "2", "South", ANA)
    tags.replace({Device.objects.get(identity="3").pk: ([], ["cold"]), Device.objects.get(identity="1").pk: ([], ["hot", "cold"])})
    north, south = groups.find("North").pk, groups.find("South").pk
    assert rows(Wanted()) == [1, 2, 3]
    assert rows(Wanted(protocols=["fake"])) == [1, 2]
    assert rows(Wanted(groups=[north])) == [1]
    assert rows(Wanted(groups=[north, south])) == [1, 2]
    assert rows(Wanted(groups=[999])) == []
    assert rows(Wanted(tags=["cold", "hot"])) == [1, 3]
    assert rows(Wanted(kinds=["heartbeat"])) == [2]
    assert rows(Wanted(channels=["battery_v"])) == [3]
    assert rows(Wanted(protocols=["fake"], tags=["cold"])) == [1]
    assert page("reports", Wanted(channels=["battery_v"]), 0, 3, 9).rows[0].told["values"] == {"battery_v": 4.1}


def test_a_group_that_is_moved_is_still_the_one_that_is_wanted() -> None:
    groups.ensure(["North/Plant", "South"], ANA)
    store(1)
    devices.move("fake", "7", "North/Plant", ANA)
    wanted = Wanted(groups=[groups.find("North/Plant").pk])
    groups.move("North/Plant", "South", ANA)
    groups.rename("South/Plant", "Works", ANA)
    assert rows(wanted) == [1]


def test_alarms_and_other_events_are_two_sources_of_one_table() -> None:
    store(1)
    device = Device.objects.get()
    for kind in EventKind.values:
        Event.objects.create(device=device, time=NOON, kind=kind, received_at=NOON)
    kinds = dict(Event.objects.values_list("pk", "kind"))
    found = {source: [kinds[row] for row in rows(Wanted(kinds=["location"]), source)] for source in ("events", "alarms")}
    assert found["events"] == ["online", "offline"]
    assert sorted(found["events"] + found["alarms"]) == sorted(EventKind.values)


def test_a_page_ends_where_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the last row where there may be more, at the end of the stretch that was looked at where there are none."""
    monkeypatch.setattr(forwarding, "IDS_AT_ONCE", 10)
    store(30)
    found = page("reports", Wanted(), 0, 30, 4)
    assert ([row.row_id for row in found.rows], found.end) == ([1, 2, 3, 4], 4)
    found = page("reports", Wanted(protocols=["other"]), 0, 30, 4)
    assert (found.rows, found.end) == ([], 10)
    found = page("reports", Wanted(), 0, 2, 4)
    assert ([row.row_id for row in found.rows], found.end) == ([1, 2], 2)
    assert page("reports", Wanted(), 30, 25, 4) == ([], 30)


def test_a_gap_of_ids_is_jumped_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding, "IDS_AT_ONCE", 10)
    store(30)
    Report.objects.filter(pk__gt=1, pk__lt=29).delete()
    assert page("reports", Wanted(), 1, 30, 4).end == 30


def test_where_a_time_begins_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Halving may not be led astray by what a spool has kept back."""
    monkeypatch.setattr(forwarding, "NEIGHBOURS", 20)
    for hour in range(5):
        store(20, hour * 20, received_at=NOON + hour * HOUR)
    store(10, 200, received_at=NOON - HOUR)
    for hour in range(5, 10):
        store(20, hour * 20, received_at=NOON + hour * HOUR)
    assert forwarding.id_before("reports", NOON - HOUR) == 0
    assert forwarding.id_before("reports", NOON) == 0
    assert forwarding.id_before("reports", NOON + HOUR) == 20
    assert forwarding.id_before("reports", NOON + 2 * HOUR) == 40
    assert forwarding.id_before("reports", NOON + 5 * HOUR) == 110
    assert forwarding.id_before("reports", NOON + 9 * HOUR) == 190
    assert forwarding.id_before("reports", NOON + 100 * HOUR) == 210
    assert forwarding.id_before("media", NOON) == 0
