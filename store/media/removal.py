"""Removing files that are old enough."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from store.media.folder import MediaFolder
from store.models import Media

FILES_A_TIME = 500


def remove_before(time: datetime, folder: MediaFolder) -> int:
    """Remove files that came before this time, the oldest first; how many. Their reports stay, without the bytes.

    Idempotent: a row goes when its file has gone, so that what is killed in between is done again.
    """
    old = list(Media.objects.filter(received_at__lt=time).order_by("received_at", "id")[:FILES_A_TIME])
    for media in old:
        remove(media, folder)
    return len(old)


def remove(media: Media, folder: MediaFolder) -> None:
    """Remove a row, and its file unless another row has the same bytes."""
    with folder.removing(), transaction.atomic():
        media = Media.objects.select_for_update().get(id=media.id)
        if media.sha256 and not Media.objects.filter(sha256=media.sha256).exclude(id=media.id).exists():
            folder.remove(media.sha256, media.extension)
        media.delete()
