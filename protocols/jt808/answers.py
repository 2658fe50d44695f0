"""What the platform says about messages: answers to whole ones, and requests for the pieces of others.

Source: JT/T 808-2019, chapters 6 and 7; T/JSATL 12-2017 for 0x9212.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from construct import ConstructError

from protocols.body import read
from protocols.compiler import compile, fixed
from protocols.fields import BcdTime
from protocols.jt808.active_safety import FILE_UPLOADED_RESPONSE
from protocols.jt808.header import is_2019, read_header
from protocols.jt808.messages import MESSAGES, answer_of
from protocols.jt808.multimedia import MULTIMEDIA_DATA, MULTIMEDIA_RESPONSE
from protocols.jt808.parts import Missing
from protocols.jt808.rows import PLATFORM_GENERAL_RESPONSE, Answer
from protocols.jt808.terminal_management import (
    AUTHENTICATE,
    FAILURE,
    PLAIN_GENERAL_RESPONSE,
    PLATFORM_SUB_PACKET_REQUEST,
    REGISTER,
    REGISTER_RESPONSE,
    REGISTRATION_ACCEPTED,
    SERVER_TIME,
    SUB_PACKET_REQUEST_2013,
    SUB_PACKET_REQUEST_2019,
    SUCCESS,
)
from protocols.message import Message, Outcome
from protocols.report import DecodeError

_MEDIA_ID_BYTES = 4
_COMPLETE = b"\0\0"
"""Of an uploaded file: result 0, and no ranges to send again."""
_UTC_TIME = BcdTime(0)
_GENERAL = fixed(PLAIN_GENERAL_RESPONSE).pack
_CODE_FIELDS = {REGISTER: "terminal_id", AUTHENTICATE: "code"}


class Reply(NamedTuple):
    """A message for the platform to send."""

    id: int
    body: bytes


def replies(message: Message, outcome: Outcome, time: datetime, *, is_proven: bool) -> list[Reply]:
    """What answers a message that has its receipt.

    Whoever got so far has shown its credential if ``is_proven``: its code is the right one, and the id by which it has
    registered becomes its code. Else a terminal's code is its phone number.
    Dedicated answers speak of success alone. To a terminal that may not come in, and to one whose body is too short
    to quote from, the general response says what there is to say.
    """
    is_good = outcome is not Outcome.REFUSED
    answer = answer_of(message.kind)
    if answer is Answer.REGISTRATION:
        return [_registration(message, is_good, shown_code(message) if is_proven else message.identity)]
    if answer is Answer.AUTHENTICATION:
        return _general(message, is_good and (is_proven or _has_own_code(message)))
    if is_good and (dedicated := _dedicated(answer, message, time)):
        return [dedicated]
    # Even a message that is not answered has its sub-packets confirmed, each by its own sequence.
    if answer in (Answer.NONE, Answer.SUB_PACKETS) and not message.parts:
        return []
    return _general(message, is_good)


def confirmation(message: Message) -> bytes:
    """The body of the general response to a message that is stored, which is what nearly all of them have."""
    return _GENERAL(message.sequence, message.kind, SUCCESS)


def repeated(message: Message) -> list[Reply]:
    """What confirms a piece of a stored message once more, given that message with the piece's sequence alone.

    Of messages whose answer says more than that they are stored, nothing.
    """
    match answer_of(message.kind):
        case Answer.MULTIMEDIA if len(message.body) >= _MEDIA_ID_BYTES:
            return [_media_complete(message)]
        case Answer.NONE | Answer.GENERAL | Answer.MULTIMEDIA:
            return _general(message, is_good=True)
    return []


def request(missing: Missing) -> Reply:
    """What asks for missing pieces: of multimedia by its id, if that is known, of all else by the first sequence.

    An edition of 2011 has no 0x8003; its header is that of 2013, so it is asked like one.
    """
    header, numbers = missing.header, missing.numbers
    media_id = missing.first_body[:_MEDIA_ID_BYTES]
    if header.id == MULTIMEDIA_DATA and len(media_id) == _MEDIA_ID_BYTES:
        indexes = b"".join(number.to_bytes(2, "big") for number in numbers)
        return Reply(MULTIMEDIA_RESPONSE, media_id + bytes((len(numbers),)) + indexes)
    layout = SUB_PACKET_REQUEST_2013 if header.version is None else SUB_PACKET_REQUEST_2019
    fields = {"original_sequence": missing.first_sequence, "count": len(numbers), "indexes": numbers, "extra": b""}
    return Reply(PLATFORM_SUB_PACKET_REQUEST, layout.build(fields))


def wanted_pieces(message: Message) -> tuple[int, Sequence[int]]:
    """The original sequence and the indexes of a terminal's request for pieces; no indexes where it cannot be read."""
    try:
        asked = MESSAGES[message.kind].layout(message.body, is_2019(message.head)).parse(message.body)
    except ConstructError:
        return 0, ()
    return asked.original_sequence, asked.indexes


def _general(message: Message, is_good: bool) -> list[Reply]:
    """One for each frame that the message came in: terminals differ in which they wait for."""
    result = SUCCESS if is_good else FAILURE
    return [
        Reply(PLATFORM_GENERAL_RESPONSE, _GENERAL(sequence, message.kind, result))
        for sequence in message.parts or (message.sequence,)
    ]


def _registration(message: Message, is_good: bool, code: str) -> Reply:
    result = "success" if is_good else "no_such_terminal"
    fields = {"answered_sequence": message.sequence, "result": result, "code": code if is_good else ""}
    return Reply(REGISTER_RESPONSE, compile(REGISTRATION_ACCEPTED).build(fields))


def _dedicated(answer: Answer, message: Message, time: datetime) -> Reply | None:
    """The answer of a kind's own. There is no platform key to answer with: 0x0A00 has the general response."""
    match answer:
        case Answer.MULTIMEDIA if len(message.body) >= _MEDIA_ID_BYTES:
            return _media_complete(message)
        case Answer.SERVER_TIME:
            return Reply(SERVER_TIME, _UTC_TIME.build(time))
        case Answer.FILE_UPLOADED if message.body and len(message.body) >= message.body[0] + 2:
            # The name's length, the name and the type, as they came.
            return Reply(FILE_UPLOADED_RESPONSE, message.body[: message.body[0] + 2] + _COMPLETE)
    return None


def _media_complete(message: Message) -> Reply:
    return Reply(MULTIMEDIA_RESPONSE, message.body[:_MEDIA_ID_BYTES])


def shown_code(message: Message) -> str:
    """The authentication code that a terminal has, or will have once it is registered: the id that its maker gave it.

    Empty if it shows none. Some send the code with zeros behind it.
    """
    field = _CODE_FIELDS.get(message.kind)
    if field is None:
        return ""
    try:
        body = read(MESSAGES[message.kind].layout(message.body, is_2019(message.head)), message.body)
    except DecodeError:
        return ""
    code = str(body[field]).strip("\0 ")
    return code if code.isprintable() else ""


def _has_own_code(message: Message) -> bool:
    """Whether a terminal authenticates with the code it was given, or its phone number in full.

    One that brings another platform's code is told so, and registers.
    """
    return shown_code(message) in (message.identity, read_header(message.head).phone)
