"""Tags: words that people mark devices with, small ones and few."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from store.members import members_changed
from store.models import TAG_LENGTH, Device, Tag

TAGS_A_DEVICE = 16


class TagError(ValueError):
    """Not a tag, or too many."""


def checked(words: Iterable[str]) -> list[str]:
    """Words as tags, in lower case, each once and in their order.

    Raises: TagError.
    """
    tags = sorted({word.lower() for word in words})
    for tag in tags:
        if not 0 < len(tag) <= TAG_LENGTH or not tag.isprintable() or any(c.isspace() or c in ",;\"'" for c in tag):
            raise TagError(f"{tag!r} is no tag: give a word of 1 to {TAG_LENGTH} characters, without quotes, commas and semicolons")
    if len(tags) > TAGS_A_DEVICE:
        raise TagError(f"{len(tags)} tags: {TAGS_A_DEVICE} is the most that a device may have")
    return tags


def of(devices: Iterable[Device]) -> dict[int, list[str]]:
    """The tags of devices, by their ids; each has a list."""
    found: dict[int, list[str]] = {device.pk: [] for device in devices}
    for device, word in Tag.objects.filter(device_id__in=list(found)).order_by("word").values_list("device_id", "word"):
        found[device].append(word)
    return found


def replace(tags: Mapping[int, tuple[Iterable[str], Iterable[str]]]) -> None:
    """Have devices, by their ids, go from some tags to others."""
    gone = [(device, word) for device, (before, after) in tags.items() for word in set(before) - set(after)]
    new = [
        Tag(device_id=device, word=word) for device, (before, after) in tags.items() for word in sorted(set(after) - set(before))
    ]
    by_word: dict[str, list[int]] = {}
    for device, word in gone:
        by_word.setdefault(word, []).append(device)
    for word, devices in by_word.items():
        Tag.objects.filter(word=word, device_id__in=devices).delete()
    Tag.objects.bulk_create(new, ignore_conflicts=True)
    if gone or new:
        members_changed()
