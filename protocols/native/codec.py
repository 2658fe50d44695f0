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
      ◀────────── CHUNK (file, offset, bytes) ────  when the platform has them at hand, until all are there
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
from protocols.command import Prepared
from protocols.compiler import compile
from protocols.download import Offer
from protocols.fields import KeptText
from protocols.filling import fill
from protocols.framing import SAMPLE_BYTES, MarkedSplitter
from protocols.message import Event, Malformed, Message, Outcome, RawFrame, Send, Wanted
from protocols.native.frame import HEAD_BYTES, MAX_FRAME_BYTES, MAX_PAYLOAD_BYTES, SHAPE, fault, frame, open_frame
from protocols.native.messages import (
    ACK,
    ACK_BODY,
    CHUNK,
    CHUNK_HEAD_BYTES,
    COMMAND,
    DESCRIBE,
    GET,
    GET_BODY,
    HEAD,
    HELLO,
    HELLO_BODY,
    LOWEST_DOWNLINK,
    MAX_IDENTITY_BYTES,
    MAX_NAMES_BYTES,
    NO_ID,
    OFFER,
    OFFER_BODY,
    PING,
    PONG,
    READINGS,
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

    deadline: float | None = None

    def __init__(self, options: Options, identity: str = "") -> None:
        self.is_watched = False
        self._options = options
        self._splitter = MarkedSplitter((SHAPE,), MAX_FRAME_BYTES, fault)
        self._identity = identity
        self._head = _head(VERSION, MAX_PAYLOAD_BYTES)
        self._names = b""
        self._next = 0

    def receive(self, data: bytes, now: float) -> Sequence[Event]:
        events: list[Event] = []
        chunks = 0
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
                    events.append(self._wanted(sequence, body, found))
            else:
                events.append(self._message(kind, sequence, body))
        return events

    def wake(self, now: float) -> Sequence[Event]:
        """It never asks for that."""
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

    def prepare(self, head: bytes, kind: int, body: bytes, number: int, time: datetime) -> Prepared:
        """A message of the platform's own. A command's id, by which its result is told, is the number, unless it has one.

        Raises: ValueError when it is none, or the device takes no payload as long as this one.
        """
        if not LOWEST_DOWNLINK <= kind <= 0xFF:
            raise ValueError(f"0x{kind:02X} is no message of the platform's")
        if kind != COMMAND:
            return Prepared(kind, self._send(head, kind, body))
        if body.startswith(NO_ID):
            body = (number & 0xFFFFFFFF).to_bytes(len(NO_ID), "big") + body[len(NO_ID) :]
        return Prepared(kind, self._send(head, kind, body), int.from_bytes(body[: len(NO_ID)], "big"))

    def launch(self, prepared: Prepared, now: float) -> Sequence[Event]:
        return [Send(prepared.data)]

    def offer(self, head: bytes, offer: Offer, now: float) -> Sequence[Event]:
        """The device knows how far it has come, and asks from there.

        Raises: ValueError when it could not read an offer as long as this one.
        """
        if offer.is_awaited:
            return []
        told = {name: getattr(offer, name) for name in ("file", "size", "crc32", "name", "version")}
        return [Send(self._send(head, OFFER, fill(OFFER_BODY, {**told, "extra": b""})))]

    def hand_out(self, wanted: Wanted, data: bytes, now: float) -> Sequence[Event]:
        """A chunk, under the sequence of who asked for it; one without bytes says that there are none."""
        place = wanted.file.to_bytes(4, "big") + wanted.offset.to_bytes(4, "big")
        return [Send(frame(CHUNK, wanted.tag, place + data))]

    def withdraw(self, identity: str) -> None:
        """It is not told: a device that asks again is."""

    def end(self) -> Sequence[Event]:
        pending = self._splitter.pending
        return [Malformed("cut", pending[:SAMPLE_BYTES])] if pending else []

    def _send(self, head: bytes, kind: int, body: bytes) -> bytes:
        longest = _longest(head)
        if len(body) > longest:
            raise ValueError(f"a payload of {len(body)} bytes, where the device takes {longest}")
        sequence, self._next = self._next, self._next + 1 & 0xFFFF
        return frame(kind, sequence, body)

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
        return self._message(HELLO, sequence, body)

    def _message(self, kind: int, sequence: int, body: bytes) -> Message:
        if kind == DESCRIBE and len(body) <= MAX_NAMES_BYTES:
            self._names = body
        return Message(self._identity, kind, sequence, self._head + self._names if kind == READINGS else self._head, body)

    def _wanted(self, sequence: int, body: bytes, found: bytes) -> Event:
        try:
            wanted = read(GET_BODY, body)
        except DecodeError:
            return Malformed("header", found[:SAMPLE_BYTES])
        length = min(wanted.length, _longest(self._head) - CHUNK_HEAD_BYTES)
        return Wanted(self._identity, wanted.file, wanted.offset, length, sequence)

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
