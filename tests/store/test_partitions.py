"""Reports in partitions by month, on PostgreSQL."""

from __future__ import annotations

import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction

from store import partitions, queries
from store.bulk import write
from store.models import Device, Report
from store.partitions import DEFAULT, Month
from tests.records import NOON, anybody, incoming, minutes, report

pytestmark = pytest.mark.usefixtures("postgresql_url")

MARCH = Month(2026, 3)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FAR = datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)


def places() -> dict[str, int]:
    """How many reports lie in which partition."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM store_report")
        return dict(Counter(name for (name,) in cursor.fetchall()))


def store(*times: datetime, identity: str = "1") -> None:
    reports = [report(f"{identity} {time}".encode(), time) for time in times]
    assert write([incoming(*reports, identity=identity)], is_open=anybody) == {}


def rows() -> list[dict[str, Any]]:
    return list(Report.objects.order_by("id").values())


@pytest.mark.parametrize(
    ("month", "months", "later"),
    [(MARCH, 0, MARCH), (MARCH, -3, Month(2025, 12)), (Month(2025, 12), 1, Month(2026, 1)), (MARCH, 25, Month(2028, 4))],
)
def test_months_are_counted_over_the_turn_of_the_year(month: Month, months: int, later: Month) -> None:
    assert month.plus(months) == later


def test_after_migrating_the_months_around_now_are_there() -> None:
    now = Month.of(datetime.now(UTC))
    assert partitions.months() == [now.plus(offset) for offset in (-1, 0, 1, 2, 3)]
    assert partitions.missing(datetime.now(UTC)) == []


def test_any_time_finds_a_place() -> None:
    partitions.make(MARCH)
    store(EPOCH, MARCH.begin - minutes(1), MARCH.begin, NOON, MARCH.end - timedelta(microseconds=1), MARCH.end, FAR)
    assert places() == {DEFAULT: 4, MARCH.table: 3}


def test_a_report_is_stored_once_before_and_after_its_month_is_made() -> None:
    store(NOON, FAR)
    store(NOON, FAR)
    before = rows()
    assert places() == {DEFAULT: 2}
    partitions.make(MARCH)
    assert rows() == before
    assert places() == {DEFAULT: 1, MARCH.table: 1}
    partitions.make(MARCH)
    store(NOON, FAR, NOON + minutes(1))
    assert rows()[:2] == before
    assert places() == {DEFAULT: 1, MARCH.table: 2}


def test_months_are_made_once_and_ahead_of_the_clock() -> None:
    assert partitions.make_ahead(NOON) == [Month(2026, 2), MARCH, Month(2026, 4), Month(2026, 5), Month(2026, 6)]
    assert partitions.make_ahead(NOON) == []
    assert partitions.make_ahead(NOON + timedelta(days=31)) == [Month(2026, 7)]


def test_no_month_is_made_that_is_past_already() -> None:
    assert partitions.make_ahead(NOON, since=MARCH.begin + minutes(1)) == [MARCH, Month(2026, 4), Month(2026, 5), Month(2026, 6)]


def test_a_dropped_month_takes_its_reports_and_no_others() -> None:
    partitions.make(MARCH)
    store(NOON, MARCH.end, EPOCH)
    assert MARCH not in partitions.ended(MARCH.end - minutes(1))
    assert partitions.ended(MARCH.end) == [MARCH]
    partitions.drop(MARCH)
    partitions.drop(MARCH)
    assert {row["time"] for row in rows()} == {MARCH.end, EPOCH}
    store(NOON)
    assert places() == {DEFAULT: 3}


def test_a_device_takes_its_reports_with_it_wherever_they_lie() -> None:
    partitions.make(MARCH)
    store(NOON, EPOCH)
    store(NOON, identity="2")
    Device.objects.get(identity="1").delete()
    assert places() == {MARCH.table: 1}


@pytest.mark.parametrize("time", [NOON, EPOCH])
def test_there_is_no_report_without_a_device(time: datetime) -> None:
    partitions.make(MARCH)
    store(time)
    with pytest.raises(IntegrityError), transaction.atomic():
        Report.objects.update(device_id=0)


def test_months_are_made_and_dropped_while_workers_write() -> None:
    """No writer is told that a row belongs elsewhere, which would be a message in quarantine; what is to be kept is there."""
    done = threading.Event()
    april = MARCH.plus(1)

    def run(writer: int) -> int:
        turn = 0
        try:
            while not done.is_set():
                store(NOON + minutes(turn), april.begin + minutes(turn), EPOCH + minutes(turn), identity=f"{writer}-{turn % 5}")
                turn += 1
        finally:
            connection.close()
        return turn

    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(run, writer) for writer in range(2)]
        try:
            for _ in range(5):
                partitions.make(MARCH)
                partitions.make(april)
                partitions.drop(april)
        finally:
            done.set()
        turns = sum(writer.result(60) for writer in writers)
    assert turns
    assert Report.objects.filter(time__lt=april.begin).count() == 2 * turns


def test_one_process_at_a_time_changes_partitions() -> None:
    is_held, is_tried = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [partitions._TURN])
                is_held.set()
                is_tried.wait(30)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        holder = pool.submit(hold)
        is_held.wait(30)
        try:
            with pytest.raises(partitions.BusyError, match="another process"):
                partitions.make(MARCH)
        finally:
            is_tried.set()
        holder.result(30)
    partitions.make(MARCH)


def test_who_reads_without_a_pause_is_not_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "LOCK_MILLISECONDS", 20)
    partitions.make(MARCH)
    is_read, is_tried = threading.Event(), threading.Event()

    def read() -> int:
        try:
            with transaction.atomic():
                Report.objects.count()
                is_read.set()
                is_tried.wait(30)
                return Report.objects.count()
        finally:
            connection.close()

    store(NOON)
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        is_read.wait(30)
        try:
            with pytest.raises(partitions.BusyError, match="without a pause"):
                partitions.drop(MARCH)
        finally:
            is_tried.set()
        assert reader.result(30) == 1
    partitions.drop(MARCH)
    assert not Report.objects.exists()


def plan_of(query: Any) -> list[dict[str, Any]]:
    """All nodes of the plan by which PostgreSQL answers a query."""
    pending, nodes = [json.loads(query.explain(format="json"))[0]["Plan"]], []
    while pending:
        node = pending.pop()
        nodes.append(node)
        pending += node.get("Plans", [])
    return nodes


@pytest.fixture
def some_months(postgresql_url: str) -> None:
    """Enough of them, and full enough, that the shape of a plan is that of a large table."""
    months = [MARCH.plus(offset) for offset in range(3)]
    for month in months:
        partitions.make(month)
        for day in range(20):
            batch = [
                incoming(
                    *(report(f"{day} {n}".encode(), month.begin + timedelta(days=day, minutes=n)) for n in range(10)),
                    identity=f"{device}",
                )
                for device in range(20)
            ]
            write(batch, is_open=anybody)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE store_report")


@pytest.mark.usefixtures("some_months")
def test_the_newest_reports_of_a_device_are_found_by_the_indexes() -> None:
    newest = queries.newest_reports(50, "7")
    nodes = plan_of(newest)
    full = [node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan" and "store_report" in node["Relation Name"]]
    assert not full
    read = {node["Relation Name"]: node["Index Name"] for node in nodes if "Index Scan" in node["Node Type"]}
    assert {MARCH.plus(offset).table for offset in range(3)} < read.keys()
    assert all("device_id_time_digest" in read[MARCH.plus(offset).table] for offset in range(3))
    assert [row.time for row in newest] == sorted((row.time for row in newest), reverse=True)
    assert len(newest) == 50


@pytest.mark.usefixtures("some_months")
def test_a_day_of_a_device_reads_its_month_only() -> None:
    day = MARCH.plus(1).begin + timedelta(days=4)
    device = Device.objects.get(identity="7")
    track = Report.objects.filter(device=device, time__gte=day, time__lt=day + timedelta(days=1)).order_by("time")
    read = [(node["Node Type"], node["Relation Name"]) for node in plan_of(track) if "Relation Name" in node]
    assert [table for _, table in read] == [MARCH.plus(1).table]
    assert "Seq Scan" not in {kind for kind, _ in read}
    assert len(track) == 10


def test_a_table_that_is_full_is_converted_with_its_rows() -> None:
    call_command("migrate", "store", "zero", verbosity=0)
    call_command("migrate", "store", "0002", verbosity=0)
    assert not partitions.is_partitioned()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO store_device (protocol, identity, name, is_enabled, created_at) VALUES ('fake', '1', '', true, now())"
        )
        for time, received in ((NOON, NOON), (EPOCH, NOON), (FAR, NOON), (MARCH.end, MARCH.end), (MARCH.begin, NOON)):
            cursor.execute(
                """
                INSERT INTO store_report
                    (device_id, time, received_at, kind, sequence, digest, latitude, values, alarms, head, body)
                SELECT id, %s, %s, 'location', 7, decode(md5(%s), 'hex'), 1.5, '{"a": [1]}', '["sos"]', '\\x00', '\\xff'
                FROM store_device
                """,
                [time, received, f"{time}"],
            )
        cursor.execute("DELETE FROM store_report WHERE time = %s", [MARCH.begin])
    before = rows()
    assert len(before) == 4
    call_command("migrate", "store", "0003", verbosity=0)
    assert partitions.is_partitioned()
    assert rows() == before
    assert places() == {DEFAULT: 2, MARCH.table: 1, MARCH.plus(1).table: 1}
    # The number of a row that was deleted is not given again.
    assert Report.objects.create(device_id=before[0]["device_id"], **fields(NOON, b"n" * 16)).id == before[-1]["id"] + 2
    with pytest.raises(IntegrityError, match="device_id_time_digest"), transaction.atomic():
        Report.objects.create(device_id=before[0]["device_id"], **fields(NOON, b"n" * 16))
    call_command("migrate", "store", "0002", verbosity=0)
    call_command("migrate", "store", "0003", verbosity=0)
    assert Report.objects.count() == 5
    call_command("migrate", verbosity=0)
    store(NOON)
    Device.objects.all().delete()
    assert not Report.objects.exists()


def fields(time: datetime, digest: bytes) -> dict[str, Any]:
    return {"time": time, "received_at": time, "kind": "location", "sequence": 1, "digest": digest, "head": b"", "body": b""}
