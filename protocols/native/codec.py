"""The platform's end of a link.

    device                                       platform
      ── HELLO (version, identity, token) ────────▶
      ◀──── WELCOME (time, payload, window ...) ──  when the login is stored
      ── DESCRIBE (channel names) ────────────────▶
      ── READINGS, FILE_BEGIN, FILE_DATA ... ─────▶  as many as the window allows
      ◀───────────────────────── ACK (result) ────  each, when it is stored
      ── PING ────────────────────────────────────▶
      ◀───────────────────────────────── PONG ────  at once
      ◀── OFFER (file, size, CRC-32, version) ────
      ── GET (file, offset, length) ──────────────▶
      ◀────────── CHUNK (file, offset, bytes) ────  at once, until all are there
      ── RESULT (offer, file, done) ──────────────▶
      ◀── COMMAND (id, name, arguments) ──────────
      ── RESULT (command, id, status, values) ────▶

The platform keeps nothing of a device but for as long as its link lasts: a device goes on over another link, to
another gateway, from the last message that was acked.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from protocols.body import read
from protocols.compiler import compile
from protocols.fields import KeptText
from protocols.framing import SAMPLE_BYTES, MarkedSplitter
from protocols.message import Event, Malformed, Message, Outcome, RawFrame, Send
from protocols.native.downloads import Downloads, without_data
from protocols.native.frame import HEAD_BYTES, MAX_FRAME_BYTES, MAX_PAYLOAD_BYTES, SHAPE, fault, frame, open_frame
from protocols.native.messages import (
    ACK,
    ACK_BODY,
    CHUNK,
    CHUNK_HEAD_BYTES,
    DESCRIBE,
    GET,
    GET_BODY,
    HEAD,
    HELLO,
    HELLO_BODY,
    LOWEST_DOWNLINK,
    MAX_IDENTITY_BYTES,
    MAX_NAMES_BYTES,
    OFFER,
    PING,
    PONG,
    READINGS,
    RESULT,
    TIME,
    TIME_ANSWER,
    TIME_ANSWER_BODY,
    VERSION,
    WELCOME,
    WELCOME_BODY,
)
from protocols.native.options import Options
from protocols.report import DecodeError

MAX_CHUNKS_A_READ = 16
"""Each of a stranger's requests of 19 bytes may cost an answer of 4 KiB. What is not answered is asked again."""
LEAST_PAYLOAD_BYTES = 64
"""A device that takes less than that could not even be commanded."""
_CLOCK_BYTES = 8
_REFUSED = "this device is not let in"


