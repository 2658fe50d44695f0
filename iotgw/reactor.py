"""Twisted's epoll reactor without two costs per message: waiting a turn before a write, and a log context per event.

stock   read ─▶ write: keep, ask epoll to tell ─▶ epoll tells ─▶ send ─▶ ask epoll to tell no more
here    read ─▶ write: send                                               (the rest, if any, goes the stock way)

What a protocol notices of it: its bytes leave at once, so several writes in a row are several packets where stock
would have joined them. What belongs together should be one write. Log lines of Twisted's own lose their prefix.
"""

# ruff: noqa: N802, N803, N815 (Twisted calls these, by these names)

from __future__ import annotations

import socket
import time
from errno import ENOBUFS, EPIPE, EWOULDBLOCK
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.main import CONNECTION_LOST, installReactor
from twisted.internet.tcp import Server
from twisted.python import log

MOST_EVENTS = 256
"""Of one look. Stock takes all there are: when ten thousand devices come at once, what is due and what other threads bring,
such as receipts, would wait for all of them. The kernel gives those that are left out the first place in the next look."""
_TRY_AGAIN = (EWOULDBLOCK, ENOBUFS)


class WriteThroughServer(Server):
    """An accepted connection that sends what is written to it at once when nothing waits before it.

    Producers are served as by stock: a push producer is paused as soon as more than ``bufferSize`` waits, and goes on
    when nothing does. A pull producer is asked for more when what it wrote has left, which is the reactor's to tell,
    so its bytes go the stock way. So do those of a connection that is closing, for the reactor's turn of sending is
    what closes it, and those of TLS begun on a plain connection.
    """

    _through = 0
    """Bytes sent at once since the reactor last sent: a peer that reads as fast as we write must not hold the others up."""
    _is_reset = False

    def write(self, data: bytes) -> None:
        if (
            self._tempDataBuffer
            or self.dataBuffer
            or not self.connected
            or self.disconnecting
            or self._writeDisconnecting
            or self._aborting
            or self.TLS
            or data.__class__ is not bytes
            or not data
        ):
            super().write(data)  # type: ignore[no-untyped-call]
            return
        producer = self.producer
        if producer is not None and (self.producerPaused or not self.streamingProducer):
            super().write(data)  # type: ignore[no-untyped-call]
            return
        self._through += len(data)
        if self._through > self.SEND_LIMIT:
            super().write(data)  # type: ignore[no-untyped-call]
            return
        try:
            sent = self.socket.send(data)
        except OSError as error:
            sent = 0
            # The socket tells of its end once only, and has told us. A broken pipe is the end of one that was closed before.
            self._is_reset = error.errno not in _TRY_AGAIN and error.errno != EPIPE
        if sent != len(data):
            # As stock leaves it when a part was sent: no copy of the rest, and the whole counts as waiting.
            self.dataBuffer = data
            self.offset = sent
            self._maybePauseProducer()  # type: ignore[no-untyped-call]
            self.startWriting()  # type: ignore[no-untyped-call]

    def doWrite(self) -> Any:
        self._through = 0
        return super().doWrite()  # type: ignore[no-untyped-call]

    def doRead(self) -> ConnectionLost | ConnectionDone | None:  # type: ignore[override]
        try:
            data = self.socket.recv(self.bufferSize)
        except OSError as error:
            return None if error.errno == EWOULDBLOCK else CONNECTION_LOST
        if data:
            self.protocol.dataReceived(data)
            return None
        return CONNECTION_LOST if self._is_reset else self._dataReceived(data)


class GatewayReactor(EPollReactor):
    """The epoll reactor whose accepted TCP connections write through, and whose time nobody can set.

    Stock's is the time of day. When that is put back, all that is due waits for as long; when it is put forward, as on a
    host that gets its first time from the network after the start, all is due at once.
    """

    def seconds(self) -> float:
        return time.monotonic()

    def listenTCP(self, port: Any, factory: IProtocolFactory, backlog: int = 50, interface: str = "") -> IListeningPort:
        return _writing_through(super().listenTCP(port, factory, backlog, interface))  # type: ignore[no-untyped-call]

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory) -> IListeningPort:
        port = super().adoptStreamPort(fileDescriptor, addressFamily, factory)  # type: ignore[no-untyped-call]
        return port if addressFamily == socket.AF_UNIX else _writing_through(port)

    def doPoll(self, timeout: float | None) -> None:
        events = self._poller.poll(timeout, MOST_EVENTS)
        for number, event in events:
            selectable = self._selectables.get(number)
            if selectable is not None:
                try:
                    self._doReadOrWrite(selectable, number, event)  # type: ignore[no-untyped-call]
                except KeyboardInterrupt:
                    raise
                except BaseException:
                    # A connectionLost that raises: the others' events are still to be served.
                    log.err()

    doIteration = doPoll


def install() -> None:
    """Make it this process's reactor.

    Raises: ReactorAlreadyInstalledError when there is one.
    """
    installReactor(GatewayReactor())  # type: ignore[no-untyped-call]


def _writing_through(port: Any) -> IListeningPort:
    # Twisted's own hook: the class of the transports that a port makes.
    port.transport = WriteThroughServer
    listening: IListeningPort = port
    return listening
