"""What condition the database is in, for ``iotgw doctor``.

reached ──▶ version, clock, time zone
        └──▶ tables up to date ──▶ takes rows, search, media, beat, targets
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from sqlite3 import sqlite_version_info
from typing import Any
from uuid import uuid4

from django.apps import apps
from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from settings import Settings
from settings.findings import Finding, Verdict, after, clocks, fault, finding, first_line, ok, size, warning
from settings.folders import LEAST_FREE_BYTES, room
from store import search, targets
from store.clock import database_now
from store.media.usage import used_bytes
from store.models import DeadNotice, Device, ForwardSource, Media, Target

LEAST_SQLITE = (3, 38)
"""The writer takes values out of JSON by ``->>``."""
ANSWER_SECONDS = 3
"""So long a statement may take, or wait for a lock."""
NEARLY_FULL = 0.9
BEAT_SILENCE = timedelta(minutes=2)
START_BEAT = "start one, on one host: celery -A tasks beat; iotgw schedule shows what it does"
FORWARDED_BEFORE = 0.5
"""Of the time that something is kept: what was not forwarded by then is said while there is time to do something."""

Checks = Mapping[str, Callable[[Settings], Verdict]]


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything, and leave nothing behind."""
    reached = finding("database", _reach, settings)
    yield reached
    if connection.vendor == "sqlite":
        yield finding("database folder", _folder, settings)
        yield from after(reached, {"database version": _sqlite_version}, settings)
    else:
        server: Checks = {"database version": _postgresql_version, "database clock": _clock, "database time zone": _time_zone}
        yield from after(reached, server, settings)
    (tables,) = after(reached, {"database tables": _tables}, settings)
    yield tables
    yield from after(
        tables, {"database rows": _rows, "search": _search, "media": _media, "beat": _beat, "targets": _targets}, settings
    )


def _reach(_: Settings) -> Verdict:
    if connection.vendor == "sqlite" and not os.path.isfile(path := connection.settings_dict["NAME"]):
        return fault(
            f"there is no file {path}, or this user may not see it",
            "iotgw migrate makes it; or is database_url, or var, another one?",
        )
    try:
        with connection.cursor() as cursor:
            cursor.execute(*_patience())
    except DatabaseError as error:
        # Django's own words about a server that is too old come here, too.
        return fault(f"{connection.vendor} cannot be used: {first_line(error)}", "see that it runs, and that database_url is right")
    return ok(f"{connection.vendor} answers, {_place()}")


def _patience() -> tuple[str, Any]:
    if connection.vendor == "sqlite":
        return f"PRAGMA busy_timeout = {ANSWER_SECONDS * 1000}", None
    return "SELECT set_config('statement_timeout', %s, false)", [f"{ANSWER_SECONDS}s"]


def _place() -> str:
    given = connection.settings_dict
    if connection.vendor == "sqlite":
        return str(given["NAME"])
    return f"database {given['NAME']} on {given['HOST'] or 'this host'} as {given['USER'] or 'this user'}"


def _sqlite_version(_: Settings) -> Verdict:
    is_now, least = sqlite_version_info, ".".join(map(str, LEAST_SQLITE))
    text = f"SQLite {'.'.join(map(str, is_now))}"
    if is_now < LEAST_SQLITE:
        return fault(f"{text}, {least} is needed", "run iotgw with a Python that has a newer SQLite, or use PostgreSQL")
    return ok(text)


def _postgresql_version(_: Settings) -> Verdict:
    """Older ones than are supported are not reached: Django refuses them."""
    return ok(f"PostgreSQL {_asked('SHOW server_version')}")


def _folder(_: Settings) -> Verdict:
    do = "make room on this disk: without it nothing is stored; iotgw retention says what could go"
    return room(Path(connection.settings_dict["NAME"]).parent, LEAST_FREE_BYTES, do)


def _clock(_: Settings) -> Verdict:
    before = time.time()
    there: datetime = _asked("SELECT clock_timestamp()")
    return clocks(before, there.timestamp(), time.time())


def _time_zone(_: Settings) -> Verdict:
    zone = _asked("SHOW timezone")
    if zone != "UTC":
        do = "does a connection pool between keep a session's settings from one client to the next? Have it reset them"
        return fault(f"sessions are in {zone} and not in UTC", do)
    return ok("UTC")


