"""A gateway's own Redis stream: receipts come in through it.

Nothing is ever popped from a stream, so a reader that is cut off between reading and acting loses nothing: it
reads on from the last entry it acted on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import cast

import redis
import structlog
from twisted.internet.interfaces import IReactorFromThreads

from tasks.contract import RECEIPT_FIELD, BadPayloadError, Receipt, mailbox, unpack_receipt

log = structlog.get_logger(__name__)

BLOCK_MS = 500
"""How long one read waits for entries, and so how long a stopping thread lives on."""
ENTRIES_A_READ = 500
RECONNECT_SECONDS = 0.5


_Stream = tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]
"""A stream's name and its entries, as id and fields."""


class Mailbox:
    """Reads the stream on a thread and hands over what each read brought with one call into the reactor."""

    def __init__(
        self, redis_url: str, gateway_id: str, reactor: IReactorFromThreads, deliver: Callable[[Sequence[Receipt]], None]
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

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the read it is in."""
        self._stopping.set()

    def _run(self) -> None:
        is_away = False
        while not self._stopping.is_set():
            try:
                receipts = self._read()
            except redis.RedisError as error:
                if not is_away:
                    log.warning("mailbox away, waiting for it", cause=str(error))
                is_away = True
                self._stopping.wait(RECONNECT_SECONDS)
                continue
            if is_away:
                log.info("mailbox back")
                is_away = False
            if receipts:
                self._reactor.callFromThread(self._deliver, receipts)
        self._client.close()

    def _read(self) -> list[Receipt]:
        receipts: list[Receipt] = []
        # The client's types cover every protocol and setting of it at once; this is what ours answers.
        read = self._client.xread({self._stream: self._last_id}, count=ENTRIES_A_READ, block=BLOCK_MS)
        for _, entries in cast("list[_Stream]", read or []):
            for entry_id, fields in entries:
                self._last_id = entry_id
                try:
                    receipts.append(unpack_receipt(fields[RECEIPT_FIELD]))
                except (KeyError, BadPayloadError) as error:
                    log.warning("unreadable entry in the mailbox, passed over", entry=entry_id, cause=str(error))
        return receipts
