"""Devices from a CSV file and into one."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import transaction

from protocols.credential import fits
from store import audit, devices, groups, imports
from store.audit import Actor
from store.bulk import write
from store.fleet import Wanted
from store.models import AuditEntry, Device, State, Tag
from tests.records import anybody, incoming, report
from tests.store.beside import Beside

pytestmark = pytest.mark.usefixtures("database_url")
ANA = Actor("ana")
HEADER = "protocol,identity,name,group,tags,credential,enabled\n"


def run(*words: str | Path) -> str:
    out = StringIO()
    call_command(*map(str, words), stdout=out)
    return out.getvalue()


def import_text(folder: Path, text: str | bytes, *words: str) -> dict[str, Any]:
    path = folder / "fleet.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    out = StringIO()
    status = 0
    try:
        call_command("devices", "--json", "import", str(path), *words, stdout=out)
    except SystemExit as exit:
        status = exit.code
    told: dict[str, Any] = json.loads(out.getvalue())
    assert status == (1 if told["bad"] else 0)
    return told


def counts(told: dict[str, Any]) -> tuple[int, int, int, int]:
    return told["new"], told["changed"], told["unchanged"], len(told["bad"])


def picture() -> list[tuple[Any, ...]]:
    found = Device.objects.select_related("group").prefetch_related("tags").order_by("identity")
    return [
        (d.identity, d.name, d.group and d.group.name, sorted(tag.word for tag in d.tags.all()), bool(d.credential), d.is_enabled)
        for d in found
    ]


def test_an_import_beside_a_batch_of_the_same_devices_waits_and_is_waited_for_but_not_in_a_ring(tmp_path: Path) -> None:
    devices.add("fake", "1", "", ANA)
    groups.add("North", ANA)
    other = Beside(lambda: import_text(tmp_path, HEADER + "fake,1,,North,,,\nfake,2,,North,,,\n"))
    with transaction.atomic():
        # As a batch does it: devices, then states.
        Device.objects.create(protocol="fake", identity="2")
        other.start()
        list(State.objects.select_for_update().order_by("device_id"))
    assert other.fault() is None
    assert list(State.objects.values_list("group__name", flat=True)) == ["North", "North"]


def test_ten_thousand_lines_three_of_them_bad_land_in_their_groups_and_again_change_nothing(tmp_path: Path) -> None:
    lines = [f"fake,{number:05},Truck {number},North/{number % 7},cold,code-{number},yes" for number in range(10_000)]
    lines[16], lines[99], lines[5_000] = "fake,,x,North/1,,,", "fake,00007,twice,North/1,,,", "fake,05000,x,North/1,,,perhaps"
    text = HEADER + "\n".join(lines) + "\n"
    bad = [
        {"line": 18, "reason": "identity has to have 1 to 64 characters"},
        {"line": 101, "reason": "the same device as line 9"},
        {"line": 5_002, "reason": "enabled is neither yes nor no"},
    ]
    dry = import_text(tmp_path, text, "--dry-run", "--make-groups")
    assert (counts(dry), dry["bad"], len(dry["groups_made"])) == ((9_997, 0, 0, 3), bad, 7)
    assert not Device.objects.exists()
    assert not AuditEntry.objects.exists()
    told = import_text(tmp_path, text, "--make-groups")
    assert (counts(told), told["bad"]) == ((9_997, 0, 0, 3), bad)
    assert Device.objects.count() == Tag.objects.count() == 9_997
    assert sum(branch.own for branch in groups.tree()) == 9_997
    assert State.objects.filter(group__isnull=True).count() == 0
    entries = AuditEntry.objects.count()
    assert audit.entries(what="device.add").count() == 9_997
    assert counts(import_text(tmp_path, text)) == (0, 0, 9_997, 3)
    assert AuditEntry.objects.count() == entries


def test_lines_change_what_they_name_and_leave_the_rest(tmp_path: Path) -> None:
    groups.ensure(["A", "B"], ANA)
    devices.add("fake", "1", "Pump", ANA)
    devices.move("fake", "1", "A", ANA)
    devices.tag("fake", "1", ["x", "y"], [], ANA)
    devices.set_credential("fake", "1", "s3cret-code", ANA)
    write([incoming(report(values={"v": 1}), identity="1")], is_open=anybody)
    assert counts(import_text(tmp_path, "identity,protocol\n1,fake\n")) == (0, 0, 1, 0)
    assert counts(import_text(tmp_path, HEADER + "fake,1,Pump,A,y x,s3cret-code,\n")) == (0, 0, 1, 0)
    assert counts(import_text(tmp_path, HEADER + "fake,1,,B,X Z,,no\n\nfake,2,,,,,\n")) == (1, 1, 0, 0)
    assert picture() == [("1", "", "B", ["x", "z"], True, False), ("2", "", None, [], False, True)]
    assert fits("s3cret-code", Device.objects.get(identity="1").credential)
    assert [(state.group and state.group.name, state.values) for state in State.objects.order_by("device__identity")] == [
        ("B", {"v": 1}), (None, {}),
    ]  # fmt: skip
    (change,) = audit.entries(what="device.change")
    assert change.note == "import of fleet.csv"
    assert change.before == {"name": "Pump", "enabled": True, "group": "A", "tags": ["x", "y"]}
    assert change.after == {"name": "", "enabled": False, "group": "B", "tags": ["x", "z"]}
    assert counts(import_text(tmp_path, "protocol,identity,credential\nfake,1,another-code\n")) == (0, 1, 0, 0)
    assert fits("another-code", Device.objects.get(identity="1").credential)
    assert audit.entries(what="device.change")[0].after == {"credential": "set"}
    assert counts(import_text(tmp_path, "protocol,identity,group,tags\nfake,1,,\n")) == (0, 1, 0, 0)
    assert picture()[0] == ("1", "", None, [], True, False)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("fake,1", "it has 2 cells for 7 columns"),
        ("fake,1,,,,,,,", "it has 9 cells for 7 columns"),
        (",1,,,,,", "protocol has to have"),
        (f"fake,{'i' * 65},,,,,", "identity has to have"),
        (f"fake,1,{'n' * 129},,,,", "name has more"),
        ("fake,\0,,,,,", "identity has to have"),
        ("fake,1,,No/Such,,,", "there is no group No/Such, see --make-groups"),
        ("fake,1,,A//B,,,", "names no group"),
        ("fake,1,,,a;b,,", "is no tag"),
        (f"fake,1,,,,{'c' * 129},", "credential has more"),
        ("fake,1,,,,,si", "enabled is neither"),
    ],
)
def test_a_bad_line_is_named_with_its_reason_and_the_good_ones_land(line: str, reason: str, tmp_path: Path) -> None:
    told = import_text(tmp_path, f"{HEADER}fake,good,,,,,\n{line}\nfake,too,,,,,\n")
    assert [bad["line"] for bad in told["bad"]] == [3]
    assert reason in told["bad"][0]["reason"]
    assert "ccc" not in told["bad"][0]["reason"]
    assert [device.identity for device in Device.objects.order_by("identity")] == ["good", "too"]
    with pytest.raises(SystemExit) as exit:
        run("devices", "import", tmp_path / "fleet.csv")
    assert exit.value.code == 1


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "protocol and identity"),
        ("protocol\nfake\n", "protocol and identity"),
        ("protocol,identity,identity\n", "each column once"),
        ("protocol,identity,password\n", "no column 'password'"),
        (b"protocol,identity\nfake,\xff\xfe\n", "UTF-8"),
        ("protocol,identity\nfake," + "x" * 200_000, "no CSV"),
    ],
)
def test_a_file_that_is_none_is_refused_as_a_whole(text: str | bytes, fault: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=fault):
        import_text(tmp_path, text)
    with pytest.raises(CommandError, match="cannot be read"):
        run("devices", "import", tmp_path / "none.csv")
    assert not Device.objects.exists()


def test_a_file_of_more_lines_than_memory_is_meant_for_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "MOST_LINES", 2)
    with pytest.raises(CommandError, match="more than 2 lines"):
        import_text(tmp_path, "protocol,identity\nfake,1\nfake,2\nfake,3\n")


def test_a_run_that_is_cut_off_keeps_its_parts_whole_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "LINES_A_TIME", 10)
    text = "protocol,identity,tags\n" + "".join(f"fake,{number:02},x\n" for number in range(30))
    record = audit.record

    def fail_late(*arguments: Any) -> None:
        record(*arguments)
        if Device.objects.count() > 10:
            raise KeyboardInterrupt

    monkeypatch.setattr(audit, "record", fail_late)
    with pytest.raises(KeyboardInterrupt):
        import_text(tmp_path, text)
    assert Device.objects.count() == Tag.objects.count() == AuditEntry.objects.count() == 10
    monkeypatch.setattr(audit, "record", record)
    assert counts(import_text(tmp_path, text)) == (20, 0, 10, 0)


def test_what_is_exported_is_imported_as_it_was_and_is_no_formula(tmp_path: Path) -> None:
    groups.ensure(["A/B", "=C"], ANA)
    for identity, name, title in (("+8613800", "=1+2", "=C"), ("'7", 'a "b", c', "A/B"), ("plain", "", "")):
        devices.add("fake", identity, name, ANA)
        devices.move("fake", identity, title, ANA)
    devices.tag("fake", "plain", ["-x", "y"], [], ANA)
    devices.set_enabled("fake", "plain", False, ANA)
    before = picture()
    text = run("devices", "export")
    assert run("devices", "export", tmp_path / "out.csv") == ""
    assert (tmp_path / "out.csv").read_text() == text
    assert "fake,'+8613800,'=1+2,'=C,,yes\n" in text
    assert run("devices", "--group", "A", "export").count("\n") == 2
    assert counts(import_text(tmp_path, text)) == (0, 0, 3, 0)
    Device.objects.all().delete()
    assert counts(import_text(tmp_path, "\ufeff" + text)) == (3, 0, 0, 0)
    assert picture() == before
    with pytest.raises(CommandError, match="there already"):
        run("devices", "export", tmp_path / "out.csv")


def test_no_credential_is_exported(tmp_path: Path) -> None:
    devices.add("fake", "1", "", ANA)
    device = devices.set_credential("fake", "1", "s3cret-code", ANA)
    out = StringIO()
    assert list(imports.export(Wanted(), out)) == [1]
    assert device.credential not in out.getvalue()
    assert "s3cret" not in out.getvalue()


def test_a_device_that_a_worker_makes_meanwhile_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    there = imports._there

    def miss(keys: Any) -> Any:
        found = there(keys)
        Device.objects.get_or_create(protocol="fake", identity="1")
        return found

    monkeypatch.setattr(imports, "_there", miss)
    assert counts(import_text(tmp_path, "protocol,identity,name\nfake,1,Pump\n")) == (1, 0, 0, 0)
    assert picture() == [("1", "Pump", None, [], False, True)]
    assert audit.entries().get().subject_id == Device.objects.get().pk