def _tables(_: Settings) -> Verdict:
    executor = MigrationExecutor(connection)
    waiting = [migration.name for migration, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]
    if waiting:
        return fault(f"not up to date: {len(waiting)} migrations wait, the first is {waiting[0]}", "iotgw migrate")
    ours = {app for app, _ in executor.loader.disk_migrations}
    newer = sorted(
        name for app, name in executor.loader.applied_migrations if app in ours and (app, name) not in executor.loader.graph.nodes
    )
    if newer:
        return fault(
            f"of a newer release, {newer[0]} is not in this one", "install the release that migrated the database here too"
        )
    return ok("up to date")


def _rows(_: Settings) -> Verdict:
    """A row is made and taken back."""
    try:
        with transaction.atomic():
            Device.objects.create(protocol="doctor", identity=uuid4().hex)
            transaction.set_rollback(True)
    except DatabaseError as error:
        do = "is it a replica, read-only or locked by somebody? Does this user own the tables?"
        return fault(f"takes no rows: {first_line(error)}", do)
    return ok("taken")


def _search(_: Settings) -> Verdict:
    if search.is_prepared():
        return ok("by an index")
    do = "CREATE EXTENSION pg_trgm as whoever may" if connection.vendor == "postgresql" else "use a Python whose SQLite has FTS5"
    return warning("without an index, every device is read", f"{do}, then iotgw migrate")


def _media(settings: Settings) -> Verdict:
    used, quota = used_bytes(), settings.media_quota_bytes
    waiting = Media.objects.filter(state=Media.State.WAITING).count()
    found = f"{size(used)} of {size(quota)}" if quota else f"{size(used)}, no quota"
    do = "raise media_quota_bytes, or set media_days so that old files go"
    if waiting:
        return warning(f"{found}; {waiting} files wait in the database for room", f"iotgw media --state waiting says why; {do}")
    return warning(found, do) if quota and used > NEARLY_FULL * quota else ok(found)


def _beat(_: Settings) -> Verdict:
    """By when it asked last for anything that runs at an interval. Before it has, when that was made counts."""
    rows = apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(enabled=True, interval__isnull=False)
    found = [
        (row.last_run_at or row.date_changed, timedelta(**{row.interval.period: row.interval.every}))
        for row in rows.select_related("interval")
    ]
    if not found:
        return warning("nothing runs at an interval, or no beat was ever started", START_BEAT)
    newest, shortest = max(at for at, _ in found), min(every for _, every in found)
    age = timezone.now() - newest
    if age > max(BEAT_SILENCE, 3 * shortest):
        return fault(f"silent since {newest:%Y-%m-%d %H:%M:%S} UTC: no sweeps, no sums, no retention", START_BEAT)
    return ok(f"asked for something {max(age.total_seconds(), 0):.0f} s ago")


def _targets(settings: Settings) -> Verdict:
    """Whether whoever is forwarded to will have had what is stored before it is deleted for its age."""
    now = database_now()
    found = list(Target.objects.order_by("name").prefetch_related("cursors"))
    for target in found:
        for cursor in target.cursors.all():
            oldest, days = targets.lag(cursor).oldest, _kept_days(settings, cursor.source)
            if oldest is not None and days and now - oldest > timedelta(days=days) * FORWARDED_BEFORE:
                what = f"{target} has not had {cursor.source} that came {oldest:%Y-%m-%d}, and they are deleted after {days} days"
                return warning(what, f"iotgw targets show {target.name} says why")
    states = [targets.state_of(target, target.cursors.all(), now) for target in found]
    told = ", ".join(f"{count} {state}" for state, count in Counter(states).items()) or "none"
    if "nobody sends" in states:
        return warning(told, "run iotgw forward, which iotgw up does; for 10 s after one was killed this is so, too")
    dead = DeadNotice.objects.count()
    if dead or "failing" in states:
        return warning(f"{told}; {dead} dead notices", "iotgw targets says which, iotgw targets show and iotgw targets dead why")
    return ok(told)


def _kept_days(settings: Settings, source: str) -> int:
    match source:
        case ForwardSource.REPORTS:
            return settings.retention_days
        case ForwardSource.MEDIA:
            return settings.media_days
    return settings.event_retention_days


def _asked(question: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(question)
        return cursor.fetchone()[0]
