"""A gateway's own Redis stream: receipts, kicks, replies, taps, questions after devices, word of files and of commands
come in through it.

Nothing is ever popped from a stream, so a reader that is cut off between reading and acting loses nothing: it
reads on from the last entry it acted on. Replies and taps are deleted when they are read: replies may be large, and a
gateway that starts anew waits for none of them, nor does anybody wait for its taps.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import cast

import redis
import structlog
from twisted.internet.interfaces import IReactorFromThreads

from tasks.contract import (
    COMMANDS_FIELD,
    ENDED_FIELD,
    FACTS_FIELD,
    FILES_FIELD,
    KICK_FIELD,
    RECEIPT_FIELD,
    REPLY_FIELD,
    TAP_FIELD,
    BadPayloadError,
    CommandEnded,
    CommandsWaiting,
    FactsWanted,
    FilesWaiting,
    Kick,
    Receipt,
    Reply,
    Tap,
    mailbox,
    unpack_commands_waiting,
    unpack_ended,
    unpack_facts_wanted,
    unpack_files_waiting,
    unpack_kicks,
    unpack_receipt,
    unpack_reply,
    unpack_tap,
)

log = structlog.get_logger(__name__)

BLOCK_MS = 500
"""How long one read waits for entries, and so how long a stopping thread lives on."""
ENTRIES_A_READ = 500
RECONNECT_SECONDS = 0.5

Told = Receipt | Kick | Reply | Tap | FactsWanted | FilesWaiting | CommandsWaiting | CommandEnded
READ: dict[bytes, Callable[[bytes], Sequence[Told]]] = {
    RECEIPT_FIELD: lambda data: [unpack_receipt(data)],
    KICK_FIELD: unpack_kicks,
    REPLY_FIELD: lambda data: [unpack_reply(data)],
    TAP_FIELD: lambda data: [unpack_tap(data)],
    FACTS_FIELD: unpack_facts_wanted,
    FILES_FIELD: unpack_files_waiting,
    COMMANDS_FIELD: unpack_commands_waiting,
    ENDED_FIELD: unpack_ended,
}
"""What an entry's field says."""
READ_ONCE = frozenset((REPLY_FIELD, TAP_FIELD))
"""Fields of entries that are deleted when they are read."""

_Stream = tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]
"""A stream's name and its entries, as id and fields."""


class Mailbox:
    """Reads the stream on a thread and hands over what each read brought with one call into the reactor."""

    def __init__(
        self, redis_url: str, gateway_id: str, reactor: IReactorFromThreads, deliver: Callable[[Sequence[Told]], None]
    ) -> None:
        # Under protocol 3 the same read has another shape.
        self._client = redis.Redis.from_url(redis_url, socket_timeout=10, socket_connect_timeout=5, protocol=2)
        self._stream = mailbox(gateway_id)
        self._reactor = reactor
        self._deliver = deliver
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mailbox", daemon=True)
        # From the first entry that is kept: what earlier runs left is unknown to this one and passed over.
        self._last_id = b"0-0"
        self._unknown: set[bytes] = set()
        self.read_at: float | None = None
        """When Redis was last read from, by the monotonic clock: while it can be, at least every :data:`BLOCK_MS`."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the read it is in."""
        self._stopping.set()

    def _run(self) -> None:
        is_away = False
        while not self._stopping.is_set():
            try:
                told = self._read()
            except Exception as error:
                if not is_away:
                    # Whatever it is, such as a URL that nothing can be reached by: without this thread nothing would be acked.
                    unexpected = None if isinstance(error, redis.RedisError) else error
                    log.warning("mailbox away, waiting for it", cause=str(error), exc_info=unexpected)
                is_away = True
                # One that comes back without its data, or is another, may number from before where we are. What is read
                # twice is passed over.
                self._last_id = b"0-0"
                self._stopping.wait(RECONNECT_SECONDS)
                continue
            if is_away:
                log.info("mailbox back")
                is_away = False
            if told:
                self._reactor.callFromThread(self._deliver, told)
        self._client.close()

    def _read(self) -> list[Told]:
        told: list[Told] = []
        read_once: list[bytes] = []
        # The client's types cover every protocol and setting of it at once; this is what ours answers.
        read = self._client.xread({self._stream: self._last_id}, count=ENTRIES_A_READ, block=BLOCK_MS)
        for _, entries in cast("list[_Stream]", read or []):
            for entry_id, fields in entries:
                self._last_id = entry_id
                told += self._said(entry_id, fields)
                if not READ_ONCE.isdisjoint(fields):
                    read_once.append(entry_id)
        self.read_at = time.monotonic()
        if read_once:
            self._client.xdel(self._stream, *read_once)
        return told

    def _said(self, entry_id: bytes, fields: dict[bytes, bytes]) -> Iterator[Told]:
        """What an entry's fields say, in their order."""
        for name, data in fields.items():
            unpack = READ.get(name)
            if unpack is None:
                if name not in self._unknown:
                    # Of a newer release, in the course of an update.
                    self._unknown.add(name)
                    log.warning("unknown entries in the mailbox, passed over", field=name)
                continue
            try:
                yield from unpack(data)
            except BadPayloadError as error:
                log.warning("unreadable entry in the mailbox, passed over", entry=entry_id, cause=str(error))
