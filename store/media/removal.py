"""Removing files that are old enough."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import datetime
from itertools import islice

from django.db import transaction

from store import targets
from store.media.folder import MediaFolder
from store.models import File, Media, MediaOutcome

log = logging.getLogger(__name__)

FILES_A_TIME = 500


def remove_before(time: datetime, folder: MediaFolder) -> int:
    """Remove files that came before this time, the oldest first; how many. Their reports stay, without the bytes.

    Idempotent: a row goes when its file has gone, so that what is killed in between is done again.
    """
    old = list(Media.objects.filter(received_at__lt=time).order_by("received_at", "id")[:FILES_A_TIME])
    lost: Counter[str] = Counter()
    for media in old:
        lost += remove(media, folder)
    for target, notices in lost.items():
        log.warning("old files deleted before a target was told of them", extra={"target": target, "rows": notices})
    return len(old)


def remove_unknown(part: int, folder: MediaFolder) -> int:
    """Remove files of one of 256 parts of the folder of which there is no row, such as a deleted device's; how many.

    Idempotent. Nobody adds a file meanwhile, so that one without a row is nobody's.
    """
    found = folder.digests(part)
    if not found:
        return 0
    with folder.removing():
        unknown = [path for digest in set(found) - _known(list(found)) for path in found[digest]]
        for path in unknown:
            path.unlink(missing_ok=True)
    return len(unknown)


def _known(digests: list[str]) -> set[str]:
    """Those by which there is a file of a device or of the platform."""
    known: set[str] = set()
    rest = iter(digests)
    while some := list(islice(rest, FILES_A_TIME)):
        known.update(Media.objects.filter(sha256__in=some).values_list("sha256", flat=True))
        known.update(File.objects.filter(sha256__in=some, removed_at=None).values_list("sha256", flat=True))
    return known


def remove(media: Media, folder: MediaFolder) -> Counter[str]:
    """Remove a row, and its file unless another row has the same bytes; which targets had not been told of it."""
    with folder.removing(), transaction.atomic():
        media = Media.objects.select_for_update().get(id=media.id)
        if media.sha256 and not Media.objects.filter(sha256=media.sha256).exclude(id=media.id).exists():
            folder.remove(media.sha256, media.extension)
        lost = targets.lose(MediaOutcome, MediaOutcome._meta.db_table, "media_id = %s", [media.id])
        media.delete()
    return lost
