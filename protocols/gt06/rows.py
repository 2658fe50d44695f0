"""A row of GT06's table of messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from construct import GreedyBytes, Struct

from protocols import rows
from protocols.message import Message

Choose = Callable[[Message], "str | Struct"]
"""Which of its layouts a message has, or one made for it. It looks at sizes, marks and the identity, never at a model."""

EXTRA = "extra" / GreedyBytes * "Bytes of the vendor's behind the declared ones 多余字节"
RAW = Struct("raw" / GreedyBytes * "Content, whose layout depends on the model 原始内容")
"""Of messages that are known while their layout is not."""
EMPTY = Struct(EXTRA)


class Answer(Enum):
    """How the platform answers a message, once it is stored."""

    NONE = "none"
    SHORT = "its type and serial number, in the short form"
    LONG = "its type and serial number, in the long form"
    TIME = "the time, in UTC"
    PHOTO = "a request for the photo's next bytes, until all have come"
    NO_ADDRESS = "none: the platform looks up no addresses, and the device then sends its user none"


@dataclass(frozen=True, slots=True)
class MessageType(rows.MessageType):
    """A row of the table."""

    answer: Answer = Answer.NONE
    choose: Choose | None = None
    is_local: bool = False
    """Whether its time is that of the device's own clock, by the zone of the login; it is UTC otherwise."""

    def layout(self, message: Message) -> Struct:
        chosen = self.choose(message) if self.choose else self.only_layout
        return self.layouts[chosen] if isinstance(chosen, str) else chosen


def raw(id: int, name: str, english: str, chinese: str, answer: Answer = Answer.NONE) -> MessageType:
    """A message that is kept as it came."""
    return MessageType(id, name, english, chinese, {"raw": RAW}, answer=answer)
