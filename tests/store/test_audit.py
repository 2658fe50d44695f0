"""The audit: an entry in the transaction of each change, which nothing changes or deletes."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, transaction

from protocols.report import DecodeError
from store import audit, devices, triggers
from store.audit import Actor, Change
from store.bulk import write
from store.csv_text import guarded, unguarded
from store.models import AuditEntry, Delivery, Device, File
from tests.records import anybody, incoming, report

pytestmark = pytest.mark.usefixtures("database_url")
ANA = Actor("ana", "10.0.0.8")


def run(*words: str, capsys: pytest.CaptureFixture[str] | None = None) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue() + (capsys.readouterr().out if capsys else "")


def entries(*words: str) -> Any:
    return json.loads(run("audit", "--json", *words))


def told(entry: dict[str, Any]) -> tuple[Any, ...]:
    return entry["action"], entry["subject"], entry["before"], entry["after"]


def test_each_change_of_a_device_has_an_entry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOGNAME", "ana")
    run("devices", "add", "fake", "7", "--name", "Pump")
    run("devices", "disable", "fake", "7")
    run("devices", "disable", "fake", "7")
    run("devices", "enable", "fake", "7")
    secret = tmp_path / "secret"
    secret.write_text("s3cret-s3cret")
    run("devices", "credential", "fake", "7", "--from", str(secret))
    run("devices", "credential", "fake", "7", "--remove")
    found = entries()
    assert {entry["actor"] for entry in found} == {"cli:ana"}
    assert [told(entry) for entry in reversed(found)] == [
        ("device.add", "fake 7", {}, {"name": "Pump", "enabled": True, "credential": "none"}),
        ("device.disable", "fake 7", {"enabled": True}, {"enabled": False}),
        ("device.enable", "fake 7", {"enabled": False}, {"enabled": True}),
        ("device.credential", "fake 7", {"credential": "none"}, {"credential": "set"}),
        ("device.credential", "fake 7", {"credential": "set"}, {"credential": "none"}),
    ]
    assert {entry["subject_id"] for entry in found} == {Device.objects.get().pk}
    assert "s3cret" not in json.dumps(found)


def test_each_change_of_a_file_has_an_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IOTGW_MEDIA_FOLDER", str(tmp_path / "media"))
    monkeypatch.setenv("IOTGW_MEDIA_SPARE_BYTES", "0")
    (tmp_path / "image.bin").write_bytes(b"firmware")
    run("devices", "add", "fake", "7")
    run("files", "add", str(tmp_path / "image.bin"), "--name", "firmware", "--version", "2")
    number = str(File.objects.get().id)
    run("files", "offer", number, "fake", "7")
    run("files", "offer", number, "fake", "7")
    run("files", "cancel", str(Delivery.objects.get().id))
    run("files", "offer", number, "fake", "7")
    run("files", "remove", number)
    run("files", "remove", number)
    name = f"file {number} (firmware 2)"
    assert [told(entry) for entry in reversed(entries()[:-1])] == [
        ("file.add", name, {}, {"sha256": sha256(b"firmware").hexdigest(), "size": 8}),
        ("delivery.offer", "fake 7", {}, {"file": name}),
        ("delivery.cancel", "fake 7", {"state": "offered"}, {"state": "cancelled"}),
        ("delivery.offer", "fake 7", {}, {"file": name}),
        ("file.remove", name, {}, {"cancelled": 1}),
    ]


def test_a_change_of_a_channel_has_an_entry() -> None:
    write([incoming(report(values={"oil_c": 81.5}))], is_open=anybody)
    for _ in range(2):
        run("channels", "fake", "013800138000", "oil_c", "--high", "90", "--unit", "C")
    with pytest.raises(CommandError):
        run("channels", "fake", "013800138000", "oil_c", "--low", "91")
    (entry,) = entries()
    after = {"high": 90.0, "unit": "C", "is_unit_set": True}
    assert (entry["action"], entry["subject"], entry["after"]) == ("channel.change", "oil_c of fake 013800138000", after)
    assert entry["before"] == {"high": None, "unit": "°C", "is_unit_set": False}


def test_what_is_discarded_has_an_entry_that_says_why() -> None:
    write([incoming(error=DecodeError("short", "items[2]", "1 byte is missing"))], is_open=anybody)
    (group,) = json.loads(run("quarantine", "--groups", "--json"))
    run("quarantine", "discard", str(group["group"]), "--reason", "a test bench")
    (entry,) = entries()
    assert (entry["action"], entry["before"], entry["note"]) == ("quarantine.discard", {"messages": 1}, "a test bench")


def test_what_is_done_with_an_alarm_has_an_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ana")
    write([incoming(report(alarms=["sos"]))], is_open=anybody)
    (alarm,) = json.loads(run("alarms", "--json"))
    run("alarms", "ack", str(alarm["id"]), "--by", "bob", "--note", "called")
    run("alarms", "close", str(alarm["id"]), "--reason", "real")
    with pytest.raises(CommandError):
        run("alarms", "close", str(alarm["id"]), "--reason", "false")
    closed, acknowledged = entries()
    assert {closed["actor"], acknowledged["actor"]} == {"cli:ana"}
    assert told(acknowledged) == (
        "alarm.acknowledge",
        "sos of fake 013800138000",
        {"state": "open", "handled_by": "", "note": ""},
        {"state": "acknowledged", "handled_by": "bob", "note": "called"},
    )
    assert told(closed)[2:] == (
        {"state": "acknowledged", "handled_by": "bob", "reason": ""},
        {"state": "closed", "handled_by": "ana", "reason": "real"},
    )


def test_a_change_that_is_not_made_has_no_entry_and_an_entry_that_is_not_made_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    devices.add("fake", "7", "", ANA)

    def fail(*_: Any) -> None:
        raise DatabaseError("the disk is full")

    with pytest.raises(devices.DeviceError, match="already"):
        devices.add("fake", "7", "", ANA)
    assert AuditEntry.objects.count() == 1
    monkeypatch.setattr(audit, "record", fail)
    with pytest.raises(DatabaseError):
        devices.set_enabled("fake", "7", False, ANA)
    with pytest.raises(DatabaseError):
        devices.add("fake", "8", "", ANA)
    assert Device.objects.get().is_enabled


def test_an_entry_needs_the_transaction_of_its_change() -> None:
    with pytest.raises(transaction.TransactionManagementError):
        audit.record(ANA, [Change("device.add", 1, "fake 7", {}, {})])
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("is_migrated_again", [False, True])
def test_the_database_refuses_to_change_or_delete_an_entry(is_migrated_again: bool) -> None:
    devices.add("fake", "7", "", ANA)
    if is_migrated_again:
        triggers.drop()
        call_command("migrate", verbosity=0)
    for change in (AuditEntry.objects.all().delete, lambda: AuditEntry.objects.update(actor="eve")):
        with pytest.raises(DatabaseError, match="never changed or deleted"), transaction.atomic():
            change()
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.address) == ("ana", "10.0.0.8")


def test_entries_are_found_by_who_what_and_since() -> None:
    begin = datetime(2026, 3, 1, tzinfo=UTC)
    for day, (actor, action) in enumerate((("ana", "device.add"), ("bob", "device.disable"), ("ana", "devices.odd"))):
        AuditEntry.objects.create(at=begin + timedelta(days=day), actor=actor, action=action, subject_id=day, subject="fake 7")

    def ids(*words: str) -> list[int]:
        return [entry["subject_id"] for entry in entries(*words)]

    assert ids() == [2, 1, 0]
    assert ids("--who", "ana") == [2, 0]
    assert ids("--what", "device") == [1, 0]
    assert ids("--what", "device.add") == [0]
    assert ids("--since", "2026-03-02") == [2, 1]
    assert ids("--since", "2026-03-02T08:00:01+08:00") == [2]
    assert ids("--limit", "1") == [2]
    with pytest.raises(CommandError, match="time"):
        run("audit", "--since", "yesterday")


def test_entries_are_printed_as_a_table_and_as_csv_without_formulas(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such entries" in run("audit")
    with transaction.atomic():
        audit.record(ANA, [Change("device.add", 1, "fake =1+2", {}, {"name": "a,\x1b[2Jb"})], note="=HYPERLINK(1)\x00")
    table = run("audit", capsys=capsys)
    assert "device.add" in table
    assert "\x1b" not in table
    (row,) = csv.DictReader(StringIO(run("audit", "--csv")))
    assert row["note"] == "'=HYPERLINK(1)\ufffd"
    assert (row["actor"], row["address"], row["subject"]) == ("ana", "10.0.0.8", "fake =1+2")
    assert json.loads(row["after"]) == {"name": "a,\x1b[2Jb"}


@pytest.mark.parametrize("text", ["", "plain", "=1", "+86", "-", "@x", "\tx", "\rx", "'", "'=1", "''x", "'plain"])
def test_a_guarded_cell_is_no_formula_and_reads_as_it_was(text: str) -> None:
    assert not guarded(text).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert unguarded(guarded(text)) == text
