"""Files for devices: what gateways ask for, and what a sweep tells them, on real databases, a real disk and a real Redis."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgpack
import pytest
import redis
from celery.exceptions import Reject
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from protocols import FileResult, FileStatus
from protocols.registry import registered
from settings import Settings
from store import deliveries
from store.audit import Actor
from store.commands import asking
from store.deliveries import AGAIN, LATER, MOST_TRIES, RESULT_WAIT, Said
from store.files import add, remove
from store.media.filing import Room
from store.media.folder import MediaFolder
from store.models import Delivery, Device, File
from tasks import files
from tasks.contract import (
    ENDED_FIELD,
    FILES_FIELD,
    FILES_SWEEPING,
    FILES_WAITING,
    MOST_OFFERS,
    REPLY_BYTES,
    ROUTES,
    SLICE_BYTES,
    Reply,
    Shelved,
    mailbox,
    pack_reply,
    unpack_ended,
    unpack_files_waiting,
)

ME = Actor("me")
FIRMWARE = bytes(range(256)) * 700
MOMENT = 1_795_000_000_000
"""Some time, in milliseconds since 1970."""


@pytest.fixture(autouse=True)
def memory(worker_redis: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> redis.Redis:
    """The worker's Redis; its media folder is in the temporary folder."""
    monkeypatch.setattr(files, "settings", Settings(media_folder=tmp_path / "media"))
    return worker_redis


@pytest.fixture
def folder(tmp_path: Path) -> MediaFolder:
    return MediaFolder(tmp_path / "media")


@pytest.fixture
def file(database_url: str, folder: MediaFolder, tmp_path: Path) -> File:
    return added(folder, tmp_path, FIRMWARE)


def added(folder: MediaFolder, tmp_path: Path, data: bytes, version: str = "2.0") -> File:
    path = tmp_path / "firmware"
    path.write_bytes(data)
    return add(path, folder, Room(0, 0), name="firmware", version=version, maker="", by="me", actor=ME)


def offered(file: File, *identities: str, protocol: str = "native") -> list[Delivery]:
    devices = [Device.objects.get_or_create(protocol=protocol, identity=identity)[0] for identity in identities]
    return deliveries.offer(file, devices, "me", datetime.now(UTC), ME)


def ask(*identities: str) -> list[Shelved | None]:
    return files.next_offers([["native", identity] for identity in identities])


def only() -> Delivery:
    return Delivery.objects.get()


def test_each_device_is_told_of_the_file_that_is_its_turn(file: File, folder: MediaFolder, tmp_path: Path) -> None:
    (first, _) = offered(file, "a", "b")
    newer = added(folder, tmp_path, b"newer", "3.0")
    offered(newer, "a")
    told = ask("b", "nobody", "a", "\0", "x" * 65)
    assert [one and one.offer.version for one in told] == ["2.0", None, "2.0", None, None]
    assert told[2] == Shelved((first.id, file.id, len(FIRMWARE), file.crc32, "firmware", "2.0", "", 0), file.sha256)
    deliveries.cancel(first.id, datetime.now(UTC), ME)
    assert ask("a")[0].offer.version == "3.0"  # type: ignore[union-attr]
    assert pack_reply(Reply("call:a:1", told))


def test_it_is_a_few_questions_however_many_are_asked_for(file: File) -> None:
    names = [str(number) for number in range(MOST_OFFERS)]
    offered(file, *names)
    with CaptureQueriesContext(connection) as queries:
        assert all(ask(*names))
    assert len(queries) <= 6


def test_where_it_was_it_goes_on_and_when_all_has_gone_its_result_is_waited_for(file: File) -> None:
    (delivery,) = offered(file, "a")
    files.note([[delivery.id, 5000, MOMENT, ""]])
    assert ask("a")[0].offer.sent == 5000  # type: ignore[union-attr]
    files.note([[delivery.id, file.size, MOMENT, ""]])
    for _ in range(2 * MOST_TRIES):
        assert ask("a")[0].offer[0::7] == (delivery.id, file.size)  # type: ignore[union-attr]
    Delivery.objects.update(touched_at=datetime.now(UTC) - RESULT_WAIT)
    assert ask("a")[0].offer.sent == 0, "anew"  # type: ignore[union-attr]


def test_what_nothing_comes_of_fails_in_the_end(file: File) -> None:
    (delivery,) = offered(file, "a")
    for _ in range(MOST_TRIES - 1):
        assert ask("a") != [None]
    files.note([[delivery.id, 10, MOMENT, ""]])
    for _ in range(MOST_TRIES):
        assert ask("a") != [None]
    assert ask("a") == [None]
    assert (only().state, only().reason) == ("failed", "offered 20 times, nothing came of it")


