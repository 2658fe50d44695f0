"""From a file's pieces to the file: claimed for a while, written, looked at, committed.

    pieces committed ─▶ due ─▶ claimed ─▶ written beside ─▶ in its place ─▶ row and bodies committed
                         ▲        │ killed: due again when the claim is over
                         └────────┘ no room: due again in a minute

Whatever is killed when, the bytes are in the reports until the transaction in which they are known to be in the file.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from django.db import transaction

from protocols.piece import MediaKind
from store.media.assembly import Assembled, assemble, coverage, gaps_text
from store.media.bodies import cut_bodies
from store.media.folder import MediaFolder
from store.media.sniffing import Content, sniff
from store.media.thumbnails import FORMATS, Picture, look_at
from store.media.usage import used_bytes
from store.models import NAME_LENGTH, Media, MediaOutcome

log = logging.getLogger(__name__)

CLAIM = timedelta(seconds=30)
SLOWEST_BYTES_A_SECOND = 1 << 20
"""By which a claim is longer for a longer file. One that ends too soon costs work twice, and nothing else."""
NEXT_TRY = timedelta(minutes=1)
THUMBNAIL_TRIES = 3
"""What has not been filed by then may be what kills its worker: it is filed without having been looked at."""


class Room(NamedTuple):
    """How much may be in the media folder."""

    quota_bytes: int
    """0: as much as the disk takes."""
    spare_bytes: int
    """What is left of the disk for others."""


class NoRoomError(Exception):
    """There is no place for a file now."""


def file_media(id: int, folder: MediaFolder, room: Room, now: datetime) -> Media.State | None:
    """Do what there is to do for a file, if it is due; the state it is in then.

    Idempotent: it may run at any time, for one file at once too.
    """
    media = _claimed(id, now)
    if media is None:
        return None
    there = coverage(media)
    if there.gaps or media.expected_bytes is None:
        reason = gaps_text(there.gaps) if there.gaps else "the device has not said how long it is"
        return _settle(media, Media.State.INCOMPLETE, reason, received_bytes=there.received_bytes)
    try:
        check_room(folder, room, media.expected_bytes)
        return _file(media, folder)
    except (OSError, NoRoomError) as error:
        log.error("no room for a file of a device, it stays in the database", extra={"media": id, "cause": str(error)})
        return _settle(media, Media.State.WAITING, str(error), now + NEXT_TRY, received_bytes=there.received_bytes)


def _claimed(id: int, now: datetime) -> Media | None:
    """The file, if it is due; it is due again later, should this worker not come to an end."""
    with transaction.atomic():
        media = Media.objects.select_for_update().filter(id=id, due_at__lte=now, sha256="").first()
        if media is not None:
            media.due_at = now + CLAIM + timedelta(seconds=(media.expected_bytes or 0) // SLOWEST_BYTES_A_SECOND)
            media.tries += 1
            media.save(update_fields=["due_at", "tries"])
    return media


def check_room(folder: MediaFolder, room: Room, size: int) -> None:
    """Raises: NoRoomError"""
    if folder.free_bytes() - size < room.spare_bytes:
        raise NoRoomError(f"the disk has less than media_spare_bytes left ({room.spare_bytes})")
    if room.quota_bytes and used_bytes() + size > room.quota_bytes:
        raise NoRoomError(f"the media folder has its media_quota_bytes ({room.quota_bytes})")


def _file(media: Media, folder: MediaFolder) -> Media.State:
    with folder.unfinished() as path:
        made = assemble(media, path)
        if made.size != media.expected_bytes:
            return _settle(media, Media.State.INCOMPLETE, "reports with its bytes have been removed", received_bytes=made.size)
        content = sniff(made.beginning)
        picture = _looked_at(media, path, content)
        with folder.adding():
            folder.put(path, folder.path(made.sha256, content.extension))
            if picture.thumbnail is not None:
                folder.put_thumbnail(picture.thumbnail, made.sha256)
            return _commit(media, made, content, picture)


def _looked_at(media: Media, path: Path, content: Content) -> Picture:
    if content.type not in FORMATS:
        return Picture(None, None, None, "")
    if media.tries > THUMBNAIL_TRIES:
        return Picture(None, None, None, "no thumbnail: looking at it ended the worker")
    return look_at(path, content.type)


def _commit(media: Media, made: Assembled, content: Content, picture: Picture) -> Media.State:
    """The row says where the bytes are and the reports are without them, in one transaction."""
    is_right = media.crc32 is None or media.crc32 == made.crc32
    reasons = [] if is_right else [f"its CRC-32 is {made.crc32:08x}, {media.crc32:08x} was said"]
    if media.kind != content.kind and media.kind != MediaKind.FILE:
        reasons.append(f"said to be {media.kind}, is {content.type}")
    reasons.append(picture.fault)
    with transaction.atomic():
        locked = Media.objects.select_for_update().filter(id=media.id, sha256="").first()
        if locked is None:
            return Media.State.COMPLETE
        cut_bodies(locked, made.differing)
        return _settle(
            locked,
            Media.State.COMPLETE if is_right else Media.State.DAMAGED,
            "; ".join(filter(None, reasons)),
            kind=content.kind,
            received_bytes=made.size,
            content_type=content.type,
            sha256=made.sha256,
            extension=content.extension,
            width=picture.width,
            height=picture.height,
            has_thumbnail=picture.thumbnail is not None,
        )


def _settle(media: Media, state: Media.State, reason: str, due_at: datetime | None = None, **fields: object) -> Media.State:
    """Write down what became of a file, unless another worker has filed it meanwhile or a piece has come since it was claimed."""
    changed = {"state": state, "reason": reason[:NAME_LENGTH], "due_at": due_at, **fields}
    with transaction.atomic():
        is_written = Media.objects.filter(id=media.id, sha256="", touched_at=media.touched_at).update(**changed)
        # What waits for room is tried again every minute: that it still waits is no news.
        if is_written and state != media.state:
            MediaOutcome.objects.create(media_id=media.id, state=state)
    return state
