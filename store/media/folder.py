"""The media folder: files under the digests of their bytes, whole or not there.

ab/cd/abcd….jpg          a file
ab/cd/abcd….thumb.jpg    the small picture of it
incoming/…               files that are being written
lock                     held together by who adds a file until its row is committed, alone by who removes one
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from PIL import Image

from store.disk import FILE_MODE, FOLDER_MODE, sync

LEFT_BEHIND_SECONDS = 3600
"""An unfinished file that nobody has written to for so long is of a worker that was killed."""


class MediaFolder:
    """Names in it are never a device's."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._incoming = path / "incoming"

    def path(self, sha256: str, extension: str) -> Path:
        return self._path / sha256[:2] / sha256[2:4] / f"{sha256}.{extension}"

    def thumbnail_path(self, sha256: str) -> Path:
        return self.path(sha256, "thumb.jpg")

    def free_bytes(self) -> int:
        self._make(self._path)
        return shutil.disk_usage(self._path).free

    @contextmanager
    def unfinished(self) -> Iterator[Path]:
        """A file to be written, on the same disk. What is left of it at the end is removed."""
        self._make(self._incoming)
        descriptor, name = tempfile.mkstemp(dir=self._incoming)
        os.close(descriptor)
        try:
            yield Path(name)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name)

    @contextmanager
    def adding(self) -> Iterator[None]:
        """While it lasts no file is removed."""
        with self._locked(fcntl.LOCK_SH):
            yield

    @contextmanager
    def removing(self) -> Iterator[None]:
        """While it lasts no file is added."""
        with self._locked(fcntl.LOCK_EX):
            yield

    def put(self, unfinished: Path, target: Path) -> None:
        """Bring a written file to its place, in one step, and onto the disk. One that is there already is the same."""
        os.chmod(unfinished, FILE_MODE)
        sync(unfinished)
        self._make(target.parent)
        os.replace(unfinished, target)
        sync(target.parent)

    def put_thumbnail(self, thumbnail: Image.Image, sha256: str) -> None:
        with self.unfinished() as path:
            thumbnail.save(path, "JPEG", quality=80)
            self.put(path, self.thumbnail_path(sha256))

    def remove(self, sha256: str, extension: str) -> None:
        """Remove a file with its thumbnail; what is not there is removed already."""
        for path in (self.path(sha256, extension), self.thumbnail_path(sha256)):
            path.unlink(missing_ok=True)

    def digests(self, part: int) -> dict[str, list[Path]]:
        """The files of one of 256 parts of the folder, with their thumbnails, by their digest."""
        found: dict[str, list[Path]] = {}
        for path in (self._path / f"{part:02x}").glob("*/*"):
            found.setdefault(path.name.partition(".")[0], []).append(path)
        return found

    def remove_left_behind(self) -> None:
        """Remove what killed workers have begun to write."""
        if not self._incoming.is_dir():
            return
        oldest = time.time() - LEFT_BEHIND_SECONDS
        for path in self._incoming.iterdir():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < oldest:
                    path.unlink()

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        self._make(self._path)
        descriptor = os.open(self._path / "lock", os.O_RDWR | os.O_CREAT, FILE_MODE)
        try:
            fcntl.flock(descriptor, how)
            yield
        finally:
            os.close(descriptor)

    def _make(self, folder: Path) -> None:
        """Make a folder with those above it, each on the disk before anything is in it."""
        if folder.is_dir():
            return
        self._make(folder.parent)
        with suppress(FileExistsError):
            folder.mkdir(FOLDER_MODE)
        sync(folder.parent)
