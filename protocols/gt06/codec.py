"""The platform's end of a GT06 link.

    device                                  platform
      ── 01 login (IMEI, zone) ───────────────▶
      ◀──────────────────── 01 (same serial) ──  the device sends nothing else before
      ── 22 position ─────────────────────────▶  no answer in the protocol
      ── 13 heartbeat, 26 alarm ──────────────▶
      ◀──────────────── 13, 26 (same serial) ──
      ◀───────────────────── 80 (mark, text) ──
      ── 21 (mark, text) ─────────────────────▶

A link speaks the bare dialect if it begins with that dialect's login, which looks like the first 15 of the standard's
18 bytes. Which of the two it is, the bytes behind tell, or that none come.

Source: Concox GPS Tracker Communication Protocol (GT06) v1.8.1, chapters 3 to 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from protocols.command import Prepared
from protocols.framing import SAMPLE_BYTES, MarkedSplitter
from protocols.gt06.frame import (
    BARE,
    HEAD_BYTES,
    LONG,
    MARKS,
    MAX_FRAME_BYTES,
    SHAPES,
    SHORT,
    STOP,
    Opened,
    bare_frame,
    check_lenient,
    check_strict,
    form_of,
    frame,
    is_crc_right,
    minutes_east,
    open_bare,
    open_frame,
    zone_word,
)
from protocols.gt06.messages import MESSAGES
from protocols.gt06.options import Options
from protocols.gt06.photos import Photos
from protocols.gt06.positions import identity_place
from protocols.gt06.rows import Answer
from protocols.gt06.session import IMEI_BYTES, LOGIN, ZONE_BYTES
from protocols.gt06.stops import StopSplitter, bare_size, told_size
from protocols.gt06.texts import COMMAND, MARK_BYTES, NO_MARK
from protocols.gt06.transfers import PHOTO, PHOTO_REQUEST, is_photo_part
from protocols.message import Event, Malformed, Message, Outcome, RawFrame, Send
from protocols.rows import Direction

BARE_LOGIN_BYTES, LOGIN_BYTES = 15, 18
BARE_LOGIN_SECONDS = 1.0
"""How long the rest of a standard login may take to come; a bare one has to be answered within 5 s."""
_BARE_LOGIN_START = b"\x78\x78\x0d\x01"
_UNANSWERABLE = frozenset((0x15, 0x7921, 0x80, 0x81, 0x82, 0x94, 0x7994, 0x799B))
"""What even devices that want an answer for everything want none for: answers themselves, and data of others."""
_BARE_WITH_TIME = (0x10, 0x11, 0x17, 0x69)
_BARE_STATUS = 0x13
_CLOCK_YEARS = range(2000, 2100)
"""A platform whose own clock is not set yet does not set those of devices."""


class GT06Codec:
    """One link. The platform numbers its own messages on it from 1 on."""

    def __init__(self, options: Options, identity: str = "") -> None:
        self.is_watched = False
        self._options = options
        self._identity = identity
        self._zone = self._default_zone = zone_word(options.zone_minutes)
        self._splitter: MarkedSplitter | StopSplitter | None = None
        """None until it is known what the link speaks."""
        self._first = b""
        self._is_bare = False
        self._serial = 0
        self._photos = Photos()
        self.deadline: float | None = None

    def wake(self, now: float) -> Sequence[Event]:
        self.deadline = None
        return self._settle(is_bare=True) if self._splitter is None and self._first else []

    def receive(self, data: bytes, now: float) -> Sequence[Event]:
        if self._splitter is not None:
            return self._open(data)
        self._first += data
        is_bare = _is_bare(self._first)
        if is_bare is None:
            self.deadline = now + BARE_LOGIN_SECONDS if len(self._first) == BARE_LOGIN_BYTES else None
            return []
        return self._settle(is_bare)

    def ack(self, message: Message, outcome: Outcome, time: datetime) -> bytes:
        """The answer of its kind, with the serial number that it came with. A device that may not come in gets none."""
        if outcome is Outcome.REFUSED or len(message.head) != HEAD_BYTES:
            return b""
        if message.head[0] == BARE:
            return _bare_answer(message)
        row = MESSAGES.get(message.kind)
        answer = Answer.NONE if row is None else row.answer
        if answer is Answer.PHOTO:
            return self._photo_answer(message)
        if answer is Answer.TIME:
            now = time.astimezone(UTC)
            if now.year not in _CLOCK_YEARS:
                return b""
            body = bytes((now.year - 2000, now.month, now.day, now.hour, now.minute, now.second))
            return frame(SHORT, message.kind & 0xFF, body, message.sequence)
        if answer is Answer.NONE or answer is Answer.NO_ADDRESS:
            if self._options.ack == "needed" or message.kind in _UNANSWERABLE:
                return b""
            return frame(form_of(message.kind), message.kind & 0xFF, b"", message.sequence)
        return frame(LONG if answer is Answer.LONG else SHORT, message.kind & 0xFF, b"", message.sequence)

    def prepare(self, head: bytes, kind: int, body: bytes, number: int, time: datetime) -> Prepared:
        """A frame of the platform's own. A command's mark, which comes back with its reply, is the number, unless it has one."""
        row = MESSAGES.get(kind)
        if row is None or row.direction is not Direction.DOWN:
            raise ValueError(f"the platform sends no message 0x{kind:02X}")
        if head[:1] == bytes((BARE,)):
            raise ValueError("the device speaks the dialect without serial numbers, in which there are no commands")
        if kind != COMMAND:
            return Prepared(kind, self._send(kind, body))
        if body[MARK_BYTES] == NO_MARK:
            body = body[: MARK_BYTES.start] + (number & 0xFFFFFFFF).to_bytes(len(NO_MARK), "big") + body[MARK_BYTES.stop :]
        return Prepared(kind, self._send(kind, body), int.from_bytes(body[MARK_BYTES], "big"))

    def launch(self, prepared: Prepared, now: float) -> Sequence[Event]:
        return [Send(prepared.data)]

    def end(self) -> Sequence[Event]:
        pending = self._first if self._splitter is None else self._splitter.pending
        return [Malformed("cut", pending[:SAMPLE_BYTES])] if pending else []

    def _settle(self, is_bare: bool) -> Sequence[Event]:
        """The link's first bytes have told what it speaks."""
        self.deadline = None
        self._is_bare = is_bare
        if is_bare:
            self._splitter = StopSplitter(bare_size)
        elif self._options.check == "lenient":
            self._splitter = StopSplitter(told_size)
        else:
            self._splitter = MarkedSplitter(SHAPES, MAX_FRAME_BYTES, check_strict)
        first, self._first = self._first, b""
        return self._open(first)

    def _open(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        for found in self._splitter.feed(data) if self._splitter else ():
            if self.is_watched:
                events.append(RawFrame.of(found))
            if isinstance(found, Malformed):
                events.append(found)
            elif self._is_bare:
                events.append(self._message(open_bare(found), found))
            elif fault := check_lenient(found):
                events.append(Malformed(fault, found[:SAMPLE_BYTES]))
            else:
                events.append(self._message(open_frame(found), found))
        return events

    def _message(self, opened: Opened, raw: bytes) -> Event:
        if opened.kind == LOGIN and not self._log_in(opened.body):
            return Malformed("length", raw[:SAMPLE_BYTES])
        if not self._identity:
            self._identity = _identity_within(opened)
        if not self._identity:
            return Malformed("unidentified", raw[:SAMPLE_BYTES])
        if opened.kind == PHOTO:
            self._photos.announce(opened.body)
        head = bytes((opened.form, opened.reserved)) + self._zone
        return Message(self._identity, opened.kind, opened.sequence, head, opened.body)

    def _log_in(self, body: bytes) -> bool:
        if len(body) < IMEI_BYTES:
            return False
        self._identity = identity_of(body[:IMEI_BYTES])
        word = body[ZONE_BYTES]
        is_told = len(word) == 2 and minutes_east(int.from_bytes(word, "big")) is not None
        self._zone = word if is_told else self._default_zone
        return True

    def _photo_answer(self, message: Message) -> bytes:
        """Its next bytes wanted; what is no photo but has its type gets the common answer."""
        if message.kind == PHOTO or is_photo_part(message.body):
            wanted = self._photos.wanted(message.kind, message.body)
            return self._send(PHOTO_REQUEST, wanted) if wanted else b""
        return frame(SHORT, message.kind & 0xFF, b"", message.sequence)

    def _send(self, kind: int, body: bytes) -> bytes:
        data = frame(form_of(kind), kind & 0xFF, body, self._serial + 1)
        self._serial += 1
        return data


def identity_of(terminal_id: bytes) -> str:
    """The IMEI in eight bytes of packed decimal, without the 0 in front of it; what is none stays as it is."""
    digits = terminal_id.hex().upper()
    return digits[1:] if digits.isdecimal() and digits[0] == "0" else digits


def has_check_digit(imei: str) -> bool:
    """Whether the last of 15 digits fits the ones before it, as in an IMEI that was given out."""
    doubled = (int(digit) * (2 if index % 2 else 1) for index, digit in enumerate(imei))
    return len(imei) == 15 and imei.isdecimal() and sum(number // 10 + number % 10 for number in doubled) % 10 == 0


def _identity_within(opened: Opened) -> str:
    """Of the few devices that say who they are in other frames than a login."""
    at = identity_place(opened.kind, len(opened.body))
    claimed = "" if at is None else identity_of(opened.body[at : at + IMEI_BYTES])
    return claimed if has_check_digit(claimed) else ""


def _is_bare(first: bytes) -> bool | None:
    """Whether a link that begins like this speaks the bare dialect; None if that cannot be told yet."""
    beginning = first[: len(_BARE_LOGIN_START)]
    if not _BARE_LOGIN_START.startswith(beginning):
        return False
    if len(first) < BARE_LOGIN_BYTES:
        return None
    if first[BARE_LOGIN_BYTES - len(STOP) : BARE_LOGIN_BYTES] != STOP or not first[4:12].hex().isdecimal():
        return False
    if len(first) < LOGIN_BYTES:
        return None
    if first[LOGIN_BYTES - len(STOP) : LOGIN_BYTES] == STOP and is_crc_right(first[:LOGIN_BYTES]):
        return False
    return first[BARE_LOGIN_BYTES:].startswith(MARKS[BARE])


def _bare_answer(message: Message) -> bytes:
    """The dialect's answers, which have no serial number but repeat what they answer."""
    if message.kind == LOGIN:
        return bare_frame(1, LOGIN, b"")
    if message.kind == _BARE_STATUS:
        return bare_frame(message.head[1], _BARE_STATUS, message.body)
    return bare_frame(0, message.kind, message.body[:6]) if message.kind in _BARE_WITH_TIME else b""
