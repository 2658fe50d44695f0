"""Days of a fleet summed up by three workers, of which one is killed: does each land in the database, once, and how quickly?

python -m bench.summaries [--broker redis] [--devices 2500] [--reports 200]

Real Redis or RabbitMQ, PostgreSQL with fsync; each worker takes the queues compute and result, and is one process beside its first.
One is ended with SIGKILL, with all that it started, when a third is done, and replaced. What it held comes back: from RabbitMQ
at once, from Redis after the visibility timeout, five minutes; what has not come a minute after that is asked for again, as
keep_up does after an hour. Exit status 1 when a day is missing, wrong or there twice.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from bench.usage import family, resident_bytes
from tests.processes import Child
from tests.servers import PostgreSQL, RabbitMQ, Redis, ServerMissingError

ROOT = Path(__file__).parent.parent
DAY = date(2026, 3, 1)
BEGIN = datetime(2026, 3, 1, 8, tzinfo=UTC)
KMH = 60.0
WORKERS = 3
LOOK_SECONDS = 0.25
LONGEST_SECONDS = 600.0
ASKED_AGAIN = timedelta(minutes=6)
NOTE_EACH_SUM = """
    CREATE TABLE stored_day (device_id bigint);
    CREATE FUNCTION note_stored_day() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN INSERT INTO stored_day VALUES (NEW.device_id); RETURN NULL; END';
    CREATE TRIGGER note_stored_day AFTER UPDATE ON store_daysummary FOR EACH ROW
        WHEN (NEW.as_of IS DISTINCT FROM OLD.as_of) EXECUTE FUNCTION note_stored_day();
"""
"""For each time that a day's sum is stored a row, which has to be seen from outside of what stores it."""


class Plan(NamedTuple):
    has_rabbitmq: bool
    devices: int
    reports: int
    """Of each device, half a minute apart: it goes on all the time."""

    @property
    def km(self) -> float:
        return (self.reports - 1) * KMH / 120


class Outcome(NamedTuple):
    """What was found when nothing was to be done any more."""

    nearly_seconds: float
    """Until all but 1 % were there."""
    seconds: float
    resident_mib: float
    """Of the largest process."""
    days: int
    again: int
    """Sums that came to a day which had one: of a task that was given out twice."""
    twice: int
    """Trips beside the one that each device has made."""
    right: int
    left: int
    asked_again: int


def fill(plan: Plan) -> None:
    """Reports of the day, by the writer of the workers."""
    from store.bulk import write
    from tests.records import anybody, incoming, report

    for first in range(0, plan.devices, 10):
        batch = []
        for number in range(first, min(first + 10, plan.devices)):
            for at in range(plan.reports):
                time = BEGIN + timedelta(seconds=30 * at)
                latitude = 30 + at * KMH / 120 / 111.195
                sent = report(b"%d" % at, time, latitude=latitude, longitude=100.0, speed_kmh=KMH, values={"fuel_l": 40.0})
                batch.append(incoming(sent, identity=f"{number:06}", received_at=time))
        write(batch, is_open=anybody)


def worker(number: int, folder: Path, environment: dict[str, str]) -> Child:
    words = ["-A", "tasks", "worker", "--concurrency", "1", "--without-mingle", "--without-gossip", "-Q", "compute,result"]
    return Child([sys.executable, "-m", "celery", *words, "-n", f"w{number}@%h"], folder / f"worker-{number}.log", environment)


