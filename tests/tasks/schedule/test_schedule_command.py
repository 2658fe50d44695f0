"""``iotgw schedule``, as an operator uses it."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django_celery_beat.models import PeriodicTask
from kombu.exceptions import OperationalError

from store.models import AuditEntry
from tasks.celery import app
from tasks.contract import RETENTION_TASK
from tasks.schedule.defaults import DEFAULTS

pytestmark = pytest.mark.usefixtures("database_url")


def run(*words: str) -> str:
    out = StringIO()
    call_command("schedule", *words, stdout=out, stderr=out)
    return out.getvalue()


def listed() -> dict[str, dict[str, Any]]:
    return {line["name"]: line for line in json.loads(run("list", "--json"))}


def test_all_of_it_is_listed_before_any_beat_ran() -> None:
    found = listed()
    assert set(found) == {default.name for default in DEFAULTS}
    assert (found["files"]["when"], found["retention"]["when"]) == ("every 5 s", "30 2 * * * UTC")
    assert found["retention"]["next_run"][11:16] == "02:30"
    assert found["files"]["last_run"] is None


def test_what_is_changed_is_told_in_the_audit() -> None:
    run()
    assert run("set", "retention", "--crontab", "0 3 * * mon-fri", "--timezone", "Asia/Shanghai") == (
        "retention runs: 0 3 * * mon-fri Asia/Shanghai\n"
    )
    assert run("set", "presence", "--every", "60") == "presence runs: every 60 s\n"
    assert run("disable", "files") == "files is disabled\n"
    assert run("disable", "files") == "files is already disabled\n"
    found = listed()
    assert found["retention"]["next_run"][11:16] == "19:00"
    assert (found["files"]["enabled"], found["files"]["next_run"]) == (False, None)
    assert run("enable", "files") == "files is enabled\n"
    told = [(entry.action, entry.subject, entry.before, entry.after) for entry in AuditEntry.objects.order_by("id")]
    assert told == [
        ("schedule.set", "retention", {"when": "30 2 * * * UTC"}, {"when": "0 3 * * mon-fri Asia/Shanghai"}),
        ("schedule.set", "presence", {"when": "every 30 s"}, {"when": "every 60 s"}),
        ("schedule.disable", "files", {"enabled": True}, {"enabled": False}),
        ("schedule.enable", "files", {"enabled": False}, {"enabled": True}),
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("set", "nightly", "--every", "60"), "there is nothing called 'nightly' in the schedule: it has "),
        (("set", "retention", "--crontab", "61 2 * * *"), "the minute '61' cannot be read: it takes 0 to 59"),
        (("set", "retention", "--crontab", "0 2 30 2 *"), "never occurs"),
        (("set", "retention", "--crontab", "0 2 * * *", "--timezone", "../etc"), "there is no time zone '../etc'"),
        (("set", "retention", "--every", "60", "--timezone", "UTC"), "--timezone goes with --crontab"),
        (("set", "retention", "--every", "0"), "invalid number of seconds from 1 to 2678400 value"),
        (("run", "nightly"), "there is nothing called 'nightly'"),
    ],
)
def test_what_cannot_be_is_said_and_changes_nothing(words: tuple[str, ...], said: str) -> None:
    before = listed()
    with pytest.raises(CommandError) as raised:
        run(*words)
    assert said in str(raised.value)
    assert {name: line["when"] for name, line in listed().items()} == {name: line["when"] for name, line in before.items()}
    assert not AuditEntry.objects.exists()


def test_a_row_that_is_spoilt_is_told_and_can_be_disabled_and_mended() -> None:
    run()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_celery_beat_crontabschedule SET timezone = 'Nowhere/Land'")
    assert "retention does not run, what it says of its times cannot be used" in run()
    assert listed()["files"]["fault"] == ""
    run("disable", "retention")
    with pytest.raises(CommandError, match="retention cannot run"):
        run("enable", "retention")
    assert run("set", "retention", "--crontab", "0 2 * * *") == "retention runs: 0 2 * * * UTC\n"
    run("enable", "retention")
    assert listed()["retention"]["fault"] == ""


def test_what_is_to_be_done_now_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(app, "send_task", lambda task, *_, **__: sent.append(task))
    run()
    assert run("run", "retention") == "retention is asked for\n"
    assert sent == [RETENTION_TASK]
    assert AuditEntry.objects.get().action == "schedule.run"
    assert PeriodicTask.objects.get(name="retention").last_run_at is None, "its own times stay"


def test_a_broker_that_is_away_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise OperationalError("refused")

    monkeypatch.setattr(app, "send_task", away)
    run()
    with pytest.raises(CommandError, match="the broker does not take it"):
        run("run", "retention")
