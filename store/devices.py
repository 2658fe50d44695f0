"""What operators do with devices, each in one transaction with its entry in the audit."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from protocols.credential import SALT_BYTES, seal
from store import audit, groups, tags
from store.audit import Actor, Change
from store.groups import GroupError
from store.members import members_changed
from store.models import Device, Group
from store.tags import TagError


class DeviceError(Exception):
    """It cannot be done with this device, and why."""


def add(protocol: str, identity: str, name: str, actor: Actor) -> Device:
    """A device for gateways that let in known ones only.

    Raises: DeviceError if it is there, or its names fit no column.
    """
    device = Device(protocol=protocol, identity=identity, name=name)
    with transaction.atomic():
        if Device.objects.filter(protocol=protocol, identity=identity).exists():
            raise DeviceError(f"there is a device {protocol} {identity} already")
        try:
            device.full_clean()
        except ValidationError as error:
            raise DeviceError("; ".join(f"{field}: {' '.join(texts)}" for field, texts in error.message_dict.items())) from error
        device.save()
        audit.record(actor, [Change("device.add", device.pk, str(device), {}, picture(device))])
    return device


def set_enabled(protocol: str, identity: str, is_enabled: bool, actor: Actor) -> Device:
    """Let a device in, or refuse it, from now on.

    Raises: DeviceError if there is none.
    """
    with transaction.atomic():
        device = _locked(protocol, identity)
        if device.is_enabled != is_enabled:
            device.is_enabled = is_enabled
            device.save(update_fields=["is_enabled"])
            action = "device.enable" if is_enabled else "device.disable"
            audit.record(actor, [_change(action, device, {"enabled": not is_enabled}, {"enabled": is_enabled})])
    return device


def set_credential(protocol: str, identity: str, credential: str, actor: Actor) -> Device:
    """Have a device show this credential; an empty one takes it away. It is kept sealed, and no entry has it.

    Raises: DeviceError if there is none.
    """
    with transaction.atomic():
        device = _locked(protocol, identity)
        before = {"credential": credential_word(device)}
        device.credential = sealed(credential)
        device.save(update_fields=["credential"])
        audit.record(actor, [_change("device.credential", device, before, {"credential": credential_word(device)})])
    return device


def move(protocol: str, identity: str, into: str, actor: Actor) -> Device:
    """Put a device into a group; into none, out of the one it is in.

    Raises: DeviceError if there is no such device or group.
    """
    with transaction.atomic():
        device = _locked(protocol, identity)
        group = held_group(into) if into else None
        if device.group_id != (group and group.pk):
            before = {"group": groups.titles([device.group])[device.group.pk] if device.group else ""}
            device.group = group
            device.save(update_fields=["group"])
            members_changed()
            audit.record(
                actor, [_change("device.move", device, before, {"group": groups.titles([group])[group.pk] if group else ""})]
            )
    return device


def held_group(title: str) -> Group:
    """A group that is not removed before the transaction ends.

    Raises: DeviceError if there is none.
    """
    try:
        group = Group.objects.select_for_update(no_key=True, of=("self",)).filter(pk=groups.find(title).pk).first()
    except GroupError as error:
        raise DeviceError(str(error)) from error
    if group is None:
        raise DeviceError(f"group {title} has just been removed")
    return group


def tag(protocol: str, identity: str, added: Iterable[str], removed: Iterable[str], actor: Actor) -> list[str]:
    """Mark a device with words and take others away; which it has now.

    Raises: DeviceError if there is no such device, or a word is no tag.
    """
    with transaction.atomic():
        device = _locked(protocol, identity)
        before = tags.of([device])[device.pk]
        try:
            after = tags.checked({*before, *tags.checked(added)} - {word.lower() for word in removed})
        except TagError as error:
            raise DeviceError(str(error)) from error
        if after != before:
            tags.replace({device.pk: (before, after)})
            audit.record(actor, [_change("device.tag", device, {"tags": before}, {"tags": after})])
    return after


def sealed(credential: str) -> str:
    return seal(credential, secrets.token_bytes(SALT_BYTES)) if credential else ""


def credential_word(device: Device) -> str:
    """What may be told of a device's credential."""
    return "set" if device.credential else "none"


def picture(device: Device) -> dict[str, Any]:
    """What the audit tells of a device."""
    return {"name": device.name, "enabled": device.is_enabled, "credential": credential_word(device)}


def _locked(protocol: str, identity: str) -> Device:
    """The device, which nobody else changes until the transaction ends. Workers go on writing what it says."""
    device = Device.objects.select_for_update(no_key=True).filter(protocol=protocol, identity=identity).first()
    if device is None:
        raise DeviceError(f"there is no device {protocol} {identity}: list them with devices")
    return device


def _change(action: str, device: Device, before: dict[str, Any], after: dict[str, Any]) -> Change:
    return Change(action, device.pk, str(device), before, after)
