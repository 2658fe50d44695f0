"""How much is in the media folder."""

from __future__ import annotations

from django.db.models import Sum

from store.models import File, Media


def used_bytes() -> int:
    """By the rows, of devices' files and the platform's: what several have in common is counted for each."""
    of_devices = Media.objects.exclude(sha256="").aggregate(all=Sum("received_bytes"))["all"] or 0
    of_ours = File.objects.filter(removed_at=None).aggregate(all=Sum("size"))["all"] or 0
    return of_devices + of_ours
