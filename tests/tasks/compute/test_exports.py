"""Exports as workers make them, and what is told of them by a task's id."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import Ignore, Reject
from celery.result import AsyncResult
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from kombu.exceptions import OperationalError
from openpyxl import load_workbook
from redis import Redis
from redis import TimeoutError as RedisTimeoutError

from store import background
from store.models import Export, ExportFormat
from tasks import outcomes
from tasks.celery import app as workers
from tasks.compute import exports
from tasks.contract import COMPUTE_QUEUE, celery_configuration
from tasks.management.commands import result
from tasks.outcomes import outcome_configuration
from tests.records import minutes
from tests.servers import Child
from tests.store.exports.making import ME, left, lines, start, store
from tests.tasks.compute.beating import start_beat

ROWS = 500


@pytest.fixture
def asker(redis_url: str) -> Iterator[Celery]:
    """Whoever asks for results, and sends nothing."""
    app = Celery("asker", fixups=[], set_as_current=False)
    app.conf.update(celery_configuration("memory://"), **outcome_configuration(redis_url))
    yield app
    app.backend.client.close()
    app.close()


@pytest.fixture
def run_worker(
    start_child: Callable[..., Child], database_url: str, redis_url: str, broker_url: str, tmp_path: Path
) -> Callable[..., Child]:
    words = ("-m", "celery", "-A", "tests.tasks.compute.exporting", "worker", "-Q", COMPUTE_QUEUE)
    options = ("--concurrency", "1", "--without-mingle", "--without-gossip")
    urls = {"IOTGW_DATABASE_URL": database_url, "IOTGW_REDIS_URL": redis_url, "IOTGW_BROKER_URL": broker_url}
    fixed = {"IOTGW_MEDIA_FOLDER": str(tmp_path / "media"), "IOTGW_MEDIA_SPARE_BYTES": "0"}
    start_beat(start_child, "exports", urls)
    return lambda **more: start_child(*words, *options, name="worker", **(urls | fixed | more))


def ended(row: Export) -> bool:
    row.refresh_from_db()
    return not row.is_open


@pytest.mark.parametrize("format", ExportFormat.values)
def test_its_progress_and_its_result_are_told_by_its_task_s_id(
    format: str, run_worker: Callable[..., Child], asker: Celery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "settings", exports.settings.model_copy(update={"media_folder": tmp_path / "media"}))
    store("1", "2", reports=ROWS)
    row = start(format=ExportFormat(format))
    asked: AsyncResult[Any] = AsyncResult(str(row.task_id), app=asker)
    assert asked.state == "PENDING"
    with asker.backend.client.pubsub() as words:
        words.subscribe(asker.backend.get_key_for_task(row.task_id))
        assert words.get_message(timeout=10)["type"] == "subscribe"
        running = run_worker()
        running.wait_until(lambda: asked.state == "SUCCESS", "the export is told to be done")
        told = []
        while word := words.get_message(timeout=1):
            told.append(asker.backend.decode_result(word["data"]))
    assert ended(row)
    assert [word["status"] for word in told] == ["PROGRESS"] * (len(told) - 1) + ["SUCCESS"]
    assert {word["result"]["expected"] for word in told[:-1]} == {2 * ROWS}
    percents = [word["result"]["percent"] for word in told[:-1]]
    assert percents == sorted(percents)
    assert len(set(percents)) > 2
    assert asked.result == {"export": row.id, "rows": 2 * ROWS, "bytes": row.bytes, "sha256": row.sha256, "name": row.name}
    if format == "csv":
        assert len(lines(row, exports.folder())) == 2 * ROWS + 1
    else:
        assert load_workbook(exports.folder().finished(row.token, format), read_only=True).active.max_row == 2 * ROWS + 1
    assert left(tmp_path / "media") == [f"{row.token}.{format}"]
    assert running.stop() == 0


def test_a_worker_that_is_killed_in_the_middle_costs_a_step_and_the_file_is_right(
    run_worker: Callable[..., Child], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "settings", exports.settings.model_copy(update={"media_folder": tmp_path / "media"}))
    store("1", "2", reports=ROWS)
    row, running = start(), run_worker()
    running.wait_until(lambda: row.refresh_from_db() or row.steps > 2, "some steps are done")
    running.kill()
    row.refresh_from_db()
    assert row.is_open
    running = run_worker()
    running.wait_until(lambda: ended(row), "the export ends")
    assert (row.state, row.done) == ("done", 2 * ROWS)
    cells = lines(row, exports.folder())[1:]
    assert [(each[0], float(each[-1])) for each in cells] == [(device, float(n)) for device in "12" for n in range(ROWS)]
    assert running.stop() == 0


def test_one_that_is_cancelled_stops_and_leaves_nothing(run_worker: Callable[..., Child], asker: Celery, tmp_path: Path) -> None:
    store("1", "2", reports=ROWS)
    row, running = start(), run_worker()
    running.wait_until(lambda: row.refresh_from_db() or row.steps > 2, "some steps are done")
    assert background.cancel(Export, row.id, datetime.now(UTC), ME, "export.cancel")
    running.wait_until(lambda: left(tmp_path / "media") == [], "nothing is left of it", 5.0)
    running.wait_until(lambda: AsyncResult(str(row.task_id), app=asker).state == "REVOKED", "its task is told to be revoked")
    assert running.stop() == 0


def test_one_that_fails_is_told_with_its_traceback(
    run_worker: Callable[..., Child], asker: Celery, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result, "app", asker)
    store("1")
    row = start()
    running = run_worker(IOTGW_MEDIA_SPARE_BYTES=f"{1 << 49}")
    asked: AsyncResult[Any] = AsyncResult(str(row.task_id), app=asker)
    running.wait_until(lambda: asked.state == "FAILURE", "it is told that it has failed")
    assert ended(row)
    assert "the disk has less than media_spare_bytes left" in row.error
    shown = show(str(row.task_id))
    assert (shown["state"], shown["error"]) == ("FAILURE", row.error)
    assert "check_disk" in shown["traceback"]
    assert show(str(row.task_id), is_json=False)["text"].startswith("FAILURE\n  error: the disk has less")
    assert left(tmp_path / "media") == []
    assert "export failed: the disk has less" in running.output()
    assert running.stop() == 0


def test_only_exports_keep_what_comes_of_them_and_gateways_keep_nothing(redis_url: str) -> None:
    kept = {name for name, task in workers.tasks.items() if name.startswith("tasks.") and not task.ignore_result}
    assert kept == {exports.write_some.name}
    assert celery_configuration("memory://")["result_backend"] is None


def show(id: str, is_json: bool = True) -> Any:
    out = StringIO()
    call_command("result", id, *["--json"] * is_json, stdout=out)
    return json.loads(out.getvalue()) if is_json else {"text": out.getvalue()}


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, asker: Celery, tmp_path: Path) -> list[tuple[int, int]]:
    """No broker, and the steps that were asked for; outcomes go to Redis."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(exports.write_some, "apply_async", lambda words, **options: sent.append(words))
    monkeypatch.setattr(exports, "settings", exports.settings.model_copy(update={"media_folder": tmp_path, "media_spare_bytes": 0}))
    monkeypatch.setattr(exports.write_some, "_backend", asker.backend)
    monkeypatch.setattr(result, "app", asker)
    return sent


