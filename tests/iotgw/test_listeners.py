"""What can be said of listeners in settings, and how their ports are opened."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from iotgw.listeners import Listeners
from iotgw.reactor import GatewayReactor
from settings import Settings, SettingsError
from tests.certificates import Authority
from tests.iotgw.fakes import House, LineProtocol
from tests.iotgw.test_accepting import listen  # noqa: F401 (a fixture)


@pytest.fixture
def reactor() -> Iterator[GatewayReactor]:
    reactor = GatewayReactor()
    yield reactor
    for reader in reactor.removeAll():
        reader.connectionLost(None)
    reactor._poller.close()


def open_ports(reactor: GatewayReactor, *endpoints: str, **settings: Any) -> Listeners:
    house = House(listen={"line": list(endpoints)}, **settings)
    listeners = Listeners(house.gateway.settings, {"line": LineProtocol()}, reactor)
    listeners.start(house.gateway)
    assert listeners.could_listen
    return listeners


def ports(listeners: Listeners) -> list[int]:
    return [port.getHost().port for port in listeners._ports]


def test_a_protocol_listens_on_all_of_its_endpoints(reactor, tmp_path):
    certificate = Authority(tmp_path).sign("gateway")
    texts = ["tcp:0:interface=127.0.0.1", "tls:0:interface=127.0.0.1", "haproxy:tcp:0:interface=127.0.0.1"]
    listeners = open_ports(reactor, *texts, tls_certificate=certificate)
    assert len(set(ports(listeners))) == 3
    assert [protocol.name for protocol in listeners.protocols] == ["line"]


@pytest.mark.parametrize("kind", ["tcp", "haproxy:tcp", "tls"])
def test_gateways_share_a_port_and_each_gets_links(reactor, tmp_path, kind):
    certificate = Authority(tmp_path).sign("gateway")
    first = open_ports(reactor, f"{kind}:0:interface=127.0.0.1", tls_certificate=certificate)
    (port,) = ports(first)
    second = open_ports(reactor, f"{kind}:{port}:interface=127.0.0.1", tls_certificate=certificate)
    assert ports(second) == [port]
    handle = first._ports[0].socket
    assert handle.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 1
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
    came = [listeners._ports[0].socket for listeners in (first, second)]
    for listening in came:
        listening.setblocking(False)
        connection, _ = listening.accept()
        connection.close()
    for client in clients:
        client.close()


@pytest.mark.parametrize(("text", "backlog"), [("tcp:0:interface=127.0.0.1", 4096), ("tcp:0:interface=127.0.0.1:backlog=7", 7)])
def test_a_port_has_room_for_a_fleet_unless_it_says_otherwise(reactor, text, backlog):
    assert open_ports(reactor, text)._ports[0].backlog == backlog


def test_ipv6_is_listened_on_and_a_device_s_ipv4_address_is_seen_there(listen):  # noqa: F811
    listener = listen(r"tcp6:0:interface=\:\:1")
    with socket.create_connection(("::1", listener.port.getHost().port)):
        listener.turn()
        (link,) = listener.gateway._links
        assert link.peer.startswith("::1:")
        assert link.address == "::/64"


def test_a_port_that_somebody_has_for_himself_is_named(reactor, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        house = House(listen={"line": f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"})
        listeners = Listeners(house.gateway.settings, {"line": LineProtocol()}, reactor)
        listeners.start(house.gateway)
    assert not listeners.could_listen


@pytest.mark.parametrize(
    ("listen_on", "settings", "said"),
    [
        ("tls:0", {}, "tls_certificate is not set, and listen.line has TLS: give the path of a PEM file"),
        ("tls:0", {"tls_certificate": "nowhere.pem"}, "tls_certificate: nowhere.pem cannot be read (No such file or directory)"),
        ("haproxy:ssl:0", {}, "listen.line: 'haproxy:ssl:0': haproxy: goes before tcp, tcp6, unix, systemd, fd, tls, tls6 only"),
        ("haproxy:", {}, "listen.line: 'haproxy:': haproxy: goes before"),
        ("tls", {}, "listen.line: 'tls' is no Twisted endpoint"),
        ("tcp:http:x=1", {}, "listen.line: 'tcp:http:x=1' is no Twisted endpoint"),
        (["tcp:0", "pigeon:1"], {}, "listen.line: 'pigeon:1' is no Twisted endpoint"),
    ],
)
def test_what_cannot_be_listened_on_is_said_in_a_line(reactor, listen_on, settings, said):
    with pytest.raises(SettingsError) as caught:
        Listeners(Settings(listen={"line": listen_on}, **settings), {"line": LineProtocol()}, reactor)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_without_a_word_a_protocol_listens_on_its_port_and_off_is_off(reactor):
    listeners = Listeners(Settings(), {"line": LineProtocol()}, reactor)
    assert [listener.text for listener in listeners._listeners] == ["tcp:7"]
    assert not Listeners(Settings(listen={"line": "off"}), {"line": LineProtocol()}, reactor).protocols
