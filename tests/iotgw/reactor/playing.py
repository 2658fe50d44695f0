"""What scenarios are played with: a protocol that writes down what it notices, and a peer on a plain socket."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, ServerFactory
from zope.interface import implementer

Scenario = Callable[[], Any]
PATIENCE_SECONDS = 5.0
BIG = bytes(range(256)) * 4096
SMALL = 4096
"""A send buffer that the smallest message fills, nearly."""


def the_reactor() -> Any:
    """This process's, which nobody may import before it is chosen."""
    from twisted.internet import reactor

    return reactor


class Recorder(Protocol):
    """Writes down what it is told; what it does then is the scenario's: ``on["data"](protocol, data)``."""

    def __init__(self, on: dict[str, Callable[..., object]]) -> None:
        self.on = on
        self.events: list[Any] = []
        self.is_in_write = False

    def connectionMade(self) -> None:
        self._tell("made")

    def dataReceived(self, data: bytes) -> None:
        self._tell("data", data)

    def connectionLost(self, reason: Any = None) -> None:
        self._tell("lost", reason.type.__name__)

    def write(self, data: bytes) -> None:
        self.is_in_write = True
        try:
            self.transport.write(data)
        finally:
            self.is_in_write = False

    def _tell(self, name: str, *what: Any) -> None:
        if name == "data" and self.events and self.events[-1][0] == "data":
            self.events[-1][1] += what[0].decode("latin-1")
        else:
            told = [entry.decode("latin-1") if isinstance(entry, bytes) else entry for entry in what]
            self.events.append([name + " inside write" * (self.is_in_write and name != "pause"), *told])
        if name in self.on:
            self.on[name](self, *what)

    def pauseProducing(self) -> None:
        self._tell("pause")

    def resumeProducing(self) -> None:
        self._tell("resume")

    def stopProducing(self) -> None:
        self._tell("stop")


@implementer(IHalfCloseableProtocol)
class HalfCloseable(Recorder):
    def readConnectionLost(self) -> None:
        self._tell("read lost")

    def writeConnectionLost(self) -> None:
        self._tell("write lost")


class Peer:
    """A connection, both ends: ``protocol`` on the reactor, ``socket`` here."""

    def __init__(self, kind: type[Recorder] = Recorder, context: Any = None, port: Any = None, **on: Callable[..., object]) -> None:
        made: list[Recorder] = []

        class Factory(ServerFactory):
            noisy = False

            def buildProtocol(self, addr: Any) -> Recorder:
                made.append(kind(on))
                return made[-1]

        if context is None:
            self.port = the_reactor().listenTCP(0, Factory(), interface="127.0.0.1")
        else:
            self.port = the_reactor().listenSSL(0, Factory(), context, interface="127.0.0.1")
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        self.socket.connect(("127.0.0.1", self.port.getHost().port))
        self.socket.setblocking(False)
        self.received = b""
        self.end = ""
        until(lambda: made and made[0].events)
        self.protocol = made[0]
        self.transport = self.protocol.transport
        self.port.stopListening()
        until(lambda: not self.port.connected)

    @property
    def events(self) -> list[Any]:
        return self.protocol.events

    def read(self, size: int = 65536) -> None:
        """What has come, without waiting."""
        try:
            data = self.socket.recv(size)
        except BlockingIOError:
            return
        except ConnectionResetError:
            self.end = "reset"
            return
        self.received += data
        self.end = "" if data else "end"

    def read_until(self, is_so: Callable[[], object], size: int = 65536) -> None:
        until(lambda: self.read(size) or is_so())

    def read_to_end(self, size: int = 65536) -> None:
        self.read_until(lambda: self.end, size)

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def until_lost(self) -> None:
        until(lambda: self.has("lost"))
        turn(5)

    def has(self, name: str) -> bool:
        return any(event[0].startswith(name) for event in self.events)

    def told(self, *more: Any) -> list[Any]:
        """All that was noticed."""
        turn(3)
        if self.socket.fileno() != -1:
            self.read()
            self.socket.close()
        turn(3)
        return [self.events, digest(self.received), self.end, *more]


def turn(count: int = 1) -> None:
    for _ in range(count):
        the_reactor().iterate(0)


def until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError
        the_reactor().iterate(0.001)


def digest(data: bytes) -> list[Any]:
    return [len(data), data.decode("latin-1") if len(data) < 200 else sha256(data).hexdigest()]


def shrink(protocol: Recorder) -> None:
    protocol.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
