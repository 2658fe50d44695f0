"""What happens on a connection, told by a reactor's own protocols and bytes: ``python -m ... stock`` or ``... ours``.

Each scenario plays the server on the reactor and the peer on a plain socket, turn by turn in one thread, and gives back
what a protocol or a peer noticed. A process has one reactor, so the test runs this file once for each and compares.
"""

from __future__ import annotations

import gc
import json
import os
import socket
import ssl
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from twisted.internet import epollreactor
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.python import log
from zope.interface import implementer

from iotgw import reactor as ours

PATIENCE_SECONDS = 5.0
BIG = bytes(range(256)) * 4096
SMALL = 4096
"""A send buffer that the smallest message fills, nearly."""


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
            self.port = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
        else:
            self.port = reactor.listenSSL(0, Factory(), context, interface="127.0.0.1")
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
        reactor.iterate(0)


def until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError
        reactor.iterate(0.001)


def digest(data: bytes) -> list[Any]:
    return [len(data), data.decode("latin-1") if len(data) < 200 else sha256(data).hexdigest()]


def shrink(protocol: Recorder) -> None:
    protocol.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)


def partial_writes_to_a_slow_reader() -> Any:
    peer = Peer(made=shrink)
    for number in range(20):
        peer.protocol.write(bytes([number]) * 7000)
    turn(3)
    peer.read_until(lambda: len(peer.received) == 140_000, 1500)
    peer.protocol.write(b"last")
    peer.transport.loseConnection()
    peer.read_to_end()
    return peer.told()


def writes_larger_than_any_buffer() -> Any:
    peer = Peer()
    for data in (b"before", BIG, b"between", BIG[:300_000], b"after"):
        peer.protocol.write(data)
    peer.transport.loseConnection()
    peer.read_to_end()
    return peer.told()


def many_writes_in_a_row_with_turns_between() -> Any:
    peer = Peer(made=shrink)
    for number in range(300):
        peer.protocol.write(b"%d," % number * 40)
        turn()
        if number % 3 == 0:
            peer.read(900)
    peer.transport.loseConnection()
    peer.read_to_end()
    return peer.told()


def reset_by_the_peer_then_writes() -> Any:
    peer = Peer()
    peer.reset()
    for _ in range(3):
        peer.protocol.write(b"x")
    before = list(peer.events)
    peer.until_lost()
    return peer.told(before)


def reset_while_data_waits() -> Any:
    peer = Peer(made=shrink)
    peer.protocol.write(BIG)
    turn(3)
    peer.reset()
    peer.protocol.write(b"x")
    peer.until_lost()
    return peer.told()


def reset_after_the_peer_said_something() -> Any:
    peer = Peer()
    peer.socket.send(b"bye")
    peer.reset()
    peer.protocol.write(b"x")
    peer.protocol.write(b"x")
    peer.until_lost()
    return peer.told()


def reset_while_not_read_from() -> Any:
    peer = Peer()
    peer.transport.pauseProducing()
    turn()
    peer.reset()
    peer.protocol.write(b"x")
    peer.until_lost()
    return peer.told()


def reset_of_one_that_can_be_half_closed() -> Any:
    peer = Peer(HalfCloseable)
    peer.reset()
    peer.protocol.write(b"x")
    peer.until_lost()
    return peer.told()


def reset_with_a_producer() -> Any:
    peer = Peer(made=lambda protocol: protocol.transport.registerProducer(protocol, True))
    peer.reset()
    peer.protocol.write(b"x")
    peer.until_lost()
    return peer.told()


def reset_then_written_to_by_what_is_received() -> Any:
    peer = Peer(data=lambda protocol, data: [protocol.write(b"ack") for _ in range(3)])
    peer.socket.send(b"frame")
    peer.reset()
    peer.until_lost()
    return peer.told()


def closed_by_the_peer_then_writes() -> Any:
    peer = Peer()
    peer.socket.close()
    for _ in range(3):
        peer.protocol.write(b"x")
    peer.until_lost()
    return peer.told()


def half_closed_by_the_peer() -> Any:
    peer = Peer(HalfCloseable)
    peer.socket.send(b"all")
    peer.socket.shutdown(socket.SHUT_WR)
    until(lambda: peer.has("read lost"))
    peer.protocol.write(b"answer ")
    turn(3)
    peer.protocol.write(BIG)
    peer.transport.loseConnection()
    peer.read_to_end()
    return peer.told()


