"""Teltonika's table of messages. Their ids are the codec ids; the IMEI packet, which has none, is 0."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from construct import Int16ub, Prefixed, Struct

from protocols import rows
from protocols.command import CommandRule
from protocols.fields import Text
from protocols.rows import Direction
from protocols.teltonika.commands import (
    ADDRESSED,
    CODEC_12,
    CODEC_12_COMMAND,
    CODEC_13,
    CODEC_14,
    CODEC_14_COMMAND,
    CODEC_15,
    LONG_TIMED,
    TEXT,
    TIMED,
    TIMED_ADDRESSED,
    timed_layout,
)
from protocols.teltonika.records import CODEC_8, CODEC_8_EXTENDED, CODEC_16, RECORDS, packet
from protocols.teltonika.rules import ADDRESSED_COMMAND, TEXT_COMMAND

LOGIN = 0
IMEI = Struct("imei" / Prefixed(Int16ub, Text(encoding="ascii")) * "IMEI, by which the device is known on this link 设备IMEI")


class Answer(Enum):
    """How the platform answers a message, once it is stored."""

    NONE = "none: devices take four bytes for a broken command"
    ADMISSION = "`01` if the device may come in, else `00`"
    COUNT = "the number of records in four bytes: all of them, or nothing"


@dataclass(frozen=True, slots=True)
class MessageType(rows.MessageType):
    """A row of the table."""

    answer: Answer = Answer.NONE
    choose: Callable[[bytes], Struct] | None = None
    """Which layout a body has; None where there is only one."""

    def layout(self, body: bytes) -> Struct:
        """The declaration of this body."""
        return self.choose(body) if self.choose else self.only_layout


def _records(id: int, name: str, title: str) -> MessageType:
    english, chinese = f"AVL records, {title}", f"AVL记录，{title}"
    return MessageType(id, name, english, chinese, {title: packet(RECORDS[id])}, answer=Answer.COUNT)


def _down(id: int, name: str, english: str, chinese: str, layout: Struct, answered_by: int, command: CommandRule) -> MessageType:
    layouts = {"command": layout}
    return MessageType(id, name, english, chinese, layouts, Direction.DOWN, answered_by=(answered_by,), command=command)


_ROWS = (
    MessageType(LOGIN, "login", "IMEI", "IMEI登录", {"IMEI": IMEI}, answer=Answer.ADMISSION),
    _records(CODEC_8, "codec_8", "Codec 8"),
    _records(CODEC_8_EXTENDED, "codec_8_extended", "Codec 8 Extended"),
    _records(CODEC_16, "codec_16", "Codec 16"),
    MessageType(CODEC_12, "codec_12", "Answer to a command, or serial data", "命令应答或串口数据", {"text": TEXT}),
    MessageType(
        CODEC_13,
        "codec_13",
        "Serial data with its time",
        "带时间戳的串口数据",
        {"seconds": TIMED, "milliseconds": LONG_TIMED},
        choose=timed_layout,
    ),
    MessageType(CODEC_14, "codec_14", "Answer to a command for one IMEI", "指定IMEI命令的应答", {"IMEI": ADDRESSED}),
    MessageType(CODEC_15, "codec_15", "Message with time and IMEI", "带时间戳和IMEI的消息", {"time, IMEI": TIMED_ADDRESSED}),
    _down(CODEC_12_COMMAND, "codec_12_command", "Command", "命令", TEXT, CODEC_12, TEXT_COMMAND),
    _down(CODEC_14_COMMAND, "codec_14_command", "Command for one IMEI", "指定IMEI的命令", ADDRESSED, CODEC_14, ADDRESSED_COMMAND),
)
MESSAGES: Mapping[int, MessageType] = MappingProxyType({row.id: row for row in _ROWS})
