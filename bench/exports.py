"""Exports of what is stored, by a real worker, while nothing else is to wait for them.

python -m bench.exports [--rows 1000000] [--sheet-rows 200000]

PostgreSQL and Redis. Reports of 1,000 devices with eight values each are written as CSV, then a stretch of them as a spreadsheet; a
third export is cancelled in the middle. Beside a fourth another process stores reports, before it and while it runs. It ends with
status 1 unless the files have each row once, progress never went back, and the cancelled one stopped within 5 s and left nothing.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

_FOLDER = tempfile.TemporaryDirectory(prefix="iotgw-bench-")
os.environ |= {"DJANGO_SETTINGS_MODULE": "store.settings", "IOTGW_VAR": _FOLDER.name, "IOTGW_MEDIA_SPARE_BYTES": "0"}

import django  # noqa: E402

django.setup()

from celery import Celery  # noqa: E402
from celery.result import AsyncResult  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from openpyxl import load_workbook  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import Progress  # noqa: E402

from bench.databases import default_database  # noqa: E402
from bench.usage import Usage  # noqa: E402
from store import background  # noqa: E402
from store.audit import Actor  # noqa: E402
from store.bulk import Incoming, write  # noqa: E402
from store.exports import requests  # noqa: E402
from store.exports.requests import Wanted  # noqa: E402
from store.models import Export, ExportFormat  # noqa: E402
from tasks.contract import COMPUTE_QUEUE, celery_configuration  # noqa: E402
from tasks.outcomes import outcome_configuration  # noqa: E402
from tests.processes import Child, children, wait_until  # noqa: E402
from tests.records import NOON, anybody, incoming, minutes, report  # noqa: E402
from tests.servers import PostgreSQL, Redis, ServerMissingError  # noqa: E402

ROOT = Path(__file__).parent.parent
DEVICES = 1_000
MESSAGES_A_BATCH = 5_000
LONGEST_SECONDS = 1_800.0
LOOK_SECONDS = 0.05
BESIDE_SECONDS = 10.0
MOST_STOP_SECONDS = 5.0
MIDDLE_PERCENT = 30.0
ME = Actor("bench")
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


class Run(NamedTuple):
    seconds: float
    peak_bytes: int
    progress: list[float]
    """As the task's id tells it."""