def half_closed_by_us() -> Any:
    peer = Peer(HalfCloseable, made=shrink)
    peer.protocol.write(b"first")
    peer.protocol.write(BIG[:100_000])
    peer.transport.loseWriteConnection()
    peer.protocol.write(b"still")
    peer.read_until(lambda: peer.has("write lost"))
    peer.protocol.write(b"too late")
    peer.transport.writeSequence([b"too", b"late"])
    peer.read_to_end()
    peer.socket.send(b"more from the peer")
    until(lambda: peer.has("data"))
    peer.transport.loseConnection()
    return peer.told()


def half_closed_by_us_with_nothing_left() -> Any:
    peer = Peer(HalfCloseable)
    peer.protocol.write(b"all")
    peer.transport.loseWriteConnection()
    peer.read_to_end()
    peer.socket.send(b"heard")
    until(lambda: peer.has("data"))
    peer.socket.close()
    until(lambda: peer.has("read lost"))
    peer.transport.loseConnection()
    return peer.told()


def half_closed_by_the_peer_then_reset() -> Any:
    peer = Peer(HalfCloseable)
    peer.socket.shutdown(socket.SHUT_WR)
    until(lambda: peer.has("read lost"))
    peer.reset()
    for _ in range(3):
        peer.protocol.write(b"x")
    peer.until_lost()
    return peer.told()


def half_closed_by_the_peer_after_a_full_buffer() -> Any:
    peer = Peer(HalfCloseable, made=shrink)
    for _ in range(1000):
        peer.protocol.write(BIG[:100])
    peer.read_until(lambda: len(peer.received) == 100_000)
    peer.socket.shutdown(socket.SHUT_WR)
    until(lambda: peer.has("read lost") or peer.has("lost"))
    peer.protocol.write(b"heard")
    peer.transport.loseConnection()
    peer.read_to_end()
    return peer.told()


def a_read_with_nothing_to_read() -> Any:
    peer = Peer()
    outcome = str(peer.transport.doRead())
    return peer.told(outcome)


def lose_connection_with_data_left() -> Any:
    peer = Peer(made=shrink)
    peer.protocol.write(BIG)
    peer.transport.loseConnection()
    peer.socket.send(b"not read any more")
    peer.read_until(lambda: len(peer.received) == len(BIG))
    return peer.told()


def write_after_lose_connection() -> Any:
    peer = Peer()
    peer.protocol.write(b"before ")
    peer.transport.loseConnection()
    peer.protocol.write(b"after")
    peer.read_to_end()
    peer.protocol.write(b"long after")
    return peer.told()


def abort_with_data_left() -> Any:
    peer = Peer(made=shrink)
    peer.protocol.write(BIG)
    turn(2)
    peer.transport.abortConnection()
    peer.transport.abortConnection()
    before = list(peer.events)
    peer.until_lost()
    peer.read_until(lambda: peer.end)
    return [peer.events, before, peer.end, len(peer.received) < len(BIG)]


def write_after_abort() -> Any:
    peer = Peer()
    peer.transport.abortConnection()
    peer.protocol.write(b"never sent")
    peer.transport.writeSequence([b"nor", b"this"])
    peer.read()
    peer.until_lost()
    peer.protocol.write(b"nor this")
    peer.read_to_end()
    return peer.told()


def abort_after_a_reset() -> Any:
    peer = Peer()
    peer.reset()
    peer.protocol.write(b"x")
    peer.transport.abortConnection()
    peer.until_lost()
    return peer.told()


def sequences_and_odd_data() -> Any:
    peer = Peer()
    errors = []
    for data in ("text", bytearray(b"array"), memoryview(b"view"), None, 5):
        try:
            peer.transport.write(data)
        except TypeError as error:
            errors.append(str(error))
    for sequence in ([], [b""], [b"a", b"b"], (b"c",), [b"", b"d"]):
        peer.transport.writeSequence(sequence)
        peer.protocol.write(b"-")
        peer.protocol.write(b"")
    try:
        peer.transport.writeSequence([b"e", "f"])
    except TypeError as error:
        errors.append(str(error))
    peer.transport.loseConnection()
    peer.read_to_end()
    return peer.told(errors)


def writes_from_every_callback() -> Any:
    peer = Peer(
        made=lambda protocol: [protocol.write(b"hello "), protocol.write(b"there ")],
        data=lambda protocol, data: [protocol.write(data), protocol.write(b"! "), protocol.transport.writeSequence([b"1", b"2"])],
        lost=lambda protocol, reason: protocol.write(b"nobody hears it"),
    )
    peer.socket.send(b"one")
    peer.read_until(lambda: peer.received.endswith(b"12"))
    peer.socket.shutdown(socket.SHUT_WR)
    peer.until_lost()
    return peer.told()


