"""From pieces to files, on both databases and a real disk."""

from __future__ import annotations

import errno
import os
import stat
import zlib
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from protocols.message import Outcome
from protocols.piece import MediaKind
from store.bulk import write
from store.media import filing
from store.media.bodies import whole_bodies
from store.media.filing import CLAIM, NEXT_TRY, Room, file_media
from store.media.folder import MediaFolder
from store.media.removal import remove, remove_before
from store.models import Media, MediaOutcome, Report
from tests.records import NOON, anybody, incoming, minutes
from tests.store.media.pictures import HEAD, begin, data, end, image, only, store, whole

pytestmark = pytest.mark.usefixtures("database_url")

PARTS = (b"one,", b"two,", b"three")
FILE = b"".join(PARTS)
ENDLESS = Room(0, 0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "media"


@pytest.fixture
def folder(root: Path) -> MediaFolder:
    return MediaFolder(root)


def pieces() -> list[Any]:
    return [data(0, PARTS[0]), data(4, PARTS[1]), data(8, PARTS[2])]


def file_due(folder: MediaFolder, ids: list[int], room: Room = ENDLESS, later: timedelta = timedelta()) -> list[Any]:
    return [file_media(id, folder, room, datetime.now(UTC) + later) for id in ids]


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file() and path.name != "lock")


def content(folder: MediaFolder, media: Media) -> bytes:
    return folder.path(media.sha256, media.extension).read_bytes()


def test_a_photo_becomes_a_file_with_a_thumbnail(folder: MediaFolder, root: Path) -> None:
    photo = image()
    due = store(whole(photo, tail=b"tail"))
    assert due == [only().id]
    assert file_due(folder, due) == [Media.State.COMPLETE]
    media = only()
    assert content(folder, media) == photo
    assert (media.kind, media.content_type, media.reason) == ("photo", "image/jpeg", "")
    assert (media.width, media.height, media.received_bytes, media.channel, media.cause) == (640, 480, len(photo), 1, "timed")
    assert (media.latitude, media.longitude, media.time, media.due_at) == (1.5, 2.5, NOON, None)
    with Image.open(folder.thumbnail_path(media.sha256)) as thumbnail:
        assert (thumbnail.format, thumbnail.size) == ("JPEG", (320, 240))
    path = folder.path(media.sha256, "jpg")
    assert path == root / media.sha256[:2] / media.sha256[2:4] / f"{media.sha256}.jpg"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE(path.parent.stat().st_mode) & ~0o750 == 0
    assert file_due(folder, due) == [None], "it is done"
    assert len(files(root)) == 2


def outcomes() -> list[str]:
    """What became of files, in its order."""
    return list(MediaOutcome.objects.order_by("pk").values_list("state", flat=True))


