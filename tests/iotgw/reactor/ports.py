"""What makes our reactor ours, and ports of all kinds: not compared with the stock one."""

from __future__ import annotations

import gc
import os
import socket
import struct
import tempfile
from typing import Any

from twisted.internet.base import ReactorBase
from twisted.internet.protocol import Protocol, ServerFactory

from tests.iotgw.reactor.playing import BIG, Peer, Scenario, the_reactor, turn, until


def what_leaves_at_once() -> Any:
    """Not compared: what makes ours ours."""
    plain = Peer(made=lambda protocol: protocol.write(b"hello "))
    plain.read()
    plain.protocol.write(b"now")
    plain.read()
    own = Peer(made=lambda protocol: protocol.transport.registerProducer(protocol, True))
    own.protocol.write(b"ack")
    own.read()
    own.protocol.write(BIG[:10_000])
    for number in range(300):
        own.protocol.write(bytes([number % 256]) * 1000)
        own.read()
    in_a_row = len(own.received)
    own.read_until(lambda: len(own.received) == 310_003)
    own.protocol.write(b"again")
    own.read()
    waiting = the_reactor().getWriters()
    return {"plain": plain.received.decode(), "in a row": in_a_row, "again": own.received[-5:].decode(), "writers": len(waiting)}


def the_time_of_day_is_set_back() -> Any:
    """By an hour, as what keeps it right does now and then, while something is due."""
    rung: list[str] = []
    reactor, seconds = the_reactor(), ReactorBase.seconds
    before = reactor.seconds()
    reactor.callLater(0.01, rung.append, "due before")
    ReactorBase.seconds = staticmethod(lambda: seconds() - 3600)
    try:
        reactor.callLater(0.01, rung.append, "due since")
        until(lambda: len(rung) == 2)
    finally:
        ReactorBase.seconds = staticmethod(seconds)
    return {"rung": rung, "goes on": reactor.seconds() > before}


def ten_thousand_connections() -> Any:
    """Opened and closed in each way, in waves; what is left of them."""
    kinds: list[str] = []

    class Greeter(Protocol):
        def connectionMade(self) -> None:
            self.transport.registerProducer(self, True)
            self.transport.write(b"hello")

        def dataReceived(self, data: bytes) -> None:
            self.transport.write(data)
            self.transport.unregisterProducer()
            self.transport.loseConnection() if data == b"lose" else self.transport.abortConnection()

        def connectionLost(self, reason: Any = None) -> None:
            kinds.append(reason.type.__name__)

        def stopProducing(self) -> None:
            pass

    factory = ServerFactory()
    factory.protocol = Greeter
    factory.noisy = False
    port = the_reactor().listenTCP(0, factory, backlog=1024, interface="127.0.0.1")
    turn(3)
    address = ("127.0.0.1", port.getHost().port)
    fds, objects = len(os.listdir("/proc/self/fd")), connections_left()
    for wave in range(20):
        sockets = [socket.create_connection(address) for _ in range(500)]
        until(lambda: len(the_reactor().getReaders()) >= 500)
        for number, each in enumerate(sockets):
            if number % 4 == 0:
                each.send(b"lose")
            elif number % 4 == 1:
                each.send(b"abort")
            elif number % 4 == 2:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                each.close()
            else:
                each.close()
        until(lambda wave=wave: len(kinds) == 500 * (wave + 1))
        for each in sockets:
            each.close()
    left = len(os.listdir("/proc/self/fd")) - fds
    port.stopListening()
    turn(3)
    return {"closed": len(kinds), "kinds": sorted(set(kinds)), "fds": left, "objects": connections_left() - objects}


def connections_left() -> int:
    gc.collect()
    return sum(type(thing).__name__ in ("Greeter", "WriteThroughServer") for thing in gc.get_objects())


def other_ways_in() -> Any:
    """A port that was opened by somebody else, and one in the file system."""
    with tempfile.TemporaryDirectory() as folder:
        return [_adopted(socket.AF_INET, ("127.0.0.1", 0)), _adopted(socket.AF_UNIX, os.path.join(folder, "socket"))]


def _adopted(family: int, address: Any) -> list[str]:
    told: list[str] = []

    class Echo(Protocol):
        def connectionMade(self) -> None:
            told.append(type(self.transport).__name__)

        def dataReceived(self, data: bytes) -> None:
            self.transport.write(data)

    factory = ServerFactory()
    factory.protocol = Echo
    with socket.socket(family) as listener, socket.socket(family) as client:
        listener.bind(address)
        listener.listen()
        listener.setblocking(False)
        port = the_reactor().adoptStreamPort(listener.fileno(), family, factory)
        client.connect(listener.getsockname())
        client.setblocking(False)
        client.send(b"x")

        def is_answered() -> bool:
            try:
                told.append(client.recv(10).decode())
            except BlockingIOError:
                return False
            return True

        until(is_answered)
        port.stopListening()
        turn(3)
    return told


SCENARIOS: tuple[Scenario, ...] = (what_leaves_at_once, the_time_of_day_is_set_back, other_ways_in, ten_thousand_connections)
