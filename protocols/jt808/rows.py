"""A row of JT/T 808's table of messages, and what the bodies of many messages have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from construct import GreedyBytes, Int16ub, Struct

from protocols import rows
from protocols.rows import Direction

TERMINAL_GENERAL_RESPONSE = 0x0001
PLATFORM_GENERAL_RESPONSE = 0x8001

EXTRA = "extra" / GreedyBytes * "Bytes of the vendor's behind the standard's 多余字节"
ANSWERED_SEQUENCE = "answered_sequence" / Int16ub * "Serial number of the answered message 应答流水号"
EMPTY = Struct(EXTRA)
"""Of messages without a body, to which some terminals add battery or signal."""

Choose = Callable[[bytes, bool], Struct]


class Answer(Enum):
    """How the platform answers a message, once it is stored."""

    NONE = "none, it is an answer itself"
    GENERAL = "`0x8001`"
    REGISTRATION = "`0x8100`, with the authentication code if the terminal may come in"
    AUTHENTICATION = "`0x8001`, whose result says if the code is the one that registration gave"
    SERVER_TIME = "`0x8004`, in UTC"
    SUB_PACKETS = "the wanted sub-packets of what the platform sent before, the same bytes again"
    MULTIMEDIA = "`0x8800`, when the data is complete; before that, with the indexes that are missing"
    FILE_UPLOADED = "`0x9212`"
    KEY = "`0x8001`, for the platform has no key"


@dataclass(frozen=True, slots=True)
class MessageType(rows.MessageType):
    """A row of the table. Layouts go by their edition, and a word for a variant within it: ``2019 no count``."""

    answer: Answer = Answer.NONE
    choose: Choose | None = None
    """Which layout a body has, given whether its header is of 2019. None where there is only one."""

    def layout(self, body: bytes, is_2019: bool) -> Struct:
        return self.choose(body, is_2019) if self.choose else self.only_layout


def uplink(
    id: int,
    name: str,
    english: str,
    chinese: str,
    layouts: Mapping[str, Struct],
    answer: Answer = Answer.GENERAL,
    choose: Choose | None = None,
    ends_session: bool = False,
) -> MessageType:
    """A message that terminals send."""
    choose = choose or _by_edition(layouts)
    return MessageType(id, name, english, chinese, layouts, Direction.UP, answer, ends_session=ends_session, choose=choose)


def downlink(
    id: int,
    name: str,
    english: str,
    chinese: str,
    layouts: Mapping[str, Struct],
    answered_by: tuple[int, ...] = (TERMINAL_GENERAL_RESPONSE,),
    choose: Choose | None = None,
) -> MessageType:
    """A message that the platform sends."""
    choose = choose or _by_edition(layouts)
    return MessageType(id, name, english, chinese, layouts, Direction.DOWN, answered_by=answered_by, choose=choose)


def _by_edition(layouts: Mapping[str, Struct]) -> Choose | None:
    """By the header's version flag where that is all there is to go by."""
    if len(layouts) == 1:
        return None
    (_, older), (_, newer) = layouts.items()
    return lambda body, is_2019: newer if is_2019 else older
