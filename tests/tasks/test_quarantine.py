"""The command that shows what could not be read, says whether it could be now, and takes it out of the way."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from protocols.message import Message
from protocols.report import DecodeError
from store.bulk import write
from store.models import Quarantine, QuarantineGroup
from tasks.management.commands import quarantine as command
from tests.records import NOON, anybody, incoming, minutes
from tests.tasks.fakes import BAD, BUG, FAKE, GOOD, PARTIAL

pytestmark = pytest.mark.usefixtures("database_url")


@pytest.fixture(autouse=True)
def _protocols(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "registered", lambda options: {"fake": FAKE})


def store(body: bytes, path: str, at: float = 0, protocol: str = "fake") -> None:
    error = DecodeError("value", path, "no such thing")
    write([incoming(error=error, body=body, received_at=NOON + minutes(at), protocol=protocol, sequence=int(at))], is_open=anybody)


def run(*words: str, capsys: pytest.CaptureFixture[str] | None = None) -> str:
    out = StringIO()
    call_command("quarantine", *words, stdout=out)
    return out.getvalue() + (capsys.readouterr().out if capsys else "")


def run_json(*words: str) -> Any:
    return json.loads(run("--json", *words))


def test_groups_say_whether_the_definition_of_today_reads_their_newest(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "SAMPLES", 3)
    assert "nothing" in run("--groups")
    for at in range(3):
        store(GOOD + b"%d" % at, "items[1].length", at)
    store(BAD, "items[0].length", 3)
    store(BUG, "other", 4)
    store(PARTIAL, "half", 4)
    store(GOOD, "nobody", 5, protocol="gone")
    rows = run_json("--groups")
    assert [(row["path"], row["messages"], row["decode_now"]) for row in rows] == [
        ("nobody", 1, "0 of 1"),
        ("half", 1, "0 of 1"),
        ("other", 1, "0 of 1"),
        ("items[].length", 4, "2 of 3"),
    ]
    assert (rows[3]["protocol"], rows[3]["error_text"], rows[3]["first_at"], rows[3]["last_at"]) == (
        "fake", "no such thing", "2026-03-01T12:00:00+00:00", "2026-03-01T12:03:00+00:00",
    )  # fmt: skip
    table = run("--groups", capsys=capsys)
    for word in ("items[].length", "2 of 3", "12:03:00"):
        assert word in table


def test_messages_of_a_group_are_shown_and_exported_with_all_that_decoding_takes() -> None:
    store(GOOD + b"1", "x", 1)
    store(GOOD + b"2", "x", 2)
    store(BAD, "y", 3)
    group = str(QuarantineGroup.objects.get(path="x").id)
    assert [row["sequence"] for row in run_json("--group", group)] == [2, 1]
    lines = [json.loads(line) for line in run("export", group).splitlines()]
    assert [line["sequence"] for line in lines] == [2, 1]
    assert lines[0]["note"] == "x: no such thing"
    message = Message(
        *(lines[0][field] for field in ("identity", "kind_id", "sequence")),
        *(bytes.fromhex(lines[0][field]) for field in ("head", "body")),
    )
    assert message == Message("013800138000", 0x0200, 2, b"head", GOOD + b"2")
    assert len(run("export", group, "--limit", "1").splitlines()) == 1


def test_a_group_is_discarded_with_a_reason_and_says_so_when_it_comes_again() -> None:
    store(BAD, "x", 1)
    store(BAD + b"2", "y", 2)
    group = str(QuarantineGroup.objects.get(path="x").id)
    assert run("discard", group, "--reason", "test bench") == "discarded 1 message of fake location x: value\n"
    assert [bytes(row.body) for row in Quarantine.objects.all()] == [BAD + b"2"]
    assert [row["path"] for row in run_json("--groups")] == ["y"]
    store(BAD, "x", 3)
    assert [row["again"] for row in run_json("--groups")] == ["1 discarded: test bench", ""]


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["discard", "99", "--reason", "x"], "no group 99"),
        (["export", "99"], "no group 99"),
        (["--group", "99"], "no group 99"),
        (["discard", "{group}", "--reason", " \t"], "say why"),
        (["discard", "{group}"], "reason"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_lost(words: list[str], fault: str) -> None:
    store(BAD, "x")
    group = str(QuarantineGroup.objects.get().id)
    with pytest.raises(CommandError, match=fault):
        run(*(word.format(group=group) for word in words))
    assert Quarantine.objects.count() == 1
