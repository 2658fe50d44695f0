"""Listeners behind a proxy: whose word is taken, and whose address counts.

| fault case | test |
| --- | --- |
| a header from somebody who is no proxy of ours | test_a_header_from_elsewhere_is_not_even_read_and_harms_nobody |
| a proxy that says nonsense | test_a_proxy_s_nonsense_is_closed_and_counted |
| a proxy that says too little or nothing | test_a_proxy_that_says_nothing_is_closed |
| one address behind a proxy floods | test_behind_a_proxy_the_device_s_address_counts |
"""

from __future__ import annotations

import socket

import pytest
from structlog.testing import capture_logs
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

from iotgw.accepting import HEADER_SECONDS, Trusted
from iotgw.reactor import WriteThroughServer
from tests.iotgw.test_accepting import BINARY, PROXY, listen, only_link  # noqa: F401 (a fixture)

NONSENSE = [
    b"PROXY TCP4 192.0.2.7 192.0.2.1 port 6808\r\n",
    b"PROXY NONE\r\n",
    b"PROXY " + b"x" * 200,
    b"\r\n\r\n\0\r\nQUIT\n\x2f\x11\x00\x00",
    b"dev 1 no header at all\n",
]


def test_behind_a_proxy_the_device_s_address_counts(listen):  # noqa: F811
    listener = listen("haproxy", links_per_address=2)
    clients = []
    for host in (b"192.0.2.7", b"192.0.2.7", b"192.0.2.7", b"192.0.2.8"):
        clients.append(listener.connect())
        clients[-1].send(PROXY % host + b"dev%d 1 a\n" % len(clients))
        listener.turn()
    assert [listener.is_closed(client) for client in clients] == [False, False, True, False]
    assert listener.house.statistics["links.refused.address"] == 1
    assert listener.house.statistics["messages"] == 3, "nothing of a refused one is taken"
    assert {address: held.links for address, held in listener.gateway.addresses} == {"192.0.2.7": 2, "192.0.2.8": 1}
    assert {link.peer for link in listener.gateway._links} == {"192.0.2.7:4711", "192.0.2.8:4711"}


@pytest.mark.parametrize("header", [PROXY % b"192.0.2.7", BINARY % bytes([192, 0, 2, 7])])
def test_a_header_of_either_version_may_come_byte_by_byte(listen, header):  # noqa: F811
    listener = listen("haproxy")
    client = listener.connect()
    for byte in header + b"dev 1 a\n":
        assert listener.gateway.links in (0, 1)
        client.send(bytes([byte]))
        listener.turn(lambda: True)
    listener.turn()
    assert only_link(listener).peer == "192.0.2.7:4711"
    assert listener.house.statistics["messages"] == 1
    listener.house.clock.advance(0)
    listener.house.commit()
    listener.turn()
    assert client.recv(100) == b"dev:1 STORED\n"


def test_after_the_header_nothing_stands_between_transport_and_link(listen):  # noqa: F811
    listener = listen("haproxy")
    listener.connect().send(PROXY % b"192.0.2.7")
    listener.turn()
    link = only_link(listener)
    assert isinstance(link.transport, WriteThroughServer)
    assert link.transport.protocol is link
    assert not listener.port.factory.waiting


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"])
def test_a_proxy_that_speaks_for_itself_has_its_own_address(listen, header):  # noqa: F811
    listener = listen("haproxy")
    listener.connect().send(header)
    listener.turn()
    assert only_link(listener).peer.startswith("127.0.0.1:")
    assert [address for address, _ in listener.gateway.addresses] == ["127.0.0.1"]


def test_a_header_from_elsewhere_is_not_even_read_and_harms_nobody(listen):  # noqa: F811
    listener = listen("haproxy", trusted_proxies=["127.0.0.2/31"], ban_offences=1)
    good = listener.connect("127.0.0.3")
    good.send(PROXY % b"192.0.2.8" + b"dev 1 a\n")
    listener.turn()
    with capture_logs() as lines:
        for _ in range(5):
            stranger = listener.connect()
            assert listener.is_closed(stranger)
    assert listener.house.statistics["links.refused.proxy"] == 5
    assert [(line["event"], line["log_level"], line["peer"]) for line in lines] == [
        ("refused, not among trusted_proxies", "warning", "127.0.0.1")
    ], "once, and not for each"
    assert listener.gateway.links == listener.transports == 1
    assert not listener.is_closed(good)
    assert [address for address, _ in listener.gateway.addresses] == ["192.0.2.8"]
    listener.house.pass_time(61)
    with capture_logs() as lines:
        listener.connect()
    assert [line["not_logged"] for line in lines] == [4]


