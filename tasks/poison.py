"""Finding the message that ends the worker which decodes it, so that its batch does not end one worker after another.

A batch that comes for the first time notes nothing. A copy notes in Redis that it has begun, and takes that back at its end,
however that is. That a process has ended with a batch its worker notes, whose child it was. When that has ended too nobody
does: then a beginning counts that is older than anything may take. One that may be alive never does.

ended     the next copy
0         decodes as always, part by part while the parts before are stored; if that takes too long, as follows
1, 2, 3   decodes one by one and notes which it is at; where one before it has ended goes to quarantine
4, 5, 6   quarantines all of it, undecoded
7         is kept as it is (:mod:`tasks.hopeless`), when no other is under way; while one is, it makes way for it
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from celery.exceptions import TimeLimitExceeded, WorkerLostError
from celery.signals import task_failure
from redis import RedisError

from protocols.report import DecodeError
from store.rows import Incoming
from tasks.connection import redis
from tasks.contract import HOPELESS, INGEST_TASK, LONGEST_USUAL_SECONDS, IngestMessage, decoding_key, ingest_batch

log = logging.getLogger(__name__)

MOST_TRIED = 4
MOST_QUARANTINED = 7
BATCH_SECONDS = 20.0
"""A batch is decoded in tens of milliseconds; this is a decoder that does not come to an end, and its message is looked for."""
SHORTEST_SECONDS = 0.001
"""A timer of no time would never end."""
MESSAGE_SECONDS = 2.0
SEARCH_SECONDS = 30.0
"""So long they are decoded one by one, then the rest goes to quarantine: together well under the task's time limit."""
NOTES_SECONDS = 3600
"""From one copy to the next, at the longest. The pauses between copies are a minute, and a death is known of after two."""
BEGUN_SECONDS = LONGEST_USUAL_SECONDS + 15
"""What has begun before that is over: by then its worker has ended the process, if it had not ended by itself."""
MOST_BEGUN = 64
"""Copies of a batch that are noted at once. So many at work would be the fleet's workers, all at one batch."""

LOST = DecodeError("worker-lost", "", "a worker ended while it decoded this message")
NOT_TRIED = DecodeError("not-tried", "", "workers ended with its batch, or others in it took too long: it was not decoded")

Decode = Callable[[IngestMessage], Incoming]
Undecoded = Callable[[IngestMessage, DecodeError], Incoming]

_LOST = """
local key = KEYS[1]
local function lost(token)
    local place = redis.call('HGET', key, 'at:' .. token)
    if place then redis.call('HSET', key, 'culprit:' .. place, 1) end
    redis.call('HDEL', key, 'begun:' .. token, 'at:' .. token)
    redis.call('HINCRBY', key, 'ended', 1)
end
"""
_BEGIN = (
    _LOST
    + """
local now = tonumber(redis.call('TIME')[1])
local living, culprits = 0, {}
for _, field in ipairs(redis.call('HKEYS', key)) do
    local token = string.match(field, '^begun:(.*)$')
    if token and now - redis.call('HGET', key, field) >= tonumber(ARGV[2]) then lost(token)
    elseif token then living = living + 1 end
end
for _, field in ipairs(redis.call('HKEYS', key)) do
    local place = string.match(field, '^culprit:(%d+)$')
    if place then table.insert(culprits, tonumber(place)) end
end
local ended = tonumber(redis.call('HGET', key, 'ended') or 0)
if ended < tonumber(ARGV[4]) and living < tonumber(ARGV[5]) then redis.call('HSET', key, 'begun:' .. ARGV[1], now) end
redis.call('EXPIRE', key, ARGV[3])
return {ended, living, culprits}
"""
)
_AT = "if redis.call('HEXISTS', KEYS[1], 'begun:' .. ARGV[1]) == 1 then redis.call('HSET', KEYS[1], 'at:' .. ARGV[1], ARGV[2]) end"
_NOWHERE = "redis.call('HDEL', KEYS[1], 'at:' .. ARGV[1])"
_END = "redis.call('HDEL', KEYS[1], 'begun:' .. ARGV[1], 'at:' .. ARGV[1])"
_STORED = "redis.call('DEL', KEYS[1]) redis.call('HDEL', ARGV[1], ARGV[2])"
_ENDED = _LOST + "lost(ARGV[1]) redis.call('EXPIRE', key, ARGV[2])"


def too_slow(seconds: float) -> DecodeError:
    """Why a message was not decoded that had so long."""
    return DecodeError("time-limit", "", f"it was not decoded in {seconds:g} s")


