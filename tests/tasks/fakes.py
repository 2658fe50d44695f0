"""A protocol whose bodies say what shall become of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from construct import Struct

from protocols.base import BaseProtocol
from protocols.explanation import Field
from protocols.message import Message
from protocols.protocol import Codec, DeviceProtocol, MessageRow
from protocols.report import Decoded, DecodeError
from protocols.terminal import Terminal
from tests.records import NOON, report

GOOD, PARTIAL, BAD, BUG = b"good", b"partial", b"bad", b"bug"
KILL, LOOP, HEAVY = b"kill", b"loop", b"heavy"
"""What no test's own process should decode: they end it, keep it for ever, or take all memory."""


class FakeProtocol(BaseProtocol):
    """Bodies begin with one of the words above; the rest makes them differ."""

    name = "fake"
    title = "Fake"
    port = 1

    messages: ClassVar[Mapping[int, MessageRow]] = {}
    headers: ClassVar[Mapping[str, Struct]] = {}

    def codec(self, identity: str = "") -> Codec:
        raise NotImplementedError

    def terminal(self, identity: str) -> Terminal:
        raise NotImplementedError

    def simulated_identity(self, number: int) -> str:
        raise NotImplementedError

    def explain(self, frame: bytes) -> Field:
        raise NotImplementedError

    def decode(self, message: Message) -> Decoded:
        error = DecodeError("truncated", "items[1]", "2 bytes are missing")
        if message.body.startswith(BUG):
            raise ZeroDivisionError("division by zero")
        if message.body.startswith(BAD):
            return Decoded([], error)
        reports = [report(message.body, NOON, latitude=1.0, longitude=2.0)]
        return Decoded(reports, error if message.body.startswith(PARTIAL) else None)

    def kind_name(self, kind: int) -> str:
        return "location" if kind == 0x0200 else f"0x{kind:04x}"


FAKE: DeviceProtocol = FakeProtocol()
