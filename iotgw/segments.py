"""The spool's files: batches in the order they came, in segments that are removed when all of theirs are stored.

    lock                                  held by the gateway that uses the folder
    000000000017.spool                    a segment, read from
    000000000018.spool                    the newest: records are added to it
    000000000017-8812-0badc0de.damaged    bytes that were a record once, for a person to look at

Nothing here knows of threads: whoever calls waits for the disk.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import structlog

from iotgw.records import (
    RECORD_HEADER_BYTES,
    SALT_BYTES,
    SEGMENT_HEADER_BYTES,
    end_of_record,
    is_record,
    is_torn,
    length_at,
    next_record,
    record,
    salt_of,
    segment_header,
)

log = structlog.get_logger(__name__)

SEGMENT_BYTES = 8 << 20
"""Room comes free a segment at a time, and what a killed gateway publishes twice is less than one."""
SEGMENTS_AT_LEAST = 4
"""A small spool has smaller segments, so that one which waits for its last receipt does not fill it."""


class Place(NamedTuple):
    """Where a record is."""

    segment: int
    offset: int
    end: int


class Stored(NamedTuple):
    place: Place
    payload: bytes


@dataclass(slots=True)
class _Segment:
    number: int
    path: Path
    salt: bytes
    end: int
    """Up to here its records are on the disk."""
    passed: int = 0
    """Records that were read or need not be."""
    done: int = 0


class Segments:
    """An ordered, bounded file of records. ``append`` adds behind, ``read`` goes on from where it was."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit = limit_bytes
        self.segment_bytes = max(min(SEGMENT_BYTES, limit_bytes // SEGMENTS_AT_LEAST), 1)
        self._segments: dict[int, _Segment] = {}
        """Ascending, as they are made and found."""
        self._newest: int | None = None
        self._file = -1
        self._lock = -1
        self._at, self._offset = 0, 0
        self._highest = 0
        self._skipped: dict[tuple[int, int], int] = {}
        self.size = 0
        self.torn = self.damaged = 0

    def open(self) -> int:
        """Take the folder over; the number of records in it.

        Raises: OSError when it cannot be used, or another process uses it.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._lock < 0:
            lock = os.open(self._folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lock)
                raise
            self._lock = lock
        self._segments.clear()
        self.size = 0
        paths = sorted(path for path in self._folder.glob("*.spool") if path.stem.isdigit())
        self._highest = max([self._highest, *(int(path.stem) for path in paths)])
        return sum(self._take_over(path, path is paths[-1]) for path in paths)

    def close(self) -> None:
        for descriptor in (self._file, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._lock = -1
        self._newest = None

    def has_room(self, length: int) -> bool:
        header = 0 if self._newest is not None else SEGMENT_HEADER_BYTES
        return self.size + header + length <= self._limit

    def append(self, payloads: Sequence[bytes]) -> list[Place]:
        """Add records; when it returns they are on the disk, and until then none of them counts.

        Raises: OSError when the disk does not take them.
        """
        try:
            segment = self._writable()
            places, records, offset = [], [], segment.end
            for payload in payloads:
                records.append(record(payload, segment.salt, offset))
                end = offset + len(records[-1])
                places.append(Place(segment.number, offset, end))
                offset = end
            _write(self._file, b"".join(records), segment.end)
            os.fsync(self._file)
        except OSError:
            # After a failed fsync the same file may call itself clean without being so: nothing more goes into it.
            self._seal()
            raise
        self.size += offset - segment.end
        segment.end = offset
        if segment.end >= self.segment_bytes:
            self._seal()
        return places

    def read(self) -> Stored | None:
        """The next record that has to be published; None when there is none.

        Raises: OSError when the disk does not give it.
        """
        while (segment := self._current()) is not None:
            if not segment.path.exists() and self._folder.exists():
                log.error("a segment of the spool is gone", segment=segment.path.name, bytes=segment.end - self._offset)
                self.damaged += 1
                self._offset = segment.end
                self._sweep()
                continue
            with segment.path.open("rb") as file:
                file.seek(self._offset)
                head = file.read(RECORD_HEADER_BYTES)
                length = length_at(head, segment.salt, self._offset) or 0
                payload = file.read(length)
                if is_record(head, payload, segment.salt, self._offset):
                    place = Place(segment.number, self._offset, self._offset + len(head) + length)
                    self._offset = place.end
                    segment.passed += 1
                    return Stored(place, payload)
                file.seek(0)
                data = file.read(segment.end)
            behind = next_record(data, segment.salt, self._offset)
            self._set_aside(segment, data, self._offset, behind)
            self._offset = behind
            self._sweep()
        return None

    def skip(self, place: Place) -> None:
        """This record need not be read: who wrote it still has it."""
        if (place.segment, place.offset) >= (self._at, self._offset):
            self._skipped[place.segment, place.offset] = place.end
            self._current()
            self._sweep()

    def done(self, place: Place) -> None:
        """This record is not needed any more."""
        if (segment := self._segments.get(place.segment)) is not None:
            segment.done += 1
            self._sweep()

    def _current(self) -> _Segment | None:
        """The segment that has the next record to read, with the position at it."""
        for number, segment in self._segments.items():
            if number < self._at:
                continue
            if number > self._at:
                self._at, self._offset = number, SEGMENT_HEADER_BYTES
            while (end := self._skipped.pop((number, self._offset), None)) is not None:
                self._offset = end
                segment.passed += 1
            if self._offset < segment.end:
                return segment
        return None

    def _sweep(self) -> None:
        """Remove the segments that nobody needs any more."""
        for number, segment in list(takewhile(lambda item: item[0] <= self._at, self._segments.items())):
            is_read = number < self._at or self._offset >= segment.end
            if is_read and segment.done >= segment.passed:
                if number == self._newest:
                    self._seal()
                self._remove(segment)

    def _writable(self) -> _Segment:
        if self._newest is not None:
            return self._segments[self._newest]
        number = self._highest + 1
        path = self._folder / f"{number:012}.spool"
        salt = os.urandom(SALT_BYTES)
        # There may be one already: begun when the disk failed, and not to be removed then either.
        self._file = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            _write(self._file, segment_header(salt), 0)
            _sync_folder(self._folder)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        segment = self._segments[number] = _Segment(number, path, salt, SEGMENT_HEADER_BYTES)
        self._newest = self._highest = number
        self.size += segment.end
        return segment

    def _seal(self) -> None:
        descriptor, self._file = self._file, -1
        newest, self._newest = self._newest, None
        if descriptor < 0:
            return
        try:
            if newest is not None:
                os.ftruncate(descriptor, self._segments[newest].end)
        except OSError as error:
            log.warning("spool keeps bytes that are no record", segment=newest, cause=str(error))
        finally:
            os.close(descriptor)
        if newest is not None and self._segments[newest].end == SEGMENT_HEADER_BYTES:
            # A disk that takes no record would be left with a file for each time it was tried.
            self._remove(self._segments[newest])

    def _remove(self, segment: _Segment) -> None:
        segment.path.unlink(missing_ok=True)
        del self._segments[segment.number]
        self.size -= segment.end

    def _take_over(self, path: Path, is_last: bool) -> int:
        data = path.read_bytes()
        number, salt = int(path.stem), salt_of(data)
        if salt is None:
            is_begun = is_last and len(data) < SEGMENT_HEADER_BYTES
            self.torn += is_begun and bool(data)
            if is_begun or self._set_aside(_Segment(number, path, b"", len(data)), data, 0, len(data)):
                path.unlink()
            return 0
        records, offset = 0, SEGMENT_HEADER_BYTES
        end = len(data)
        while offset < len(data):
            behind = end_of_record(data, salt, offset)
            if behind is None:
                behind = next_record(data, salt, offset)
                if behind == len(data) and is_last and is_torn(data, salt, offset):
                    end = offset
                    break
            else:
                records += 1
            offset = behind
        if end < len(data):
            log.warning("spool ends with half a record, cut off", segment=path.name, bytes=len(data) - end)
            self.torn += 1
            with path.open("rb+") as file:
                file.truncate(end)
                os.fsync(file.fileno())
        self._segments[number] = _Segment(number, path, salt, end)
        self.size += end
        return records

    def _set_aside(self, segment: _Segment, data: bytes, start: int, end: int) -> bool:
        """Keep what cannot be published for a person to look at, if the disk allows; whether it did."""
        name = blake2b(data[start:end], digest_size=4).hexdigest()
        path = self._folder / f"{segment.path.stem}-{start}-{name}.damaged"
        log.error("damaged record in the spool, set aside", segment=segment.path.name, bytes=end - start, kept=path.name)
        self.damaged += 1
        try:
            path.write_bytes(data[start:end])
        except OSError as error:
            log.error("damaged record could not be kept", kept=path.name, cause=str(error))
            return False
        return True


def _write(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