class Trial(NamedTuple):
    """What is known of how a batch has fared before."""

    ended: int = 0
    """Workers that ended with it."""
    living: int = 0
    """Copies of it that are under way, or were when their whole worker was killed."""
    culprits: frozenset[int] = frozenset()
    """Messages, by their places, that a worker ended at."""
    notes: Notes | None = None

    @property
    def is_hopeless(self) -> bool:
        return self.ended >= MOST_QUARANTINED

    @property
    def is_unsuspected(self) -> bool:
        return self.ended == 0

    def decoded(self, rows: Sequence[IngestMessage], decode: Decode, undecoded: Undecoded) -> list[Incoming]:
        """All messages of a batch that is suspected, each as what it was decoded to or with the reason that it was not."""
        if self.ended >= MOST_TRIED:
            return [undecoded(row, NOT_TRIED) for row in rows]
        return list(self._one_by_one(rows, decode, undecoded))

    def end(self, *, is_stored: bool) -> None:
        """This worker has come to an end with it, and lives."""
        if self.notes is not None:
            self.notes.end(is_stored)

    def has_ended(self) -> None:
        """This worker counts as one that ended with it, though it lives."""
        if self.notes is not None:
            self.notes.has_ended()

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
                    with time_limit(MESSAGE_SECONDS):
                        incoming = decode(row)
                except TooLongError:
                    incoming = undecoded(row, too_slow(MESSAGE_SECONDS))
                yield incoming
        if self.notes is not None:
            self.notes.nowhere()


class Notes:
    """What is noted of a batch, for the copies to come. While Redis is away nothing is, and nothing fails."""

    def __init__(self, batch: str, token: str) -> None:
        """``token`` is the id of the task that brings it, by which its worker knows it too."""
        self._batch = batch
        self._key = decoding_key(batch)
        self._token = token
        self._is_away = False

    def begin(self) -> Trial:
        ended, living, culprits = self._run(_BEGIN, self._token, BEGUN_SECONDS, NOTES_SECONDS, MOST_QUARANTINED, MOST_BEGUN) or (
            0,
            0,
            (),
        )
        if ended:
            log.error("workers ended with this batch", extra={"batch": self._batch, "workers": ended, "culprits": sorted(culprits)})
        return Trial(ended, living, frozenset(culprits), self)

    def at(self, place: int) -> None:
        self._run(_AT, self._token, place)

    def nowhere(self) -> None:
        """Decoding is done: where it was at last is no culprit."""
        self._run(_NOWHERE, self._token)

    def end(self, is_stored: bool) -> None:
        if is_stored:
            self._run(_STORED, HOPELESS, self._batch)
        else:
            self._run(_END, self._token)

    def has_ended(self) -> None:
        """For certain, and where it was at is a culprit."""
        self._run(_ENDED, self._token, NOTES_SECONDS)

    def _run(self, script: str, *arguments: int | str) -> Any:
        if self._is_away:
            return None
        try:
            return redis().register_script(script)(keys=[self._key], args=list(arguments))
        except RedisError as error:
            self._is_away = True
            log.warning("nothing noted of a batch", extra={"cause": type(error).__name__})
            return None


@task_failure.connect
def _note_end(sender: Any = None, task_id: str = "", exception: BaseException | None = None, **_: Any) -> None:
    """In the worker, whose process has ended with a task. It comes once and costs good batches nothing, so that first attempts
    are noted too."""
    if isinstance(exception, (WorkerLostError, TimeLimitExceeded)) and getattr(sender, "name", "") == INGEST_TASK:
        Notes(ingest_batch(task_id), task_id).has_ended()


class TooLongError(BaseException):
    """No Exception: decoders that catch all of them must not catch this."""


def in_time(decode: Decode) -> Callable[[Sequence[IngestMessage]], list[Incoming]]:
    """What decodes parts of a batch, for :data:`BATCH_SECONDS` in all.

    Raises: TooLongError
    """
    left = BATCH_SECONDS

    def decoded(rows: Sequence[IngestMessage]) -> list[Incoming]:
        nonlocal left
        begun = time.monotonic()
        with time_limit(left):
            incoming = [decode(row) for row in rows]
        left = max(left - (time.monotonic() - begun), SHORTEST_SECONDS)
        return incoming

    return decoded


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """What takes longer is ended.

    Raises: TooLongError
    """

    def end(*_: object) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
