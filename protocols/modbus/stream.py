"""Finding answers, heartbeats and strangers in what one read of the socket after the other returns.

RTU on a socket has no frame boundaries: silence does not travel over TCP. What delimits is the request that is on its
way, which tells the length of its answer, and the CRC. At each place is looked, in this order, for the answer to that
request, for a text that the DTU sends by itself, for the answer that came too late for an earlier request, and while
nothing is asked for any frame at all. A byte that begins none of these is noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple

from protocols.framing import SAMPLE_BYTES
from protocols.modbus.frame import Asked, Framing
from protocols.modbus.pdu import ECHOED, MORE
from protocols.modbus.planner import PACKING_SECONDS

MAX_HELD_BYTES = 1024
"""The longest frame has 260 bytes, the longest text 64; more in one read is a flood."""
QUIET_SECONDS = 0.3 + PACKING_SECONDS
"""Without a new byte for so long, what began has ended."""


class Kind(Enum):
    """What was found."""

    ANSWER = auto()
    """The answer to the request that is on its way."""
    LATE = auto()
    """The answer to a request that was given up."""
    STRANGE = auto()
    """A good frame that nobody asked for."""
    ECHO = auto()
    """Our own request."""
    TEXT = auto()
    """A heartbeat, or the registration once more."""
    NOISE = auto()


class Found(NamedTuple):
    """Some bytes of the stream."""

    kind: Kind
    data: bytes


class Stream:
    """A named link's bytes. It holds at most :data:`MAX_HELD_BYTES`."""

    def __init__(self, framing: Framing, texts: Sequence[bytes]) -> None:
        self.framing = framing
        self.asked: Asked | None = None
        self.lost: Asked | None = None
        """What was asked for in vain, while its answer may still come."""
        self.is_echoing = False
        """The line sends our requests back, so that of two equal frames the second is the answer."""
        self._echo_left = False
        self._texts = sorted(texts, key=len, reverse=True)
        self._buffer = bytearray()
        self._noise = bytearray()
        self._quiet_at = 0.0

    @property
    def pending(self) -> bytes:
        """What has begun and not ended."""
        return bytes(self._buffer)

    @property
    def deadline(self) -> float | None:
        """When what is held has been left alone for so long that it has to be looked at anew."""
        return self._quiet_at if (self._buffer and not self._is_patient) or self._noise else None

    def ask(self, asked: Asked) -> None:
        """A request leaves: what comes from now on may be its answer. What is held began before it."""
        self._drop(len(self._buffer))
        self.asked = asked
        self._echo_left = self.is_echoing
        self._is_patient = False

    _is_patient = False
    """It was quiet, and what is held still may become the answer: only more bytes or the time-out will tell."""

    def feed(self, data: bytes, now: float) -> list[Found]:
        """What these bytes complete, in order."""
        found = self.quiet(now)
        self._is_patient = False
        self._quiet_at = now + QUIET_SECONDS
        self._buffer += data
        if len(self._buffer) > MAX_HELD_BYTES:
            self._drop(len(self._buffer) - MAX_HELD_BYTES)
        return found + self._scan(is_quiet=False)

    def quiet(self, now: float) -> list[Found]:
        """Nothing came for a while, if so: what is held is none of what it seemed to begin."""
        if not (self._buffer or self._noise) or now < self._quiet_at:
            return []
        found = self._scan(is_quiet=True)
        self._is_patient = bool(self._buffer)
        return found + self._end_noise()

    def give_up(self) -> list[Found]:
        """The request's time is over: what is held of its answer is noise."""
        self.lost, self.asked = self.asked, None
        self._drop(len(self._buffer))
        return self._end_noise()

    def _scan(self, is_quiet: bool) -> list[Found]:
        found: list[Found] = []
        at = 0
        while at < len(self._buffer):
            kind, size = self._look(at)
            if kind is Kind.ANSWER and size == MORE and is_quiet:
                kind, size, at = self._look_beyond(at)
            if size == MORE:
                if not is_quiet or kind is Kind.ANSWER:
                    break
                size = 0
            if size == 0:
                at += 1
                continue
            self._drop(at)
            found += self._end_noise()
            found.append(Found(kind, bytes(self._buffer[:size])))
            del self._buffer[:size]
            at = 0
            self._took(kind)
        self._drop(at)
        return found

    def _took(self, kind: Kind) -> None:
        if kind is Kind.ANSWER:
            self.asked = None
        elif kind is Kind.ECHO:
            self.is_echoing, self._echo_left = True, False
        elif kind is Kind.LATE:
            self.lost = None

    def _look(self, at: int) -> tuple[Kind, int]:
        """What begins at a place, and its size; :data:`MORE` where that still has to come, 0 for nothing."""
        waiting: tuple[Kind, int] | None = None
        if self.asked is not None:
            size = self.framing.answer_at(self._buffer, at, self.asked)
            if size > 0 and self._echo_left and self._buffer.startswith(self.asked.frame, at):
                return Kind.ECHO, size
            if size:
                return Kind.ANSWER, size
        size = self._text_at(at, self._own_texts())
        if size > 0:
            return Kind.TEXT if self._buffer[at : at + size] in self._texts else Kind.ECHO, size
        if size == MORE:
            waiting = Kind.TEXT, MORE
        if self.lost is not None:
            size = self.framing.answer_at(self._buffer, at, self.lost)
            if size > 0:
                return Kind.LATE, size
            waiting = waiting or (Kind.LATE, MORE) if size else waiting
        if self.asked is None:
            size = self.framing.frame_at(self._buffer, at)
            if size > 0:
                return Kind.STRANGE, size
            waiting = waiting or (Kind.STRANGE, MORE) if size else waiting
        return waiting or (Kind.NOISE, 0)

    def _look_beyond(self, at: int) -> tuple[Kind, int, int]:
        """Where an answer seemed to begin that did not go on: a text that stands there, or the whole answer behind it."""
        size = self._text_at(at, self._texts)
        if size > 0:
            return Kind.TEXT, size, at
        assert self.asked is not None
        for place in range(at + 1, len(self._buffer)):
            size = self.framing.answer_at(self._buffer, place, self.asked)
            if size > 0:
                return Kind.ANSWER, size, place
        return Kind.ANSWER, MORE, at

    def _own_texts(self) -> Sequence[bytes]:
        """The texts of the DTU, and the request that some lines send back; as for its answer, see :meth:`_look`."""
        if self.asked is None or self.asked.request.function in ECHOED:
            return self._texts
        return [self.asked.frame, *self._texts]

    def _text_at(self, at: int, texts: Sequence[bytes]) -> int:
        left = self._buffer[at : at + 300]
        size = next((len(text) for text in texts if left.startswith(text)), 0)
        if size:
            return size
        return MORE if any(text.startswith(left) for text in texts) else 0

    def _drop(self, size: int) -> None:
        """Take bytes out of the stream that were nothing; the first of them are kept to be shown."""
        self._noise += self._buffer[: min(size, SAMPLE_BYTES - len(self._noise))] if len(self._noise) < SAMPLE_BYTES else b""
        del self._buffer[:size]

    def _end_noise(self) -> list[Found]:
        noise = bytes(self._noise)
        self._noise.clear()
        if not noise:
            return []
        # A function that nobody here speaks has no length; it is a frame all the same if silence is around it.
        return [Found(Kind.STRANGE if self.asked is None and self.framing.is_frame(noise) else Kind.NOISE, noise)]
