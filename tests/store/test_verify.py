"""Comparing a ledger with the database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from protocols import report as reports
from protocols.report import digest
from store import ledger
from store.bulk import write
from store.models import Report
from tests.records import NOON, anybody, incoming, minutes, report

pytestmark = pytest.mark.usefixtures("database_url")


def line(body: bytes, identity: str = "1", **fields: Any) -> dict[str, Any]:
    return {"protocol": "fake", "identity": identity, "kind": "location", "digest": digest("location", body).hex()} | fields


def verify(folder: Path, lines: Sequence[dict[str, Any]], *words: str, end: str = "\n") -> tuple[list[str], int]:
    """The command's lines and exit status for a ledger of ``lines`` and an ``end`` after the last one."""
    path = folder / "ledger.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + end)
    out, status = StringIO(), 0
    try:
        call_command("verify", "--ledger", str(path), *words, stdout=out)
    except SystemExit as error:
        status = int(str(error.code))
    return out.getvalue().splitlines(), status


def store(*bodies: bytes, identity: str = "1", at: float = 0, **fields: Any) -> None:
    write([incoming(report(body, NOON + minutes(at), **fields), identity=identity) for body in bodies], is_open=anybody)


def test_all_is_well(tmp_path: Path) -> None:
    store(b"1", b"2")
    store(b"3", identity="2")
    # Acked twice because an ack was lost on its way: one report all the same.
    lines = [line(b"1"), line(b"2"), line(b"3", "2"), line(b"1")]
    assert verify(tmp_path, lines) == (["0 stored but not acked", "0 lost, 0 duplicated, 3 stored"], 0)


def test_the_lost_are_counted_and_named(tmp_path: Path) -> None:
    store(b"1", b"2")
    lines = [line(b"1"), line(b"2"), line(b"2", "2"), line(b"1", protocol="other"), line(b"1", kind="other"), line(b"3")]
    output, status = verify(tmp_path, lines)
    assert (output[-1], status) == ("4 lost, 0 duplicated, 2 stored", 1)
    assert f"lost: fake 1 location {digest('location', b'3').hex()}" in output
    assert len(output) == 4 + 2


def test_the_duplicated_are_counted_and_named(tmp_path: Path) -> None:
    store(b"1", b"2")
    store(b"1", at=1)
    store(b"unacked", at=1)
    store(b"unacked", at=2)
    output, status = verify(tmp_path, [line(b"1"), line(b"2")])
    assert (output[-1], status) == ("0 lost, 2 duplicated, 2 stored", 1)
    assert f"duplicated: fake 1 location {digest('location', b'1').hex()}" in output


def test_the_same_bytes_of_two_devices_are_two_reports(tmp_path: Path) -> None:
    store(b"1", identity="1")
    store(b"1", identity="2")
    write([incoming(report(b"1"), identity="1", protocol="not in the ledger")], is_open=anybody)
    output, status = verify(tmp_path, [line(b"1", "1"), line(b"1", "2")])
    assert (output[-1], status) == ("0 lost, 0 duplicated, 2 stored", 0)


def test_what_is_stored_but_not_acked_is_told_and_no_fault(tmp_path: Path) -> None:
    store(b"1", b"2", b"3")
    store(b"4", identity="not in the ledger")
    store(b"", kind="heartbeat")
    output, status = verify(tmp_path, [line(b"1")])
    assert (output, status) == (["2 stored but not acked", "0 lost, 0 duplicated, 1 stored"], 0)


@pytest.mark.parametrize("rest", ['{"protocol": "fa', '"', "{"])
def test_an_unfinished_last_line_is_left_out_and_said(rest: str, tmp_path: Path) -> None:
    store(b"1")
    output, status = verify(tmp_path, [line(b"1")], end="\n" + rest)
    assert "unfinished" in output[0]
    assert (output[-1], status) == ("0 lost, 0 duplicated, 1 stored", 0)


def test_a_whole_last_line_without_its_end_counts(tmp_path: Path) -> None:
    output, status = verify(tmp_path, [line(b"1")], end="")
    assert (output[-1], status) == ("1 lost, 0 duplicated, 0 stored", 1)
    assert "unfinished" not in output[0]


def test_an_empty_ledger_is_no_fault(tmp_path: Path) -> None:
    assert verify(tmp_path, [], end="")[0][-1] == "0 lost, 0 duplicated, 0 stored"


@pytest.mark.parametrize(
    "bad", ["nonsense", "[]", '{"protocol": 1, "identity": "1", "kind": "k", "digest": ""}', "", '{"protocol": "fake"}']
)
def test_a_line_that_is_none_is_named(bad: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="line 2") as error:
        verify(tmp_path, [line(b"1")], end=f"\n{bad}\n{json.dumps(line(b'2'))}\n")
    assert error.value.returncode == 2


def test_a_ledger_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("verify", "--ledger", str(tmp_path / "none"))


def test_json_says_the_same(tmp_path: Path) -> None:
    store(b"1", b"2")
    output, status = verify(tmp_path, [line(b"1"), line(b"3")], "--json", end="\n{")
    found = json.loads("\n".join(output))
    assert status == 1
    assert [found[key] for key in ("lost", "duplicated", "stored", "stored_not_acked", "is_ledger_cut")] == [1, 0, 1, 1, True]
    assert found["lost_reports"] == [line(b"3")]
    assert found["duplicated_reports"] == []


def test_parts_add_up_whatever_their_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "LINES_AT_ONCE", 7)
    monkeypatch.setattr(ledger, "DEVICES_AT_ONCE", 3)
    lines = []
    for number in range(100):
        store(f"{number}".encode(), identity=str(number % 10))
        lines.append(line(f"{number}".encode(), str(number % 10)))
    Report.objects.filter(digest=reports.digest("location", b"42")).delete()
    for extra in range(15):
        lines.append(line(f"lost {extra}".encode()))
    output, status = verify(tmp_path, lines)
    assert (output[-1], status) == ("16 lost, 0 duplicated, 99 stored", 1)
    assert output[-3] == "lost: and 6 more"
