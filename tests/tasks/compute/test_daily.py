"""Days summed up by tasks: as a worker calls them, and in real workers on real brokers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from celery.exceptions import Reject, SoftTimeLimitExceeded
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from kombu.exceptions import OperationalError

from settings import Settings
from store import summaries
from store.models import DaySummary, Trip
from tasks import results
from tasks.compute import daily
from tasks.contract import COMPUTE_DAY_TASK, COMPUTE_QUEUE, KEEP_UP_TASK, RESULT_QUEUE, STORE_DAY_TASK, queue_of
from tasks.management.commands import summaries as command
from tests.servers import Child
from tests.store.test_summaries import drive, stored
from tests.tasks.workers import Broker, broker_at

DAY = "2026-03-01"
ONE = timedelta(days=1)


class Sent:
    """Takes the tasks that would be sent, and runs them when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tasks: list[tuple[str, Any]] = []
        self.fault: Exception | None = None
        monkeypatch.setattr(daily.app, "send_task", self._send)
        monkeypatch.setattr(daily.keep_up, "apply_async", lambda **_: self._send(KEEP_UP_TASK, []))

    def _send(self, name: str, arguments: Any, **options: Any) -> None:
        assert options.get("retry", False) is False
        if self.fault is not None:
            raise self.fault
        self.tasks.append((name, json.loads(json.dumps(arguments))))

    def run(self) -> None:
        known = {COMPUTE_DAY_TASK: daily.sum_up_day, STORE_DAY_TASK: results.store_day, KEEP_UP_TASK: daily.keep_up}
        while self.tasks:
            name, arguments = self.tasks.pop(0)
            known[name](*arguments)

    def names(self) -> list[str]:
        return [name for name, _ in self.tasks]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    return Sent(monkeypatch)


def yesterday_at(hours: float, identity: str = "1") -> int:
    """A device that drove for an hour yesterday."""
    now = datetime.now(UTC)
    begin = now.replace(hour=0, minute=0, second=0, microsecond=0) - ONE
    moved = [point._replace(time=point.time - datetime(2026, 3, 1, tzinfo=UTC) + begin) for point in drive(hours)]
    return stored(moved, identity, now)


def test_sums_and_results_have_queues_of_their_own() -> None:
    assert (queue_of(COMPUTE_DAY_TASK), queue_of(KEEP_UP_TASK), queue_of(STORE_DAY_TASK)) == ("compute", "compute", "result")


@pytest.mark.usefixtures("database_url")
def test_yesterday_is_found_summed_up_and_stored(sent: Sent) -> None:
    device_id = yesterday_at(8)
    yesterday_at(9, "2")
    daily.keep_up()
    assert sent.names() == [COMPUTE_DAY_TASK] * 2
    sent.run()
    rows = DaySummary.objects.filter(due_at=None)
    assert rows.count() == 2
    day = rows.get(device_id=device_id)
    assert (day.report_count, round(day.distance_km), day.day) == (len(drive()), 60, datetime.now(UTC).date() - ONE)
    assert Trip.objects.count() == 2
    daily.keep_up()
    assert sent.names() == []


@pytest.mark.usefixtures("database_url")
def test_never_are_more_asked_for_than_may_be_under_way(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daily, "MOST_UNDER_WAY", 3)
    monkeypatch.setattr(daily, "DAYS_AT_ONCE", 2)
    for number in range(5):
        yesterday_at(8, str(number))
    daily.keep_up()
    assert len(sent.tasks) == 3
    daily.keep_up()
    assert len(sent.tasks) == 3
    sent.run()
    daily.keep_up()
    assert len(sent.tasks) == 2


