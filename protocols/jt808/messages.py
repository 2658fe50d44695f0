"""JT/T 808's messages, one row each: those of the three editions, of JT/T 1078 and of T/JSATL 12.

Source: JT/T 808-2011, JT/T 808-2013 and JT/T 808-2019, chapters 7 and 8 and annex A.
"""

from __future__ import annotations

from dataclasses import replace

from protocols.jt808 import (
    active_safety,
    areas,
    collection,
    information,
    multimedia,
    positions,
    terminal_management,
    video,
)
from protocols.jt808.multimedia import MULTIMEDIA_DATA
from protocols.jt808.positions import LOCATION, LOCATION_BATCH
from protocols.jt808.rows import (
    PLATFORM_GENERAL_RESPONSE,
    TERMINAL_GENERAL_RESPONSE,
    Answer,
    MessageType,
)
from protocols.jt808.rules import RULES
from protocols.jt808.terminal_management import (
    AUTHENTICATE,
    AUTHENTICATION_2013,
    GENERAL_RESPONSE,
    HEARTBEAT,
    LOGOUT,
    REGISTER,
    REGISTER_RESPONSE,
    REGISTRATION_2013,
    REGISTRATION_ACCEPTED,
)

__all__ = [
    "AUTHENTICATE",
    "AUTHENTICATION_2013",
    "GENERAL_RESPONSE",
    "HEARTBEAT",
    "LOCATION",
    "LOCATION_BATCH",
    "LOGOUT",
    "MESSAGES",
    "MULTIMEDIA_DATA",
    "PLATFORM_GENERAL_RESPONSE",
    "REGISTER",
    "REGISTER_RESPONSE",
    "REGISTRATION_2013",
    "REGISTRATION_ACCEPTED",
    "TERMINAL_GENERAL_RESPONSE",
    "Answer",
    "MessageType",
    "answer_of",
]

_CHAPTERS = (terminal_management, positions, information, areas, collection, multimedia, video, active_safety)

MESSAGES: dict[int, MessageType] = {
    row.id: replace(row, command=RULES.get(row.id)) for chapter in _CHAPTERS for row in chapter.ROWS
}


def answer_of(id: int) -> Answer:
    """How the platform answers a message of this id; one it does not know like any other, for it would come again."""
    row = MESSAGES.get(id)
    return Answer.GENERAL if row is None else row.answer