def run(plan: Plan, workers: list[Child], folder: Path, environment: dict[str, str]) -> Outcome:
    """Mark and ask as an operator's command does, kill, and wait."""
    from django.db import connection

    from store import duedays
    from store.clock import database_now
    from store.models import DaySummary, Trip
    from tasks.compute import daily

    after: int | None = 0
    while after is not None:
        devices, after = duedays.devices_of(DAY, daily.zone(), after)
        duedays.mark(((device_id, DAY) for device_id in devices), database_now())
    began = time.monotonic()
    asked = daily.ask(time.monotonic() + LONGEST_SECONDS)
    duedays.ASKED_AGAIN = ASKED_AGAIN
    resident, nearly, is_killed = 0, 0.0, False
    while (left := duedays.still_due(DAY, DAY)) and time.monotonic() - began < LONGEST_SECONDS:
        if not is_killed and left < plan.devices * 2 // 3:
            workers[0].kill()
            workers[0] = worker(WORKERS, folder, environment)
            is_killed = True
        if not nearly and left <= plan.devices // 100:
            nearly = time.monotonic() - began
        resident = max(resident, *(_resident(pid) for child in workers for pid in family(child.process.pid)))
        asked += daily.ask(time.monotonic() + LONGEST_SECONDS)
        time.sleep(LOOK_SECONDS)
    taken = time.monotonic() - began
    rows = DaySummary.objects.filter(day=DAY, as_of__isnull=False, report_count=plan.reports)
    right = rows.filter(distance_km__gt=plan.km * 0.99, distance_km__lt=plan.km * 1.01).count()
    days = DaySummary.objects.count()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) - count(DISTINCT device_id) FROM stored_day")
        again = int(cursor.fetchone()[0])
    twice = Trip.objects.count() - Trip.objects.values("device").distinct().count()
    return Outcome(nearly or taken, taken, resident / (1 << 20), days, again, twice, right, left, asked - plan.devices)


def _resident(pid: int) -> int:
    try:
        return resident_bytes(pid)
    except OSError:
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", choices=("redis", "rabbitmq"), default="redis")
    parser.add_argument("--devices", type=int, default=2_500)
    parser.add_argument("--reports", type=int, default=200, help="of each device")
    arguments = parser.parse_args()
    plan = Plan(arguments.broker == "rabbitmq", arguments.devices, arguments.reports)
    folder = Path(tempfile.mkdtemp(prefix="iotgw-bench-"))
    servers: list[PostgreSQL | Redis | RabbitMQ] = []
    workers: list[Child] = []
    try:
        servers += [PostgreSQL(), Redis()]
        if plan.has_rabbitmq:
            servers.append(RabbitMQ())
        environment = surroundings(folder, servers)
        # Before there are workers, which look for what comes late.
        fill(plan)
        workers += [worker(number, folder, environment) for number in range(WORKERS)]
        for child in workers:
            child.wait_until(lambda child=child: "ready" in child.output(), "the worker is ready")
        outcome = run(plan, workers, folder, environment)
    except ServerMissingError as error:
        raise SystemExit(f"the bench needs {error}") from error
    finally:
        for child in workers:
            child.stop()
        for server in servers:
            server.close()
        shutil.rmtree(folder, ignore_errors=True)
    is_whole = (outcome.days, outcome.twice, outcome.right, outcome.left) == (plan.devices, 0, plan.devices, 0)
    title = f"{plan.devices:,} days of {plan.reports} reports on {arguments.broker}, {WORKERS} workers, one killed"
    table = Table(
        "days",
        "right",
        "stored again",
        "twice",
        "left",
        "asked again",
        "days/s",
        "reports/s",
        "99 % after s",
        "all after s",
        "largest MiB",
        title=title,
    )
    rate = 0.99 * plan.devices / outcome.nearly_seconds
    cells = (
        f"{outcome.days}",
        f"{outcome.right}",
        f"{outcome.again}",
        f"{outcome.twice}",
        f"{outcome.left}",
        f"{outcome.asked_again}",
        f"{rate:,.0f}",
        f"{rate * plan.reports:,.0f}",
        f"{outcome.nearly_seconds:.1f}",
        f"{outcome.seconds:.1f}",
        f"{outcome.resident_mib:.0f}",
    )
    table.add_row(*cells)
    Console(width=120).print(table)
    sys.exit(not is_whole)


def surroundings(folder: Path, servers: list[PostgreSQL | Redis | RabbitMQ]) -> dict[str, str]:
    """The environment of workers; this process has it too, and a database that is migrated."""
    import django
    from django.core.management import call_command
    from django.db import connection

    database, redis, *others = servers
    assert isinstance(database, PostgreSQL)
    assert isinstance(redis, Redis)
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "store.settings",
        "PYTHONPATH": paths,
        "IOTGW_VAR": str(folder),
        "IOTGW_DATABASE_URL": database.create("iotgw"),
        "IOTGW_REDIS_URL": redis.url(0),
        "IOTGW_BROKER_URL": others[0].url() if others and isinstance(others[0], RabbitMQ) else redis.url(1),
    }
    django.setup()
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(NOTE_EACH_SUM)
    return dict(os.environ)


if __name__ == "__main__":
    main()
