"""Files that belong to nobody."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from settings import Settings
from store import files
from store.audit import Actor
from store.media.filing import Room, file_media
from store.media.folder import MediaFolder
from store.media.removal import remove_unknown
from store.models import Device, Media
from tasks import media
from tests.store.media.pictures import image, store, whole

ME = Actor("me")

pytestmark = pytest.mark.usefixtures("database_url")

PARTS = range(256)


@pytest.fixture
def folder(tmp_path: Path) -> MediaFolder:
    return MediaFolder(tmp_path / "media")


def names(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "media").rglob("*.*")}


def file_photo(folder: MediaFolder, size: int, identity: str) -> Media:
    (id,) = store(whole(image(size=(size, size))), identity=identity)
    file_media(id, folder, Room(0, 0), datetime.now(UTC))
    return Media.objects.get(id=id)


def test_files_of_a_deleted_device_go_and_others_stay(folder: MediaFolder, tmp_path: Path) -> None:
    gone, kept = file_photo(folder, 300, "1"), file_photo(folder, 400, "2")
    shared = file_photo(folder, 500, "1")
    assert file_photo(folder, 500, "2").sha256 == shared.sha256
    (tmp_path / "firmware").write_bytes(b"firmware")
    ours = files.add(tmp_path / "firmware", folder, Room(0, 0), name="firmware", version="1", maker="", by="", actor=ME)
    Device.objects.get(identity="1").delete()
    assert gone.sha256 + ".jpg" in names(tmp_path)
    assert sum(remove_unknown(part, folder) for part in PARTS) == 2
    photos = {f"{one.sha256}.{end}" for one in (kept, shared) for end in ("jpg", "thumb.jpg")}
    assert names(tmp_path) == {*photos, f"{ours.sha256}.down"}
    assert sum(remove_unknown(part, folder) for part in PARTS) == 0


def test_a_file_whose_row_comes_just_now_stays(folder: MediaFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = file_photo(folder, 300, "1")
    found = folder.digests(int(photo.sha256[:2], 16))
    assert set(found) == {photo.sha256}
    removing = folder.removing

    def row_comes_first() -> AbstractContextManager[None]:
        Media.objects.update(sha256=photo.sha256)
        return removing()

    # Between the look into the folder and the lock, somebody commits the row.
    Media.objects.update(sha256="")
    monkeypatch.setattr(folder, "removing", row_comes_first)
    assert remove_unknown(int(photo.sha256[:2], 16), folder) == 0
    assert photo.sha256 + ".jpg" in names(tmp_path)


def test_each_sweep_looks_at_a_part(folder: MediaFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "settings", Settings(media_folder=tmp_path / "media", media_spare_bytes=0))
    photo = file_photo(folder, 300, "1")
    Device.objects.all().delete()
    part = int(photo.sha256[:2], 16)

    sweeps = iter((part + 1, part + 255, part))

    class Now(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.fromtimestamp(media.SWEEP_SECONDS * (256_000_000 + next(sweeps)), UTC)

    monkeypatch.setattr(media, "datetime", Now)
    for is_there in (True, True, False):
        media.sweep()
        assert bool(names(tmp_path)) is is_there
