"""Days in real databases: read, stored, found again when more of them comes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from protocols.report import Report as Sent
from store import summaries
from store.bulk import write
from store.daysums import DaySums
from store.mileage import Point
from store.models import ChannelSummary, DaySummary, Device, Report, Stop, Trip
from store.presence import Visit, take
from store.rows import DeviceKey
from store.summaries import OPEN_TRANSACTIONS, devices_of, due, mark, mark_next, store, sum_up
from tests.records import anybody, incoming, report
from tests.store.ways import DAY, MIDNIGHT, Way

pytestmark = pytest.mark.usefixtures("database_url")

UTC_ZONE = ZoneInfo("UTC")
FIRST = date(2026, 3, 1)
NEXT_DAY = DAY.end + timedelta(hours=6)
ONE = timedelta(days=1)


def sent(point: Point) -> Sent:
    values = {} if point.ignition is None else {"ignition": point.ignition}
    place = {"latitude": point.latitude, "longitude": point.longitude, "speed_kmh": point.speed_kmh}
    return report(point.time.isoformat().encode(), point.time, values=values, **place)


def stored(points: Iterable[Point], identity: str = "1", received_at: datetime = NEXT_DAY) -> int:
    """Have a device's reports in the database; the device's id."""
    write([incoming(sent(point), identity=identity, received_at=received_at) for point in points], is_open=anybody)
    return Device.objects.get(identity=identity).pk


def drive(hours: float = 8, minutes: float = 60) -> list[Point]:
    way = Way(hours)
    return [way.point(), *way.stand(10), *way.go(minutes, 60), *way.stand(10)]


def sums(device_id: int, day: date = FIRST, as_of: datetime = NEXT_DAY) -> DaySums:
    return sum_up(device_id, day, UTC_ZONE, as_of)


def settle(now: datetime, day: date = FIRST) -> None:
    """Have all that is due summed up, as workers do."""
    for one in due(now, 1000):
        store(one.device_id, one.day, now, sums(one.device_id, one.day, now))


def mark_all(now: datetime) -> set[tuple[str, str]]:
    """What is due when all was looked through."""
    while mark_next(UTC_ZONE, now):
        pass
    rows = DaySummary.objects.filter(due_at__isnull=False).values_list("device__identity", "day")
    return {(identity, day.isoformat()) for identity, day in rows}


def test_a_day_is_read_a_few_reports_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    device_id = stored(drive())
    whole = sums(device_id)
    assert [round(trip.distance_km) for trip in whole.trips] == [60]
    monkeypatch.setattr(summaries, "REPORTS_AT_ONCE", 7)
    with CaptureQueriesContext(connection) as queries:
        assert sums(device_id) == whole
    assert len(queries) > whole.report_count / 7


def test_reports_of_one_moment_are_all_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summaries, "REPORTS_AT_ONCE", 2)
    time = MIDNIGHT + timedelta(hours=1)
    write([incoming(report(bytes([at]), time), identity="1", received_at=NEXT_DAY) for at in range(5)], is_open=anybody)
    assert Report.objects.count() == 5
    assert sums(Device.objects.get().pk).report_count == 5


def test_clocks_that_are_not_believed_count_for_nothing() -> None:
    ahead = stored(drive(), received_at=MIDNIGHT - timedelta(hours=19))
    assert sums(ahead).report_count == sum(point.time <= MIDNIGHT + timedelta(hours=6) for point in drive()) == 0
    assert sums(stored(drive(), "2", MIDNIGHT)).report_count == len(drive())


def test_alarms_and_presence_are_of_the_day() -> None:
    for at, alarms in ((-1, ["sos"]), (1, []), (2, ["sos"]), (3, []), (4, ["sos"]), (5, ["sos", "crash"]), (30, ["towing"])):
        time = MIDNIGHT + timedelta(hours=at)
        write([incoming(report(b"%d" % at, time, alarms=alarms), identity="1", received_at=NEXT_DAY)], is_open=anybody)
    device_id = Device.objects.get().pk
    key, hour = DeviceKey("fake", "1"), timedelta(hours=1)
    gone = Visit(key, 1, MIDNIGHT - hour, MIDNIGHT + 2 * hour, "", "idle")
    take("gw", "run", [gone, Visit(key, 2, DAY.end - hour, None, "", "")])
    day = sums(device_id)
    assert (day.alarm_count, day.online_seconds) == (3, 3 * 3600)
    assert sums(device_id, FIRST + ONE).online_seconds == 6 * 3600, "up to when it is looked"
    assert sums(device_id, FIRST + 9 * ONE).online_seconds == 0


def test_a_newer_sum_replaces_all_and_an_older_or_the_same_one_nothing() -> None:
    device_id = stored(drive())
    first = sums(device_id)
    assert store(device_id, FIRST, NEXT_DAY, first)
    row = DaySummary.objects.get()
    assert (row.report_count, row.begins_at, row.ends_at, round(row.distance_km)) == (len(drive()), *DAY, 60)
    stored(drive(12))
    second = sums(device_id)
    assert store(device_id, FIRST, NEXT_DAY + ONE, second)

    def known() -> tuple[object, ...]:
        days = list(DaySummary.objects.values())
        return days, list(Trip.objects.values()), list(Stop.objects.values()), list(ChannelSummary.objects.values())

    before = known()
    assert [len(rows) for rows in before] == [1, 2, len(second.stops), 1]
    for late in (NEXT_DAY, NEXT_DAY + ONE):
        assert not store(device_id, FIRST, late, second._replace(distance_km=1.0, trips=[]))
        assert known() == before


def test_other_days_and_devices_keep_theirs() -> None:
    device_id, other = stored([*drive(8), *drive(32)]), stored(drive(8), "2")
    for id, day in ((device_id, FIRST), (device_id, FIRST + ONE), (other, FIRST)):
        store(id, day, NEXT_DAY, sums(id, day))
    assert Trip.objects.count() == 3
    store(device_id, FIRST, NEXT_DAY + ONE, sums(device_id))
    assert Trip.objects.count() == 3
    assert (DaySummary.objects.count(), ChannelSummary.objects.count()) == (3, 3)


def test_what_is_left_of_reports_that_are_too_old_replaces_nothing_unless_days_are_counted_otherwise() -> None:
    device_id = stored(drive())
    store(device_id, FIRST, NEXT_DAY, sums(device_id))
    Report.objects.filter(time__gte=MIDNIGHT + timedelta(hours=8.5)).delete()
    mark([(device_id, FIRST)], NEXT_DAY)
    assert not store(device_id, FIRST, NEXT_DAY + ONE, sums(device_id))
    assert (DaySummary.objects.get().report_count, Trip.objects.count(), due(NEXT_DAY, 9)) == (len(drive()), 1, [])
    shanghai = sum_up(device_id, FIRST, ZoneInfo("Asia/Shanghai"), NEXT_DAY)
    assert store(device_id, FIRST, NEXT_DAY + 2 * ONE, shanghai)


def test_a_device_that_is_deleted_has_no_days() -> None:
    device_id = stored(drive())
    found = sums(device_id)
    store(device_id, FIRST, NEXT_DAY, found)
    Device.objects.all().delete()
    assert not store(device_id, FIRST, NEXT_DAY + ONE, found)
    assert (DaySummary.objects.count(), Trip.objects.count(), ChannelSummary.objects.count()) == (0, 0, 0)


def test_devices_are_found_in_parts_and_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summaries, "DEVICES_AT_ONCE", 2)
    ids = [stored(drive(hours), str(hours)) for hours in (8, 32, 9, 10)]
    found, after = [], 0
    while after is not None:
        some, after = devices_of(FIRST, UTC_ZONE, after)
        found += some
    assert found == [ids[0], ids[2], ids[3]]
    assert devices_of(FIRST, UTC_ZONE, 0, "9") == ([ids[2]], None)
    assert devices_of(FIRST, UTC_ZONE, 0, "nobody") == ([], None)


def test_a_day_that_is_over_is_due_for_who_has_reports_of_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summaries, "DEVICES_AT_ONCE", 1)
    stored(drive(8), "1")
    stored(drive(9), "2")
    stored(drive(32), "today")
    assert mark_all(NEXT_DAY) == {("1", "2026-03-01"), ("2", "2026-03-01")}
    settle(NEXT_DAY)
    assert mark_all(NEXT_DAY) == set()
    assert mark_all(NEXT_DAY + ONE) == {("today", "2026-03-02")}


def test_days_are_missed_by_no_pause() -> None:
    mark_all(NEXT_DAY)
    stored([*drive(32), *drive(56), *drive(80)])
    assert mark_all(NEXT_DAY + 4 * ONE) == {("1", f"2026-03-0{day}") for day in (2, 3, 4)}


def test_what_is_stored_late_makes_its_day_due_again_also_from_a_spool() -> None:
    stored(drive(), "1")
    stored(drive(), "2")
    mark_all(NEXT_DAY)
    settle(NEXT_DAY)
    stored(drive(12), "2", received_at=DAY.begin + timedelta(hours=12))
    stored(drive(-600), "new")
    stored(drive(30), "today")
    now = NEXT_DAY + timedelta(minutes=1)
    assert mark_all(now) == set()
    assert mark_all(now + OPEN_TRANSACTIONS * 0.9) == set(), "a transaction may still bring what is before it"
    now += OPEN_TRANSACTIONS
    assert mark_all(now) == {("2", "2026-03-01"), ("new", "2026-02-04")}
    settle(now)
    assert Trip.objects.filter(device__identity="2").count() == 2
    mark_all(now)
    assert mark_all(now + OPEN_TRANSACTIONS) == set()


def test_late_reports_are_looked_through_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    mark_all(NEXT_DAY)
    monkeypatch.setattr(summaries, "IDS_AT_ONCE", 3)
    stored(drive(8, 5))
    stored(drive(-24, 5))
    mark_all(NEXT_DAY)
    assert mark_all(NEXT_DAY + OPEN_TRANSACTIONS) == {("1", "2026-03-01"), ("1", "2026-02-28")}


def test_a_trip_over_midnight_grows_with_the_next_day_and_with_what_comes_late_of_it() -> None:
    points = drive(22.5, 120)
    device_id = stored([point for point in points if point.time < DAY.end])
    mark_all(NEXT_DAY)
    settle(NEXT_DAY)
    assert [round(trip.distance_km) for trip in Trip.objects.all()] == [80]
    stored([point for point in points if point.time >= DAY.end])
    now = NEXT_DAY + ONE
    assert mark_all(now) == {("1", "2026-03-01"), ("1", "2026-03-02")}
    settle(now)
    assert [round(trip.distance_km) for trip in Trip.objects.all()] == [120]
    stored([Point(DAY.end + timedelta(hours=1), 30.0, 100.0, 0.0)])
    mark_all(now)
    now += OPEN_TRANSACTIONS
    assert mark_all(now) == {("1", "2026-03-01"), ("1", "2026-03-02")}
    assert Device.objects.get().pk == device_id


def test_the_end_of_a_day_makes_the_next_due_if_that_was_summed_up() -> None:
    stored([*drive(8), *drive(32)])
    now = NEXT_DAY + ONE
    mark_all(NEXT_DAY)
    mark_all(now)
    settle(now)
    stored([Point(DAY.end - timedelta(minutes=5), 30.0, 100.0, 0.0)])
    mark_all(now)
    assert mark_all(now + OPEN_TRANSACTIONS) == {("1", "2026-03-01"), ("1", "2026-03-02")}


def test_who_is_asked_is_asked_again_when_nothing_comes_and_not_before() -> None:
    device_id = stored(drive())
    mark([(device_id, FIRST), (device_id, FIRST)], NEXT_DAY)
    (one,) = found = due(NEXT_DAY, 10)
    assert (one.device_id, one.day) == (device_id, FIRST)
    summaries.asked(found, NEXT_DAY)
    assert due(NEXT_DAY + timedelta(minutes=59), 10) == []
    assert due(NEXT_DAY + timedelta(minutes=61), 10) == found
    mark([(device_id, FIRST)], NEXT_DAY + timedelta(minutes=5))
    assert due(NEXT_DAY + timedelta(minutes=5), 10) == found
    store(device_id, FIRST, NEXT_DAY + timedelta(minutes=4), sums(device_id))
    assert due(NEXT_DAY + timedelta(minutes=6), 10) == found, "the sum is of before"
    store(device_id, FIRST, NEXT_DAY + timedelta(minutes=5), sums(device_id))
    assert due(NEXT_DAY + timedelta(hours=9), 10) == []


def test_clocks_of_long_ago_are_no_days() -> None:
    mark_all(NEXT_DAY)
    for year in (1, 1970, 1999):
        stored([Point(datetime(year, 1, 1, tzinfo=UTC), 1.0, 2.0)])
    stored([Point(datetime(2001, 1, 1, tzinfo=UTC), 1.0, 2.0)])
    mark_all(NEXT_DAY)
    assert mark_all(NEXT_DAY + OPEN_TRANSACTIONS) == {("1", "2001-01-01")}


@pytest.mark.parametrize(("zone", "hours"), [("Asia/Shanghai", 24), ("Europe/Berlin", 23)])
def test_days_are_those_of_the_zone(zone: str, hours: int) -> None:
    day = date(2026, 3, 29)
    begin = datetime(2026, 3, 29, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    times = [begin + timedelta(minutes=30 * number - 60) for number in range(60)]
    device_id = stored([Point(time, 30.0, 100.0, 0.0) for time in times], received_at=times[-1])
    found = sum_up(device_id, day, ZoneInfo(zone), times[-1])
    assert found.report_count == hours * 2
    progress_at = begin + timedelta(hours=hours + 1)
    while mark_next(ZoneInfo(zone), progress_at):
        pass
    assert [(one.device_id, one.day) for one in due(progress_at, 10)] == [(device_id, day)]