@pytest.mark.usefixtures("database_url")
def test_what_takes_long_goes_on_in_a_turn_of_its_own(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    yesterday_at(8)
    monkeypatch.setattr(daily, "SECONDS_AT_ONCE", 0.0)
    daily.keep_up()
    assert sent.names() == [KEEP_UP_TASK]


@pytest.mark.usefixtures("database_url")
def test_while_the_broker_is_away_days_stay_due(sent: Sent, caplog: pytest.LogCaptureFixture) -> None:
    device_id = yesterday_at(8)
    sent.fault = OperationalError("refused")
    daily.keep_up()
    daily.sum_up_day(device_id, DAY)
    assert [record.message for record in caplog.records] == [
        "days not asked for, the broker is away",
        "a day's sum is not sent, the broker is away",
    ]
    sent.fault = None
    daily.keep_up()
    assert sent.names() == [COMPUTE_DAY_TASK]


@pytest.mark.usefixtures("database_url")
def test_a_database_that_does_not_answer_is_a_line_in_the_log(sent: Sent, caplog: pytest.LogCaptureFixture) -> None:
    device_id = yesterday_at(8)
    daily.sum_up_day(device_id, DAY)
    ((_, result),) = sent.tasks
    with connection.cursor() as cursor:
        for table in ("store_report", "store_trip"):
            cursor.execute(f"DROP TABLE {table}")
    daily.keep_up()
    daily.sum_up_day(device_id, DAY)
    results.store_day(*result)
    assert [record.message for record in caplog.records] == [
        "days not looked through, the database does not answer",
        "a day is not summed up, the database does not answer",
        "a day's sum is not stored, it is asked for again",
    ]
    assert not DaySummary.objects.exists()


@pytest.mark.usefixtures("sqlite_url")
def test_a_day_that_takes_too_long_is_told(sent: Sent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def endless(*_: Any) -> None:
        raise SoftTimeLimitExceeded

    monkeypatch.setattr(summaries, "sum_up", endless)
    daily.sum_up_day(1, DAY)
    (line,) = caplog.records
    assert (line.message, line.device_id, line.day) == (daily.TOO_LONG, 1, DAY)
    assert sent.tasks == []


@pytest.mark.parametrize(
    "arguments", [(0, DAY), (True, DAY), ("1", DAY), (1 << 63, DAY), (1, 5), (1, "yesterday"), (1, "1970-01-01"), (1, "9999-12-31")]
)
def test_what_is_no_device_and_day_is_a_dead_letter(arguments: tuple[Any, Any], caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Reject) as rejected:
        daily.sum_up_day(*arguments)
    assert rejected.value.requeue is False
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def changed(sums: list[Any], at: int, value: Any) -> list[Any]:
    return [*sums[:at], value, *sums[at + 1 :]]


@pytest.mark.usefixtures("database_url")
def test_what_is_no_sum_is_a_dead_letter_that_says_where(sent: Sent) -> None:
    device_id = stored(drive())
    daily.sum_up_day(device_id, DAY)
    ((_, (_, _, as_of, sums)),) = sent.tasks
    trip = sums[14][0]
    bad: list[tuple[tuple[Any, ...], str]] = [
        ((0, DAY, as_of, sums), "not a device"),
        ((device_id, "x", as_of, sums), "not a day"),
        ((device_id, "1999-01-01", as_of, sums), "not a day"),
        ((device_id, DAY, "now", sums), "not a day"),
        ((device_id, DAY, 5, sums), "not a device"),
        ((device_id, DAY, as_of, None), "sums"),
        ((device_id, DAY, as_of, sums[:-1]), "sums.16:"),
        ((device_id, DAY, as_of, changed(sums, 1, -1)), "sums.1:"),
        ((device_id, DAY, as_of, changed(sums, 4, float("nan"))), "sums.4:"),
        ((device_id, DAY, as_of, changed(sums, 2, "noon")), "sums.2:"),
        ((device_id, DAY, as_of, changed(sums, 14, [trip[:-1]])), "sums.14.0"),
        ((device_id, DAY, as_of, changed(sums, 14, [trip] * 1501)), "sums.14:"),
        ((device_id, DAY, as_of, changed(sums, 16, [["n" * 65, 1, 1, 1, 1, 1]])), "sums.16.0.0:"),
        ((device_id, DAY, as_of, changed(sums, 16, [["n", 1, 1, 1, 1, 1]] * 501)), "sums.16:"),
    ]
    for arguments, where in bad:
        with pytest.raises(Reject, match=where):
            results.store_day(*arguments)
    assert not DaySummary.objects.exists()
    results.store_day(device_id, DAY, as_of, sums)
    assert DaySummary.objects.count() == 1


@pytest.fixture
def broker(broker_url: str, redis_url: str) -> Iterator[Broker]:
    with broker_at(broker_url, redis_url) as broker:
        yield broker


@pytest.fixture
def worker(start_child: Callable[..., Child], database_url: str, redis_url: str, broker_url: str) -> Callable[[str], Child]:
    def start(queues: str) -> Child:
        words = (
            "-A",
            "tasks",
            "worker",
            "--concurrency",
            "1",
            "--without-mingle",
            "--without-gossip",
            "-n",
            f"{queues}@%h",
            "-Q",
            queues,
        )
        urls = {"IOTGW_DATABASE_URL": database_url, "IOTGW_REDIS_URL": redis_url, "IOTGW_BROKER_URL": broker_url}
        return start_child("-m", "celery", *words, name="worker", **urls)

    return start


def test_workers_of_the_two_queues_do_it_and_refuse_what_is_none(worker: Callable[[str], Child], broker: Broker) -> None:
    yesterday_at(8)
    computing, storing = worker(COMPUTE_QUEUE), worker(RESULT_QUEUE)
    broker.send(KEEP_UP_TASK)
    computing.wait_until(lambda: DaySummary.objects.filter(as_of__isnull=False).count() == 1, "the day is summed up")
    assert Trip.objects.count() == 1
    broker.send(COMPUTE_DAY_TASK, "1", DAY)
    broker.send(STORE_DAY_TASK, 1, DAY, DAY, "nothing")
    storing.wait_until(
        lambda: sorted(letter.task for letter in broker.dead()) == [COMPUTE_DAY_TASK, STORE_DAY_TASK], "dead letters"
    )
    assert (computing.stop(), storing.stop()) == (0, 0)
    assert "Traceback" not in computing.output() + storing.output()


def run(*words: str) -> str:
    out = StringIO()
    call_command("summaries", *words, stdout=out)
    return out.getvalue()


@pytest.mark.usefixtures("database_url")
def test_the_command_has_days_summed_up_and_waits(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    stored([*drive(8), *drive(32)], "1")
    stored(drive(8), "2")
    monkeypatch.setattr(command.time, "sleep", lambda _: sent.run())
    assert json.loads(run("--json", "compute", "--from", DAY, "--to", "2026-03-05")) == {"days": 3, "left": 0}
    assert DaySummary.objects.filter(as_of__isnull=False).count() == 3
    assert run("compute", "--day", DAY, "--device", "2") == "1 days of devices, 0 left to be summed up\n"
    assert run("compute", "--day", "2026-04-01") == "0 days of devices, 0 left to be summed up\n"
    assert "2 left" in run("compute", "--day", DAY, "--no-wait")
    assert len(sent.tasks) == 2


@pytest.mark.usefixtures("database_url")
def test_the_command_says_when_nobody_works(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(drive())
    monkeypatch.setattr(command, "IN_VAIN_SECONDS", 0.0)
    with pytest.raises(CommandError, match="compute and result"):
        run("compute", "--day", DAY)
    sent.fault = OperationalError("refused")
    with pytest.raises(CommandError, match="broker is away"):
        run("compute", "--day", DAY)


@pytest.mark.usefixtures("sqlite_url")
@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ([], "say which day"),
        (["--day", "today"], "day such as"),
        (["--day", "1969-12-31"], "day such as"),
        (["--from", DAY], "give both"),
        (["--day", DAY, "--from", DAY], "--day, or"),
        (["--from", DAY, "--to", "2026-02-28"], "is behind"),
        (["--from", DAY, "--to", "2028-02-28"], "more than 400"),
        (["--day", DAY, "--device", "nobody"], "no device nobody"),
    ],
)
def test_what_the_command_cannot_do_it_says(words: list[str], fault: str) -> None:
    with pytest.raises(CommandError, match=fault):
        run("compute", *words)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "/etc/passwd", "../UTC", ""])
def test_a_time_zone_is_one_that_there_is(zone: str) -> None:
    with pytest.raises(ValueError, match="IANA name"):
        Settings(day_timezone=zone)
    assert Settings(day_timezone="Asia/Shanghai").day_timezone == "Asia/Shanghai"