def test_slices_are_what_the_file_has(file: File, folder: MediaFolder) -> None:
    assert files.read_slice(file.sha256, 0) == FIRMWARE[:SLICE_BYTES]
    assert files.read_slice(file.sha256, SLICE_BYTES) == FIRMWARE[SLICE_BYTES:]
    assert files.read_slice(file.sha256, 10 * SLICE_BYTES) == b""
    assert len(pack_reply(Reply("call:a:1", FIRMWARE[:SLICE_BYTES]))) < REPLY_BYTES
    remove(file.id, folder, ME)
    assert files.read_slice(file.sha256, 0) is None


def test_without_its_folder_a_file_is_not_taken_for_gone(file: File, tmp_path: Path) -> None:
    (tmp_path / "media").rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError):
        files.read_slice(file.sha256, 0)


def test_progress_never_goes_back(file: File) -> None:
    (delivery,) = offered(file, "a")
    for sent in (500, 3000, 1000):
        files.note([[delivery.id, sent, MOMENT, ""], [77, 5, MOMENT, ""]])
    assert (only().state, only().sent_bytes) == ("fetching", 3000)
    files.note([[delivery.id, 0, MOMENT, "too long for it"]])
    files.note([[delivery.id, 4000, MOMENT, ""]])
    assert (only().state, only().reason, only().sent_bytes) == ("failed", "too long for it", 3000)
    assert only().ended_at is not None


@pytest.mark.usefixtures("database_url")
@pytest.mark.parametrize(
    ("task", "payload"),
    [
        (files.next_offers, [None]),
        (files.next_offers, [[["native"]]]),
        (files.next_offers, [[["native", "a"]] * (MOST_OFFERS + 1)]),
        (files.read_slice, ["../../etc/passwd", 0]),
        (files.read_slice, ["a" * 64, -1]),
        (files.read_slice, ["A" * 64, 0]),
        (files.read_slice, [7, 0]),
        (files.note, ["x"]),
        (files.note, [[[1, 2]]]),
        (files.note, [[[1, "2", MOMENT, ""]]]),
        (files.note, [[[1, 2, 1 << 62, ""]]]),
    ],
)
def test_a_bad_payload_is_dropped_with_one_line(task: Any, payload: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Reject) as rejection:
        task(*payload)
    assert rejection.value.requeue is False
    assert len(caplog.records) == 1


def words(memory: redis.Redis, gateway: str) -> list[list[str]]:
    """What a gateway is told of files, and has not been told before."""
    entries: list[Any] = memory.xrange(mailbox(gateway))
    memory.delete(mailbox(gateway))
    return [[device.identity for device in unpack_files_waiting(fields[FILES_FIELD])] for _, fields in entries]


def marked(memory: redis.Redis) -> set[bytes]:
    return memory.smembers(FILES_WAITING)  # type: ignore[return-value]


def test_a_sweep_tells_redis_and_the_gateways_that_have_the_devices(file: File, memory: redis.Redis) -> None:
    memory.hset(ROUTES, mapping={"native/a": "gw-1 run 7 1 1", "native/b": "gw-2 run 7 1 1", "native/c": "gw-1 run 7 1 1"})
    offered(file, "a", "b", "away")
    offered(file, "c")
    files.sweep()
    assert marked(memory) == {b"native/a", b"native/b", b"native/away", b"native/c"}
    assert (words(memory, "gw-1"), words(memory, "gw-2")) == ([["a", "c"]], [["b"]])
    files.sweep()
    assert words(memory, "gw-1") == [], "once"
    now = datetime.now(UTC)
    assert all(now < row.due_at <= now + AGAIN for row in Delivery.objects.all() if row.due_at)
    memory.flushdb()
    Delivery.objects.update(due_at=now)
    files.sweep()
    assert len(marked(memory)) == 4, "a Redis that has lost it is told again"


def test_what_has_ended_is_told_once_and_is_due_no_more(
    file: File, folder: MediaFolder, tmp_path: Path, memory: redis.Redis
) -> None:
    memory.hset(ROUTES, mapping={"native/a": "gw-1 run 7 1 1"})
    (delivery,) = offered(file, "a")
    newer = added(folder, tmp_path, b"newer")
    files.sweep()
    words(memory, "gw-1")
    (second,) = offered(newer, "a")
    for id, left in ((delivery.id, {b"native/a"}), (second.id, set())):
        deliveries.cancel(id, datetime.now(UTC), ME)
        files.sweep()
        assert words(memory, "gw-1") == [["a"]]
        assert marked(memory) == left
    assert not Delivery.objects.exclude(due_at=None).exists()


def test_protocols_without_a_way_down_are_told_so(file: File, memory: redis.Redis) -> None:
    offered(file, "1", protocol="gt06")
    files.sweep()
    files.sweep()
    assert (only().state, only().reason, only().due_at) == ("failed", "gt06 devices take no files", None)
    assert marked(memory) == set()


