"""A file for a device, as a command: it makes a delivery, and its life is the delivery's.

command file (file: 7) ── a delivery, offered ──▶ fetching ──▶ done, failed, cancelled
   queued ───────────────────────────────────────▶ sent ──────▶ acknowledged, failed, cancelled      by the sweep of deliveries
   cancelled, expired ── the delivery is cancelled
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from store.models import File

NO_MESSAGE = -1
"""In place of the message's id: the codec knows with which messages files go down."""


def file_of(fields: Mapping[str, Any]) -> File:
    """The file that a command names.

    Raises: ValueError, with the field, its value and what it may be.
    """
    number = fields.get("file")
    if unknown := sorted(fields.keys() - {"file"}):
        raise ValueError(f"{unknown[0]}: there is no such field, but file")
    file = None
    if isinstance(number, int) and not isinstance(number, bool) and 0 < number < 1 << 63:
        file = File.objects.filter(id=number, removed_at=None).first()
    if file is None:
        raise ValueError(f"file: {number!r} is no file that there is: list them with files")
    return file
