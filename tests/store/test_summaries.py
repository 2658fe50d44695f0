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
from store.duedays import due, mark, mark_next
from store.mileage import Point
from store.models import ChannelSummary, DaySummary, Device, Report, Stop, Trip
from store.presence import Visit, take
from store.rows import DeviceKey
from store.summaries import store, sum_up
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
