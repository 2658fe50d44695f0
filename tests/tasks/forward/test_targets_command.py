"""``iotgw targets``, with a subscriber that answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from store import audit, groups
from store.models import AuditEntry, DeadNotice, Report, Target, TargetCursor
from tests.tasks.forward.hooks import Hook, Reply
from tests.tasks.forward.targets import store
from tests.tasks.forward.test_webhook import OLDER, SECRET

pytestmark = pytest.mark.usefixtures("database_url")
ANA = audit.Actor("ana")


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    yield hook
    hook.close()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n{OLDER}\n")
    return path


def run(*words: str, capsys: pytest.CaptureFixture[str] | None = None) -> str:
    out = StringIO()
    call_command("targets", *words, stdout=out)
    return out.getvalue() + (capsys.readouterr().out if capsys else "")


def read(*words: str) -> Any:
    return json.loads(run(*words, "--json"))


def add(hook: Hook, secret: Path, *words: str) -> None:
    run("add", "hub", "webhook", hook.url, "--set", f"secret_file={secret}", *words)


def test_a_target_s_life(hook: Hook, secret: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ana")
    assert "There are no targets yet" in run()
    add(hook, secret, "--source", "reports", "--set", "total_seconds=9")
    store(4)
    (row,) = read("list")
    assert (row["state"], row["behind"], row["sources"], row["options"]["total_seconds"]) == ("nobody sends", 4, ["reports"], 9)
    run("change", "hub", "--set", "total_seconds=", "--set", "batch_notices=7", "--source", "events", "--source", "reports")
    row = read("show", "hub")
    assert row["options"] == {"secret_file": str(secret), "batch_notices": 7}
    assert [(source["source"], source["behind"]) for source in row["sources"]] == [("events", 0), ("reports", 4)]
    run("pause", "hub", "--reason", "being moved")
    assert "paused: being moved" in run("show", "hub", capsys=capsys)
    run("resume", "hub")
    run("delete", "hub")
    assert not TargetCursor.objects.exists()
    told = [(entry.action, entry.actor, entry.note) for entry in AuditEntry.objects.order_by("pk")]
    assert told == [
        ("target.add", "cli:ana", ""),
        ("target.change", "cli:ana", ""),
        ("target.pause", "cli:ana", "being moved"),
        ("target.resume", "cli:ana", ""),
        ("target.delete", "cli:ana", ""),
    ]


def test_no_secret_is_kept_or_shown(hook: Hook, secret: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(hook, secret)
    run("test", "hub")
    shown = run(capsys=capsys) + run("show", "hub", capsys=capsys) + json.dumps(read("show", "hub"))
    kept = json.dumps(
        [Target.objects.values("options", "wanted", "address")[0], list(AuditEntry.objects.values("before", "after"))]
    )
    assert str(secret) in shown
    for part in (SECRET.removeprefix("whsec_"), OLDER.removeprefix("whsec_")):
        assert part not in shown + kept


def test_filters_are_by_name_and_replaced_one_by_one(hook: Hook, secret: Path) -> None:
    groups.ensure(["North/Plant"], ANA)
    add(hook, secret, "--group", "North/Plant", "--tag", "Cold", "--protocol", "jt808", "--channel", "speed_kmh")
    groups.rename("North/Plant", "Works", ANA)
    wanted = {"protocols": ["jt808"], "groups": ["North/Works"], "tags": ["cold"], "channels": ["speed_kmh"]}
    assert read("show", "hub")["wanted"] == wanted
    run("change", "hub", "--tag", "hot", "--kind", "location")
    assert read("show", "hub")["wanted"] == wanted | {"tags": ["hot"], "kinds": ["location"]}
    run("change", "hub", "--everything", "--protocol", "gt06")
    assert read("show", "hub")["wanted"] == {"protocols": ["gt06"]}


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["add", "hub", "pigeon", "x"], "there is no kind of target 'pigeon': use one of mqtt, webhook"),
        (["add", "hub", "webhook", "https://example.com"], "webhook: give secret_file or secret_variable"),
        (["add", "hub", "webhook", "https://example.com", "--set", "secret_file"], "give an option and its value"),
        (["add", "hub", "webhook", "https://example.com", "--set", "colour=red"], "colour: there is no such option"),
        (["add", "hub", "mqtt", "mqtt://example.com", "--group", "Nowhere"], "there is no group Nowhere"),
        (["add", "hub", "mqtt", "mqtt://example.com", "--tag", "a b"], "is no tag"),
        (["add", "a b", "mqtt", "mqtt://example.com"], "'a b' is no name"),
        (["show", "hub"], "there is no target hub: list them with targets list"),
        (["pause", "hub"], "there is no target hub"),
        (["replay", "hub", "--all"], "there is no target hub"),
    ],
)
def test_what_cannot_be_done_is_said(words: list[str], fault: str) -> None:
    with pytest.raises(CommandError, match=fault):
        run(*words)
    assert not Target.objects.exists()


def test_a_notice_that_is_made_up_says_what_comes_back(hook: Hook, secret: Path) -> None:
    add(hook, secret)
    assert run("test", "hub").startswith("taken, in ")
    assert hook.ids() == ["test"]
    hook.reply = Reply(401, body=b"who are you")
    with pytest.raises(CommandError, match="not taken: answered 401: who are you"):
        run("test", "hub")
    secret.unlink()
    with pytest.raises(CommandError, match="secret cannot be read"):
        run("test", "hub")


def test_dead_notices_are_sent_again_or_thrown_away(hook: Hook, secret: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(hook, secret)
    store(5)
    target = Target.objects.get()
    for row in range(1, 6):
        DeadNotice.objects.create(target=target, source="reports", row_id=row, reason="answered 422: \x1b[31m", tries=3)
    assert "\x1b[31m" not in run("dead", "hub", capsys=capsys)
    numbers = {row["row"]: str(row["id"]) for row in read("dead", "hub")}
    Report.objects.filter(pk=2).delete()
    hook.reply = lambda request, connection: Reply(422 if "reports-3" in request.ids else 200)
    said = run("replay", "hub", "--all")
    assert "3 of 5 taken" in said
    assert "1 refused again, the last since it answered 422" in said
    assert "1 are of rows that were deleted for their age" in said
    assert sorted(DeadNotice.objects.values_list("row_id", flat=True)) == [2, 3]
    assert hook.ids() == ["reports-1", "reports-3", "reports-4", "reports-5"]
    assert json.loads(hook.requests[0].body)[0]["values"] == {"speed_kmh": 1.5}
    assert "discarded 1" in run("discard", "hub", "--id", numbers[2])
    hook.reply = Reply(503)
    with pytest.raises(CommandError, match="0 taken, then not: answered 503"):
        run("replay", "hub", "--id", numbers[3])
    with pytest.raises(CommandError, match=f"has no dead notice {numbers[1]}"):
        run("replay", "hub", "--id", numbers[1])
    assert "discarded 1" in run("discard", "hub", "--all")
    told = [(entry.action, entry.before) for entry in AuditEntry.objects.order_by("pk") if entry.action != "target.add"]
    assert told == [("target.replay", {"dead": 3}), ("target.discard", {"dead": 1}), ("target.discard", {"dead": 1})]


def test_the_notice_that_is_next_can_be_put_aside(hook: Hook, secret: Path) -> None:
    store(2)
    add(hook, secret, "--from", "2026-03-01", "--protocol", "other")
    store(3, identity="8", protocol="other")
    TargetCursor.objects.filter(source="reports").update(failures=9, last_error="answered 500")
    before = Target.objects.get().revision
    assert "put aside reports 3" in run("skip", "hub", "--source", "reports")
    assert "put aside reports 4" in run("skip", "hub", "--source", "reports")
    dead = DeadNotice.objects.order_by("pk")[0]
    assert (dead.row_id, dead.tries, dead.reason.endswith(": answered 500")) == (3, 9, True)
    assert TargetCursor.objects.get(source="reports").last_id == 4
    assert Target.objects.get().revision == before + 2, "whoever sends begins anew behind it"
    with pytest.raises(CommandError, match="has all of media"):
        run("skip", "hub", "--source", "media")
    assert AuditEntry.objects.filter(action="target.skip").count() == 2


def test_what_a_subscriber_says_cannot_command_the_terminal(hook: Hook, secret: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(hook, secret)
    TargetCursor.objects.filter(source="reports").update(last_error="\x1b[2J", failures=1)
    assert "\x1b" not in run(capsys=capsys) + run("show", "hub", capsys=capsys)
