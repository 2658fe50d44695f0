"""Simulated devices on links of real gateways, one step at a time."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from protocols import Acked, Made, Send, Terminal
from tests.processes import wait_until

SILENCE_SECONDS = 1.0
"""After so long without a byte it says that it is there, and asks again."""


class Board:
    """A device that connects whenever it is to talk, keeps its reports until they are acked, and can be left in the middle."""

    def __init__(self, terminal: Terminal, port: int) -> None:
        self.terminal = terminal
        self.port = port
        self.links = 0
        self.received_bytes = 0
        self._kept: dict[int, Made] = {}
        self._socket: socket.socket | None = None
        self._heard_at = 0.0
        self._is_new = False

    def talk_until(self, is_so: Callable[[], object], what: str, seconds: float = 90) -> None:
        """Take and give bytes, over as many links as it needs, until something is so."""
        deadline = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < deadline, f"{what}: not so after {seconds:g} s"
            if self._socket is None:
                wait_until(self._connect, "the gateway can be reached")
            try:
                self._take()
            except OSError:
                self.cut()

    def cut(self) -> None:
        """Lose the link."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    @property
    def owes(self) -> int:
        """Reports without an ack."""
        return len(self._kept)

    def _connect(self) -> bool:
        self._socket = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        self._socket.settimeout(0.02)
        self.links += 1
        self._heard_at = time.monotonic()
        self._is_new = True
        self._socket.sendall(self.terminal.connect())
        return True

    def _take(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(2048)
        except TimeoutError:
            if time.monotonic() - self._heard_at > SILENCE_SECONDS:
                self._heard_at = time.monotonic()
                self._socket.sendall(self.terminal.heartbeat())
            return
        if not data:
            raise ConnectionResetError
        self._heard_at = time.monotonic()
        self.received_bytes += len(data)
        for event in self.terminal.receive(data):
            if isinstance(event, Send):
                self._socket.sendall(event.data)
            elif isinstance(event, Acked):
                self._kept.pop(event.sequence, None)
            else:
                self._kept[event.sequence] = event
        if self._is_new and self.terminal.is_online:
            self._is_new = False
            self._socket.sendall(self.terminal.send(list(self._kept.values()))[0])