def test_what_became_of_a_file_is_noted_once_each_time(folder: MediaFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    due = store(begin(), pieces()[0], end(FILE))
    assert outcomes() == []
    file_due(folder, due)
    file_due(folder, store(*pieces()[1:]), Room(1, 0))
    assert outcomes() == ["incomplete", "waiting"]
    file_due(folder, due, Room(1, 0), NEXT_TRY)
    assert outcomes() == ["incomplete", "waiting"], "that it still waits is no news"
    file_due(folder, due, later=2 * NEXT_TRY)
    file_due(folder, due, later=3 * NEXT_TRY)
    assert outcomes() == ["incomplete", "waiting", "complete"]


def test_that_a_file_is_declined_is_noted_once(folder: MediaFolder) -> None:
    for _ in range(2):
        store(begin(), *pieces(), longest=12)
    assert outcomes() == ["refused"]


def test_the_report_has_its_head_only_then_and_its_whole_body_again_when_asked(folder: MediaFolder) -> None:
    sent = whole(image(), tail=b"\0tail\xff")
    due = store(sent)
    file_due(folder, due)
    row = Report.objects.get()
    assert bytes(row.body) == HEAD + b"\0tail\xff"
    assert [body for _, body in whole_bodies(Report.objects.all(), folder)] == [sent.body]
    store(sent)
    assert Report.objects.get().digest == row.digest, "what is sent again is the same"
    remove(only(), folder)
    assert [body for _, body in whole_bodies(Report.objects.all(), folder)] == [HEAD + b"\0tail\xff"]


@pytest.mark.parametrize("order", list(permutations(range(5)))[::7])
def test_a_file_in_pieces_is_whole_in_whatever_order_they_come(folder: MediaFolder, order: tuple[int, ...]) -> None:
    sent = [begin(MediaKind.FILE, "log.txt"), *pieces(), end(FILE)]
    for place in order:
        for id in store(sent[place]):
            file_media(id, folder, ENDLESS, datetime.now(UTC))
    media = only()
    assert (media.state, media.reason, media.name, media.kind) == ("complete", "", "log.txt", "file")
    assert content(folder, media) == FILE
    assert {bytes(row.body) for row in Report.objects.filter(kind="data")} == {HEAD}
    assert {body for _, body in whole_bodies(Report.objects.filter(kind="data"), folder)} == {HEAD + part for part in PARTS}


def test_pieces_that_come_twice_or_overlap_do_no_harm(folder: MediaFolder) -> None:
    due = store(begin(), data(0, b"one,t", 1), *pieces(), data(4, PARTS[1], 2), data(8, b"THR", 3), end(FILE))
    assert file_due(folder, due) == [Media.State.COMPLETE]
    assert content(folder, only()) == FILE
    kept = [bytes(row.body) for row in Report.objects.filter(kind="data") if bytes(row.body) != HEAD]
    assert kept == [HEAD + b"THR"], "what the file does not have stays in its report"


def test_a_gap_is_told_and_closed_by_what_comes_later(folder: MediaFolder, root: Path) -> None:
    first, second, third = pieces()
    assert file_due(folder, store(begin(), first, third, end(FILE))) == [Media.State.INCOMPLETE]
    media = only()
    assert (media.reason, media.received_bytes, media.expected_bytes) == ("bytes 4-7 are missing", 9, 13)
    assert media.due_at is None
    assert not root.exists()
    assert {bytes(row.body) for row in Report.objects.filter(kind="data")} == {HEAD + PARTS[0], HEAD + PARTS[2]}
    assert file_due(folder, store(second)) == [Media.State.COMPLETE]
    assert content(folder, only()) == FILE


def test_a_wrong_checksum_is_told_and_the_file_kept_as_it_is(folder: MediaFolder) -> None:
    file_due(folder, store(begin(), *pieces(), end(FILE, crc32=1)))
    media = only()
    assert (media.state, media.reason) == ("damaged", f"its CRC-32 is {zlib.crc32(FILE):08x}, 00000001 was said")
    assert content(folder, media) == FILE


@pytest.mark.parametrize(
    ("bytes_", "kind", "type", "reason"),
    [
        (b"<svg onload=alert(1)>", "file", "application/octet-stream", "said to be photo, is application/octet-stream"),
        (b"RIFF\0\0\0\0WAVEfmt ", "audio", "audio/wav", "said to be photo, is audio/wav"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "video", "video/mp4", "said to be photo, is video/mp4"),
        (b"", "file", "application/octet-stream", "said to be photo, is application/octet-stream"),
        (b"\xff\xd8\xff\xe0 no more", "photo", "image/jpeg", "no thumbnail: "),
        (image()[:900], "photo", "image/jpeg", "no thumbnail: image file is truncated"),
        (image("PNG")[:-300], "photo", "image/png", "no thumbnail: "),
    ],
)
def test_what_is_no_photo_is_kept_as_what_it_is(folder: MediaFolder, bytes_: bytes, kind: str, type: str, reason: str) -> None:
    file_due(folder, store(whole(bytes_)))
    media = only()
    assert (media.state, media.kind, media.content_type, media.has_thumbnail) == ("complete", kind, type, False)
    assert media.reason.startswith(reason)
    assert content(folder, media) == bytes_


def test_a_picture_that_would_swell_is_not_decoded(folder: MediaFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = image("PNG", (8000, 8000))
    assert len(bomb) < 1_000_000

    def load(*_: Any) -> None:
        pytest.fail("it was decoded")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    file_due(folder, store(whole(bomb)))
    media = only()
    assert (media.width, media.height, media.has_thumbnail) == (8000, 8000, False)
    assert media.reason == "no thumbnail: 8000 x 8000 points are more than is decoded"


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "a\0b", "\u202egpj.exe", "n" * 10_000, "\ud800", ".", "con:", "a/../b"]
)
def test_a_name_is_data_and_never_a_path(folder: MediaFolder, root: Path, name: str) -> None:
    file_due(folder, store(begin(MediaKind.FILE, name), *pieces(), end(FILE)))
    media = only()
    assert media.name == name.replace("\0", "�").replace("\ud800", "?")[:255]
    assert files(root) == [folder.path(media.sha256, "bin")]
    assert {path.name.partition("-")[0] for path in root.parent.iterdir()} <= {"media", "iotgw.sqlite3"}


