"""Devices as arguments of commands, and in the rows that they show."""

from __future__ import annotations

from django.core.management.base import CommandError, CommandParser

from store import queries
from store.models import Device


def add_device(parser: CommandParser) -> None:
    parser.add_argument("--device", metavar="IDENTITY", help="of this device only")


def named(device: Device) -> dict[str, str]:
    """By which a row says whose it is."""
    return {"protocol": device.protocol, "identity": device.identity}


def check_device(identity: str | None) -> None:
    """Raises: CommandError if it is the name of none."""
    if identity is not None and not Device.objects.filter(identity=identity).exists():
        raise CommandError(f"there is no device {identity}: list them with devices")


def found_device(protocol: str, identity: str) -> Device:
    """Raises: CommandError if there is none."""
    device = queries.device(protocol, identity)
    if device is None:
        raise CommandError(f"there is no device {protocol} {identity}: list them with devices")
    return device
