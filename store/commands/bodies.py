"""The bodies of commands, made of their fields by their protocol, for the device that they are for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import OuterRef, Subquery

from protocols import commandtable
from protocols.commandtable import Built
from protocols.protocol import DeviceProtocol
from store.models import Device, Report

MOST_BYTES = 1 << 15
"""Of a body: what is longer is a file."""


def build(protocol: DeviceProtocol, device: Device, name: str, fields: Mapping[str, Any], head: bytes) -> Built:
    """A command for the device whose messages have a head like this; without one, it is taken for one of the oldest edition.

    Raises: ValueError, with the field, its value and what it may be.
    """
    built = commandtable.build(protocol, name, fields, device.identity, head)
    if len(built.body) > MOST_BYTES:
        raise ValueError(f"its body would have {len(built.body)} bytes, more than {MOST_BYTES}: give it as a file")
    return built


def newest_head(device: int) -> bytes:
    """What the device's newest report came with; empty for one that has none."""
    return newest_heads([device]).get(device, b"")


def newest_heads(devices: Sequence[int]) -> dict[int, bytes]:
    """The same of many, as far as there are such devices."""
    newest = Report.objects.filter(device_id=OuterRef("id")).order_by("-time", "-id").values("head")[:1]
    found = Device.objects.filter(id__in=devices).values_list("id", Subquery(newest))
    return {device: bytes(head or b"") for device, head in found}
