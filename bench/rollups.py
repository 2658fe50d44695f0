"""What rolling channels up costs, and what a page has of it: a channel over seven days, and the same from the reports.

python -m bench.rollups [--devices 200]

PostgreSQL with fsync. One device reports eleven channels every two seconds for seven days; the others every thirty seconds for an
hour, rolled up as they come in, five minutes after five minutes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console

from tests.servers import PostgreSQL

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 7
EVERY = timedelta(seconds=2)
ROUNDS = 7
BATCH = 1_000


def values(number: int) -> dict[str, float | bool]:
    return {**{f"channel_{n}": number % (37 + n) / 4 for n in range(9)}, "ignition": number % 600 < 300}


def fill(identities: list[str], begin: datetime, count: int, every: timedelta) -> None:
    """Reports, by the writer of the workers, device after device in each moment."""
    from store.bulk import write
    from tests.records import anybody, incoming, report

    def messages() -> Iterator[object]:
        for number in range(count):
            at = begin + number * every
            for identity in identities:
                made = report(f"{identity} {number}".encode(), at, values=values(number), speed_kmh=number % 90)
                yield incoming(made, identity=identity, received_at=at)

    batch = []
    for message in messages():
        batch.append(message)
        if len(batch) == BATCH:
            write(batch, is_open=anybody)
            batch = []
    write(batch, is_open=anybody)


def rolled_up() -> tuple[int, int, float]:
    """Of how many reports, how many slots were made, and in how many seconds."""
    from store.horizon import settled_id
    from store.models import Report
    from store.rollups import roll_up_next

    began, settled = time.perf_counter(), settled_id(Report, 1)
    assert settled is not None
    reports = slots = 0
    is_more = True
    while is_more:
        step = roll_up_next(settled, None)
        reports, slots, is_more = reports + step.reports, slots + step.slots, step.is_more
    return reports, slots, time.perf_counter() - began


def median_ms(read: Callable[[], object]) -> float:
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        read()
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000


def measure(devices: int, console: Console) -> None:
    from django.core.management import call_command
    from django.db import connection

    from store.days import Span
    from store.models import Device, Report
    from store.series import series

    call_command("migrate", verbosity=0)
    fill(["long"], BEGIN, int(timedelta(days=DAYS) / EVERY), EVERY)
    reports, slots, seconds = rolled_up()
    console.print(f"one device: {reports:,} reports, {slots:,} slots made, {seconds / reports * 1e6:.1f} µs a report")
    fleet = [f"d{n}" for n in range(devices)]
    total = [0, 0, 0.0]
    for five in range(12):
        fill(fleet, BEGIN + timedelta(minutes=5 * five), 10, timedelta(seconds=30))
        total = [sum(pair) for pair in zip(total, rolled_up(), strict=True)]
    console.print(f"{devices} devices: {total[0]:,} reports, {total[1]:,} slots made, {total[2] / total[0] * 1e6:.1f} µs a report")
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("SELECT pg_total_relation_size('store_channelfiveminutes')::float8 / count(*) FROM store_channelfiveminutes")
        console.print(f"five minutes of a device: {cursor.fetchone()[0]:.0f} bytes with their index")
    device, span = Device.objects.get(identity="long"), Span(BEGIN, BEGIN + timedelta(days=DAYS))

    def raw() -> list[tuple[datetime, object]]:
        rows = Report.objects.filter(device=device, time__gte=span.begin, time__lt=span.end).order_by("time")
        return [(at, told.get("channel_3")) for at, told in rows.values_list("time", "values")]

    console.print(f"a channel over {DAYS} days, medians of {ROUNDS}:")
    for points in (2_016, 500):
        took = median_ms(lambda points=points: series(device, "channel_3", span, points))  # type: ignore[misc]
        console.print(f"  by five minutes, {points} points: {took:.1f} ms")
    console.print(f"  from {len(raw()):,} reports: {median_ms(raw):.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=200)
    devices = parser.parse_args().devices
    folder, server = Path(tempfile.mkdtemp(prefix="iotgw-bench-")), PostgreSQL()
    try:
        url = server.create("rollups")
        os.environ |= {"DJANGO_SETTINGS_MODULE": "store.settings", "IOTGW_VAR": str(folder), "IOTGW_DATABASE_URL": url}
        import django

        django.setup()
        measure(devices, Console())
    finally:
        server.close()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