def test_of_a_protocol_that_another_worker_may_have_nothing_fails(file: File, memory: redis.Redis) -> None:
    offered(file, "1", protocol="unknown")
    files.sweep()
    assert only().state == "offered"
    assert marked(memory) == {b"unknown/1"}


def test_a_sweep_goes_on_while_there_is_more(file: File, memory: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "DELIVERIES_A_TIME", 3)
    names = [f"{number}" for number in range(8)]
    offered(file, *names)
    files.sweep()
    assert len(marked(memory)) == 8
    memory.flushdb()
    Delivery.objects.update(due_at=datetime.now(UTC))
    monkeypatch.setattr(files, "LONGEST_SWEEP_SECONDS", 0.0)
    files.sweep()
    assert len(marked(memory)) == 3, "what is left is the next one's"


def test_what_has_changed_is_told_before_what_is_only_looked_at_again(file: File) -> None:
    old, new, ended = offered(file, "a", "b", "c")
    now = datetime.now(UTC)
    Delivery.objects.filter(id=old.id).update(due_at=now - 2 * AGAIN, touched_at=now - 3 * AGAIN)
    deliveries.cancel(ended.id, now, ME)
    assert [one.id for one in deliveries.due(now, 2)] == [new.id, ended.id]
    assert [one.id for one in deliveries.due(now, 3)] == [new.id, ended.id, old.id]


def test_one_sweep_runs_at_a_time(file: File, memory: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    offered(file, "a")
    found: list[int] = []
    due = deliveries.due

    def look(now: datetime, limit: int) -> list[Delivery]:
        found.append(limit)
        files.sweep()
        return due(now, limit)

    monkeypatch.setattr(deliveries, "due", look)
    files.sweep()
    assert len(found) == 1
    files.sweep()
    assert len(found) == 2, "the next one may"
    memory.set(FILES_SWEEPING, 1, ex=1)
    files.sweep()
    assert len(found) == 2
    assert memory.ttl(FILES_SWEEPING) > 0, "it leaves another's alone"


def test_while_redis_is_away_it_stays_due(file: File, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    offered(file, "a")
    before = only().due_at

    def away() -> Any:
        raise redis.ConnectionError("away")

    with monkeypatch.context() as patch:
        patch.setattr(files, "redis", away)
        files.sweep()
    assert "files not announced, will try again" in caplog.text
    assert only().due_at == before


def test_what_changes_during_a_sweep_is_seen_by_the_next(file: File) -> None:
    ended, busy = offered(file, "a", "b")
    ask("b")
    now = datetime.now(UTC)
    found = deliveries.due(now, 10)
    deliveries.cancel(ended.id, now + timedelta(microseconds=1), ME)
    with transaction.atomic():
        deliveries.settle([Said(busy.device_id, FileResult(file.id, FileStatus.LATER, "busy"), now)], now)
    deliveries.seen(found, now)
    assert [one.id for one in deliveries.due(now + timedelta(seconds=1), 10)] == [ended.id]
    assert {one.id for one in deliveries.due(now + LATER, 10)} == {ended.id, busy.id}


def test_a_database_that_is_away_is_a_failure_that_is_told(file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    offered(file, "a")

    def away(*_: Any) -> Any:
        raise DatabaseError("away")

    monkeypatch.setattr(deliveries, "take_next", away)
    with pytest.raises(DatabaseError):
        ask("a")
    assert connection.connection is None


def test_a_word_that_is_none_is_refused() -> None:
    from tasks.contract import BadPayloadError

    for wrong in (b"", b"\xc1", msgpack.packb([["native"]]), msgpack.packb(5)):
        with pytest.raises(BadPayloadError):
            unpack_files_waiting(wrong)


def test_a_command_ends_with_its_delivery(file: File, memory: redis.Redis) -> None:
    device = Device.objects.create(protocol="native", identity="a")
    asked = asking.ask(
        asking.Request("native", "a", "file", {"file": file.id}, waiter="gw-9"),
        asking.Terms(registered(), 30),
        ME,
        frozenset(asking.EFFECTS),
        datetime.now(UTC),
    )
    assert asked.device == device
    files.sweep()
    assert ask("a")[0].offer.file == file.id  # type: ignore[union-attr]
    with transaction.atomic():
        deliveries.settle(
            [Said(device.id, FileResult(file.id, FileStatus.FAILED, "damaged"), datetime.now(UTC))], datetime.now(UTC)
        )
    files.sweep()
    asked.refresh_from_db()
    assert (asked.state, asked.reason) == ("failed", "damaged")
    entries: Any = memory.xrange(mailbox("gw-9"))
    assert [unpack_ended(fields[ENDED_FIELD]) for _, fields in entries] == [[(asked.id,)]]
