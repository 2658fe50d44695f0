"""The spool's files: what was appended comes back in order, whatever happened to the files."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from pathlib import Path
from typing import Any

import pytest

from iotgw.records import SEGMENT_HEADER_BYTES
from iotgw.segments import Place, Segments

PAYLOADS = [b"first", b"", b"third " * 5, b"\xa5rec", b"last"]
LARGE = 1 << 30


def opened(folder: Path, limit: int = LARGE) -> tuple[Segments, int]:
    segments = Segments(folder, limit)
    return segments, segments.open()


def rest(segments: Segments) -> list[bytes]:
    found = []
    while (stored := segments.read()) is not None:
        found.append(stored.payload)
    return found


def files(folder: Path, pattern: str = "*.spool") -> list[Path]:
    return sorted(folder.glob(pattern))


def written(folder: Path, payloads: list[bytes] = PAYLOADS) -> tuple[Path, list[Place]]:
    """A folder as a killed gateway leaves it: its only segment, and where the records are."""
    segments, _ = opened(folder)
    places = segments.append(payloads)
    segments.close()
    (path,) = files(folder)
    return path, places


def test_records_come_back_in_order_in_the_same_run_and_in_the_next(tmp_path: Path):
    segments, found = opened(tmp_path / "spool")
    assert found == 0
    segments.append(PAYLOADS[:2])
    segments.append(PAYLOADS[2:])
    assert rest(segments) == PAYLOADS
    segments.close()
    segments, found = opened(tmp_path / "spool")
    assert found == len(PAYLOADS)
    assert rest(segments) == PAYLOADS


def test_cut_at_any_byte_all_whole_records_come_back(tmp_path: Path):
    path, places = written(tmp_path / "whole")
    data = path.read_bytes()
    for length in range(len(data) + 1):
        folder = tmp_path / "cut"
        folder.mkdir()
        (folder / path.name).write_bytes(data[:length])
        segments, found = opened(folder)
        whole = [payload for payload, place in zip(PAYLOADS, places, strict=True) if place.end <= length]
        ends = {0, SEGMENT_HEADER_BYTES, *(place.end for place in places)}
        assert found == len(whole), length
        assert segments.torn == (length not in ends), length
        segments.append([b"behind"])
        assert rest(segments) == [*whole, b"behind"], length
        assert segments.damaged == 0
        segments.close()
        segments, _ = opened(folder)
        assert rest(segments) == [*whole, b"behind"], "and again, in the run after"
        assert segments.damaged == segments.torn == 0
        segments.close()
        shutil.rmtree(folder)


def test_any_flipped_byte_costs_its_own_record_only(tmp_path: Path):
    path, places = written(tmp_path / "whole")
    data = path.read_bytes()
    for index in range(SEGMENT_HEADER_BYTES, len(data)):
        folder = tmp_path / "flipped"
        folder.mkdir()
        (folder / path.name).write_bytes(data[:index] + bytes([data[index] ^ 0x10]) + data[index + 1 :])
        segments, found = opened(folder)
        others = [payload for payload, place in zip(PAYLOADS, places, strict=True) if not place.offset <= index < place.end]
        assert (found, rest(segments)) == (len(others), others), index
        assert segments.torn + segments.damaged == 1, index
        assert len(files(folder, "*.damaged")) == segments.damaged
        segments.close()
        shutil.rmtree(folder)


def test_a_damaged_header_sets_the_segment_aside_and_not_the_others(tmp_path: Path):
    path, _ = written(tmp_path / "spool")
    segments, _ = opened(tmp_path / "spool")
    segments.append([b"other"])
    segments.close()
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    segments, found = opened(tmp_path / "spool")
    assert (found, rest(segments), segments.damaged) == (1, [b"other"], 1)
    (kept,) = files(tmp_path / "spool", "*.damaged")
    assert kept.read_bytes() == data


def test_what_rots_after_the_start_is_noticed_when_it_is_read(tmp_path: Path):
    segments, _ = opened(tmp_path)
    places = segments.append(PAYLOADS)
    (path,) = files(tmp_path)
    with path.open("rb+") as file:
        file.seek(places[2].end - 1)
        file.write(b"\0")
    assert rest(segments) == PAYLOADS[:2] + PAYLOADS[3:]
    assert segments.damaged == 1
    for place in places[:2] + places[3:]:
        segments.done(place)
    assert files(tmp_path) == [], "what cannot be read keeps no file"


def test_a_copied_record_is_none_elsewhere(tmp_path: Path):
    """A device may send the bytes of a record; behind damage they must not be taken for one."""
    path, places = written(tmp_path / "a", [b"x" * 40, b"forged"])
    forged = path.read_bytes()[places[1].offset :]
    path, places = written(tmp_path / "b", [b"x" * 40 + forged, b"good"])
    data = bytearray(path.read_bytes())
    data[places[0].offset] ^= 1
    path.write_bytes(data)
    segments, _ = opened(tmp_path / "b")
    assert rest(segments) == [b"good"]


def test_segments_are_removed_when_all_of_theirs_is_done(tmp_path: Path):
    segments, _ = opened(tmp_path, 4000)
    places = [segments.append([bytes(300)])[0] for _ in range(9)]
    assert len({place.segment for place in places}) == len(files(tmp_path)) == 3
    assert len(rest(segments)) == 9
    for count, place in enumerate(reversed(places), 1):
        segments.done(place)
        assert len(files(tmp_path)) == 3 - count // 3
    assert (files(tmp_path), segments.size) == ([], 0)
    (place,) = segments.append([b"next"])
    assert place.segment > places[-1].segment, "numbers are not used twice in a run"
    assert rest(segments) == [b"next"]


def test_what_is_skipped_is_not_read_but_is_there_for_the_next_run(tmp_path: Path):
    segments, _ = opened(tmp_path)
    places = segments.append(PAYLOADS)
    for place in (places[1], places[0], places[4]):
        segments.skip(place)
    assert rest(segments) == PAYLOADS[2:4]
    for place in places[:4]:
        segments.done(place)
    assert files(tmp_path), "one is not done"
    segments.close()
    segments, _ = opened(tmp_path)
    assert rest(segments) == PAYLOADS


def test_all_skipped_and_done_leaves_nothing(tmp_path: Path):
    segments, _ = opened(tmp_path)
    for place in segments.append(PAYLOADS):
        segments.skip(place)
        segments.done(place)
    assert files(tmp_path) == []


def test_the_bound_counts_headers_and_what_was_found(tmp_path: Path):
    segments, _ = opened(tmp_path, 1000)
    while segments.has_room(32 + 100):
        segments.append([bytes(100)])
    assert 1000 - 132 - SEGMENT_HEADER_BYTES < segments.size <= 1000
    assert sum(path.stat().st_size for path in files(tmp_path)) == segments.size
    segments.close()
    again, _ = opened(tmp_path, 1000)
    assert again.size == segments.size
    assert not again.has_room(132)


def test_a_disk_that_ends_within_a_record_takes_none_of_it(tmp_path: Path):
    segments, _ = opened(tmp_path)
    segments.append([b"before"])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
    try:
        for _ in range(3):
            with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
                segments.append([b"small", bytes(500)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(files(tmp_path)) == 1, "no file for each time that it was tried"
    segments.append([b"behind"])
    assert rest(segments) == [b"before", b"behind"]
    segments.close()
    segments, _ = opened(tmp_path)
    assert rest(segments) == [b"before", b"behind"]
    assert segments.torn == segments.damaged == 0


def test_after_a_failed_fsync_nothing_more_goes_into_that_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    segments, _ = opened(tmp_path)
    (before,) = segments.append([b"before"])

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="broken"):
            segments.append([b"lost"])
    (behind,) = segments.append([b"behind"])
    assert behind.segment > before.segment
    assert rest(segments) == [b"before", b"behind"]


def test_a_file_that_a_failing_disk_kept_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As when the file system turns read-only: what was begun cannot be removed either."""
    segments, _ = opened(tmp_path)

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "read-only")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", fail)
        patch.setattr(Path, "unlink", fail)
        for _ in range(2):
            with pytest.raises(OSError, match="read-only"):
                segments.append([b"lost"])
    segments.append([b"behind"])
    assert rest(segments) == [b"behind"]
    segments.close()
    segments, found = opened(tmp_path)
    assert (found, segments.torn, segments.damaged) == (1, 0, 0)