@pytest.mark.usefixtures("database_url")
def test_progress_is_in_the_database_when_redis_has_forgotten_it(
    quiet: list[tuple[int, int]], redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store("1")
    row = start()
    monkeypatch.setattr(exports.work, "STEP_SECONDS", 0.0)
    monkeypatch.setattr("store.exports.reading.ROWS_A_PAGE", 2)
    assert show(str(row.task_id))["state"] == "waiting"
    with pytest.raises(Ignore):
        exports.write_some(row.id, 0)
    told = {"export": row.id, "rows": 2, "expected": 3, "percent": 66.7}
    assert (show(str(row.task_id))["state"], show(str(row.task_id))["progress"]) == ("PROGRESS", told)
    assert show(str(row.task_id), is_json=False)["text"].startswith("PROGRESS\n  export: ")
    Export.objects.update(state="cancelled")
    assert show(str(row.task_id))["state"] == "cancelled", "Redis has missed the end"
    Export.objects.update(state="running")
    with Redis.from_url(redis_url) as client:
        client.flushdb()
    assert (show(str(row.task_id))["state"], show(str(row.task_id))["progress"]) == ("running", told)
    assert quiet == [(row.id, 1)]
    with pytest.raises(CommandError, match="nothing is known of a task x"):
        show("x")


@pytest.mark.usefixtures("database_url")
def test_a_redis_that_is_away_costs_a_line_in_the_log_and_no_export(
    quiet: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    nobody = Celery("nobody", fixups=[], set_as_current=False)
    nobody.conf.update(celery_configuration("memory://"), **outcome_configuration("redis://127.0.0.1:1/0"))
    monkeypatch.setattr(exports.write_some, "_backend", nobody.backend)
    monkeypatch.setattr(result, "app", nobody)
    store("1")
    row = start()
    with pytest.raises(Ignore):
        exports.write_some(row.id, 0)
    assert exports.write_some(row.id, 1)["rows"] == 3
    assert [record.message for record in caplog.records] == ["an outcome is not kept, Redis is away"]
    with pytest.raises(CommandError, match="Redis does not answer"):
        show(str(row.task_id))
    nobody.close()


def test_a_redis_that_did_not_answer_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch, asker: Celery) -> None:
    tries: list[str] = []

    def hang(self: Any, id: str, *_: Any, **__: Any) -> None:
        tries.append(id)
        raise RedisTimeoutError

    monkeypatch.setattr(outcomes.RedisBackend, "store_result", hang)
    for id in ("1", "2"):
        asker.backend.store_result(id, {}, exports.PROGRESS)
    monkeypatch.setattr(asker.backend, "_away_until", 0.0)
    asker.backend.store_result("3", {}, exports.PROGRESS)
    assert tries == ["1", "3"]


@pytest.mark.usefixtures("database_url")
def test_what_nobody_is_at_is_asked_for_again(quiet: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    store("1")
    first, second = start(), start()
    monkeypatch.setattr(exports.work, "STEP_SECONDS", 0.0)
    with pytest.raises(Ignore):
        exports.write_some(second.id, 0)
    quiet.clear()
    exports.sweep()
    assert quiet == [(first.id, 0)]
    monkeypatch.setattr(exports, "SILENCE", minutes(0))
    exports.sweep()
    assert quiet[1:] == [(first.id, 0), (second.id, 1)]


def test_a_database_that_does_not_answer_is_a_line_in_the_log(
    database_url: str, quiet: list[tuple[int, int]], caplog: pytest.LogCaptureFixture
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE store_export")
    with pytest.raises(Ignore):
        exports.write_some(1, 0)
    exports.sweep()
    assert [record.message for record in caplog.records] == [
        "export put off, the database does not answer as it should",
        "exports not looked after, will try again",
    ]


def test_a_broker_that_is_away_costs_a_pause(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise OperationalError("refused")

    monkeypatch.setattr(exports.write_some, "apply_async", away)
    assert not exports.send(1, 0, "00000000-0000-0000-0000-000000000000")
    assert [record.message for record in caplog.records] == ["an export's step not asked for, a sweep will find it"]


@pytest.mark.parametrize("words", [("1", 0), (1, None), (0, 0), (1, -1), (1 << 63, 0), (True, 0)])
def test_what_is_no_step_is_a_dead_letter(words: tuple[Any, Any]) -> None:
    with pytest.raises(Reject):
        exports.write_some(*words)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("redis://:secret@host:6379/3", {"host": "host", "port": 6379, "db": 3, "password": "secret"}),
        ("unix:///run/redis.sock?db=2", {"path": "/run/redis.sock", "db": 2}),
    ],
)
def test_outcomes_are_kept_where_redis_url_leads(given: str, wanted: dict[str, Any]) -> None:
    app = Celery("asker", fixups=[], set_as_current=False)
    app.conf.update(celery_configuration("memory://"), **outcome_configuration(given))
    assert isinstance(app.backend, outcomes.Outcomes)
    assert wanted.items() <= app.backend.connparams.items()
    app.backend.on_task_call(None, "1")
    assert app.backend.result_consumer._pubsub is None, "whoever sends a task waits for no outcome"
    app.close()
