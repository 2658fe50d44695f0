"""The platform's end of a GB/T 32960.3 link.

    vehicle                                     platform
      ── 01 FE login (time, serial, ICCID) ─────▶
      ◀───────────────────── 01 01 (time) ───────
      ── 02 FE report (time, bodies) ───────────▶
      ◀───────────────────── 02 01 (time) ───────  once it is stored
      ── 02 FE report, damaged on the way ──────▶
      ◀───────────────────── 02 02 (time) ───────  at once: send it again
      ── 03 FE reissue (time, bodies) ──────────▶  what was not acked, or made without a link
      ◀───────────────────── 03 01 (time) ───────
      ── 07 FE heartbeat ───────────────────────▶
      ◀───────────────────── 07 01 ──────────────
      ◀───────────────────── 80 FE (time, ids) ──
      ── 80 01 (time, parameters) ──────────────▶  an answer, never to be answered

Another platform's link begins with 05 instead, and carries the messages of many vehicles, each under its own VIN.

Source: GB/T 32960.3-2016 and GB/T 32960.3-2025, chapters 5 and 6, annex B.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from protocols.command import Prepared
from protocols.framing import SAMPLE_BYTES
from protocols.gb32960.control import CONTROL
from protocols.gb32960.framing import FrameSplitter
from protocols.gb32960.header import (
    ANSWER,
    CLEAR,
    COMMAND,
    ERROR,
    HEAD_BYTES,
    SUCCESS,
    VIN_UNKNOWN,
    edition,
    frame,
    identity_of,
    is_header,
    kind_of,
)
from protocols.gb32960.messages import REISSUE, REPORT, answer_to
from protocols.gb32960.options import Options
from protocols.gb32960.parameters import QUERY_PARAMETERS, SET_PARAMETERS
from protocols.gb32960.rows import NO_TIME, TIME, TIME_BYTES, Answer
from protocols.gb32960.session import (
    ACTIVATION_ANSWER,
    ACTIVATION_RESULT,
    PLATFORM_LOGIN,
    PLATFORM_LOGOUT,
    VEHICLE_LOGIN,
    VEHICLE_LOGOUT,
)
from protocols.message import Event, Malformed, Message, Outcome, RawFrame, Send

_FROM_PLATFORM = range(0x80, 0xC0)
"""Commands that only a platform sends."""
_SENT_AGAIN = (VEHICLE_LOGIN, REPORT, REISSUE, VEHICLE_LOGOUT, PLATFORM_LOGIN, PLATFORM_LOGOUT)
"""What its sender sends again if it is told that it came damaged."""
_TIMED = (QUERY_PARAMETERS, SET_PARAMETERS, CONTROL)
"""Commands that begin with their time."""
_CLOCK_YEARS = range(2001, 2099)
"""What a field of time can tell in every zone. A platform whose own clock is not set yet does not set those of vehicles."""


class GB32960Codec:
    """One link, of a vehicle or of a platform that forwards vehicles."""

    deadline: float | None = None
    """The platform never speaks first."""

    def __init__(self, options: Options, identity: str = "") -> None:
        self.is_watched = False
        self._options = options
        self._splitter = FrameSplitter(options.frame_limit_bytes)
        self._last = identity
        """Who sent the last good frame: a damaged one is answered only if it seems to be from the same sender."""
        self._is_platform = False

    def receive(self, data: bytes, now: float) -> Sequence[Event]:
        events: list[Event] = []
        for found in self._splitter.feed(data):
            if self.is_watched:
                events.append(RawFrame.of(found))
            if isinstance(found, Malformed):
                events.append(found)
                if again := self._ask_again(found):
                    events.append(Send(again))
                continue
            head, body = found[:HEAD_BYTES], found[HEAD_BYTES:-1]
            identity = self._last = identity_of(head)
            self._is_platform = self._is_platform or kind_of(head) == PLATFORM_LOGIN
            events.append(Message(identity, kind_of(head), 0, head, body))
        return events

    def wake(self, now: float) -> Sequence[Event]:
        return []

    def ack(self, message: Message, outcome: Outcome, time: datetime) -> bytes:
        """The same command and id with the answer's flag, and no more of the body than its time.

        Whoever sent an answer gets none, nor who sent what only platforms send.
        """
        if not is_header(message.head) or message.kind & ANSWER or message.kind in _FROM_PLATFORM:
            return b""
        if outcome is Outcome.REFUSED:
            flag = self._refusal(message)
            return _answer(message.head, flag, _time(message)) if flag else b""
        answer = answer_to(message.kind)
        if answer is Answer.NONE or (message.kind in (REPORT, REISSUE) and not self._options.answers_reports):
            return b""
        if answer is Answer.ACTIVATION and edition(message.head) == "2025":
            result = ACTIVATION_RESULT.build({"state": "success", "reason": "none", "extra": b""})
            return frame(message.head[:2], ACTIVATION_ANSWER, SUCCESS, message.head[4:21], result)
        if answer is Answer.CLOCK:
            if time.year not in _CLOCK_YEARS:
                return b""
            return _answer(message.head, SUCCESS, TIME.build(time))
        if answer is Answer.EMPTY:
            return _answer(message.head, SUCCESS, b"")
        is_echo = self._options.answer == "echo" and edition(message.head) == "2016" and message.head[21] == CLEAR
        return _answer(message.head, SUCCESS, message.body if is_echo else _time(message))

    def prepare(self, head: bytes, kind: int, body: bytes, number: int, time: datetime) -> Prepared:
        """A command to the device whose messages have a head like this; one that leaves out its time gets the platform's.

        Nothing in a frame numbers it: of two of one kind nobody could tell to which of them an answer belongs.

        Raises: ValueError when no command is like this.
        """
        if not is_header(head):
            raise ValueError(f"no header has {len(head)} bytes")
        if not 0 < kind < COMMAND:
            raise ValueError(f"0x{kind:02X} is no command")
        if kind in _TIMED and body.startswith(NO_TIME):
            if time.year not in _CLOCK_YEARS:
                raise ValueError(f"time: left out, and the platform's own clock says {time:%Y-%m-%d}")
            body = TIME.build(time) + body[TIME_BYTES:]
        return Prepared(kind, frame(head[:2], kind, COMMAND, head[4:21], body))

    def launch(self, prepared: Prepared, now: float) -> Sequence[Event]:
        return [Send(prepared.data)]

    def end(self) -> Sequence[Event]:
        pending = self._splitter.pending
        return [Malformed("cut", pending[:SAMPLE_BYTES])] if pending else []

    def _ask_again(self, malformed: Malformed) -> bytes:
        """The error that has the sender of a damaged report send it again: on silence, vehicles take it for stored."""
        head = malformed.raw[:HEAD_BYTES]
        if malformed.cause != "checksum" or head[2] not in _SENT_AGAIN or head[3] != COMMAND:
            return b""
        if not self._last or identity_of(head) != self._last:
            return b""
        length = int.from_bytes(head[22:24], "big")
        is_clear = head[21] == CLEAR and length >= TIME_BYTES
        return _answer(head, ERROR, malformed.raw[HEAD_BYTES : HEAD_BYTES + TIME_BYTES] if is_clear else b"")

    def _refusal(self, message: Message) -> int:
        """What tells a device that it may not come in; 0 for silence, which is all that a vehicle of 2016 gets."""
        if message.kind == PLATFORM_LOGIN:
            return ERROR
        if edition(message.head) == "2025":
            return VIN_UNKNOWN
        return ERROR if self._is_platform and message.kind == VEHICLE_LOGIN else 0


def _time(message: Message) -> bytes:
    """The time that a message begins with; nothing where it is encrypted."""
    return message.body[:TIME_BYTES] if message.head[21] == CLEAR else b""


def _answer(head: bytes, flag: int, data: bytes) -> bytes:
    return frame(head[:2], head[2], flag, head[4:21], data)
