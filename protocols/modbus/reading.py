"""What the platform makes of a line: the messages that are stored, none of which a device sends in this form.

A reading holds the answers as they came, block by block, so that a better map can read them again years later.
"""

from __future__ import annotations

from typing import NamedTuple

from construct import Bytes, GreedyBytes, Int8ub, Int16ub, Prefixed, Struct

from protocols.compiler import compile
from protocols.fields import Choice, Option, Text
from protocols.items import UntilEnd
from protocols.modbus.model import VERSION_BYTES, Model
from protocols.modbus.pdu import ADDRESS, EXCEPTIONS, OBJECT, QUANTITY
from protocols.modbus.planner import Block

FUNCTION = "function" / Int8ub * "Function code 功能码"
UNIT = "unit" / Int8ub * "Unit on the line 从站地址"
EXCEPTION = "exception" / Choice(Int8ub, EXCEPTIONS) * "Why it did not answer with data 异常码"

ANSWERED = "answered"
REFUSED = "exception"
SILENT = "no_answer"
BLOCK = Struct(
    FUNCTION,
    ADDRESS,
    QUANTITY,
    "outcome"
    / Choice(
        Int8ub,
        {
            0: Option(ANSWERED, "Answered with data 正常应答"),
            1: Option(REFUSED, "Answered with an exception 异常应答"),
            2: Option(SILENT, "Did not answer 无应答"),
        },
    )
    * "What came of it 结果",
    EXCEPTION,
    "data" / Prefixed(Int8ub, GreedyBytes) * "Bits or registers as they came 数据",
)
READING = Struct("blocks" / UntilEnd(BLOCK) * "Reads, in the order they were made 数据块")
HEAD = Struct(
    "model" / Prefixed(Int8ub, Text()) * "Model whose map was used 型号",
    "group" / Prefixed(Int8ub, Text()) * "Group of points 轮询组",
    "version" / Bytes(VERSION_BYTES) * "Version of the group's definition 版本",
)
"""What stands in a message's head: which map its body is read with."""

REGISTRATION = Struct("packet" / GreedyBytes * "What the DTU sent 注册包")
IDENTIFIED = Struct("objects" / UntilEnd(OBJECT) * "What the unit says of itself 设备标识")
UNIT_OFFLINE = Struct(
    "cause"
    / Choice(
        Int8ub,
        {
            0: Option("no_answer", "It does not answer, others may 从站无应答"),
            1: Option("line_silent", "No unit of the line answers 总线无应答"),
        },
    )
    * "Why it counts as offline 原因",
    "polls" / Int8ub * "Polls in a row without an answer 连续超时次数",
)
UNIT_ONLINE = Struct("probes" / Int8ub * "Probes until it answered, 255 or more as 255 探测次数")
FRAME = Struct(
    UNIT,
    FUNCTION,
    "data" / GreedyBytes * "What follows the function code 数据",
)
COMMAND_FIELDS = (
    UNIT,
    "command" / Prefixed(Int8ub, Text()) * "Command of the model's map; empty for a write that no map describes 命令",
    "n" / Int16ub * "Which of several alike, from 1; 0 if there is one 序号",
)
STATES = {
    0: Option("accepted", "The unit has taken it, nothing was read back 已接受"),
    1: Option("confirmed", "Read back as written 已确认"),
    2: Option("different", "Read back, and not as written 回读不一致"),
    3: Option("refused", "Answered with an exception 被拒绝"),
    4: Option("unknown", "No answer: it may have been done 结果未知"),
    5: Option("expired", "It waited too long and was not sent 已过期"),
    6: Option("answered", "What was asked for has come 已应答"),
}
COMMAND_RESULT = Struct(
    "state" / Choice(Int8ub, STATES) * "What became of it 结果",
    EXCEPTION,
    "answer" / Prefixed(Int8ub, GreedyBytes) * "The unit's last answer, or what was read back 应答",
    FUNCTION,
    "request" / GreedyBytes * "The command as it was given 命令原文",
)
NO_VERSION = bytes(VERSION_BYTES)


class Result(NamedTuple):
    """One block with what came of it."""

    block: Block
    outcome: str
    exception: int = 0
    data: bytes = b""


def reading_body(results: list[Result]) -> bytes:
    """The body of a reading: a function of the answers alone."""
    blocks = [
        {**block._asdict(), "outcome": outcome, "exception": exception, "data": data} for block, outcome, exception, data in results
    ]
    return compile(READING).build({"blocks": blocks})


def head(model: Model, group: str = "", version: bytes = NO_VERSION) -> bytes:
    """The head of a message about a unit of this model."""
    return HEAD.build({"model": model.name, "group": group, "version": version})
