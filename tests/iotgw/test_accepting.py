"""Listeners on real loopback sockets: half-open detection, and refusals on plain, wrapped and proxied connections.

| fault case | test |
| --- | --- |
| half-open links | test_the_kernel_watches_the_peer_of_every_link |
| a flood on a plain listener, on TLS, behind a proxy | test_what_may_not_come_in_is_closed_and_leaves_nothing |
| one address behind a proxy floods | test_behind_a_proxy_the_real_address_counts |
| a proxy's connection that says nothing | test_a_proxied_link_that_says_nothing_is_counted_as_its_peer_too |
| a proxy's header on a listener that expects none | test_a_proxy_that_nobody_expects_is_seen |
| reset by the peer | test_a_reset_ends_the_link |
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from twisted.internet.endpoints import serverFromString
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.ssl import CertificateOptions
from twisted.protocols.tls import TLSMemoryBIOFactory

from iotgw.accepting import LinkFactory, is_plain
from iotgw.keepalive import keep_alive, socket_of
from iotgw.link import Link
from iotgw.service import make_service
from settings import Settings, SettingsError
from tests.iotgw.fakes import House, LineProtocol

PROXY = b"PROXY TCP4 %s 192.0.2.1 4711 6808\r\n"


class Listener:
    """A gateway that listens on loopback, on a reactor that turns when it is told to."""

    def __init__(self, kind: str, **settings: Any) -> None:
        self.reactor = SelectReactor()
        self.house = House(**{"unlimited_addresses": [], **settings})
        self.gateway = self.house.gateway
        endpoint = serverFromString(self.reactor, ("haproxy:" if kind == "haproxy" else "") + "tcp:0:interface=127.0.0.1")
        assert is_plain(endpoint) is (kind != "haproxy")
        factory: Any = LinkFactory(self.gateway, LineProtocol(), is_plain(endpoint) and kind == "plain")
        if kind == "tls":
            # No handshake ever ends here, so that no certificate is needed.
            factory = TLSMemoryBIOFactory(CertificateOptions(), False, factory, self.house.clock)
        ports: list[Any] = []
        endpoint.listen(factory).addCallback(ports.append)
        (self.port,) = ports
        self.clients: list[socket.socket] = []

    def connect(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port.getHost().port))
        client.setblocking(False)
        self.clients.append(client)
        self.turn()
        return client

    def turn(self, until: Callable[[], bool] = lambda: False) -> None:
        for _ in range(50):
            self.reactor.runUntilCurrent()
            self.reactor.doSelect(0.001)
            if until():
                return

    def is_closed(self, client: socket.socket) -> bool:
        try:
            return client.recv(100) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    @property
    def transports(self) -> int:
        return len([reader for reader in self.reactor.getReaders() if reader.__class__.__name__ == "Server"])

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        self.turn()
        self.port.stopListening()
        for reader in [*self.reactor.removeAll()]:
            if reader.__class__.__name__ == "Server":
                reader.abortConnection()
        self.turn()


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    listeners: list[Listener] = []

    def start(kind: str = "plain", **settings: Any) -> Listener:
        listeners.append(Listener(kind, **settings))
        return listeners[-1]

    yield start
    for listener in listeners:
        listener.stop()


def only_link(listener: Listener) -> Link:
    (link,) = listener.gateway._links
    return link


@pytest.mark.parametrize("kind", ["plain", "tls", "haproxy"])
def test_the_kernel_watches_the_peer_of_every_link(listen, kind):
    listener = listen(kind, keep_alive_idle_seconds=100, keep_alive_interval_seconds=7, keep_alive_probes=3)
    listener.connect()
    handle = socket_of(only_link(listener).transport)
    assert handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT, socket.TCP_NODELAY)
    assert [handle.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [100, 7, 3, 121_000, 1]


def test_the_kernel_watches_nobody_if_it_shall_not(listen):
    listener = listen(keep_alive_idle_seconds=0)
    listener.connect()
    assert socket_of(only_link(listener).transport).getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0


def test_the_longest_that_may_be_set_is_not_longer_than_the_kernel_takes(listen):
    longest = {"keep_alive_idle_seconds": 32_767, "keep_alive_interval_seconds": 32_767, "keep_alive_probes": 127}
    listener = listen(**longest)
    listener.connect()
    handle = socket_of(only_link(listener).transport)
    assert handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 2**31 - 1


def test_what_is_no_tcp_connection_is_left_alone():
    near, far = socket.socketpair()
    settings = House().gateway.settings

    class Transport:
        socket = near

    keep_alive(Transport(), settings)
    assert near.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
    near.close()
    far.close()
    keep_alive(Transport(), settings)
    keep_alive(object(), settings)


@pytest.mark.parametrize("kind", ["plain", "tls", "haproxy"])
def test_what_may_not_come_in_is_closed_and_leaves_nothing(listen, kind):
    listener = listen(kind, max_links=1)
    first = listener.connect()
    for number in range(5):
        client = listener.connect()
        assert listener.is_closed(client)
        assert listener.house.statistics["links.refused.all"] == number + 1
    assert listener.gateway.links == 1
    assert listener.transports == 1
    assert not listener.is_closed(first)
    assert listener.house.statistics["links.closed.peer"] == 0, "what was never open does not close"


def test_an_address_is_refused_on_a_plain_listener(listen):
    listener = listen(links_per_address=2)
    clients = [listener.connect() for _ in range(3)]
    assert [listener.is_closed(client) for client in clients] == [False, False, True]
    assert dict(listener.gateway.addresses)["127.0.0.1"].links == 2


def test_behind_a_proxy_the_real_address_counts(listen):
    listener = listen("haproxy", links_per_address=2)
    clients = []
    for host in (b"192.0.2.7", b"192.0.2.7", b"192.0.2.7", b"192.0.2.8"):
        clients.append(listener.connect())
        clients[-1].send(PROXY % host + b"dev" + host + b" 1 a\n")
        listener.turn()
    assert [listener.is_closed(client) for client in clients] == [False, False, True, False]
    assert listener.house.statistics["links.refused.address"] == 1
    assert listener.house.statistics["links.closed.refused"] == 1
    assert listener.house.statistics["messages"] == 3, "nothing of a refused one is taken"
    assert {address: held.links for address, held in listener.gateway.addresses} == {"192.0.2.7": 2, "192.0.2.8": 1}
    assert {link.peer for link in listener.gateway._links} == {"192.0.2.7:4711", "192.0.2.8:4711"}


def test_a_proxied_link_that_says_nothing_is_counted_as_its_peer_too(listen):
    listener = listen("haproxy", unidentified_per_address=1)
    clients = []
    for _ in range(2):
        clients.append(listener.connect())
        clients[-1].send(PROXY % b"192.0.2.7")
        listener.turn()
    assert len(listener.gateway.addresses) == 0
    listener.house.pass_time(2)
    listener.turn()
    assert sorted(listener.is_closed(client) for client in clients) == [False, True]
    assert {address: held.links for address, held in listener.gateway.addresses} == {"192.0.2.7": 1}
    listener.house.pass_time(60)
    listener.turn()
    assert len(listener.gateway.addresses) == 0, "and closed at its deadline"


def test_a_proxy_that_nobody_expects_is_seen(listen):
    listener = listen()
    client = listener.connect()
    client.send(PROXY % b"192.0.2.7")
    listener.turn()
    assert listener.is_closed(client)
    assert listener.house.statistics["strangers.proxy"] == 1


def test_a_reset_ends_the_link(listen):
    listener = listen()
    client = listener.connect()
    client.send(b"dev 1 a\n")
    listener.turn()
    listener.house.clock.advance(0)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    listener.turn(lambda: listener.gateway.links == 0)
    assert listener.gateway.links == 0
    assert len(listener.gateway.addresses) == 0
    listener.house.commit()
    assert listener.house.statistics["acks.too_late"] == 1


def test_a_throttled_device_s_bytes_wait_in_its_socket(listen):
    """Back-pressure for real: what is not read is not lost."""
    listener = listen(messages_per_second=100, messages_burst=10)
    client = listener.connect()
    lines = b"".join(b"dev 1 %d\n" % number for number in range(60_000))
    sent, bodies = 0, []
    for _ in range(5000):
        with suppress(BlockingIOError):
            sent += client.send(lines[sent:])
        listener.turn(lambda: True)
        listener.house.pass_time(5, step=5)
        bodies += [entry.message.body for batch in listener.house.publisher.batches for entry in batch.entries]
        listener.house.commit()
        if len(bodies) == 60_000:
            break
    assert bodies == [b"%d" % number for number in range(60_000)]
    assert listener.house.statistics["links.throttled"] > 5


@pytest.mark.parametrize("table", [{"idle_timeouts": {"jt809": 5}}, {"close_strangers": {"jt809": False}}])
def test_a_protocol_that_there_is_not_is_named(table):
    (key,) = table
    with pytest.raises(SettingsError, match=rf"^{key}\.jt809: there is no such protocol: use one of gb32960, "):
        make_service(Settings(**table), SelectReactor())
