"""What a listener makes of the connections that it accepts."""

from __future__ import annotations

from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint
from twisted.internet.interfaces import IAddress, IStreamServerEndpoint
from twisted.internet.protocol import ServerFactory

from iotgw.gateway import Gateway
from iotgw.link import Link
from protocols import DeviceProtocol


class LinkFactory(ServerFactory):
    """Makes a link for each connection that a listener accepts.

    On a plain listener, what may not come in is refused before anything is made for it. Where a connection is wrapped,
    as in TLS, its wrapper needs something to wrap: the link is made, and ends itself.
    """

    noisy = False

    def __init__(self, gateway: Gateway, protocol: DeviceProtocol, is_plain: bool = False) -> None:
        self._gateway = gateway
        self._protocol = protocol
        self._is_plain = is_plain

    def buildProtocol(self, addr: IAddress | None) -> Link | None:
        address = None
        if self._is_plain:
            address = self._gateway.addresses.key(getattr(addr, "host", ""))
            if self._gateway.refuses(address):
                return None
        return Link(self._gateway, self._protocol, self._gateway.next_link_number(), address)


def is_plain(endpoint: IStreamServerEndpoint) -> bool:
    """Whether an endpoint's connections come as they are, with nothing wrapped around them."""
    return isinstance(endpoint, (TCP4ServerEndpoint, TCP6ServerEndpoint))
