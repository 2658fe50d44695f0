"""What the rows of GB/T 32960.3's table of messages have in common."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from construct import Array, Bytes, GreedyBytes, Int8ub, Int16ub, Prefixed, Struct, this

from protocols.command import CommandRule
from protocols.fields import BinaryTime, Choice, Count, Declaration, Option, Text
from protocols.gb32960.header import ANSWER, ENCRYPTIONS
from protocols.rows import Direction, MessageType

TIME = BinaryTime(8)
"""Beijing time."""
TIME_BYTES = 6
NO_TIME = bytes(TIME_BYTES)
"""In a command that leaves out its time, until it leaves."""
TIME_LEFT_OUT = {"time": NO_TIME.hex()}
EXTRA = "extra" / GreedyBytes * "Bytes behind the standard's 多余字节"
EMPTY = Struct(EXTRA)
ANSWERED = Struct("time" / TIME * "The answered message's time, GMT+8 时间", EXTRA)
"""An answer that tells nothing but of what it is one."""
WORDS = {0xFE: Option("abnormal", "Abnormal 异常"), 0xFF: Option("invalid", "Invalid 无效")}
"""What any byte that stands for a word may be beside."""
ENCRYPTION = Choice(Int8ub, ENCRYPTIONS)
SIGNATURE = Struct(
    "kind"
    / Choice(Int8ub, {1: Option("sm2", "SM2 SM2算法"), 2: Option("rsa", "RSA RSA算法"), 3: Option("ecc", "ECC ECC算法")})
    * "Signature algorithm 签名方式",
    "r" / Prefixed(Int16ub, GreedyBytes) * "R, or the whole signature 签名R值",
    "s" / Prefixed(Int16ub, GreedyBytes) * "S 签名S值",
)


class Answer(Enum):
    """How the platform answers a message, once it is stored."""

    NONE = "none"
    TIME = "the same command with flag 01 and the message's own time"
    PLATFORM = "the same command with flag 01 and the message's own time, with flag 02 if the platform may not come in"
    EMPTY = "the same command with flag 01, without data"
    CLOCK = "the same command with flag 01 and Beijing time"
    ACTIVATION = "`0x0A`"


class SizedText(Text):
    """ASCII as long as an expression or another field says."""

    def __init__(self, length: object) -> None:
        super().__init__(None, "ascii")
        # What Text does up to the end, here within so many bytes.
        self.subcon = Bytes(length)  # type: ignore[arg-type]


def both(layout: Struct) -> Mapping[str, Struct]:
    """A layout that the editions share."""
    return {"2016": layout, "2025": layout}


def uplink(
    id: int,
    name: str,
    english: str,
    chinese: str,
    layouts: Mapping[str, Struct],
    answer: Answer = Answer.TIME,
    ends_session: bool = False,
) -> MessageType:
    """A message that vehicles and platforms send."""
    return MessageType(id, name, english, chinese, layouts, Direction.UP, answer, ends_session=ends_session)


def downlink(
    id: int,
    name: str,
    english: str,
    chinese: str,
    layouts: Mapping[str, Struct],
    answered_by: tuple[int, ...] = (),
    command: CommandRule | None = None,
) -> MessageType:
    """A message that the platform sends."""
    return MessageType(id, name, english, chinese, layouts, Direction.DOWN, Answer.NONE, answered_by, command=command)


def answer_row(command: int, name: str, english: str, chinese: str, layouts: Mapping[str, Struct]) -> MessageType:
    """What a terminal answers a command with.

    With a time and nothing else, or with nothing at all, it may answer any: the standard does not say.
    """
    rest: dict[str, Struct] = {}
    for edition in ("2016", "2025"):
        rest |= {f"{edition} time only": ANSWERED, f"{edition} empty": EMPTY}
    return uplink(command | ANSWER, name, english, chinese, {**layouts, **rest}, Answer.NONE)


def counted(
    of: str, text: str, count_text: str, entry: Declaration, count: Declaration = Int8ub
) -> tuple[Declaration, Declaration]:
    """A list behind its count. Counts that are abnormal or invalid are followed by no list."""
    told, no_list_from = this[f"{of}_count"], (1 << 8 * count.sizeof()) - 2
    return (
        f"{of}_count" / Count(count, of) * count_text,
        of / Array(told * (told < no_list_from), entry) * text,
    )
