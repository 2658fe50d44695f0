"""``iotgw media``: what it lists and copies out, and what it says when it cannot."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from store.media.filing import Room, file_media
from store.media.folder import MediaFolder
from store.models import Media
from tests.store.media.pictures import begin, data, image, store, whole

pytestmark = pytest.mark.usefixtures("database_url")

PICTURE = image()


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IOTGW_MEDIA_FOLDER", str(tmp_path / "media"))
    return tmp_path / "media"


@pytest.fixture
def photo(root: Path) -> Media:
    """A photo of device 1 that is in the folder."""
    (id,) = store(whole(PICTURE, name="\x1b[31mred.jpg"))
    file_media(id, MediaFolder(root), Room(0, 0), datetime.now(UTC))
    return Media.objects.get(id=id)


@pytest.fixture
def part() -> Media:
    """A file of device 2 of which half has come."""
    store(begin(name="log.txt", size=100), data(0, b"x" * 50), identity="2")
    return Media.objects.get(device__identity="2")


def run(*words: str, capsys: pytest.CaptureFixture[str] | None = None) -> str:
    out = StringIO()
    call_command("media", *words, stdout=out)
    return out.getvalue() + (capsys.readouterr().out if capsys else "")


def listed(*words: str) -> list[int]:
    return [row["id"] for row in json.loads(run("--json", *words))]


def test_without_files_it_says_so() -> None:
    assert run() == "There are no such files.\n"
    assert listed() == []


def test_files_are_listed_newest_first_with_what_is_known_of_them(
    photo: Media, part: Media, capsys: pytest.CaptureFixture[str]
) -> None:
    newest, oldest = json.loads(run("--json"))
    assert (newest["id"], newest["state"], newest["bytes"], newest["name"]) == (part.id, "receiving", "0 of 100", "log.txt")
    assert (oldest["id"], oldest["state"], oldest["bytes"]) == (photo.id, "complete", len(PICTURE))
    assert (oldest["content_type"], oldest["width"], oldest["height"]) == ("image/jpeg", 640, 480)
    assert (oldest["protocol"], oldest["identity"], oldest["has_thumbnail"]) == ("fake", "1", True)
    table = run(capsys=capsys)
    for word in ("complete", "receiving", str(len(PICTURE)), "0 of 100", "log.txt"):
        assert word in table
    assert "\x1b[31mred" not in table, "what a device says does not colour the terminal"


def test_lists_are_of_a_device_a_state_and_so_many(photo: Media, part: Media) -> None:
    assert listed("--device", "1") == listed("--state", "complete") == [photo.id]
    assert listed("--device", "2", "--state", "receiving") == listed("--limit", "1") == [part.id]
    assert listed("--device", "2", "--state", "complete") == listed("--device", "nobody") == []


def test_who_waits_for_room_is_told_of(photo: Media) -> None:
    assert "wait in the database" not in run()
    Media.objects.update(state=Media.State.WAITING)
    assert run().endswith("1 wait in the database for room in the media folder: see their reason.\n")


def test_a_file_is_copied_out_byte_by_byte(photo: Media, tmp_path: Path) -> None:
    copy = tmp_path / "copy.jpg"
    assert run("get", str(photo.id), str(copy)) == f"image/jpeg, {len(PICTURE)} bytes\n"
    assert copy.read_bytes() == PICTURE


def test_what_it_cannot_copy_it_says(photo: Media, part: Media, tmp_path: Path, root: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    for id, name, fault in (
        (photo.id + 77, "copy", f"there is no file {photo.id + 77}"),
        (part.id, "copy", "is receiving \\(not all of it has come\\): there is nothing to copy"),
        (photo.id, "mine", "is there already"),
        (photo.id, "no/such/folder", "No such file"),
    ):
        with pytest.raises(CommandError, match=fault):
            run("get", str(id), str(tmp_path / name))
    assert (tmp_path / "mine").read_text() == "mine"
    MediaFolder(root).remove(photo.sha256, photo.extension)
    with pytest.raises(CommandError, match="No such file"):
        run("get", str(photo.id), str(tmp_path / "copy"))


@pytest.mark.parametrize("words", [["--limit", "0"], ["--state", "lost"], ["get", "0", "x"], ["get", "x", "x"], ["get", "1"]])
def test_what_is_no_argument_is_refused(words: list[str]) -> None:
    with pytest.raises(CommandError):
        run(*words)