def store(rows: int) -> None:
    """A report a minute of each device, one device after the other minute by minute, as they would come."""
    for begin in range(0, rows, MESSAGES_A_BATCH):
        write([message(number) for number in range(begin, min(begin + MESSAGES_A_BATCH, rows))], is_open=anybody)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def message(number: int, prefix: str = "") -> Incoming:
    values = {
        "satellites": number % 13, "signal_percent": 80, "odometer_km": number / 7, "external_v": 12.6, "battery_percent": 90,
        "ignition": number % 2 == 0, "temperature_c": 21.5, "note": "=not a formula",
    }  # fmt: skip
    time, identity = NOON + minutes(number // DEVICES), f"{prefix}{number % DEVICES:012d}"
    place = {"latitude": 31.2 + number % 1000 / 1e4, "longitude": 121.4, "speed_kmh": float(number % 120)}
    return incoming(report(f"{prefix}{number}".encode(), time, values=values, **place), identity=identity, received_at=time)


def beside(worker: Child) -> tuple[float, float, dict[str, float]]:
    """Reports a second that another process stores, before and while an export runs; and the cores that both take then."""
    storing = Child([sys.executable, "-m", "bench.exports", "--store-beside"], Path(_FOLDER.name) / "beside.log", _environment())
    try:
        storing.wait_until(storing.output, "it stores")
        alone = _rate(storing)
        row = start(ExportFormat.CSV)
        worker.wait_until(lambda: row.refresh_from_db() or row.done, "it has begun")
        usage = Usage({"export": worker.process.pid, "storing": storing.process.pid})
        together, shares = _rate(storing), usage.shares()
        background.cancel(Export, row.id, datetime.now(UTC), ME, "export.cancel")
        return alone, together, shares
    finally:
        storing.stop()


def _rate(storing: Child) -> float:
    before, begun = int(storing.output().split()[-1]), time.monotonic()
    time.sleep(BESIDE_SECONDS)
    return (int(storing.output().split()[-1]) - before) / (time.monotonic() - begun)


def store_beside() -> None:
    stored = 0
    while True:
        write([message(number, "beside") for number in range(stored, stored + 500)], is_open=anybody)
        stored += 500
        print(stored, flush=True)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def start_worker() -> Child:
    words = ("-m", "celery", "-A", "tasks", "worker", "-Q", COMPUTE_QUEUE, "--concurrency", "1")
    options = ("--without-gossip", "--without-mingle")
    return Child([sys.executable, *words, *options], Path(_FOLDER.name) / "worker.log", _environment())


def start_beat() -> Child:
    """Who asks for what nobody has sent, as is so here, within 15 s."""
    return Child([sys.executable, "-m", "celery", "-A", "tasks", "beat"], Path(_FOLDER.name) / "beat.log", _environment())


def peak_bytes(worker: Child) -> int:
    """The most that the processes which work have held."""
    peaks = [0]
    for pid in children(worker.process.pid):
        try:
            if found := _PEAK.search(Path(f"/proc/{pid}/status").read_text()):
                peaks.append(int(found[1]) * 1024)
        except FileNotFoundError:
            continue
    return max(peaks)


def follow(row: Export, worker: Child, asker: Celery) -> Run:
    asked, progress, peak = AsyncResult(str(row.task_id), app=asker), list[float](), 0
    worker.wait_until(lambda: row.refresh_from_db() or row.state != "waiting", "it has begun")
    begun = time.monotonic()
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bars:
        bar = bars.add_task(str(row), total=100)
        while row.is_open:
            told = asked.info
            if isinstance(told, dict) and "percent" in told:
                progress.append(told["percent"])
                bars.update(bar, completed=told["percent"])
            peak = max(peak, peak_bytes(worker))
            time.sleep(LOOK_SECONDS)
            row.refresh_from_db()
            if time.monotonic() - begun > LONGEST_SECONDS:
                raise SystemExit(f"not done after {LONGEST_SECONDS:g} s: {worker.output()[-2000:]}")
    return Run(time.monotonic() - begun, peak, progress)


def start(format: ExportFormat, **scope: Any) -> Export:
    wanted = Wanted("reports", format, "Asia/Shanghai", **scope)
    return requests.start(wanted, 5_000_000, ME, datetime.now(UTC))


def csv_rows(path: Path) -> tuple[int, int]:
    """Rows, and different ones by device and time."""
    seen = set()
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        count = 0
        for cells in rows:
            count += 1
            seen.add((cells[0], cells[3]))
    return count, len(seen)


def sheet_rows_of(path: Path) -> tuple[int, int]:
    sheet = load_workbook(path, read_only=True).active
    cells = [(row[0], row[3]) for row in sheet.iter_rows(min_row=2, values_only=True)]
    return len(cells), len(set(cells))


def tell(what: str, row: Export, run: Run) -> None:
    rate = row.done / run.seconds
    print(f"{what}: {row.done:,} rows, {row.bytes / 2**20:.0f} MiB in {run.seconds:.1f} s, {rate:,.0f} rows/s")
    words = f"{row.steps} steps, {len(set(run.progress))} words of progress"
    print(f"  the worker's process held {run.peak_bytes / 2**20:.0f} MiB at most; {words}")


def cancelled(folder: Path, worker: Child) -> float:
    """How long one takes to stop, and to leave nothing, that is cancelled in the middle."""
    there = set(folder.iterdir())
    row = start(ExportFormat.CSV)
    worker.wait_until(lambda: row.refresh_from_db() or row.percent > MIDDLE_PERCENT, "it is in the middle", LONGEST_SECONDS)
    begun = time.monotonic()
    background.cancel(Export, row.id, datetime.now(UTC), ME, "export.cancel")
    wait_until(lambda: set(folder.iterdir()) == there, "nothing is left of it")
    return time.monotonic() - begun


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--sheet-rows", type=int, default=200_000)
    arguments.add_argument("--store-beside", action="store_true", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.store_beside:
        store_beside()
    try:
        servers = PostgreSQL(), Redis()
    except ServerMissingError as error:
        raise SystemExit(f"the bench needs {error}") from error
    database_server, redis_server = servers
    asker = Celery("asker", fixups=[], set_as_current=False)
    asker.conf.update(celery_configuration("memory://"), **outcome_configuration(redis_server.url()))
    with closing(database_server), closing(redis_server), closing(asker):
        url = database_server.create("bench")
        os.environ |= {"IOTGW_DATABASE_URL": url, "IOTGW_REDIS_URL": redis_server.url(), "IOTGW_BROKER_URL": redis_server.url(1)}
        with default_database(url):
            call_command("migrate", verbosity=0)
            store(given.rows)
            wrong = measure(given.rows, given.sheet_rows, asker)
    print("; ".join(wrong) or "every row once, progress never went back, nothing left of the cancelled one")
    sys.exit(bool(wrong))


def measure(rows: int, sheet_rows: int, asker: Celery) -> list[str]:
    """What is not as it should be."""
    folder, worker, wrong = Path(_FOLDER.name) / "media/exports", start_worker(), list[str]()
    beat = start_beat()
    try:
        row = start(ExportFormat.CSV)
        run = follow(row, worker, asker)
        tell("CSV", row, run)
        wrong += faults("CSV", run, csv_rows(folder / f"{row.token}.csv"), rows)
        row = start(ExportFormat.XLSX, until=NOON + minutes(sheet_rows // DEVICES))
        run = follow(row, worker, asker)
        tell("xlsx", row, run)
        wrong += faults("xlsx", run, sheet_rows_of(folder / f"{row.token}.xlsx"), min(rows, sheet_rows))
        there = set(folder.iterdir())
        seconds = cancelled(folder, worker)
        print(f"one that was cancelled in the middle stopped after {seconds:.1f} s")
        if seconds > MOST_STOP_SECONDS or set(folder.iterdir()) != there:
            wrong.append(f"the cancelled one stopped after {seconds:.1f} s")
        alone, together, shares = beside(worker)
        print(f"beside it a process that stores all the time did {alone:,.0f} reports/s alone, {together:,.0f} while an export ran")
        print("  cores taken meanwhile: " + ", ".join(f"{name} {share:.2f}" for name, share in shares.items()))
        return wrong
    finally:
        worker.stop()
        beat.stop()


def faults(what: str, run: Run, found: tuple[int, int], wanted: int) -> list[str]:
    told = []
    if found != (wanted, wanted):
        told.append(f"{what}: {found[0]:,} rows, {found[1]:,} different ones, not {wanted:,}")
    if run.progress != sorted(run.progress):
        told.append(f"{what}: progress went back")
    return told


if __name__ == "__main__":
    main()
