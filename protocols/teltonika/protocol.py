"""Teltonika as the rest of the house sees it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from protocols.base import BaseProtocol
from protocols.catalogue import Entry
from protocols.explanation import Field
from protocols.message import Message
from protocols.report import Decoded
from protocols.teltonika.codec import TeltonikaCodec
from protocols.teltonika.commands import ANY_IMEI, CODEC_12_COMMAND, CODEC_14_COMMAND, COMMAND
from protocols.teltonika.explain import HEADER, explain_frame
from protocols.teltonika.families import FAMILIES, Family
from protocols.teltonika.messages import MESSAGES
from protocols.teltonika.reports import decode
from protocols.teltonika.stream import PACKET_LIMIT_BYTES
from protocols.teltonika.terminal import SIMULATED_TAC, TeltonikaTerminal, simulated_imei
from protocols.vocabulary import declared

DEFAULT_FAMILY = "common"
"""A wrong family makes wrong numbers, an unknown one only fewer names."""
_LIMITS = range(2 << 10, (64 << 10) + 1)


class TeltonikaProtocol(BaseProtocol):
    """Teltonika's devices: codecs 8, 8 Extended and 16 over TCP, commands by codecs 12 and 14.

    Options: ``family``, by which properties are read where nothing else is said; ``families``, the family by the first
    digits of an IMEI, of which the most digits decide; ``packet_limit_bytes``, of a packet that is taken.
    """

    name = "teltonika"
    title = "Teltonika"
    port = 5027
    messages = MESSAGES
    headers = MappingProxyType({"packet": HEADER})

    def __init__(self) -> None:
        self._family = FAMILIES[DEFAULT_FAMILY]
        self._families: dict[str, Family] = {SIMULATED_TAC: FAMILIES["fmb"]}
        self._limit = PACKET_LIMIT_BYTES

    def configure(self, options: Mapping[str, Any]) -> TeltonikaProtocol:
        configured = TeltonikaProtocol()
        for option, value in options.items():
            if option == "family":
                configured._family = _known_family(option, value)
            elif option == "families":
                configured._families |= _by_prefix(value)
            elif option == "packet_limit_bytes":
                configured._limit = _known_limit(value)
            else:
                raise ValueError(f"{option}: {self.title} has no such option, but family, families, packet_limit_bytes")
        return configured

    def family(self, identity: str) -> Family:
        """The family of a device, by its IMEI."""
        told = [prefix for prefix in self._families if identity.startswith(prefix)]
        return self._families[max(told, key=len)] if told else self._family

    def more_entries(self) -> dict[str, Entry]:
        """The properties of all families."""
        groups = [group for family in FAMILIES.values() for group in family.properties.values()]
        return declared(one.declaration for group in groups for one in group.values())

    def codec(self, identity: str = "") -> TeltonikaCodec:
        return TeltonikaCodec(identity, self._limit)

    def terminal(self, identity: str) -> TeltonikaTerminal:
        return TeltonikaTerminal(identity)

    def simulated_identity(self, number: int) -> str:
        return simulated_imei(number)

    def build(self, kind: str | int, fields: Mapping[str, Any], edition: str = "") -> bytes:
        """The body of a message. For a command, ``text`` will do, which the others follow from.

        A command by codec 14 without an ``imei`` is for whichever device is at the other end.

        Raises: ValueError, with the field, its value and what it may be.
        """
        row = self._row(kind)
        if row.id in (CODEC_12_COMMAND, CODEC_14_COMMAND) and "content" not in fields:
            fields = _command(row.id, fields)
        return super().build(kind, fields, edition)

    def decode(self, message: Message) -> Decoded:
        return decode(message, self.family(message.identity))

    def explain(self, frame: bytes) -> Field:
        return explain_frame(frame, self._family)


def _command(id: int, fields: Mapping[str, Any]) -> dict[str, Any]:
    """A command's body from its text alone."""
    inside: dict[str, Any] = {"imei": ANY_IMEI} if id == CODEC_14_COMMAND else {}
    around: dict[str, Any] = {"quantity": 1, "type": COMMAND, "quantity_again": 1}
    for name, value in fields.items():
        (around if name in around else inside)[name] = value.encode("ascii") if name == "text" and _is_ascii(value) else value
    return {**around, "content": inside}


def _is_ascii(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    if not value.isascii():
        raise ValueError(f"text: {value!r} is not all ASCII")
    return True


def _known_family(option: str, value: Any) -> Family:
    if not isinstance(value, str) or value not in FAMILIES:
        raise ValueError(f"{option}: {value!r} is no family, but {', '.join(FAMILIES)} are")
    return FAMILIES[value]


def _by_prefix(value: Any) -> dict[str, Family]:
    if not isinstance(value, Mapping):
        raise ValueError(f"families: {value!r} is no table of families by the first digits of IMEIs")
    for prefix in value:
        if not (isinstance(prefix, str) and prefix.isascii() and prefix.isdecimal()):
            raise ValueError(f"families: {prefix!r} are no digits that an IMEI could begin with")
    return {prefix: _known_family(f"families.{prefix}", family) for prefix, family in value.items()}


def _known_limit(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value not in _LIMITS:
        raise ValueError(f"packet_limit_bytes: {value!r} is no whole number from {_LIMITS[0]} to {_LIMITS[-1]}")
    return value
