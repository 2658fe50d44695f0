"""Finding the message that ends the worker which decodes it, so that its batch does not end one worker after another.

A batch that comes for the first time knows nothing of this. A copy notes in Redis that it has begun, and takes that back
at its end, however that is: what is left are beginnings of workers that ended with it.

left      the next copy
0         decodes as always
1, 2, 3   decodes one by one and notes which it is at; where one before it has ended goes to quarantine
4, 5, 6   quarantines all of it, undecoded
7         is a dead letter, and its gateway is told that it need not come again
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from redis import RedisError

from protocols.report import DecodeError
from store.rows import Incoming
from tasks.connection import redis
from tasks.contract import IngestMessage

log = logging.getLogger(__name__)

MOST_TRIED = 4
MOST_QUARANTINED = 7
BATCH_SECONDS = 20.0
"""A batch is decoded in tens of milliseconds; this is a decoder that does not come to an end, and its message is looked for."""
MESSAGE_SECONDS = 2.0
SEARCH_SECONDS = 30.0
"""So long they are decoded one by one, then the rest goes to quarantine: together well under the task's time limit."""
NOTES_SECONDS = 3600
ALIVE_MS = 5000
"""One that is noted for less may be under way in another worker, by a copy that came at the same time."""

LOST = DecodeError("worker-lost", "", "a worker ended while it decoded this message")
SLOW = DecodeError("time-limit", "", f"it was not decoded in {MESSAGE_SECONDS:g} s")
NOT_TRIED = DecodeError("not-tried", "", "workers ended with its batch, or others in it took too long: it was not decoded")

Decode = Callable[[IngestMessage], Incoming]
Undecoded = Callable[[IngestMessage, DecodeError], Incoming]

_NOW = "local now = redis.call('TIME'); now = now[1] * 1000 + math.floor(now[2] / 1000)\n"
_BEGIN = (
    _NOW
    + """
local left = redis.call('HINCRBY', KEYS[1], 'begun', 1) - 1
local at = redis.call('HMGET', KEYS[1], 'at', 'since')
if left > 0 and at[1] and now - at[2] >= tonumber(ARGV[1]) then
    redis.call('HSET', KEYS[1], 'culprit:' .. at[1], 1)
    redis.call('HDEL', KEYS[1], 'at')
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
local culprits = {}
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    local place = string.match(field, '^culprit:(%d+)$')
    if place then table.insert(culprits, tonumber(place)) end
end
return {left, culprits}
"""
)
_AT = _NOW + "redis.call('HSET', KEYS[1], 'at', ARGV[1], 'since', now)"
_END = """
redis.call('HDEL', KEYS[1], 'at')
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HINCRBY', KEYS[1], 'begun', -1) end
"""


class Trial(NamedTuple):
    """What is known of how a batch has fared before."""

    left: int = 0
    """Workers that ended with it."""
    culprits: frozenset[int] = frozenset()
    """Messages, by their places, that a worker ended at."""
    notes: Notes | None = None

    @property
    def is_hopeless(self) -> bool:
        return self.left >= MOST_QUARANTINED

    def decoded(self, rows: Sequence[IngestMessage], decode: Decode, undecoded: Undecoded) -> list[Incoming]:
        """All messages, each as what it was decoded to or with the reason that it was not. What takes too long ends here."""
        if self.left >= MOST_TRIED:
            return [undecoded(row, NOT_TRIED) for row in rows]
        if self.left == 0:
            try:
                with _time_limit(BATCH_SECONDS):
                    return [decode(row) for row in rows]
            except _TooLongError:
                log.error("a batch takes too long to decode, its messages are tried one by one")
        return list(self._one_by_one(rows, decode, undecoded))

    def end(self, *, is_stored: bool) -> None:
        """This worker has come to an end with it, and lives."""
        if self.notes is not None:
            self.notes.end(is_stored)

    def _one_by_one(self, rows: Sequence[IngestMessage], decode: Decode, undecoded: Undecoded) -> Iterator[Incoming]:
        until = time.monotonic() + SEARCH_SECONDS
        for place, row in enumerate(rows):
            if place in self.culprits:
                yield undecoded(row, LOST)
            elif time.monotonic() > until:
                yield undecoded(row, NOT_TRIED)
            else:
                if self.notes is not None:
                    self.notes.at(place)
                try:
                    with _time_limit(MESSAGE_SECONDS):
                        incoming = decode(row)
                except _TooLongError:
                    incoming = undecoded(row, SLOW)
                yield incoming
        if self.notes is not None:
            self.notes.nowhere()


class Notes:
    """What is noted of a batch, for the copies to come. While Redis is away nothing is, and nothing fails."""

    def __init__(self, batch: str) -> None:
        self._key = f"iotgw:decoding:{batch}"
        self._is_away = False

    def begin(self) -> Trial:
        left, culprits = self._run(_BEGIN, ALIVE_MS, NOTES_SECONDS) or (0, ())
        if left:
            told = {"batch": self._key.rpartition(":")[2], "workers": left, "culprits": sorted(culprits)}
            log.error("workers ended with this batch", extra=told)
        return Trial(left, frozenset(culprits), self)

    def at(self, place: int) -> None:
        self._run(_AT, place)

    def nowhere(self) -> None:
        """Decoding is done: where it was at last is no culprit."""
        self._run("redis.call('HDEL', KEYS[1], 'at')")

    def end(self, is_stored: bool) -> None:
        self._run("redis.call('DEL', KEYS[1])" if is_stored else _END)

    def _run(self, script: str, *arguments: int) -> Any:
        if self._is_away:
            return None
        try:
            return redis().register_script(script)(keys=[self._key], args=list(arguments))
        except RedisError as error:
            self._is_away = True
            log.warning("nothing noted of a batch", extra={"cause": type(error).__name__})
            return None


class _TooLongError(BaseException):
    """No Exception: decoders that catch all of them must not catch this."""


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    def end(*_: object) -> None:
        raise _TooLongError

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
