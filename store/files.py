"""Files of the platform: into the media folder, and out of it when nobody is to get them any more."""

from __future__ import annotations

import hashlib
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from django.db import transaction

from store import audit, deliveries
from store.audit import Actor, Change
from store.media.filing import Room, check_room
from store.media.folder import MediaFolder
from store.models import File

EXTENSION = "down"
"""Of its own, so that a device's file with the same bytes comes and goes by itself."""
MOST_BYTES = (1 << 32) - 1
"""What the protocols' fields of four bytes can tell."""


class FileError(Exception):
    """A file cannot be taken in, with the reason."""


def add(source: Path, folder: MediaFolder, room: Room, *, name: str, version: str, maker: str, by: str, actor: Actor) -> File:
    """Take a file in. One that was added before gets another number, and its bytes are there once.

    Raises: OSError of the disk; NoRoomError; FileError; django.core.exceptions.ValidationError for a text that is too long.
    """
    size = source.stat().st_size
    if not 0 < size <= MOST_BYTES:
        raise FileError(f"it has {size} bytes: files of 1 to {MOST_BYTES} bytes can go down")
    check_room(folder, room, size)
    with folder.unfinished() as path:
        with source.open("rb") as found, path.open("wb") as copy:
            size, sha256, crc32 = _copied(found, copy)
        file = File(name=name, version=version, maker=maker, size=size, sha256=sha256, crc32=crc32, added_by=by)
        file.full_clean()
        with folder.adding(), transaction.atomic():
            folder.put(path, file_path(folder, sha256))
            file.save()
            audit.record(actor, [Change("file.add", file.id, str(file), {}, {"sha256": sha256, "size": size})])
    return file


def file_path(folder: MediaFolder, sha256: str) -> Path:
    return folder.path(sha256, EXTENSION)


def remove(number: int, folder: MediaFolder, actor: Actor) -> int:
    """Remove a file's bytes, unless another one has the same, and cancel its open deliveries; how many those were.

    Idempotent. Raises: File.DoesNotExist
    """
    now = datetime.now(UTC)
    with folder.removing(), transaction.atomic():
        file = File.objects.select_for_update().get(id=number)
        ended = deliveries.cancel_all(file, "the file was removed", now)
        if file.removed_at is None:
            file.removed_at = now
            file.save(update_fields=["removed_at"])
            audit.record(actor, [Change("file.remove", file.id, str(file), {}, {"cancelled": ended})])
        if not File.objects.filter(sha256=file.sha256, removed_at=None).exists():
            file_path(folder, file.sha256).unlink(missing_ok=True)
    return ended


def _copied(found: BinaryIO, copy: BinaryIO) -> tuple[int, str, int]:
    size, sha256, crc32 = 0, hashlib.sha256(), 0
    while block := found.read(1 << 20):
        copy.write(block)
        size, crc32 = size + len(block), zlib.crc32(block, crc32)
        sha256.update(block)
    return size, sha256.hexdigest(), crc32
