"""What operators say of a channel: its unit, its name, what is too much, and where it stands in lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from store import audit
from store.audit import Actor, Change
from store.json_text import plain_text
from store.models import LABEL_LENGTH, UNIT_LENGTH, Channel, ChannelKind, Device


class ChannelError(Exception):
    """It cannot be done with this channel, and why."""


def channel(device: Device, name: str) -> Channel:
    """Raises: ChannelError if the device has not reported it."""
    return _found(device, name, Channel.objects.filter(device=device, name=name).first())


def change(device: Device, name: str, changes: Mapping[str, Any], actor: Actor) -> Channel:
    """Set columns of a channel. A unit that is set here is not changed by the device any more.

    Raises: ChannelError if there is no such channel, or it cannot have such limits.
    """
    wanted = {**changes, **({"is_unit_set": True} if "unit" in changes else {})}
    for field, longest in (("unit", UNIT_LENGTH), ("label", LABEL_LENGTH)):
        if field in wanted:
            wanted[field] = plain_text(wanted[field])[:longest]
    with transaction.atomic():
        channel = _found(device, name, Channel.objects.select_for_update().filter(device=device, name=name).first())
        before = {field: getattr(channel, field) for field in wanted}
        for field, value in wanted.items():
            setattr(channel, field, value)
        if fault := channel.limits.fault:
            raise ChannelError(fault)
        if channel.kind != ChannelKind.NUMBER and any(limit is not None for limit in channel.limits):
            raise ChannelError(f"{channel.name} is no number but {channel.kind}: it has no limits")
        before, after = audit.differences(before, wanted)
        if after:
            channel.save(update_fields=list(after))
            audit.record(actor, [Change("channel.change", channel.pk, f"{channel.name} of {device}", before, after)])
    return channel


def _found(device: Device, name: str, channel: Channel | None) -> Channel:
    if channel is None:
        raise ChannelError(f"{device} has reported no {plain_text(name)}: list what it has with channels")
    return channel
