"""Stored messages decoded again after their definition has changed, by a real worker that is killed now and then.

python -m bench.redecode [--messages 100000] [--kills 3]

PostgreSQL and Redis; each kill is kill -9 of the worker with all its processes, while a step is under way. A tenth of the messages
are in quarantine before. It ends with status 1 unless each message is there once, as the new definition has it.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

_FOLDER = tempfile.TemporaryDirectory(prefix="iotgw-bench-")
os.environ |= {"DJANGO_SETTINGS_MODULE": "store.settings", "IOTGW_VAR": _FOLDER.name}

import django  # noqa: E402

django.setup()

import redis  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db.models import Count  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import Progress  # noqa: E402

from bench.databases import default_database  # noqa: E402
from protocols.message import Message  # noqa: E402
from store import redecoding  # noqa: E402
from store.audit import Actor  # noqa: E402
from store.bulk import Incoming, write  # noqa: E402
from store.models import Quarantine, Redecoding, Report  # noqa: E402
from store.redecoding import Scope  # noqa: E402
from tasks.contract import COMPUTE_QUEUE  # noqa: E402
from tests.processes import Child, children, wait_until  # noqa: E402
from tests.records import NOON, minutes  # noqa: E402
from tests.servers import PostgreSQL, Redis, ServerMissingError  # noqa: E402
from tests.tasks.compute.editions import Changing  # noqa: E402

ROOT = Path(__file__).parent.parent
DEVICES = 1_000
MESSAGES_A_BATCH = 2_000
IN_QUARANTINE = 10
"""One of so many."""
LONGEST_SECONDS = 600.0
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


def store(messages: int) -> None:
    """As the first edition decodes them."""
    edition = Changing(1)
    for start in range(0, messages, MESSAGES_A_BATCH):
        batch = []
        for number in range(start, min(start + MESSAGES_A_BATCH, messages)):
            body = f"{number} mended" if number % IN_QUARANTINE == 0 else f"{number}"
            message = Message(f"{number // IN_QUARANTINE % DEVICES}", 0x0200, number, b"head", body.encode())
            batch.append(Incoming("fake", message, NOON + minutes(number / 60), "location", edition.decode(message), "1"))
        write(batch, is_open=lambda protocol: True)


def start_worker(number: int, environment: dict[str, str]) -> Child:
    words = ("-m", "celery", "-A", "bench.changed", "worker", "-Q", COMPUTE_QUEUE, "--concurrency", "1")
    options = ("--without-gossip", "--without-mingle")
    return Child([sys.executable, *words, *options], Path(_FOLDER.name) / f"worker-{number}.log", environment)


def start_beat(environment: dict[str, str]) -> Child:
    """Who asks for a step that was lost, every 15 s."""
    return Child([sys.executable, "-m", "celery", "-A", "tasks", "beat"], Path(_FOLDER.name) / "beat.log", environment)


def peak_bytes(worker: Child) -> int:
    """The most that one of its processes has held."""
    peaks = [0]
    for pid in children(worker.process.pid):
        if found := _PEAK.search(Path(f"/proc/{pid}/status").read_text()):
            peaks.append(int(found[1]) * 1024)
    return max(peaks)


def run(
    row: Redecoding, kills: int, messages: int, client: redis.Redis, environment: dict[str, str]
) -> tuple[float, int, list[float]]:
    """Seconds from the first step's commit on, the peak of memory, and how long each kill kept it from the next commit."""
    goals = [messages * (number + 1) // (kills + 1) for number in range(kills)]
    worker, peak, pauses = start_worker(0, environment), 0, list[float]()
    beat = start_beat(environment)
    try:
        worker.wait_until(lambda: row.refresh_from_db() or row.steps, "the first step is committed")
        begun = time.monotonic()
        with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
            bar = progress.add_task("decoded again", total=messages)
            while row.is_open:
                peak = max(peak, peak_bytes(worker))
                progress.update(bar, completed=row.done)
                if len(pauses) < len(goals) and row.done >= goals[len(pauses)]:
                    time.sleep(random.uniform(0, 0.2))
                    wait_until(lambda: client.exists(f"iotgw:redecoding:{row.id}"), "a step is under way")
                    worker.kill()
                    row.refresh_from_db()
                    before, killed = row.steps, time.monotonic()
                    worker = start_worker(len(pauses) + 1, environment)
                    worker.wait_until(
                        lambda before=before: row.refresh_from_db() or row.steps > before, "it goes on", LONGEST_SECONDS
                    )
                    pauses.append(time.monotonic() - killed)
                time.sleep(0.02)
                row.refresh_from_db()
                if time.monotonic() - begun > LONGEST_SECONDS:
                    raise SystemExit(f"not done after {LONGEST_SECONDS:g} s: {worker.output()[-2000:]}")
        return time.monotonic() - begun, peak, pauses
    finally:
        worker.stop()
        beat.stop()


def faults(row: Redecoding, messages: int) -> list[str]:
    """What is not as it should be."""
    twice = Report.objects.values("body").annotate(times=Count("id")).filter(times__gt=1).count()
    counted = {
        "reports": (Report.objects.count(), messages),
        "as the new definition has them": (Report.objects.filter(values__has_key="level_m").count(), messages),
        "as the old one had them": (Report.objects.filter(values__has_key="raw").count(), 0),
        "there twice": (twice, 0),
        "in quarantine": (Quarantine.objects.count(), 0),
        "looked at": (row.done, messages),
        "changed": (row.changed, messages - -(-messages // IN_QUARANTINE)),
        "mended": (row.mended, -(-messages // IN_QUARANTINE)),
    }
    return [f"{name}: {found:,}, not {wanted:,}" for name, (found, wanted) in counted.items() if found != wanted]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--messages", type=int, default=100_000)
    arguments.add_argument("--kills", type=int, default=3)
    given = arguments.parse_args()
    try:
        servers = PostgreSQL(), Redis()
    except ServerMissingError as error:
        raise SystemExit(f"the bench needs {error}") from error
    database_server, redis_server = servers
    with closing(database_server), closing(redis_server), redis.Redis.from_url(redis_server.url()) as client:
        url = database_server.create("bench")
        urls = {"IOTGW_DATABASE_URL": url, "IOTGW_REDIS_URL": redis_server.url(), "IOTGW_BROKER_URL": redis_server.url(1)}
        environment = {**os.environ, **urls, "PYTHONPATH": str(ROOT)}
        with default_database(url):
            call_command("migrate", verbosity=0)
            store(given.messages)
            row = redecoding.start(Scope("fake"), Actor("bench"))
            seconds, peak, pauses = run(row, given.kills, given.messages, client, environment)
            wrong = faults(row, given.messages)
    busy = seconds - sum(pauses)
    print(f"{row.done:,} messages decoded again in {seconds:.1f} s, {row.done / busy:,.0f}/s but for the kills")
    print(f"{row.steps} steps, {row.changed:,} reports changed, {row.mended:,} messages left quarantine, {row.failing} failing")
    print(f"{len(pauses)} kills -9 of the worker, from each to the next commit {', '.join(f'{pause:.1f} s' for pause in pauses)}")
    print(f"the worker's process held {peak / 2**20:.0f} MiB at most")
    print("; ".join(wrong) or "every message exactly once, as the new definition has it")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