class NativeCodec:
    """One link. The platform numbers its own messages on it from 0 on."""

    def __init__(self, options: Options, identity: str = "") -> None:
        self.is_watched = False
        self._options = options
        self._splitter = MarkedSplitter((SHAPE,), MAX_FRAME_BYTES, fault)
        self._identity = identity
        self._head = _head(VERSION, MAX_PAYLOAD_BYTES)
        self._names = b""
        self._downloads = Downloads()
        self._next = 0

    @property
    def deadline(self) -> float | None:
        return self._downloads.deadline

    def receive(self, data: bytes, now: float) -> Sequence[Event]:
        events: list[Event] = []
        chunks = 0
        self._downloads.now = now
        for found in self._splitter.feed(data):
            if self.is_watched:
                events.append(RawFrame.of(found))
            if isinstance(found, Malformed):
                events.append(found)
                continue
            kind, sequence, body = open_frame(found)
            if kind == HELLO:
                events.append(self._login(sequence, body, found))
            elif not self._identity:
                events.append(Malformed("unidentified", found[:SAMPLE_BYTES]))
            elif kind >= LOWEST_DOWNLINK:
                # A line that gives back what the platform sent.
                events.append(Malformed("direction", found[:SAMPLE_BYTES]))
            elif kind == PING:
                events.append(Send(frame(PONG, sequence, b"")))
            elif kind == GET:
                chunks += 1
                if chunks <= MAX_CHUNKS_A_READ:
                    events.append(self._get(sequence, body, found))
            else:
                events.append(self._message(kind, sequence, body))
        return events

    def wake(self, now: float) -> Sequence[Event]:
        """Forget a file that was offered and is not asked for."""
        self._downloads.wake(now)
        return []

    def ack(self, message: Message, outcome: Outcome, time: datetime) -> bytes:
        """What became of a message, under its own sequence."""
        if message.kind == HELLO:
            return frame(WELCOME, message.sequence, self._welcome(message, outcome, time))
        if message.kind == TIME and outcome is not Outcome.REFUSED:
            answer = {"clock": int.from_bytes(message.body[:_CLOCK_BYTES], "big"), "time": time, "extra": b""}
            return frame(TIME_ANSWER, message.sequence, compile(TIME_ANSWER_BODY).build(answer))
        # Devices keep what has any other answer, and would send what was declined for ever.
        result = Outcome.QUARANTINED if outcome is Outcome.DECLINED else outcome
        return frame(ACK, message.sequence, compile(ACK_BODY).build({"result": int(result), "extra": b""}))

    def send(self, head: bytes, kind: int, body: bytes) -> bytes:
        """A message of the platform's own. The bytes of an offered file are kept here, for the device to ask for.

        Raises: ValueError when the device takes no payload as long as this one, or the file is not what is said of it.
        """
        payload, longest = without_data(body) if kind == OFFER else body, _longest(head)
        if len(payload) > longest:
            raise ValueError(f"a payload of {len(payload)} bytes, where the device takes {longest}")
        if kind == OFFER:
            self._downloads.offer(body)
        sequence, self._next = self._next, self._next + 1 & 0xFFFF
        return frame(kind, sequence, payload)

    def end(self) -> Sequence[Event]:
        self._downloads.forget()
        pending = self._splitter.pending
        return [Malformed("cut", pending[:SAMPLE_BYTES])] if pending else []

    def _login(self, sequence: int, body: bytes, found: bytes) -> Event:
        try:
            hello = read(HELLO_BODY, body)
        except DecodeError:
            # No more of it than its header: a token may be in the rest.
            return Malformed("header", found[:HEAD_BYTES])
        identity = str(hello.identity)
        # Bytes that are shown as others would let one device in under the name of another.
        is_plain = not isinstance(hello.identity, KeptText) and identity.isprintable()
        if not (identity and is_plain and len(identity.encode()) <= MAX_IDENTITY_BYTES and hello.version):
            return Malformed("header", found[:HEAD_BYTES])
        self._identity, self._names = identity, b""
        self._head = _head(min(hello.version, VERSION), max(hello.payload, LEAST_PAYLOAD_BYTES))
        self._downloads.forget()
        return self._message(HELLO, sequence, body)

    def _message(self, kind: int, sequence: int, body: bytes) -> Message:
        if kind == DESCRIBE and len(body) <= MAX_NAMES_BYTES:
            self._names = body
        if kind == RESULT:
            self._downloads.settle(body)
        return Message(self._identity, kind, sequence, self._head + self._names if kind == READINGS else self._head, body)

    def _get(self, sequence: int, body: bytes, found: bytes) -> Event:
        try:
            wanted = read(GET_BODY, body)
        except DecodeError:
            return Malformed("header", found[:SAMPLE_BYTES])
        length = min(wanted.length, _longest(self._head) - CHUNK_HEAD_BYTES)
        return Send(frame(CHUNK, sequence, self._downloads.chunk(wanted.file, wanted.offset, length)))

    def _welcome(self, message: Message, outcome: Outcome, time: datetime) -> bytes:
        is_refused = outcome is Outcome.REFUSED
        return compile(WELCOME_BODY).build(
            {
                "result": "refused" if is_refused else "welcome",
                "version": message.head[0],
                "time": time,
                "payload": self._options.payload_bytes,
                "window": self._options.window,
                "keep_alive": self._options.keep_alive_seconds,
                "reason": _REFUSED if is_refused else "",
                "extra": b"",
            }
        )


def _head(version: int, payload: int) -> bytes:
    return compile(HEAD).build({"version": version, "payload": payload, "channels": []})


def _longest(head: bytes) -> int:
    """The longest payload that a device with this head can take."""
    return min(int.from_bytes(head[1:3], "big"), MAX_PAYLOAD_BYTES)
