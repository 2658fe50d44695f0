"""The folder of exports, below that of media.

<token>.csv             a finished file
work-<token>/lock       held by the worker that is at it: given back by the kernel, however the worker ends
work-<token>/rows       the rows so far; behind what the export's row says is what a killed worker has written
work-<token>/packed     the spreadsheet that is made of them, and what the packing needs
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from store.disk import FILE_MODE, FOLDER_MODE, sync
from store.exports.errors import ExportError

_WORK = "work-"
_CHECK_BYTES = 1 << 20
_LOOK_SECONDS = 0.5


class Room(NamedTuple):
    """How large a file may be, and what the disk keeps free."""

    most_bytes: int
    spare_bytes: int


class Workplace:
    """Where one export is made, while nobody else is at it."""

    def __init__(self, folder: Path, room: Room) -> None:
        self.path = folder
        self.rows = folder / "rows"
        self.packed = folder / "packed"
        self._room = room

    @contextmanager
    def appending(self, size: int) -> Iterator[BinaryIO]:
        """The file of rows, cut to what is committed of it; on the disk at the end.

        Raises: ExportError
        """
        with _told():
            self.check_disk()
            is_new = size == 0
            if not is_new and (not self.rows.exists() or self.rows.stat().st_size < size):
                raise ExportError("what was written of it is gone: do all workers of the queue compute have one media_folder?")
            with io.BufferedWriter(io.FileIO(self.rows, "w" if is_new else "r+"), _CHECK_BYTES) as file:
                file.truncate(size)
                file.seek(size)
                yield file
                file.flush()
                self.check_size(file.tell())
                self.check_disk()
                os.fsync(file.fileno())

    def check_size(self, size: int) -> None:
        """Raises: ExportError"""
        if size > self._room.most_bytes:
            most = f"{self._room.most_bytes:,}"
            raise ExportError(f"it is larger than export_bytes, {most}: choose fewer devices, channels or a shorter period")

    def check_disk(self, more: int = 0) -> None:
        """Raises: ExportError"""
        if shutil.disk_usage(self.path).free - more < self._room.spare_bytes:
            spare = f"{self._room.spare_bytes:,}"
            raise ExportError(f"the disk has less than media_spare_bytes left, {spare}: make room, and start it again")

    def packing(self, look: Callable[[], None]) -> Guarded:
        return Guarded(self.packed, self, look)

    def put(self, made: Path, target: Path) -> tuple[int, str]:
        """Bring a file to its place, whole, in one step; its size and SHA-256."""
        with _told():
            with made.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                size = os.fstat(file.fileno()).st_size
                os.fchmod(file.fileno(), FILE_MODE)
                os.fsync(file.fileno())
            os.replace(made, target)
            sync(target.parent)
        return size, digest

    def take_back(self, target: Path) -> None:
        """What a killed worker had put there just before its row was to say so."""
        with suppress(FileNotFoundError):
            os.replace(target, self.rows)

    def discard(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


class Guarded:
    """A file that looks up now and then, while somebody else's code writes it.

    When it has ended the writing by an error it takes what is written to it still, and does nothing with it: whoever wrote wants to
    end his file well.
    """

    def __init__(self, path: Path, place: Workplace, look: Callable[[], None]) -> None:
        self._file = io.FileIO(path, "w+")
        self._place, self._look = place, look
        self._unchecked, self._next_look = 0, 0.0

    def write(self, data: Any) -> int:
        if self._file.closed:
            return len(data)
        try:
            with _told():
                written = self._file.write(data)
            self._check(written)
        except BaseException:
            self._file.close()
            raise
        return written

    def tell(self) -> int:
        return 0 if self._file.closed else self._file.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return 0 if self._file.closed else self._file.seek(offset, whence)

    def flush(self) -> None:
        """Each write is a write."""

    def close(self) -> None:
        self._file.close()

    def _check(self, written: int) -> None:
        self._unchecked += written
        if self._unchecked >= _CHECK_BYTES:
            self._unchecked = 0
            self._place.check_size(self.tell())
            self._place.check_disk()
        if time.monotonic() >= self._next_look:
            self._look()
            self._next_look = time.monotonic() + _LOOK_SECONDS


class ExportFolder:
    """Names in it are neither devices' nor anybody's who asks."""

    def __init__(self, media: Path, room: Room) -> None:
        self._path = media / "exports"
        self._room = room

    def finished(self, token: str, format: str) -> Path:
        return self._path / f"{token}.{format}"

    @contextmanager
    def workplace(self, token: str) -> Iterator[Workplace | None]:
        """None while somebody else is at it.

        Raises: ExportError
        """
        path = self._path / f"{_WORK}{token}"
        with _told():
            path.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
            descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT, FILE_MODE)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield None
            else:
                yield Workplace(path, self._room)
        finally:
            os.close(descriptor)

    def tokens(self) -> set[str]:
        """Of all that is in it."""
        names = [path.name for path in self._path.iterdir()] if self._path.is_dir() else []
        return {name.removeprefix(_WORK) if name.startswith(_WORK) else name.partition(".")[0] for name in names}

    def remove(self, token: str) -> None:
        """Remove a finished file and what is left of its making; not while a worker is at it."""
        if (self._path / f"{_WORK}{token}").is_dir():
            with self.workplace(token) as place:
                if place is None:
                    return
                place.discard()
        for path in self._path.glob(f"{token}.*"):
            path.unlink(missing_ok=True)


@contextmanager
def _told() -> Iterator[None]:
    """A disk's fault in words for whoever asked.

    Raises: ExportError
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ExportError("the disk is full: make room, and start it again") from error
        raise ExportError(f"the folder of exports cannot be written: {error.strerror or error}") from error