def test_a_file_that_is_too_long_is_declined_before_it_fills_anything(folder: MediaFolder) -> None:
    def outcomes(*reports: Any) -> dict[int, Outcome]:
        return write([incoming(one, identity="1") for one in reports], is_open=anybody, longest_file_bytes=12)

    declined = Outcome.DECLINED
    assert outcomes(begin(MediaKind.VIDEO, "v.mp4", 3 << 30)) == {0: declined}
    assert outcomes(*pieces(), end(FILE)) == dict.fromkeys(range(4), declined)
    assert (only().state, only().reason, only().expected_bytes) == ("refused", "too long", 3 << 30)
    assert not Report.objects.exists()


def test_a_file_that_does_not_say_how_long_it_will_be_is_declined_where_it_gets_too_long(folder: MediaFolder) -> None:
    assert store(begin(), *pieces(), longest=12) == []
    assert only().state == "refused"
    assert Report.objects.count() == 0


def test_the_same_bytes_are_one_file_which_goes_with_its_last_row(folder: MediaFolder, root: Path) -> None:
    photo = image()
    for identity in ("1", "2"):
        file_due(folder, store(whole(photo), identity=identity))
    first, second = Media.objects.order_by("id")
    assert first.sha256 == second.sha256
    assert len(files(root)) == 2
    remove(first, folder)
    assert content(folder, second) == photo
    remove(second, folder)
    assert files(root) == []


def test_what_is_old_is_removed(folder: MediaFolder, root: Path) -> None:
    file_due(folder, store(whole(image())))
    assert remove_before(NOON, folder) == 0
    assert remove_before(NOON + minutes(1), folder) == 1
    assert (Media.objects.count(), files(root), Report.objects.count()) == (0, [], 1)


@pytest.mark.parametrize("where", ["put", "cut_bodies"])
def test_a_worker_that_is_killed_between_file_and_row_loses_nothing(
    folder: MediaFolder, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def kill(*_: Any) -> None:
        raise Killed

    sent = whole(image())
    due = store(sent)
    with monkeypatch.context() as patch:
        patch.setattr(*((MediaFolder, "put") if where == "put" else (filing, "cut_bodies")), kill)
        with pytest.raises(Killed):
            file_due(folder, due)
    assert bytes(Report.objects.get().body) == sent.body
    assert only().sha256 == ""
    assert file_due(folder, due) == [None], "somebody may still be at it"
    assert file_due(folder, due, later=CLAIM) == [Media.State.COMPLETE]
    assert content(folder, only()) == image()


def test_what_killed_its_worker_again_and_again_is_not_looked_at(folder: MediaFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    due = store(whole(image()))
    with monkeypatch.context() as patch:
        patch.setattr(filing, "look_at", lambda *_: 1 / 0)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                file_due(folder, due)
            Media.objects.update(due_at=NOON)
        assert file_due(folder, due) == [Media.State.COMPLETE]
    assert only().reason == "no thumbnail: looking at it ended the worker"


def test_a_full_disk_is_waited_for_with_the_bytes_in_the_database(folder: MediaFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = whole(image())
    due = store(sent)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(MediaFolder, "put", full)
        assert file_due(folder, due) == [Media.State.WAITING]
    assert only().reason == "[Errno 28] No space left on device"
    assert bytes(Report.objects.get().body) == sent.body
    assert file_due(folder, due) == [None]
    assert file_due(folder, due, later=NEXT_TRY) == [Media.State.COMPLETE]
    assert bytes(Report.objects.get().body) == HEAD


@pytest.mark.parametrize(("room", "reason"), [(Room(30, 0), "media_quota_bytes"), (Room(0, 1 << 60), "media_spare_bytes")])
def test_there_is_room_for_so_much(folder: MediaFolder, room: Room, reason: str) -> None:
    file_due(folder, store(whole(b"x" * 20)))
    due = store(whole(b"y" * 20))
    assert file_due(folder, due, room) == [Media.State.WAITING]
    assert reason in Media.objects.get(state="waiting").reason
    remove(Media.objects.get(state="complete"), folder)
    assert file_due(folder, due, Room(30, 0), NEXT_TRY) == [Media.State.COMPLETE]


def test_what_a_killed_worker_began_to_write_goes_when_it_is_old(folder: MediaFolder, root: Path) -> None:
    with folder.unfinished():
        (root / "incoming/old").touch()
        os.utime(root / "incoming/old", (0, 0))
        folder.remove_left_behind()
        assert len(files(root)) == 1
