"""What a listener makes of the connections that it accepts.

device ── TCP ─▶ link
device ── TLS ─▶ TLS ─▶ link
proxy ─── PROXY header, then either of these

A link is made when its device's address is known and may come in, and not before: who is refused costs nothing more.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

import structlog
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure

from iotgw.gateway import Gateway
from iotgw.link import Link
from iotgw.proxyheader import Header, HeaderReader, ProxyHeaderError, Source
from iotgw.seldom import Seldom
from protocols import DeviceProtocol

log = structlog.get_logger(__name__)

HEADER_SECONDS = 5.0
"""How long a proxy has for its header. The protocol asks for 3 at the least: a lost packet is sent again after that."""


class LinkFactory(ServerFactory):
    """Makes a link for each connection whose address may come in."""

    noisy = False

    def __init__(self, gateway: Gateway, protocol: DeviceProtocol) -> None:
        self._gateway = gateway
        self._protocol = protocol

    def buildProtocol(self, addr: IAddress | None) -> Link | None:
        host = getattr(addr, "host", "")
        address = self._gateway.addresses.key(host)
        if self._gateway.refuses(address):
            return None
        peer = f"{host or addr}:{getattr(addr, 'port', '')}"
        return Link(self._gateway, self._protocol, self._gateway.next_link_number(), address, peer)


class Trusted:
    """Whose word on where a connection comes from is taken."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]

    def __contains__(self, address: object) -> bool:
        if isinstance(address, UNIXAddress):
            # Its folder's rights say who may connect.
            return True
        try:
            peer = ipaddress.ip_address(getattr(address, "host", "").partition("%")[0])
        except ValueError:
            return False
        peer = getattr(peer, "ipv4_mapped", None) or peer
        return any(peer in network for network in self._networks)


class ProxiedFactory(ServerFactory):
    """Reads the header of connections that a trusted proxy brings, and hands them on as their devices' own.

    Who is not trusted is closed before it can say anything: it could name any address, and have it banned.
    """

    noisy = False

    def __init__(self, gateway: Gateway, within: IProtocolFactory, trusted: Trusted) -> None:
        self.gateway = gateway
        self.within = within
        self.waiting: set[Proxied] = set()
        """Connections whose header has not come yet."""
        self._trusted = trusted
        self._seldom = Seldom(gateway.now)

    def buildProtocol(self, addr: Any) -> Proxied | None:
        statistics = self.gateway.statistics
        if addr not in self._trusted:
            statistics.count("links.refused.proxy")
            self._seldom.say(log.warning, "refused, not among trusted_proxies", "untrusted", peer=getattr(addr, "host", ""))
            return None
        if self.gateway.links + len(self.waiting) >= self.gateway.settings.max_links:
            statistics.count("links.refused.all")
            return None
        return Proxied(self, addr)

    def refuse(self, proxy: object, fault: str) -> None:
        """A trusted proxy did not say whom it brings."""
        self.gateway.statistics.count("malformed.proxy")
        self._seldom.say(log.warning, "connection without a PROXY header, closed", fault, proxy=getattr(proxy, "host", ""))

    def close(self) -> None:
        """End what is still without its header."""
        for proxied in list(self.waiting):
            proxied.transport.abortConnection()


class Proxied(Protocol):
    """A connection up to the end of its header. Then whoever is within takes its place, and it is gone."""

    transport: Connection

    def __init__(self, factory: ProxiedFactory, addr: IAddress) -> None:
        self._factory = factory
        self._addr = addr
        self._reader = HeaderReader()
        self._has_begun = False
        self._ends_at = factory.gateway.now() + HEADER_SECONDS

    def connectionMade(self) -> None:
        self._factory.waiting.add(self)
        self._factory.gateway.wheel.add(self)

    def dataReceived(self, data: bytes) -> None:
        self._has_begun = True
        try:
            header = self._reader.feed(data)
        except ProxyHeaderError as error:
            self._refuse(str(error))
            return
        if header is not None:
            self._hand_on(header)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._has_begun and self in self._factory.waiting:
            self._factory.refuse(self._addr, "a header cut short")
        self._forget()

    def deadline(self) -> float:
        return self._ends_at

    def expire(self) -> None:
        self._refuse("no header in time")

    def _hand_on(self, header: Header) -> None:
        self._forget()
        within = self._factory.within.buildProtocol(self._addr if header.source is None else _address(header.source))
        if within is None:
            self.transport.abortConnection()
            return
        # From here on the transport knows nothing but the link: no wrapper stands between them.
        transport: Any = self.transport
        transport.protocol = within
        _begin(within, transport, header.rest)

    def _refuse(self, fault: str) -> None:
        self._forget()
        self._factory.refuse(self._addr, fault)
        self.transport.abortConnection()

    def _forget(self) -> None:
        self._factory.waiting.discard(self)
        self._factory.gateway.wheel.discard(self)


def _begin(within: IProtocol, transport: Any, rest: bytes) -> None:
    within.makeConnection(transport)
    if rest:
        within.dataReceived(rest)


def _address(source: Source) -> IAddress:
    kind = IPv6Address if ":" in source.host else IPv4Address
    return kind("TCP", source.host, source.port)


class ShieldedFactory(ServerFactory):
    """For listeners that wrap what they are given, and cannot do with nothing: who is refused gets a protocol that closes."""

    noisy = False

    def __init__(self, within: IProtocolFactory) -> None:
        self._within = within

    def buildProtocol(self, addr: Any) -> Any:
        return self._within.buildProtocol(addr) or Closing()


class Closing(Protocol):
    transport: Connection

    def connectionMade(self) -> None:
        self.transport.abortConnection()
