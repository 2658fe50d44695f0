"""A file for a device, as a command: it makes a delivery, and its life is the delivery's.

command file (file: 7) ── a delivery, offered ──▶ fetching ──▶ done, failed, cancelled
   queued ───────────────────────────────────────▶ sent ──────▶ acknowledged, failed, cancelled      by the sweep of deliveries
   cancelled, expired ── the delivery is cancelled
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protocols.command import CommandField, CommandKind, CommandRule, Effect
from protocols.commandtable import commands_of
from protocols.download import Carrier
from protocols.protocol import DeviceProtocol
from store.models import File

FILE = "file"
NO_MESSAGE = -1
"""In place of the message's id: the codec knows with which messages files go down."""
FILE_KIND = CommandKind(
    FILE,
    None,
    "A file, such as firmware",
    "文件下发",
    CommandRule(Effect.CONFIGURE),
    (CommandField("file", "number", "", "Its number, as iotgw files lists it", "文件编号"),),
)


def kinds_of(protocol: DeviceProtocol, head: bytes = b"") -> dict[str, CommandKind]:
    """What devices of a protocol can be told, by name, and files if they take any."""
    kinds = commands_of(protocol, head)
    return {**kinds, FILE: FILE_KIND} if carries_files(protocol) else kinds


def carries_files(protocol: DeviceProtocol) -> bool:
    return isinstance(protocol.codec(), Carrier)


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
