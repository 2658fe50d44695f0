"""Modbus's messages, one row each: what the platform asks, by function code, and what it stores.

Source: MODBUS Application Protocol Specification V1.1b3, of 2012, chapter 6.
"""

from __future__ import annotations

from enum import Enum

from protocols.modbus import kinds
from protocols.modbus.catalogue import rule_of
from protocols.modbus.pdu import Function
from protocols.modbus.reading import COMMAND_RESULT, FRAME, IDENTIFIED, READING, REGISTRATION, UNIT_OFFLINE, UNIT_ONLINE
from protocols.modbus.writing import COMMANDS
from protocols.rows import Direction, MessageType

EDITION = "2012"


class Answer(Enum):
    """How the platform answers a message, once it is stored."""

    NONE = "none"
    POLLING = "none; polling begins"
    NEXT_POLL = "none; the same group is read again when its interval is over"
    RESULT = "none, it is the platform's own; what became of it comes as `command_result`"


_NAMES = {
    Function.READ_COILS: ("Read coils", "读线圈"),
    Function.READ_DISCRETE_INPUTS: ("Read discrete inputs", "读离散输入"),
    Function.READ_HOLDING_REGISTERS: ("Read holding registers", "读保持寄存器"),
    Function.READ_INPUT_REGISTERS: ("Read input registers", "读输入寄存器"),
    Function.WRITE_COIL: ("Write single coil", "写单个线圈"),
    Function.WRITE_REGISTER: ("Write single register", "写单个寄存器"),
    Function.WRITE_COILS: ("Write multiple coils", "写多个线圈"),
    Function.WRITE_REGISTERS: ("Write multiple registers", "写多个寄存器"),
    Function.MASK_WRITE_REGISTER: ("Mask write register", "屏蔽写寄存器"),
    Function.READ_WRITE_REGISTERS: ("Read/write registers", "读写多个寄存器"),
    Function.READ_IDENTIFICATION: ("Read device identification", "读设备标识"),
}
FUNCTION_NAMES = {int(function): f"{english} {chinese}" for function, (english, chinese) in _NAMES.items()}

_ASKED = [
    MessageType(
        int(function),
        function.name.lower(),
        english,
        chinese,
        {EDITION: COMMANDS[function]},
        Direction.DOWN,
        Answer.RESULT,
        (kinds.COMMAND_RESULT,),
        command=rule_of(function),
    )
    for function, (english, chinese) in _NAMES.items()
]
_STORED = [
    MessageType(
        kinds.REGISTRATION, "registration", "Registration packet", "注册包", {EDITION: REGISTRATION}, Direction.UP, Answer.POLLING
    ),
    MessageType(kinds.READING, "reading", "Reading of a group", "读数", {EDITION: READING}, Direction.UP, Answer.NEXT_POLL),
    MessageType(
        kinds.IDENTIFICATION,
        "identification",
        "Device identification",
        "设备标识",
        {EDITION: IDENTIFIED},
        Direction.UP,
        Answer.NONE,
    ),
    MessageType(
        kinds.UNIT_OFFLINE,
        "unit_offline",
        "Unit does not answer",
        "从站离线",
        {EDITION: UNIT_OFFLINE},
        Direction.UP,
        Answer.NONE,
        ends_session=True,
    ),
    MessageType(
        kinds.UNIT_ONLINE, "unit_online", "Unit answers again", "从站上线", {EDITION: UNIT_ONLINE}, Direction.UP, Answer.NONE
    ),
    MessageType(
        kinds.COMMAND_RESULT,
        "command_result",
        "What became of a command",
        "命令结果",
        {EDITION: COMMAND_RESULT},
        Direction.UP,
        Answer.NONE,
    ),
    MessageType(
        kinds.LATE_ANSWER, "late_answer", "Answer that came too late", "迟到应答", {EDITION: FRAME}, Direction.UP, Answer.NONE
    ),
    MessageType(
        kinds.UNASKED_FRAME,
        "unasked_frame",
        "Frame that nobody asked for: is there another master?",
        "未请求的帧",
        {EDITION: FRAME},
        Direction.UP,
        Answer.NONE,
    ),
]
MESSAGES: dict[int, MessageType] = {row.id: row for row in (*_ASKED, *_STORED)}