def close_from_what_is_received() -> Any:
    peer = Peer(data=lambda protocol, data: [protocol.write(b"bye"), protocol.transport.loseConnection(), protocol.write(b"!")])
    peer.socket.send(b"one")
    peer.read_to_end()
    return peer.told()


def a_push_producer() -> Any:
    peer = Peer(made=lambda protocol: [shrink(protocol), protocol.transport.registerProducer(protocol, True)])
    peer.protocol.write(b"little")
    turn(3)
    quiet = list(peer.events)
    peer.protocol.write(BIG)
    paused = list(peer.events)
    peer.protocol.write(b"more")
    peer.read_until(lambda: peer.has("resume"))
    peer.protocol.write(b"little")
    turn(3)
    peer.protocol.write(BIG)
    peer.read_until(lambda: len(peer.received) == 2 * len(BIG) + 16)
    peer.transport.unregisterProducer()
    peer.protocol.write(BIG)
    peer.transport.loseConnection()
    peer.read_to_end()
    return peer.told(quiet, paused)


def a_push_producer_below_the_limit() -> Any:
    peer = Peer(made=lambda protocol: [shrink(protocol), protocol.transport.registerProducer(protocol, True)])
    peer.protocol.write(BIG[:65_536])
    first = list(peer.events)
    peer.read_until(lambda: len(peer.received) == 65_536)
    turn(3)
    peer.protocol.write(BIG[:65_537])
    paused = list(peer.events)
    peer.read_until(lambda: len(peer.received) == 131_073)
    peer.transport.unregisterProducer()
    return peer.told(first, paused)


def a_producer_of_its_own_transport() -> Any:
    peer = Peer(
        made=lambda protocol: [shrink(protocol), protocol.transport.registerProducer(protocol, True)],
        pause=lambda protocol: protocol.transport.pauseProducing(),
        resume=lambda protocol: protocol.transport.resumeProducing(),
    )
    peer.protocol.write(BIG)
    peer.socket.send(b"said while held")
    turn(5)
    held = list(peer.events)
    peer.read_until(lambda: len(peer.received) == len(BIG))
    until(lambda: peer.has("data"))
    peer.transport.unregisterProducer()
    peer.transport.loseConnection()
    peer.read_to_end()
    return peer.told(held)


def a_producer_that_goes_while_paused() -> Any:
    peer = Peer(made=lambda protocol: [shrink(protocol), protocol.transport.registerProducer(protocol, True)])
    peer.protocol.write(BIG)
    peer.transport.unregisterProducer()
    peer.read_until(lambda: len(peer.received) == len(BIG))
    turn(3)
    peer.transport.registerProducer(peer.protocol, True)
    peer.protocol.write(b"little")
    turn(3)
    return peer.told()


def a_producer_and_a_connection_to_lose() -> Any:
    peer = Peer(made=lambda protocol: [shrink(protocol), protocol.transport.registerProducer(protocol, True)])
    peer.protocol.write(BIG)
    peer.transport.loseConnection()
    peer.read_until(lambda: peer.has("resume"))
    peer.protocol.write(b"the end")
    turn(3)
    peer.transport.unregisterProducer()
    peer.read_to_end()
    return peer.told()


def a_pull_producer() -> Any:
    left = [b"one ", b"two ", BIG[:200_000], b"four ", b"five"]

    def produce(protocol: Recorder) -> None:
        if left:
            protocol.write(left.pop(0))
        else:
            protocol.transport.unregisterProducer()
            protocol.transport.loseConnection()

    peer = Peer(made=lambda protocol: [shrink(protocol), protocol.transport.registerProducer(protocol, False)], resume=produce)
    peer.read_to_end()
    return peer.told()


def a_protocol_that_raises() -> Any:
    def fail(protocol: Recorder, *_: object) -> None:
        raise ZeroDivisionError

    first, second, third = Peer(lost=fail), Peer(data=fail), Peer(data=lambda protocol, data: protocol.write(data))
    first.socket.close()
    second.socket.send(b"x")
    third.socket.send(b"x")
    until(lambda: (third.read(), third.received, first.has("lost"), second.has("lost"))[1:] == (b"x", True, True))
    return [first.told(), second.told(), third.told()]


def tls_over_an_ssl_port() -> Any:
    peer = Peer(context=certificate().options(), data=lambda protocol, data: protocol.write(data))
    return _tls_echo(peer)


def tls_begun_on_a_plain_connection() -> Any:
    options = certificate().options()

    def begin(protocol: Recorder, data: bytes) -> None:
        if data == b"begin\n":
            protocol.write(b"ready\n")
            protocol.transport.startTLS(options)
        else:
            protocol.write(data)

    peer = Peer(data=begin)
    peer.socket.send(b"begin\n")
    peer.read_until(lambda: peer.received == b"ready\n")
    return _tls_echo(peer)


