"""The data commands: what they print, change and exit with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from signal import SIGPIPE
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from protocols.credential import fits
from protocols.report import DecodeError
from store.bulk import write
from store.management.commands.devices import Command as Devices
from store.models import Device, Report
from store.presence import Visit, take
from store.rows import DeviceKey
from tests.records import NOON, anybody, incoming, minutes, report

pytestmark = pytest.mark.usefixtures("database_url")


def run(*words: str, capsys: pytest.CaptureFixture[str] | None = None) -> str:
    """What a command prints, in plain text or, by way of a table, on the captured standard output."""
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue() + (capsys.readouterr().out if capsys else "")


def run_json(*words: str) -> Any:
    return json.loads(run(*words, "--json"))


def test_the_help_is_of_the_command_as_it_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        Devices().create_parser("django", "devices").parse_args(["--help"])
    shown = capsys.readouterr().out
    assert shown.startswith("usage: iotgw devices ")
    assert "--json" in shown
    assert "--settings" not in shown


def test_whoever_has_seen_enough_hears_of_no_fault(database_url: str) -> None:
    seen, shown = os.pipe()
    os.close(seen)
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "store.settings", "IOTGW_DATABASE_URL": database_url}
    line = [sys.executable, "-m", "django", "devices", "--json"]
    ended = subprocess.run(line, env=environment, stdout=shown, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(shown)
    assert (ended.returncode, ended.stderr) == (128 + SIGPIPE, "")


def test_devices_lists_devices_and_how_they_stand(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such devices" in run("devices")
    assert run_json("devices") == []
    Device.objects.create(protocol="fake", identity="silent", name="Pump 7")
    sent = report(latitude=31.5, longitude=2.0, speed_kmh=62.0, values={"odometer_km": 5}, alarms=["sos"])
    write([incoming(sent, identity="loud")], is_open=anybody)
    table = run("devices", capsys=capsys)
    for word in ("silent", "Pump 7", "loud", "31.5", "62.0", "sos", "2026-03-01 12:00:00"):
        assert word in table
    loud, silent = run_json("devices")
    assert (loud["identity"], loud["last_seen"], loud["values"]) == ("loud", "2026-03-01T12:00:00+00:00", {"odometer_km": 5})
    assert (silent["identity"], silent["last_seen"], silent["values"], silent["is_enabled"]) == ("silent", None, {}, True)
    assert f"There are more: --after {loud['key']}" in run("devices", "--limit", "1")
    assert run_json("devices", "--after", loud["key"]) == [silent]
    assert "more" not in run("devices", "--after", loud["key"])


def test_devices_says_whether_they_are_here_since_when_and_why_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    begun = now - minutes(10)
    for name in ("left", "loud", "quiet"):
        write([incoming(report(), identity=name, received_at=now if name == "loud" else begun)], is_open=anybody)
    Device.objects.create(protocol="fake", identity="silent")
    visits = [Visit(DeviceKey("fake", name), 10, begun, None, "10.2.3.4:51120", "") for name in ("loud", "quiet")]
    gone = Visit(DeviceKey("fake", "left"), 11, begun, begun + minutes(1), "10.2.3.4:51121", "idle")
    take("gw-1", "run", [*visits, gone])

    def standing() -> dict[str, tuple[str, str | None, str]]:
        return {row["identity"]: (row["state"], row["gateway"], row["cause"]) for row in run_json("devices")}

    assert standing() == {
        "left": ("offline", "gw-1", "idle"),
        "loud": ("online", "gw-1", ""),
        "quiet": ("online", "gw-1", ""),
        "silent": ("never", "", ""),
    }
    rows = {row["identity"]: row for row in run_json("devices")}
    assert rows["left"]["since"] == (begun + minutes(1)).isoformat()
    assert (rows["loud"]["peer"], rows["silent"]["peer"], rows["silent"]["since"]) == ("10.2.3.4:51120", None, None)
    monkeypatch.setenv("IOTGW_STALE_AFTER_SECONDS", "300")
    assert standing()["quiet"] == ("stale", "gw-1", "")
    assert standing()["loud"] == ("online", "gw-1", "")
    table = run("devices", capsys=capsys)
    for word in ("stale", "offline", "idle", "gw-1", "never"):
        assert word in table


def test_a_device_is_added_disabled_and_enabled() -> None:
    assert run("devices", "add", "fake", "0138", "--name", "京A·88213") == "added fake 0138\n"
    device = Device.objects.get()
    assert (device.protocol, device.identity, device.name, device.is_enabled) == ("fake", "0138", "京A·88213", True)
    run("devices", "disable", "fake", "0138")
    assert not Device.objects.get().is_enabled
    run("devices", "enable", "fake", "0138")
    assert Device.objects.get().is_enabled


def test_a_credential_is_made_taken_and_removed_and_never_kept_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sealed() -> str:
        return Device.objects.get().credential

    Device.objects.create(protocol="fake", identity="there")
    made = run("devices", "credential", "fake", "there").strip()
    assert len(made) == 16
    assert fits(made, sealed())
    assert made not in sealed()
    assert run("devices", "credential", "fake", "there").strip() != made
    path = tmp_path / "credential"
    path.write_text("  s3cret  \nsecond line\n")
    assert "s3cret" not in run("devices", "credential", "fake", "there", "--from", str(path))
    assert fits("s3cret", sealed())
    monkeypatch.setattr("sys.stdin", StringIO("typed\n"))
    run("devices", "credential", "fake", "there", "--from", "-")
    assert fits("typed", sealed())
    assert run("devices", "credential", "fake", "there", "--remove") == "removed the credential of fake there\n"
    assert sealed() == ""
    (tmp_path / "empty").write_text("\n")
    for source, fault in ((tmp_path / "empty", "first line"), (tmp_path / "none", "cannot be read")):
        with pytest.raises(CommandError, match=fault):
            run("devices", "credential", "fake", "there", "--from", str(source))


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["add", "fake", "there"], "already"),
        (["credential", "fake", "nobody"], "no device"),
        (["add", "fake", "i" * 65], "identity"),
        (["add", "fake", ""], "identity"),
        (["disable", "fake", "nobody"], "no device"),
        (["disable", "other", "there"], "no device"),
    ],
)
def test_what_devices_cannot_do_it_says(words: list[str], fault: str) -> None:
    Device.objects.create(protocol="fake", identity="there")
    with pytest.raises(CommandError, match=fault):
        run("devices", *words)
    assert Device.objects.get().is_enabled


def test_reports_are_the_newest_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such reports" in run("reports")
    for at, identity, kind in ((2, "1", "location"), (0, "1", "location"), (1, "1", "heartbeat"), (9, "2", "location")):
        write([incoming(report(f"{at}".encode(), NOON + minutes(at), kind=kind), identity=identity)], is_open=anybody)
    assert [bytes.fromhex(row["body"]) for row in run_json("reports", "--device", "1")] == [b"2", b"1", b"0"]
    assert [bytes.fromhex(row["body"]) for row in run_json("reports", "--device", "1", "--limit", "1")] == [b"2"]
    assert [bytes.fromhex(row["body"]) for row in run_json("reports", "--kind", "location")] == [b"9", b"0", b"2"]
    assert run_json("reports", "--device", "3") == []
    assert "heartbeat" in run("reports", capsys=capsys)


def test_alarms_are_listed_open_ones_first_acknowledged_and_closed(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no alarms" in run("alarms")
    for at, alarm in enumerate(("sos", "crash", "towing")):
        write([incoming(report(alarm.encode(), NOON + minutes(at), alarms=[alarm]))], is_open=anybody)
    ids = {row["kind"]: row["id"] for row in run_json("alarms")}
    assert list(ids) == ["towing", "crash", "sos"]
    assert run("alarms", "close", str(ids["towing"]), "--reason", "test", "--by", "ana") == "closed towing of fake 013800138000\n"
    run("alarms", "ack", str(ids["crash"]), "--note", "driver \x00called", "--by", "b" * 200)
    rows = run_json("alarms")
    assert [(row["kind"], row["state"]) for row in rows] == [("sos", "open"), ("crash", "acknowledged"), ("towing", "closed")]
    assert [(row["handled_by"], row["note"], row["reason"]) for row in rows] == [
        ("", "", ""), ("b" * 128, "driver \ufffdcalled", ""), ("ana", "", "test"),
    ]  # fmt: skip
    write([incoming(report(b"over", NOON + minutes(8)), report(b"again", NOON + minutes(9), alarms=["towing"]))], is_open=anybody)
    table = run("alarms", "--limit", "1", capsys=capsys)
    assert "towing" in table
    assert "again" in table
    assert "ongoing" in table
    assert "sos" not in table


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["ack", "{id}"], "stays as it is: it was closed"),
        (["close", "{id}", "--reason", "real"], "by ana"),
        (["ack", "0"], "no alarm 0"),
        (["close", "{id}"], "--reason"),
        (["close", "{id}", "--reason", "boredom"], "boredom"),
    ],
)
def test_what_alarms_cannot_do_it_says(words: list[str], fault: str) -> None:
    write([incoming(report(alarms=["sos"]))], is_open=anybody)
    (row,) = run_json("alarms")
    run("alarms", "close", str(row["id"]), "--reason", "false", "--by", "ana")
    with pytest.raises(CommandError, match=fault):
        run("alarms", *(word.format(id=row["id"]) for word in words))


def test_quarantine_shows_what_failed_and_its_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing" in run("quarantine")
    error = DecodeError("truncated", "items[2].length", "28 > 14 left")
    message = incoming(error=error, body=b"\xff\x00", head=b"\x01")._replace(version="1.2+abcdef")
    write([message, message._replace(version="1.3+fedcba")], is_open=anybody)
    (row,) = run_json("quarantine")
    assert row["version"] == "1.2+abcdef", "that of the first that could not read it"
    assert (row["body"], row["head"], row["bytes"], row["kind_id"], row["error_path"]) == (
        "ff00",
        "01",
        2,
        0x0200,
        "items[2].length",
    )
    table = run("quarantine", capsys=capsys)
    assert "items[2].length" in table
    assert "28 > 14 left" in table
    assert "1.2+abcdef" in table


def test_a_table_shows_hostile_text_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    write([incoming(report(values={"a": "\x1b[2J\u202e"}), identity="[red]\x1b]0;owned\x07")], is_open=anybody)
    for command in ("devices", "reports"):
        table = run(command, capsys=capsys)
        assert "[red]" in table
        assert not {"\x1b", "\x07", "\u202e"} & set(table)


def test_a_database_that_is_not_migrated_is_said_in_a_line() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE store_report")
    with pytest.raises(CommandError, match="migrated") as error:
        run("reports")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("limit", ["0", "-1", "many", "1000000"])
def test_a_limit_is_a_sensible_number(limit: str) -> None:
    with pytest.raises(CommandError, match="number from 1"):
        run("reports", "--limit", limit)
    assert not Report.objects.exists()


def test_events_lists_what_happened_to_a_device_newest_first(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandError, match="no device 1"):
        run("events", "1")
    sent = [report(f"{at}".encode(), NOON + minutes(at), alarms=["sos"] * (at < 2)) for at in range(3)]
    write([incoming(one, identity="1") for one in sent], is_open=anybody)
    write([incoming(report(alarms=["crash"]), identity="2"), incoming(report(), identity="3")], is_open=anybody)
    assert "Nothing" in run("events", "3")
    rows = run_json("events", "1")
    assert [(row["kind"], row["subject"], row["time"][11:16]) for row in rows] == [
        ("alarm_ended", "sos", "12:02"),
        ("alarm_opened", "sos", "12:00"),
    ]
    table = run("events", "1", capsys=capsys)
    assert "alarm_ended" in table
    assert "crash" not in table
    narrowed = {
        ("--kind", "alarm_opened"): ["alarm_opened"],
        ("--kind", "alarm_opened", "--kind", "alarm_ended"): ["alarm_ended", "alarm_opened"],
        ("--since", "2026-03-01T20:01+08:00"): ["alarm_ended"],
        ("--until", "2026-03-01T12:02"): ["alarm_opened"],
        ("--limit", "1"): ["alarm_ended"],
    }
    for words, kinds in narrowed.items():
        assert [row["kind"] for row in run_json("events", "1", *words)] == kinds
    for words in (("--kind", "nothing"), ("--since", "yesterday")):
        with pytest.raises(CommandError, match=r"choose|invalid"):
            run("events", "1", *words)
