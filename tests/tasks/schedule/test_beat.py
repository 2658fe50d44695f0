"""Beat under a virtual clock, with the rows in a real database and a fake broker; and two real ones beside each other."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django_celery_beat.models import PeriodicTask
from kombu.exceptions import OperationalError
from redis import Redis

from store.audit import Actor
from tasks.celery import app
from tasks.contract import RETENTION_TASK
from tasks.schedule import beat, changes, defaults
from tasks.schedule.beat import LOOK_SECONDS, Beat
from tests.servers import Child
from tests.servers import Redis as RedisServer

BEGIN = datetime(2026, 3, 28, tzinfo=UTC)
SOMEBODY = Actor("somebody")

pytestmark = pytest.mark.usefixtures("database_url")


class Sent:
    """What beats have sent, instead of a broker."""

    def __init__(self) -> None:
        self.tasks: list[tuple[datetime, str]] = []
        self.expires: dict[str, float] = {}
        self.fault: Exception | None = None
        self.tries = 0

    def send(self, task: str, args: Any, kwargs: Any, *, producer: Any, retry: bool, expires: float, **_: Any) -> None:
        self.tries += 1
        if self.fault is not None:
            raise self.fault
        self.tasks.append((datetime.now(UTC), task))
        self.expires[task] = expires

    def counts(self) -> dict[str, int]:
        return Counter(task for _, task in self.tasks)

    def times(self, task: str) -> list[str]:
        return [f"{at:%d %H:%M}" for at, one in self.tasks if one == task]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    sent = Sent()
    monkeypatch.setattr(app, "send_task", sent.send)
    return sent


@pytest.fixture
def clock() -> Iterator[Any]:
    with time_machine.travel(BEGIN, tick=False) as clock:
        yield clock


def only(name: str) -> None:
    """Leave one entry of the defaults, so that a long time is short."""
    PeriodicTask.objects.exclude(name=name).update(enabled=False)


def pass_time(clock: Any, length: timedelta, *beats: Beat) -> None:
    end = datetime.now(UTC) + length
    while datetime.now(UTC) < end:
        clock.shift(min(max(one.tick(), 0.01) for one in beats))


def test_what_is_due_is_asked_for_at_its_time(sent: Sent, clock: Any) -> None:
    pass_time(clock, timedelta(minutes=10), Beat(app))
    counts = sent.counts()
    assert (counts["tasks.files.sweep"], counts["tasks.presence.check"], counts["tasks.media.sweep"]) == (119, 19, 19)
    assert sent.expires["tasks.files.sweep"] == 60, "a worker's clock may be a minute ahead"
    row = PeriodicTask.objects.get(name="files")
    assert (row.total_run_count, row.last_run_at) == (119, max(at for at, task in sent.tasks if task == row.task))


def test_two_by_mistake_ask_once_for_each_time(sent: Sent, clock: Any) -> None:
    pass_time(clock, timedelta(minutes=10), Beat(app), Beat(app), Beat(app))
    at_once = [count for count in Counter(sent.tasks).values() if count > 1]
    counts = sent.counts()
    assert at_once == []
    assert 115 <= counts["tasks.files.sweep"] <= 119
    assert counts["tasks.presence.check"] == 19


def test_the_night_comes_once_in_its_zone_over_both_changes(sent: Sent, clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beat, "LOOK_SECONDS", 600.0)
    defaults.install(changes.ZoneInfo("UTC"))
    only("retention")
    changes.set_when("retention", "30 2 * * *", changes.ZoneInfo("Europe/Berlin"), SOMEBODY)
    first, second = Beat(app), Beat(app)
    pass_time(clock, timedelta(days=2), first, second)
    assert sent.times(RETENTION_TASK) == ["28 01:30", "29 01:30"]
    clock.move_to(datetime(2026, 10, 24, 12, tzinfo=UTC))
    pass_time(clock, timedelta(days=2), first, second)
    # The first of these for all nights that nobody asked for.
    assert sent.times(RETENTION_TASK)[2:] == ["24 12:00", "25 00:30", "26 01:30"]


def test_a_change_is_seen_at_the_next_look(sent: Sent, clock: Any) -> None:
    the_beat = Beat(app)
    pass_time(clock, timedelta(seconds=20), the_beat)
    changes.switch("files", False, SOMEBODY)
    changes.set_when("presence", 2, changes.ZoneInfo("UTC"), SOMEBODY)
    sent.tasks.clear()
    pass_time(clock, timedelta(seconds=21), the_beat)
    assert "tasks.files.sweep" not in sent.counts()
    assert sent.counts()["tasks.presence.check"] == 10
    changes.switch("files", True, SOMEBODY)
    pass_time(clock, timedelta(seconds=11), the_beat)
    assert sent.counts()["tasks.files.sweep"] == 2


def test_what_operators_changed_stays_when_beat_starts(sent: Sent, clock: Any) -> None:
    Beat(app).tick()
    changes.switch("files", False, SOMEBODY)
    changes.set_when("presence", 77, changes.ZoneInfo("UTC"), SOMEBODY)
    PeriodicTask.objects.get(name="media").delete()
    clock.shift(60)
    Beat(app).tick()
    rows = {row.name: row for row in PeriodicTask.objects.all()}
    assert (rows["files"].enabled, rows["presence"].interval.every) == (False, 77)
    assert set(rows) == {default.name for default in defaults.DEFAULTS}, "what is missing is made"


SPOILT = [
    ("UPDATE django_celery_beat_crontabschedule SET minute = '77'", "its crontab cannot be used"),
    ("UPDATE django_celery_beat_crontabschedule SET minute = 'x y'", "its crontab cannot be used"),
    ("UPDATE django_celery_beat_crontabschedule SET day_of_month = '30', month_of_year = '2'", "never occurs"),
    ("UPDATE django_celery_beat_crontabschedule SET timezone = 'Nowhere/Land'", "Nowhere/Land"),
    ("UPDATE django_celery_beat_periodictask SET args = 'x' WHERE name = 'retention'", "its args are no JSON array"),
    ("UPDATE django_celery_beat_periodictask SET headers = '[' WHERE name = 'retention'", "its headers are no JSON object"),
    ("UPDATE django_celery_beat_periodictask SET crontab_id = NULL WHERE name = 'retention'", "cannot be used"),
]


@pytest.mark.parametrize(("statement", "said"), SPOILT)
@pytest.mark.parametrize("is_running", [False, True])
def test_a_row_that_is_spoilt_by_hand_is_said_once_and_stops_nobody_else(
    sent: Sent, clock: Any, caplog: pytest.LogCaptureFixture, statement: str, said: str, is_running: bool
) -> None:
    defaults.install(changes.ZoneInfo("UTC"))
    the_beat = Beat(app)
    if is_running:
        the_beat.tick()
        clock.shift(1)
    PeriodicTask.objects.exclude(name="retention").filter(crontab__isnull=False).delete()
    with connection.cursor() as cursor:
        cursor.execute(statement)
    changes.PeriodicTasks.update_changed()
    pass_time(clock, timedelta(minutes=12), the_beat)
    (line,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert (line.message, line.entry) == ("left out of the schedule until it is mended", "retention")
    assert said in line.cause
    assert sent.counts()["tasks.presence.check"] in (23, 24)
    assert PeriodicTask._base_manager.get(name="retention").enabled, "nobody has disabled it"


def test_an_interval_of_nothing_is_left_out(sent: Sent, clock: Any, caplog: pytest.LogCaptureFixture) -> None:
    defaults.install(changes.ZoneInfo("UTC"))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_celery_beat_intervalschedule SET every = 0 WHERE every = 5")
    pass_time(clock, timedelta(minutes=1, seconds=5), Beat(app))
    assert "tasks.files.sweep" not in sent.counts()
    assert sent.counts()["tasks.presence.check"] == 2
    causes = [record.cause for record in caplog.records if record.levelno >= logging.WARNING]
    assert causes == ["its interval is shorter than a second"]


def test_a_broker_that_is_away_loses_no_time_of_the_night(sent: Sent, clock: Any, caplog: pytest.LogCaptureFixture) -> None:
    defaults.install(changes.ZoneInfo("UTC"))
    only("retention")
    the_beat = Beat(app)
    clock.shift(timedelta(hours=2, minutes=29))
    sent.fault = OperationalError("refused")
    pass_time(clock, timedelta(minutes=11), the_beat)
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == [
        "what is due is not asked for, the broker does not take it"
    ]
    assert sent.tries == 10 * 60 / LOOK_SECONDS
    assert PeriodicTask.objects.get(name="retention").total_run_count == 0
    sent.fault = None
    pass_time(clock, timedelta(minutes=1), the_beat)
    assert sent.times(RETENTION_TASK) == ["28 02:40"]


def test_a_row_that_makes_no_task_is_its_own_fault(
    sent: Sent, clock: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults.install(changes.ZoneInfo("UTC"))
    PeriodicTask.objects.filter(name="presence").update(queue="nowhere")
    real = sent.send

    def send(task: str, *args: Any, queue: str | None = None, **options: Any) -> None:
        if queue is not None:
            raise KeyError(queue)
        real(task, *args, **options)

    monkeypatch.setattr(app, "send_task", send)
    pass_time(clock, timedelta(seconds=61), Beat(app))
    assert {record.message for record in caplog.records if record.levelno >= logging.WARNING} == {
        "not asked for, its row does not make a task"
    }
    assert sent.counts()["tasks.media.sweep"] == 2


def test_a_database_that_does_not_answer_is_a_line_and_beat_goes_on(
    sent: Sent, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    the_beat = Beat(app)
    pass_time(clock, timedelta(seconds=6), the_beat)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE django_celery_beat_periodictask RENAME TO gone")
    sent.tasks.clear()
    pass_time(clock, timedelta(seconds=60), the_beat)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE gone RENAME TO django_celery_beat_periodictask")
    assert sent.tasks == []
    pass_time(clock, timedelta(seconds=11), the_beat)
    assert sent.counts()["tasks.files.sweep"] >= 2
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == [
        "the schedule cannot be read, the database does not answer"
    ]


def start(start_child: Callable[..., Child], name: str, **urls: str) -> Child:
    options = ("--concurrency", "1", "--without-mingle", "--without-gossip") if name == "worker" else ()
    return start_child("-m", "celery", "-A", "tests.tasks.schedule.counting", name, *options, name=name, **urls)


def test_two_real_ones_beside_each_other_have_each_time_worked_on_once(
    start_child: Callable[..., Child], database_url: str, redis_url: str, broker_url: str
) -> None:
    urls = {"IOTGW_DATABASE_URL": database_url, "IOTGW_REDIS_URL": redis_url, "IOTGW_BROKER_URL": broker_url}
    defaults.install(changes.ZoneInfo("UTC"))
    PeriodicTask.objects.all().update(enabled=False)
    defaults_row = defaults.schedule_fields(1, changes.ZoneInfo("UTC"))
    PeriodicTask.objects.create(name="count", task="tests.count", **defaults_row)
    beats = [start(start_child, "beat", **urls) for _ in range(2)]
    worker = start(start_child, "worker", **urls)
    with Redis.from_url(redis_url, decode_responses=True) as client:
        worker.wait_until(lambda: client.llen("counted") >= 8, "the task has run")
        killed, left = beats
        killed.kill()
        at_kill = client.llen("counted")
        left.wait_until(lambda: client.llen("counted") >= at_kill + 4, "the other one goes on")
        assert left.stop() == 0
        runs = PeriodicTask.objects.get(name="count").total_run_count
        # The one that was killed may have claimed a time and not asked for it any more.
        worker.wait_until(lambda: client.llen("counted") >= runs - 1, "all are worked on")
        assert worker.stop() == 0
        times = [float(at) for at in client.lrange("counted", 0, -1)]
    assert runs - 1 <= len(times) <= runs
    assert "Traceback" not in left.output() + worker.output()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_real_one_goes_on_when_its_broker_comes_back(
    start_child: Callable[..., Child], database_url: str, redis_url: str, redis_broker_url: str, redis_server: RedisServer
) -> None:
    urls = {"IOTGW_DATABASE_URL": database_url, "IOTGW_REDIS_URL": redis_url, "IOTGW_BROKER_URL": redis_broker_url}
    defaults.install(changes.ZoneInfo("UTC"))
    PeriodicTask.objects.all().update(enabled=False)
    PeriodicTask.objects.create(name="count", task="tests.count", **defaults.schedule_fields(1, changes.ZoneInfo("UTC")))
    the_beat = start(start_child, "beat", **urls)

    def count() -> int:
        return PeriodicTask.objects.get(name="count").total_run_count

    the_beat.wait_until(lambda: count() >= 2, "it asks")
    redis_server.stop()
    the_beat.wait_until(lambda: "the broker does not take it" in the_beat.output(), "it says so")
    before = count()
    redis_server.start()
    the_beat.wait_until(lambda: count() >= before + 2, "it asks again")
    with Redis.from_url(redis_broker_url) as client:
        assert client.llen("default") >= 2
    assert the_beat.stop() == 0
    assert "the schedule goes on" in the_beat.output()
    assert "Traceback" not in the_beat.output()
