"""The command by which an operator has what is stored decoded again."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from store.bulk import write
from store.models import AuditEntry, BackgroundState, Redecoding
from tasks.management import background_command
from tasks.management.commands import redecode as command
from tests.records import NOON, anybody, incoming, report
from tests.tasks.fakes import FAKE

pytestmark = pytest.mark.usefixtures("database_url")


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Steps that were asked for, instead of a broker that takes them."""
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(command, "registered", lambda options: {"fake": FAKE})
    monkeypatch.setattr(command, "send", lambda *step: asked.append(step) or True)
    return asked


def run(*words: str) -> str:
    out = StringIO()
    call_command("redecode", *words, stdout=out)
    return out.getvalue()


def test_it_is_started_shown_and_cancelled(asked: list[tuple[int, int]], capsys: pytest.CaptureFixture[str]) -> None:
    assert "Nothing was decoded again yet" in run("list")
    write([incoming(report(), identity="7")], is_open=anybody)
    out = run(
        "start", "--protocol", "fake", "--device", "7", "--from", "2026-03-01", "--to", "2026-03-02", "--quarantine", "--dry-run"
    )
    row = Redecoding.objects.get()
    assert out == f"started redecoding {row.id} (fake): follow it with redecode show {row.id} --follow\n"
    assert asked == [(row.id, 0)]
    assert (row.source, row.is_dry_run, row.device and row.device.identity) == ("quarantine", True, "7")
    assert row.since is not None
    assert row.since < NOON < (row.until or NOON)
    shown = run("show", str(row.id))
    assert shown.startswith(f"redecoding {row.id} (fake): quarantine, device 7, dry run: nothing is changed\nwaiting, 0 %\n")
    assert run("cancel", str(row.id)) == f"cancelled redecoding {row.id} (fake); what it has changed stays so\n"
    (listed,) = json.loads(run("list", "--json"))
    assert (listed["number"], listed["state"], listed["device"], listed["progress"]) == (row.id, "cancelled", "7", "0 %")
    run("list")
    assert "cancelled" in capsys.readouterr().out
    assert AuditEntry.objects.filter(action__startswith="redecode.").count() == 2


def test_it_is_followed_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    run("start", "--protocol", "fake")
    row = Redecoding.objects.get()

    def pass_time(seconds: float) -> None:
        Redecoding.objects.update(state=BackgroundState.DONE, done=1_234)

    monkeypatch.setattr(background_command.time, "sleep", pass_time)
    shown = run("show", str(row.id), "--follow")
    assert "done, 100 %" in shown
    assert "1,234  looked at" in shown


def test_a_broker_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "send", lambda *step: False)
    assert "The broker is away: it begins when workers have it again." in run("start", "--protocol", "fake")


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["start", "--protocol", "none"], "there is no protocol none: use one of fake"),
        (["start", "--protocol", "fake", "--device", "9"], "there is no device fake 9: list them with devices"),
        (["start", "--protocol", "fake", "--from", "2026-03-02", "--to", "2026-03-01"], "--from is not before --to"),
        (["start", "--protocol", "fake", "--from", "yesterday"], "invalid time such as"),
        (["start", "--protocol", "fake", "--reports", "--quarantine"], "not allowed with"),
        (["start"], "--protocol"),
        (["show", "99"], "there is no redecoding 99: list them with redecode list"),
        (["cancel", "99"], "there is no redecoding 99"),
        ([], "start | list | show | cancel"),
    ],
)
def test_what_cannot_be_done_is_said(words: list[str], fault: str) -> None:
    with pytest.raises(CommandError) as told:
        run(*words)
    assert fault in str(told.value)
    assert not Redecoding.objects.exists()


def test_a_second_one_of_a_protocol_and_one_that_has_ended_are_refused() -> None:
    run("start", "--protocol", "fake")
    row = Redecoding.objects.get()
    with pytest.raises(
        CommandError, match=f"redecoding {row.id} .fake. is waiting: wait until it ends, or end it with redecode cancel"
    ):
        run("start", "--protocol", "fake")
    run("cancel", str(row.id))
    with pytest.raises(CommandError, match="is cancelled already"):
        run("cancel", str(row.id))
