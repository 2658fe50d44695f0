"""The media tasks, called as a worker calls them, on real databases and a real disk."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import Reject
from django.db import OperationalError, connection
from kombu.exceptions import OperationalError as BrokerError

from settings import Settings
from store.models import Media, MediaPiece
from tasks import media
from tests.records import NOON
from tests.store.media.pictures import begin, data, end, image, only, store, whole


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(media, "settings", Settings(media_folder=tmp_path / "media", media_days=0, media_spare_bytes=0))
    return tmp_path / "media"


@pytest.mark.usefixtures("database_url")
def test_what_was_announced_is_filed_and_what_was_not_is_found_by_a_sweep() -> None:
    announced = store(whole(image()), identity="1")
    store(whole(image()), identity="2")
    media.store_files(announced)
    assert list(Media.objects.order_by("id").values_list("state", flat=True)) == ["complete", "receiving"]
    media.sweep()
    assert list(Media.objects.order_by("id").values_list("state", flat=True)) == ["complete", "complete"]


@pytest.mark.usefixtures("database_url")
def test_a_file_whose_end_never_comes_is_looked_at_in_the_end() -> None:
    store(begin(size=4), data(0, b"all."), identity="1")
    store(begin(), data(0, b"some"), identity="2")
    media.sweep()
    assert set(Media.objects.values_list("state", flat=True)) == {"receiving"}
    Media.objects.update(touched_at=NOON)
    media.sweep()
    states = list(Media.objects.order_by("id").values_list("state", "reason"))
    assert states == [("complete", ""), ("incomplete", "the device has not said how long it is")]
    media.store_files(store(end(b"some"), identity="2"))
    assert Media.objects.get(device__identity="2").state == "complete"


@pytest.mark.usefixtures("sqlite_url")
def test_files_are_removed_when_they_are_old_enough(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    media.store_files(store(whole(image())))
    days = (datetime.now(UTC) - NOON).days
    for kept, count in ((0, 1), (days + 1, 1), (days, 0)):
        monkeypatch.setattr(media, "settings", Settings(media_folder=root, media_days=kept, media_spare_bytes=0))
        media.sweep()
        assert Media.objects.count() == count
    assert [path.name for path in root.rglob("*") if path.is_file()] == ["lock"]
    assert not MediaPiece.objects.exists()


@pytest.mark.usefixtures("sqlite_url")
@pytest.mark.parametrize("ids", [None, "1", [0], [-1], ["1"], [1 << 63], [True], [[1]], list(range(1, 10_002))])
def test_a_bad_payload_is_dropped_with_one_line(ids: Any, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Reject) as rejection:
        media.store_files(ids)
    assert rejection.value.requeue is False
    assert [record.getMessage() for record in caplog.records] == ["dropped a bad payload: ids are no list of files"]


@pytest.mark.usefixtures("sqlite_url")
def test_without_a_broker_files_wait_for_a_sweep(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise BrokerError("away")

    monkeypatch.setattr(media.app, "send_task", away)
    media.announce(store(whole(image())))
    assert [record.getMessage() for record in caplog.records] == ["files not announced, a sweep will find them"]
    media.sweep()
    assert only().state == "complete"


@pytest.mark.usefixtures("database_url")
def test_while_the_database_is_away_nothing_is_lost(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    due = store(whole(image()))

    def away(*_: Any) -> None:
        raise OperationalError("away")

    with monkeypatch.context() as patch:
        patch.setattr("store.media.filing.cut_bodies", away)
        media.store_files(due)
    assert "database does not take files now" in caplog.text
    assert connection.connection is None
    Media.objects.update(due_at=NOON)
    media.sweep()
    assert only().state == "complete"
