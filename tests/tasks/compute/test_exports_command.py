"""The command by which an operator has files made of what is stored."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from store import devices, groups
from store.exports.folder import ExportFolder
from store.models import AuditEntry, BackgroundState, Export
from tasks.management import background_command
from tasks.management.commands import exports as command
from tests.store.exports.making import ME, ROOM, finish, store
from tests.tasks.fakes import FAKE

pytestmark = pytest.mark.usefixtures("database_url")


@pytest.fixture
def folder(tmp_path: Path) -> ExportFolder:
    return ExportFolder(tmp_path, ROOM)


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch, folder: ExportFolder) -> list[Any]:
    """Steps that were asked for, instead of a broker that takes them."""
    asked: list[Any] = []
    monkeypatch.setattr(command, "registered", lambda options: {"fake": FAKE})
    monkeypatch.setattr(command, "send", lambda *step: asked.append(step) or True)
    monkeypatch.setattr(command, "folder", lambda: folder)
    return asked


def run(*words: str) -> str:
    out = StringIO()
    call_command("exports", *words, stdout=out)
    return out.getvalue()


def test_it_is_started_shown_and_cancelled(asked: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert "Nothing was exported yet" in run("list")
    store("1", "2", "3", "4")
    groups.ensure(["North/Plant"], ME)
    for identity in "1234":
        devices.move("fake", identity, "North/Plant", ME)
    period = ("--from", "2026-03-01", "--to", "2026-03-02T00:00+08:00", "--timezone", "Asia/Shanghai")
    named = [word for identity in "1234" for word in ("--device", identity)]
    scope = ("--group", "North", "--protocol", "fake", "--kind", "location", "--channel", "level_m")
    out = run("start", "reports", *period, *named, *scope)
    row = Export.objects.get()
    assert out == f"started export {row.id} (reports), 12 rows: follow it with exports show {row.id} --follow\n"
    assert asked == [(row.id, 0, row.task_id)]
    assert (row.since, row.until) == (datetime(2026, 2, 28, 16, tzinfo=UTC), datetime(2026, 3, 1, 16, tzinfo=UTC))
    assert (row.kinds, row.channels, row.timezone) == (["location"], [["level_m", "m"]], "Asia/Shanghai")
    shown = run("show", str(row.id)).splitlines()
    assert shown[0] == (
        f"export {row.id} (reports): fake, North, 1, 2, 3 and 1 more, 2026-03-01T00:00:00+08:00 to 2026-03-02T00:00:00+08:00"
    )
    assert shown[1:] == ["waiting, 0 %", f"0 of 12 rows written, 0 bytes; task {row.task_id}"]
    assert run("cancel", str(row.id)) == f"cancelled export {row.id} (reports); nothing of it is kept\n"
    assert asked[1:] == [(row.id, 0, row.task_id)]
    (listed,) = json.loads(run("list", "--json"))
    assert (listed["number"], listed["state"], listed["progress"], listed["expected"]) == (row.id, "cancelled", "0 %", 12)
    run("list")
    assert "cancelled" in capsys.readouterr().out
    with pytest.raises(CommandError, match="is cancelled already"):
        run("cancel", str(row.id))


def test_its_file_is_fetched_and_that_is_in_the_audit(folder: ExportFolder, tmp_path: Path) -> None:
    store("1")
    run("start", "reports")
    row, copy = finish(Export.objects.get(), folder), tmp_path / "copy.csv"
    assert run("fetch", str(row.id), str(copy)) == f"3 rows, {row.bytes:,} bytes\n"
    path = Path(run("path", str(row.id)).strip())
    assert path.read_bytes() == copy.read_bytes()
    assert (row.token in path.name, len(row.token), row.token in run("show", str(row.id)) + run("list", "--json")) == (
        True,
        43,
        False,
    )
    assert AuditEntry.objects.order_by("-id").values_list("action", "after")[0] == (
        "export.fetch", {"rows": 3, "sha256": row.sha256},
    )  # fmt: skip
    with pytest.raises(CommandError, match="is there already: give another name"):
        run("fetch", str(row.id), str(copy))
    path.write_bytes(b"something else")
    with pytest.raises(CommandError, match="is not what was written"):
        run("fetch", str(row.id), str(tmp_path / "other.csv"))
    path.unlink()
    with pytest.raises(CommandError, match="go to a host that has the workers' media_folder"):
        run("path", str(row.id))
    assert AuditEntry.objects.filter(action="export.fetch").count() == 1


def test_it_is_followed_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    run("start", "days", "--format", "xlsx")
    row = Export.objects.get()

    def pass_time(seconds: float) -> None:
        Export.objects.update(state=BackgroundState.FAILED, error="the disk is full")

    monkeypatch.setattr(background_command.time, "sleep", pass_time)
    assert "failed, 0 %: the disk is full" in run("show", str(row.id), "--follow")
    assert json.loads(run("show", str(row.id), "--json"))["task"] == str(row.task_id)
    with pytest.raises(CommandError, match="is failed: there is no file of it"):
        run("fetch", str(row.id), "x")


def test_a_broker_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "send", lambda *step: False)
    assert "The broker is away: it begins when workers have it again." in run("start", "events")


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["start", "reports", "--protocol", "none"], "there is no protocol none: use one of fake"),
        (["start", "reports", "--device", "9"], "there is no device 9: list them with devices"),
        (["start", "reports", "--from", "2026-03-02", "--to", "2026-03-01"], "it begins when it has ended"),
        (["start", "reports", "--from", "yesterday"], "invalid time such as"),
        (["start", "reports", "--from", "0001-01-01", "--timezone", "Asia/Shanghai"], "is out of range"),
        (["start", "reports", "--timezone", "Mars"], "invalid time zone such as"),
        (["start", "reports", "--timezone", "../../etc/passwd"], "invalid time zone such as"),
        (["start", "reports", "--format", "pdf"], "invalid choice"),
        (["start", "secrets"], "invalid choice"),
        (["start"], "WHAT"),
        (["show", "99"], "there is no export 99: list them with exports list"),
        ([], "start | list | show | cancel | path | fetch"),
    ],
)
def test_what_cannot_be_done_is_said(words: list[str], fault: str) -> None:
    with pytest.raises(CommandError) as told:
        run(*words)
    assert fault in str(told.value)
    assert not Export.objects.exists()
