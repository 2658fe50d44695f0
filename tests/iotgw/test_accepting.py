"""Listeners on real loopback sockets: half-open detection, and refusals on plain, wrapped and proxied connections.

| fault case | test |
| --- | --- |
| half-open links | test_the_kernel_watches_the_peer_of_every_link |
| a flood on a plain listener, on TLS, behind a proxy | test_what_may_not_come_in_is_closed_and_leaves_nothing |
| a proxy's header on a listener that expects none | test_a_proxy_that_nobody_expects_is_seen |
| reset by the peer | test_a_reset_ends_the_link |
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.selectreactor import SelectReactor

from iotgw.keepalive import keep_alive, socket_of
from iotgw.link import Link
from iotgw.listeners import Listeners
from iotgw.reactor import GatewayReactor, WriteThroughServer
from iotgw.service import make_service
from settings import Settings, SettingsError
from tests.certificates import Authority
from tests.iotgw.fakes import House

PROXY = b"PROXY TCP4 %s 192.0.2.1 4711 6808\r\n"
BINARY = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c%s\xc0\x00\x02\x01\x12\x67\x1a\x98"
"""The same, as version 2 has it."""
ENDPOINTS = {
    "plain": "tcp:0:interface=127.0.0.1",
    "tls": "tls:0:interface=127.0.0.1",
    "haproxy": "haproxy:tcp:0:interface=127.0.0.1",
    "haproxy-tls": "haproxy:tls:0:interface=127.0.0.1",
}


class Listener:
    """A gateway that listens on loopback, on the gateway's reactor, which turns when it is told to."""

    def __init__(self, kind: str, folder: Path, **settings: Any) -> None:
        self.authority = Authority(folder)
        if "tls" in kind:
            settings = {"tls_certificate": self.authority.sign("gateway"), **settings}
        self.reactor = GatewayReactor()
        self.house = House(**{"unlimited_addresses": [], "listen": {"line": ENDPOINTS.get(kind, kind)}, **settings})
        self.gateway = self.house.gateway
        self.listeners = Listeners(self.gateway.settings, {"line": self.house.protocol}, self.reactor)
        self.listeners.start(self.gateway)
        (self.port,) = self.listeners._ports
        self.clients: list[socket.socket] = []

    def connect(self, host: str = "127.0.0.1") -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port.getHost().port), source_address=(host, 0))
        client.setblocking(False)
        self.clients.append(client)
        self.turn()
        return client

    def turn(self, until: Callable[[], bool] = lambda: False) -> None:
        for _ in range(50):
            self.reactor.runUntilCurrent()
            self.reactor.doPoll(0.001)
            self.house.clock.advance(0)
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
        return len([reader for reader in self.reactor.getReaders() if isinstance(reader, WriteThroughServer)])

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        self.turn()
        self.listeners.stop()
        for reader in [*self.reactor.removeAll()]:
            if isinstance(reader, WriteThroughServer):
                reader.abortConnection()
        self.turn()
        self.reactor._poller.close()


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Callable[..., Listener]]:
    listeners: list[Listener] = []

    def start(kind: str = "plain", **settings: Any) -> Listener:
        listeners.append(Listener(kind, tmp_path, **settings))
        return listeners[-1]

    yield start
    for listener in listeners:
        listener.stop()


def only_link(listener: Listener) -> Link:
    (link,) = listener.gateway._links
    return link


@pytest.mark.parametrize("kind", ENDPOINTS)
def test_the_kernel_watches_the_peer_of_every_link(listen, kind):
    listener = listen(kind, keep_alive_idle_seconds=100, keep_alive_interval_seconds=7, keep_alive_probes=3)
    client = listener.connect()
    if "haproxy" in kind:
        client.send(PROXY % b"192.0.2.7")
        listener.turn()
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


@pytest.mark.parametrize("kind", ENDPOINTS)
def test_what_may_not_come_in_is_closed_and_leaves_nothing(listen, kind):
    listener = listen(kind, max_links=1)
    first = listener.connect()
    if "haproxy" in kind:
        first.send(PROXY % b"192.0.2.7")
        listener.turn()
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