def _tls_echo(peer: Peer) -> Any:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    come, go = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(come, go, server_hostname="localhost")
    pending = b""

    def attempt(call: Callable[[], Any]) -> Any:
        nonlocal pending
        pending += go.read()
        if pending:
            try:
                pending = pending[peer.socket.send(pending) :]
            except BlockingIOError:
                pass
            except BrokenPipeError:
                pending = b""
        before = len(peer.received)
        peer.read()
        come.write(peer.received[before:])
        try:
            return call() or True
        except ssl.SSLWantReadError:
            return None
        finally:
            pending += go.read()

    until(lambda: attempt(client.do_handshake))
    text = BIG[:300_000]
    client.write(text)
    plain = bytearray()
    until(lambda: (plain.extend(attempt(lambda: client.read(65536)) or b""), len(plain) >= len(text))[1])
    peer.transport.loseConnection()
    until(lambda: attempt(client.unwrap))
    attempt(lambda: None)
    peer.until_lost()
    events = [
        [name, sha256("".join(what).encode()).hexdigest()] if name == "data" else [name, *what] for name, *what in peer.events
    ]
    peer.socket.close()
    return [events, digest(bytes(plain))]


_certificate: list[Any] = []


def certificate() -> Any:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from twisted.internet.ssl import PrivateCertificate

    if not _certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        now = datetime.now(UTC)
        signed = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(1))
            .not_valid_after(now + timedelta(1))
            .sign(key, hashes.SHA256())
        )
        form = serialization.Encoding.PEM
        private = key.private_bytes(form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        _certificate.append(PrivateCertificate.loadPEM(signed.public_bytes(form) + private))
    return _certificate[0]


SCENARIOS: list[Callable[[], Any]] = [
    partial_writes_to_a_slow_reader,
    writes_larger_than_any_buffer,
    many_writes_in_a_row_with_turns_between,
    reset_by_the_peer_then_writes,
    reset_while_data_waits,
    reset_after_the_peer_said_something,
    reset_while_not_read_from,
    reset_of_one_that_can_be_half_closed,
    reset_with_a_producer,
    reset_then_written_to_by_what_is_received,
    closed_by_the_peer_then_writes,
    half_closed_by_the_peer,
    half_closed_by_us,
    half_closed_by_us_with_nothing_left,
    half_closed_by_the_peer_then_reset,
    half_closed_by_the_peer_after_a_full_buffer,
    a_read_with_nothing_to_read,
    lose_connection_with_data_left,
    write_after_lose_connection,
    abort_with_data_left,
    write_after_abort,
    abort_after_a_reset,
    sequences_and_odd_data,
    writes_from_every_callback,
    close_from_what_is_received,
    a_push_producer,
    a_push_producer_below_the_limit,
    a_producer_of_its_own_transport,
    a_producer_that_goes_while_paused,
    a_producer_and_a_connection_to_lose,
    a_pull_producer,
    a_protocol_that_raises,
    tls_over_an_ssl_port,
    tls_begun_on_a_plain_connection,
]


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
    waiting = reactor.getWriters()
    return {"plain": plain.received.decode(), "in a row": in_a_row, "again": own.received[-5:].decode(), "writers": len(waiting)}


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
    port = reactor.listenTCP(0, factory, backlog=1024, interface="127.0.0.1")
    turn(3)
    address = ("127.0.0.1", port.getHost().port)
    fds, objects = len(os.listdir("/proc/self/fd")), connections_left()
    for wave in range(20):
        sockets = [socket.create_connection(address) for _ in range(500)]
        until(lambda: len(reactor.getReaders()) >= 500)
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
        port = reactor.adoptStreamPort(listener.fileno(), family, factory)
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


def main(name: str) -> None:
    told: dict[str, Any] = {}
    for scenario in SCENARIOS + ([what_leaves_at_once, other_ways_in, ten_thousand_connections] if name == "ours" else []):
        faults: list[str] = []

        def observe(event: Any, faults: list[str] = faults) -> None:
            if event.get("isError"):
                faults.append(event["failure"].type.__name__)

        log.addObserver(observe)
        try:
            told[scenario.__name__] = {"told": scenario(), "logged": faults}
        except Exception as error:
            told[scenario.__name__] = f"{type(error).__name__}: {error} ({name})"
        log.removeObserver(observe)
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    {"stock": epollreactor.install, "ours": ours.install}[sys.argv[1]]()
    from twisted.internet import reactor

    main(sys.argv[1])
