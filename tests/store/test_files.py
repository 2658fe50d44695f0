"""Files of the platform in the media folder, and the command that looks after them."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from store import deliveries, files
from store.audit import Actor
from store.deliveries import Noted
from store.media.filing import NoRoomError, Room
from store.media.folder import MediaFolder
from store.media.usage import used_bytes
from store.models import Delivery, Device, File

ME = Actor("me")

pytestmark = pytest.mark.usefixtures("database_url")

DATA = bytes(range(256)) * 5_000
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IOTGW_MEDIA_FOLDER", str(tmp_path / "media"))
    monkeypatch.setenv("IOTGW_MEDIA_SPARE_BYTES", "0")
    return tmp_path / "media"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "firmware.bin"
    path.write_bytes(DATA)
    return path


def run(*words: str, capsys: pytest.CaptureFixture[str] | None = None) -> str:
    out = StringIO()
    call_command("files", *words, stdout=out)
    return out.getvalue() + (capsys.readouterr().out if capsys else "")


def add(source: Path, version: str = "2.0") -> str:
    return run("add", str(source), "--name", "firmware", "--version", version, "--maker", "IOTGW", "--by", "ann")


def there(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and path.name != "lock"]


def test_a_file_is_taken_in_under_its_digest(root: Path, source: Path) -> None:
    number = int(add(source).split()[2])
    file = File.objects.get(id=number)
    assert (file.size, file.sha256, file.crc32, file.added_by) == (len(DATA), SHA256, crc32(DATA), "ann")
    (path,) = there(root)
    assert path == root / SHA256[:2] / SHA256[2:4] / f"{SHA256}.down"
    assert path.read_bytes() == DATA
    assert used_bytes() == len(DATA)


def test_the_same_bytes_are_there_once_and_go_with_the_last(root: Path, source: Path) -> None:
    add(source)
    add(source, "2.1")
    first, second = File.objects.order_by("id")
    assert len(there(root)) == 1
    assert "cancelled 0" in run("remove", str(first.id))
    assert len(there(root)) == 1
    run("remove", str(second.id))
    assert there(root) == []
    run("remove", str(second.id))
    assert used_bytes() == 0


def test_quota_and_spare_room_count_for_it(root: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IOTGW_MEDIA_QUOTA_BYTES", str(len(DATA) + 1))
    add(source)
    with pytest.raises(CommandError, match="is not taken in: the media folder has its media_quota_bytes"):
        add(source)
    with pytest.raises(NoRoomError):
        files.add(source, MediaFolder(root), Room(0, 1 << 60), name="n", version="v", maker="", by="", actor=ME)
    assert File.objects.count() == len(there(root)) == 1


def test_files_and_deliveries_are_listed_with_their_progress(root: Path, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == "There are no files yet.\n"
    assert run("deliveries") == "There are no such deliveries.\n"
    add(source)
    number = str(File.objects.get().id)
    for identity in ("a", "b"):
        Device.objects.create(protocol="native", identity=identity)
    made = run("offer", number, "native", "a", "b", "--by", "bob")
    assert made.count(": offered") == 2
    first, _ = Delivery.objects.order_by("id")
    deliveries.note([Noted(first.id, len(DATA) // 3, datetime.now(UTC))], datetime.now(UTC))
    table = run("deliveries", capsys=capsys)
    for word in ("native", "fetching", "offered", "33 %", "0 %", "bob"):
        assert word in table
    newest, oldest = json.loads(run("deliveries", "--json"))
    assert (oldest["identity"], oldest["state"], oldest["sent_bytes"], oldest["size"]) == (
        "a",
        "fetching",
        len(DATA) // 3,
        len(DATA),
    )
    assert newest["identity"] == "b"
    assert [row["identity"] for row in json.loads(run("deliveries", "--device", "a", "--json"))] == ["a"]
    assert [row["identity"] for row in json.loads(run("deliveries", "--state", "offered", "--json"))] == ["b"]
    assert len(json.loads(run("deliveries", "--limit", "1", "--json"))) == 1
    (row,) = json.loads(run("--json"))
    assert (row["number"], row["open"], row["done"], row["failed"], row["version"]) == (int(number), 2, 0, 0, "2.0")
    assert "firmware" in run(capsys=capsys)
    assert run("cancel", str(first.id)) == f"cancelled delivery {first.id}\n"
    assert "cancelled 1 deliveries" in run("remove", number)
    assert set(Delivery.objects.values_list("state", "reason")) == {("cancelled", ""), ("cancelled", "the file was removed")}


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["offer", "77", "native", "a"], "there is no file 77"),
        (["offer", "{file}", "native", "a", "x", "y"], "there is no device native x, y"),
        (["offer", "{file}", "jt808", "a"], "there is no device jt808 a"),
        (["offer", "{removed}", "native", "a"], "was removed: add it again"),
        (["cancel", "77"], "there is no delivery 77"),
        (["cancel", "{ended}"], "is cancelled already"),
        (["remove", "77"], "there is no file 77"),
        (["add", "{tmp}/none", "--name", "n", "--version", "v"], "No such file"),
        (["add", "{tmp}", "--name", "n", "--version", "v"], "Is a directory"),
        (["add", "{tmp}/empty", "--name", "n", "--version", "v"], "it has 0 bytes"),
        (["add", "{source}", "--name", "", "--version", "v"], "name: This field cannot be blank"),
        (["add", "{source}", "--name", "n" * 33, "--version", "v"], "name: Ensure"),
        (["offer", "0", "native", "a"], "number of a row"),
    ],
)
def test_what_it_cannot_do_it_says(root: Path, source: Path, tmp_path: Path, words: list[str], fault: str) -> None:
    (tmp_path / "empty").touch()
    add(source)
    add(source, "removed")
    file, removed = File.objects.order_by("id")
    device = Device.objects.create(protocol="native", identity="a")
    (ended,) = deliveries.offer(file, [device], "me", datetime.now(UTC), ME)
    deliveries.cancel(ended.id, datetime.now(UTC), ME)
    files.remove(removed.id, MediaFolder(root), ME)
    known: dict[str, Any] = {"file": file.id, "removed": removed.id, "ended": ended.id, "tmp": tmp_path, "source": source}
    with pytest.raises(CommandError, match=fault):
        run(*(word.format(**known) for word in words))
    assert (File.objects.count(), Delivery.objects.count(), len(there(root))) == (2, 1, 1)
