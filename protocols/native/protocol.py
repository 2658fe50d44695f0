"""The protocol as the rest of the house sees it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Self

from protocols.base import BaseProtocol
from protocols.body import read
from protocols.catalogue import Entry
from protocols.command import AnswersName
from protocols.credential import Credential
from protocols.explanation import Field
from protocols.message import Message
from protocols.native.building import command
from protocols.native.channels import CHANNELS
from protocols.native.codec import NativeCodec
from protocols.native.explain import explain_frame
from protocols.native.frame import HEADER
from protocols.native.messages import COMMAND, EDITION, HELLO, HELLO_BODY, MESSAGES, READINGS, READINGS_BODY
from protocols.native.options import Options
from protocols.native.reports import MOMENT_KIND, decode
from protocols.native.terminal import NativeTerminal
from protocols.report import Decoded, DecodeError


class NativeProtocol(BaseProtocol):
    """A protocol of our own, for hardware that has none yet."""

    name = "native"
    title = "iotgw native"
    port = 7700
    answers_name = AnswersName.SEQUENCE
    messages = MESSAGES
    headers = MappingProxyType({EDITION: HEADER})
    has_credentials = True

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()

    def configure(self, options: Mapping[str, Any]) -> Self:
        return type(self)(self.options.with_changes(options))

    def more_entries(self) -> dict[str, Entry]:
        """The channels that mean the same on every device."""
        return {channel.name: Entry(channel.unit, channel.english, channel.chinese) for channel in CHANNELS.values()}

    def whole_message(self, kind: str, part: Message) -> Message | None:
        """Of a moment, readings of it alone."""
        if kind != MOMENT_KIND:
            return super().whole_message(kind, part)
        return part._replace(kind=READINGS, body=READINGS_BODY.build({"moments": [part.body]}))

    def codec(self, identity: str = "") -> NativeCodec:
        return NativeCodec(self.options, identity)

    def terminal(self, identity: str) -> NativeTerminal:
        return NativeTerminal(identity)

    def simulated_identity(self, number: int) -> str:
        return f"board-{number:06d}"

    def build(self, kind: str | int, fields: Mapping[str, Any], edition: str = "") -> bytes:
        row = self._row(kind)
        if edition and edition not in row.layouts:
            raise ValueError(f"{row.name} has no layout {edition!r}, but {', '.join(row.layouts)}")
        if row.id != COMMAND:
            return super().build(kind, fields, edition)
        try:
            return command(fields)
        except ValueError as error:
            raise ValueError(f"{row.name}: {error}") from error

    def credential(self, message: Message) -> Credential | None:
        """The token of a HELLO, as hexadecimal digits where it is no text."""
        if message.kind != HELLO:
            return None
        try:
            token = bytes(read(HELLO_BODY, message.body).token)
        except DecodeError:
            return None
        try:
            return Credential(token.decode()) if token else None
        except UnicodeDecodeError:
            return Credential(token.hex())

    def decode(self, message: Message) -> Decoded:
        return decode(message)

    def explain(self, frame: bytes) -> Field:
        return explain_frame(frame)