def test_a_read_costs_the_same_however_many_segments_there_are(tmp_path: Path):
    segments, _ = opened(tmp_path, limit=4)
    segments._limit = LARGE
    segments.append([b"first"])
    visited = 0

    class Counting(dict[Any, Any]):
        def items(self) -> Any:
            nonlocal visited
            for item in super().items():
                visited += 1
                yield item

    for _ in range(100):
        segments.append([b"more"])
    segments._segments = Counting(segments._segments)
    for _ in range(100):
        stored = segments.read()
        assert stored is not None
        segments.done(stored.place)
    assert visited < 10 * 100, visited


def test_each_append_is_synced_and_a_new_file_in_its_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    synced = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    segments, _ = opened(tmp_path)
    segments.append([b"one", b"two"])
    (path,) = files(tmp_path)
    assert synced == [str(tmp_path), str(path)]
    segments.append([b"three"])
    assert synced == [str(tmp_path), str(path), str(path)]


def test_two_gateways_never_share_a_folder(tmp_path: Path):
    first, _ = opened(tmp_path)
    with pytest.raises(BlockingIOError):
        opened(tmp_path)
    first.close()
    opened(tmp_path)


def test_a_segment_that_somebody_removed_stops_nothing(tmp_path: Path):
    path, _ = written(tmp_path)
    segments, found = opened(tmp_path)
    path.unlink()
    segments.append([b"behind"])
    assert (found, rest(segments), segments.damaged) == (len(PAYLOADS), [b"behind"], 1)
