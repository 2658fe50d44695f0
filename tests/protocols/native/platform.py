"""A platform for clients to talk to: the codec behind a TCP port, with what it stored, and with faults at will."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from datetime import UTC, datetime
from typing import Any, Self

from protocols import Malformed, Message, Outcome, Report, Send, Wanted
from protocols.native import NATIVE
from protocols.native.codec import NativeCodec
from protocols.native.messages import DATA_HEAD_BYTES
from tests.protocols.commands import sent_down

PATIENCE_SECONDS = 20.0


class Platform:
    """Takes links one after another, in a thread of its own. Stores as the real one does: each report once.

    ``cut`` counts, by kind, how many messages are stored before the link is cut with the last one's ack unsent;
    ``damaged``, of which kind one ack is to be damaged; ``cut_chunks``, after how many chunks the link is cut.
    """

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.cut: dict[str, int] = {}
        self.cut_chunks = 0
        self.damaged: set[str] = set()
        self.down: dict[str, list[tuple[str, bytes]]] = {}
        """Messages to send when one of this kind has been stored, by kind; each time again."""
        self.shelf: dict[int, bytes] = {}
        """Files that devices may ask for, by number."""
        self.messages: list[Message] = []
        self.reports: dict[tuple[datetime | None, bytes], Report] = {}
        self.links = 0
        self.repeated = 0
        self.malformed: Counter[str] = Counter()
        self._chunks = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.1)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    @property
    def port(self) -> int:
        port: int = self._server.getsockname()[1]
        return port

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._server.close()

    def of(self, kind: str) -> list[Report]:
        """The stored reports of a kind."""
        return [report for report in self.reports.values() if report.kind == kind]

    def files(self) -> dict[int, bytes]:
        """The bytes of each file, put together from what was stored."""
        files: dict[int, bytearray] = {}
        for report in self.of("file_data"):
            data, at = report.body[DATA_HEAD_BYTES:], report.values["offset"]
            file = files.setdefault(report.values["file"], bytearray())
            file.extend(bytes(max(0, at + len(data) - len(file))))
            file[at : at + len(data)] = data
        return {file: bytes(data) for file, data in files.items()}

    def _serve(self) -> None:
        while not self._is_over.is_set():
            try:
                link, _ = self._server.accept()
            except TimeoutError:
                continue
            self.links += 1
            with link:
                link.settimeout(0.1)
                self._talk(link, NATIVE.codec())

    def _talk(self, link: socket.socket, codec: NativeCodec) -> None:
        now = 0.0
        while not self._is_over.is_set():
            try:
                data = link.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                return
            if not data:
                return
            now += 0.01
            for event in codec.receive(data, now):
                if not self._answer(link, codec, event):
                    return

    def _answer(self, link: socket.socket, codec: NativeCodec, event: Any) -> bool:
        """Whether the link lasts."""
        if isinstance(event, Malformed):
            self.malformed[event.cause] += 1
            return True
        if isinstance(event, Wanted):
            (event,) = codec.hand_out(event, self.shelf[event.file][event.offset : event.offset + event.length], 0.0)
        if isinstance(event, Send):
            self._chunks += 1
            if self.cut_chunks and self._chunks == self.cut_chunks:
                self.cut_chunks = 0
                return False
            link.sendall(event.data)
            return True
        kind = NATIVE.kind_name(event.kind)
        outcome = Outcome.REFUSED if event.identity in self.refused else self._store(event)
        if kind in self.cut:
            self.cut[kind] -= 1
            if not self.cut[kind]:
                del self.cut[kind]
                return False
        ack = codec.ack(event, outcome, datetime.now(UTC))
        if kind in self.damaged:
            self.damaged.discard(kind)
            ack = ack[:-1] + bytes((ack[-1] ^ 1,))
        for down, body in self.down.get(kind, ()):
            ack += sent_down(codec, event.head, NATIVE._row(down).id, body)
        link.sendall(ack)
        return True

    def _store(self, message: Message) -> Outcome:
        self.messages.append(message)
        decoded = NATIVE.decode(message)
        for report in decoded.reports:
            key = report.time, report.digest
            self.repeated += key in self.reports and report.time is not None
            self.reports[key] = report
        return Outcome.QUARANTINED if decoded.error else Outcome.STORED
