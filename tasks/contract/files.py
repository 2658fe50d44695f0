"""Files on their way down to devices: what gateways ask of the workers, and what Redis says of who has something waiting.

operator ── rows: this file for these devices ──▶ database
worker   ── sweep, every few seconds ───────────▶ iotgw:files, a set of devices; mailbox of the gateway that has one
gateway  ── session begins: is it in the set? ──▶ if so a task: which file?
gateway  ── device asks ──▶ a task for 128 KiB of it, kept for all devices that ask for the same
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgpack

from protocols.download import Offer
from tasks.contract.mailboxes import LATEST_MS, BadPayloadError

OFFERS_TASK = "tasks.files.next_offers"
SLICE_TASK = "tasks.files.read_slice"
NOTE_TASK = "tasks.files.note"
FILES_SWEEP_TASK = "tasks.files.sweep"
FILES_WAITING = "iotgw:files"
"""The Redis set of devices for which a file waits, by :func:`tasks.contract.route_field`."""
FILES_SWEEPING = "iotgw:files:sweeping"
"""There while a worker tells what has changed."""
FILES_FIELD = b"files"
SLICE_BYTES = 128 * 1024
"""Of a file in one reply: as large as a mailbox can hold a few of, so that a task is worth its price."""
MOST_OFFERS = 500
"""Devices in one question."""


class FilesWaiting(NamedTuple):
    """Word to a gateway that something has changed in what a device is to get."""

    protocol: str
    identity: str


class Shelved(NamedTuple):
    """A file for a device, and where its bytes are."""

    offer: Offer
    sha256: str


class DeliveryNote(NamedTuple):
    """What a gateway has to say of a delivery since it last did."""

    delivery: int
    sent: int
    """Up to where its bytes have gone down."""
    sent_ms: int
    """When they had, by the clock by which messages are received. Units: milliseconds since 1970 UTC."""
    fault: str = ""
    """Why it can never be done."""

    def joined(self, other: DeliveryNote) -> DeliveryNote:
        """Both of one delivery as one: what is further counts."""
        further = max(self, other, key=lambda note: note.sent)
        return further._replace(fault=self.fault or other.fault)


def pack_files_waiting(devices: Sequence[FilesWaiting]) -> bytes:
    packed: bytes = msgpack.packb(devices)
    return packed


def unpack_files_waiting(data: bytes) -> list[FilesWaiting]:
    """Raises: BadPayloadError when the bytes name no devices."""
    try:
        return [FilesWaiting(str(protocol), str(identity)) for protocol, identity in msgpack.unpackb(data)]
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise BadPayloadError(f"no devices: {error}") from error


def read_shelved(told: Any) -> Shelved | None:
    """What the task tells of one device; None for one that has nothing waiting.

    Raises: BadPayloadError
    """
    if told is None:
        return None
    try:
        offer, sha256 = told
        return Shelved(Offer(*offer), str(sha256))
    except (ValueError, TypeError) as error:
        raise BadPayloadError(f"not a file for a device: {error}") from error


def read_notes(rows: Any) -> list[DeliveryNote]:
    """Raises: BadPayloadError"""
    if not isinstance(rows, (list, tuple)) or len(rows) > MOST_OFFERS:
        raise BadPayloadError(f"notes must be a list of {MOST_OFFERS} at the most")
    shape = tuple(DeliveryNote.__annotations__)
    for index, row in enumerate(rows):
        if not isinstance(row, (list, tuple)) or tuple(map(type, row)) != (int, int, int, str):
            raise BadPayloadError(f"notes[{index}] is not ({', '.join(shape)})")
        if not 0 <= row[2] <= LATEST_MS:
            raise BadPayloadError(f"notes[{index}].sent_ms is not milliseconds since 1970")
    return [DeliveryNote(*row) for row in rows]
