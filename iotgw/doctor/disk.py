"""The folders of this host: room in them, and who may write there. The database's own is looked at with the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from protocols import DeviceProtocol
from settings import Settings
from settings.findings import Finding, Verdict, finding
from settings.folders import LEAST_FREE_BYTES, room


def examine_disk(settings: Settings, _: Mapping[str, DeviceProtocol]) -> Iterator[Finding]:
    yield finding("var folder", _var, settings)
    if settings.spool_bytes:
        yield finding("spool folder", _spool, settings)
    yield finding("media folder", _media, settings)


def _var(settings: Settings) -> Verdict:
    return room(settings.var, LEAST_FREE_BYTES, "make room on this disk, or set var to a folder on another one")


def _spool(settings: Settings) -> Verdict:
    """What is in it already does not need room again."""
    folder = settings.effective_spool_folder
    do = (
        "make room, set spool_folder to one on another disk, or lower spool_bytes: links are not read from when it can take no more"
    )
    return room(folder, max(0, settings.spool_bytes - _used(folder)), do)


def _used(folder: Path) -> int:
    """As far as this user may look; a gateway that runs removes what has its receipts meanwhile."""
    used = 0
    with suppress(PermissionError):
        for path in folder.glob("*.spool"):
            with suppress(FileNotFoundError):
                used += path.stat().st_size
    return used


def _media(settings: Settings) -> Verdict:
    do = "make room, or lower media_spare_bytes: files wait in the database meanwhile"
    return room(settings.effective_media_folder, settings.media_spare_bytes, do)
