"""Where files for devices come from: the workers, who have files and rows.

next_offers(devices) ─▶ offload ─▶ worker ─▶ database
read_slice(file, at) ─▶ offload ─▶ worker ─▶ media folder
note(deliveries) ─────▶ offload ─▶ worker ─▶ database

Bytes come as replies through the mailbox. A reply is deleted when it is read, and a gateway has a few of them under way at
a time, so that Redis never holds more of all files than that; a key that expires would be one more round trip, and stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from iotgw.marks import Device
from tasks.contract import (
    NOTE_TASK,
    OFFERS_TASK,
    SLICE_BYTES,
    SLICE_TASK,
    BadPayloadError,
    DeliveryNote,
    Shelved,
    read_shelved,
)

ANSWER_SECONDS = 15.0
"""How long a worker may take: it may have a photo to look at first."""

Ask = Callable[..., "Deferred[Any]"]


class Depot(Protocol):
    """Who has the files. All of it fails when there is no answer."""

    def next_offers(self, devices: Sequence[Device]) -> Deferred[list[Shelved | None]]:
        """Of each, the file that it is to get next."""

    def read_slice(self, sha256: str, offset: int) -> Deferred[bytes | None]:
        """As many bytes of a file as a slice has, fewer at its end; None if the file is gone."""

    def note(self, notes: Sequence[DeliveryNote]) -> Deferred[None]:
        """Have it written down how far deliveries are."""


class WorkersDepot:
    """Asks workers by way of ``offload``."""

    def __init__(self, offload: Ask) -> None:
        self._offload = offload

    def next_offers(self, devices: Sequence[Device]) -> Deferred[list[Shelved | None]]:
        return self._ask(OFFERS_TASK, [list(device) for device in devices]).addCallback(_read_offers, len(devices))

    def read_slice(self, sha256: str, offset: int) -> Deferred[bytes | None]:
        return self._ask(SLICE_TASK, sha256, offset).addCallback(_read_slice)

    def note(self, notes: Sequence[DeliveryNote]) -> Deferred[None]:
        return self._ask(NOTE_TASK, [list(note) for note in notes]).addCallback(lambda _: None)

    def _ask(self, task: str, *arguments: Any) -> Deferred[Any]:
        return self._offload(task, *arguments, timeout_seconds=ANSWER_SECONDS)


def _read_offers(told: Any, count: int) -> list[Shelved | None]:
    if not isinstance(told, (list, tuple)) or len(told) != count:
        raise BadPayloadError(f"the answer is not about {count} devices")
    return [read_shelved(what) for what in told]


def _read_slice(told: Any) -> bytes | None:
    if told is not None and not (isinstance(told, bytes) and len(told) <= SLICE_BYTES):
        raise BadPayloadError("the answer is no slice of a file")
    return told