@pytest.mark.parametrize("header", NONSENSE)
def test_a_proxy_s_nonsense_is_closed_and_counted(listen, header):  # noqa: F811
    listener = listen("haproxy")
    client, good = listener.connect(), listener.connect()
    good.send(PROXY % b"192.0.2.8" + b"dev 1 a\n")
    with capture_logs() as lines:
        client.send(header)
        listener.turn()
    assert listener.is_closed(client)
    assert listener.house.statistics["malformed.proxy"] == 1
    told = [(line["event"], line["proxy"]) for line in lines if line["log_level"] != "debug"]
    assert told == [("connection without a PROXY header, closed", "127.0.0.1")]
    assert listener.gateway.links == listener.transports == 1
    assert [address for address, _ in listener.gateway.addresses] == ["192.0.2.8"]


def test_a_proxy_that_says_nothing_is_closed(listen):  # noqa: F811
    listener = listen("haproxy")
    client, half = listener.connect(), listener.connect()
    half.send(b"PROXY TCP4")
    listener.turn()
    listener.house.pass_time(HEADER_SECONDS - 0.5)
    listener.turn()
    assert not listener.is_closed(client)
    listener.house.pass_time(1)
    listener.turn()
    assert listener.is_closed(client)
    assert listener.is_closed(half)
    assert listener.house.statistics["malformed.proxy"] == 2
    assert listener.transports == len(listener.gateway.wheel) == 0


def test_a_check_that_connects_and_leaves_is_nothing_and_half_a_header_is_something(listen):  # noqa: F811
    listener = listen("haproxy")
    listener.connect().close()
    listener.turn()
    assert listener.house.statistics["malformed.proxy"] == 0
    half = listener.connect()
    half.send(b"PROXY TCP4")
    listener.turn()
    half.close()
    listener.turn()
    assert listener.house.statistics["malformed.proxy"] == 1
    assert listener.transports == len(listener.gateway.wheel) == len(listener.port.factory.waiting) == 0


def test_connections_without_their_header_count_among_all(listen):  # noqa: F811
    listener = listen("haproxy", max_links=2)
    clients = [listener.connect() for _ in range(3)]
    assert [listener.is_closed(client) for client in clients] == [False, False, True]
    assert listener.house.statistics["links.refused.all"] == 1


def test_a_stopping_gateway_ends_those_without_a_header(listen):  # noqa: F811
    listener = listen("haproxy")
    client = listener.connect()
    listener.listeners.stop()
    listener.turn()
    assert listener.is_closed(client)
    client.close()


def test_a_device_s_address_may_be_refused_before_its_handshake(listen):  # noqa: F811
    listener = listen("haproxy-tls", links_per_address=1)
    clients = []
    for _ in range(2):
        clients.append(listener.connect())
        clients[-1].send(PROXY % b"192.0.2.7")
        listener.turn()
    assert [listener.is_closed(client) for client in clients] == [False, True]
    assert listener.house.statistics["links.refused.address"] == 1


def test_a_socket_in_a_folder_is_its_folder_s_to_guard(listen, tmp_path):  # noqa: F811
    path = tmp_path / "proxied.sock"
    listener = listen(f"haproxy:unix:{path}")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.send(PROXY % b"192.0.2.7" + b"dev 1 a\n")
        with capture_logs() as lines:
            listener.turn(lambda: listener.gateway.links == 1)
        assert only_link(listener).peer == "192.0.2.7:4711"
        assert not [line for line in lines if line["log_level"] != "debug"]
        only_link(listener).transport.abortConnection()
        listener.turn()


def test_networks_of_both_families_are_known_in_every_writing():
    trusted = Trusted(["10.0.0.0/8", "2001:db8::/32"])
    assert IPv4Address("TCP", "10.1.2.3", 1) in trusted
    assert IPv6Address("TCP", "::ffff:10.1.2.3", 1) in trusted
    assert IPv6Address("TCP", "2001:db8::1", 1) in trusted
    assert UNIXAddress(b"/run/x.sock") in trusted
    assert IPv4Address("TCP", "11.1.2.3", 1) not in trusted
    assert IPv6Address("TCP", "fe80::1%eth0", 1) not in trusted
    assert IPv4Address("TCP", "", 1) not in trusted
    assert IPv4Address("TCP", "127.0.0.1", 1) not in Trusted([])
