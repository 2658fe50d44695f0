"""The protocols there are: ours, and those of other packages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from protocols.gb32960 import GB32960
from protocols.gt06 import GT06
from protocols.jt808 import JT808
from protocols.modbus import MODBUS
from protocols.native import NATIVE
from protocols.protocol import DeviceProtocol
from protocols.teltonika import TELTONIKA

GROUP = "iotgw.protocols"
"""The entry points by which an installed package offers protocols. Each names a :class:`DeviceProtocol` object."""

PROTOCOLS: dict[str, DeviceProtocol] = {protocol.name: protocol for protocol in (JT808, GT06, TELTONIKA, GB32960, MODBUS, NATIVE)}
"""Ours, by name, with the options they have by default."""

_MEMBERS = (
    *("name", "title", "port", "messages", "headers", "configure", "warnings", "codec", "terminal"),
    *("answers_name", "simulated_identity", "build", "decode", "explain", "kind_name", "ends_session"),
)


class RegistryError(Exception):
    """A protocol cannot be had as it is asked for. The text says which one, why, and what to do."""


def registered(options: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, DeviceProtocol]:
    """All protocols by name, with an operator's options: a table for each protocol that has any.

    Raises: RegistryError
    """
    protocols = dict(PROTOCOLS)
    for entry, protocol in loaded():
        if protocol.name in protocols:
            raise RegistryError(f"{_package(entry)} offers a protocol {protocol.name!r}, but there is one already: uninstall one")
        protocols[protocol.name] = protocol
    for name, table in (options or {}).items():
        if name not in protocols:
            raise RegistryError(f"protocols.{name}: there is no such protocol: use one of {', '.join(sorted(protocols))}")
        try:
            protocols[name] = protocols[name].configure(table)
        except ValueError as error:
            raise RegistryError(f"protocols.{name}.{error}") from error
    return protocols


def loaded() -> Iterator[tuple[EntryPoint, DeviceProtocol]]:
    """Those of other packages, with where they are from.

    Raises: RegistryError
    """
    for entry in entry_points(group=GROUP):
        yield entry, _load(entry)


def _load(entry: EntryPoint) -> DeviceProtocol:
    try:
        protocol = entry.load()
    except Exception as error:
        why = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise RegistryError(
            f"{_package(entry)}: its protocol {entry.name!r} cannot be loaded ({why}): mend or uninstall it"
        ) from error
    missing = [member for member in _MEMBERS if not hasattr(protocol, member)]
    if isinstance(protocol, type) or missing:
        raise RegistryError(
            f"{_package(entry)}: {entry.value} is no protocol object: "
            + ("it is a class, give an object of it" if isinstance(protocol, type) else f"it has no {', '.join(missing)}")
        )
    return protocol  # type: ignore[no-any-return]


def _package(entry: EntryPoint) -> str:
    return f"package {entry.dist.name}" if entry.dist else f"entry point {entry.name}"
