"""From settings to listening ports.

tcp:6808                   a Twisted endpoint: tcp, tcp6, unix, systemd, ssl...
tls:6809                   tcp with TLS by the settings tls_...; tls6 likewise
haproxy:tcp:6808           behind a proxy that says whom it brings; haproxy:tls: has its header before the handshake

Ports of tcp and tls have room for a fleet that comes back at once, and may be shared: gateways on one host that listen
on one port each get a part of the new links.
"""

# ruff: noqa: N802 (Twisted calls this, by this name)

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import structlog
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.internet.tcp import makeBinding
from twisted.python.failure import Failure

from iotgw.accepting import LinkFactory, ProxiedFactory, ShieldedFactory, Trusted
from iotgw.certificatefiles import CertificateError
from iotgw.gateway import Gateway
from iotgw.tls import Certificates, TlsFactory
from protocols import DeviceProtocol
from settings import Settings, SettingsError

log = structlog.get_logger(__name__)

BACKLOG = 4096
"""A fleet reconnects at once after an outage; Twisted's 50 would turn most of it away."""
OFF = "off"
PROXIED = "haproxy:"
TLS = {"tls": "tcp", "tls6": "tcp6"}
SHARED = ("tcp", "tcp6")
PLAIN = (*SHARED, "unix", "systemd", "fd")
"""Endpoints that give connections as they come. Any other may wrap them."""


class Listener(NamedTuple):
    """What a protocol listens on, ready to begin."""

    protocol: DeviceProtocol
    text: str
    endpoint: IStreamServerEndpoint
    is_proxied: bool
    is_tls: bool
    is_plain: bool


def endpoints_of(settings: Settings, protocols: Mapping[str, DeviceProtocol]) -> Iterator[tuple[DeviceProtocol, str]]:
    """What is to be listened on: as it is set, else on a protocol's own port."""
    for protocol in protocols.values():
        for text in settings.endpoints(protocol.name) or [f"tcp:{protocol.port}"]:
            if text != OFF:
                yield protocol, text


class Listeners:
    """All ports of a gateway.

    Raises: SettingsError when an endpoint or a certificate cannot be used.
    """

    def __init__(self, settings: Settings, protocols: Mapping[str, DeviceProtocol], reactor: Any) -> None:
        self._settings = settings
        self._reactor = reactor
        self._listeners = [_listener(protocol, text, reactor) for protocol, text in endpoints_of(settings, protocols)]
        self._certificates = _certificates(settings, self._listeners, reactor)
        self._trusted = Trusted(settings.trusted_proxies)
        self._proxied: list[ProxiedFactory] = []
        self._ports: list[IListeningPort] = []
        self.could_listen = True

    @property
    def protocols(self) -> Sequence[DeviceProtocol]:
        """Those that listen anywhere."""
        return list({listener.protocol.name: listener.protocol for listener in self._listeners}.values())

    def start(self, gateway: Gateway) -> None:
        if self._certificates is not None:
            self._certificates.start()
        for listener in self._listeners:
            listening = listener.endpoint.listen(self._factory(listener, gateway))
            listening.addCallbacks(self._listening, self._not_listening, callbackArgs=(listener, gateway), errbackArgs=(listener,))

    def stop(self) -> Deferred[Any]:
        """Accept nobody any more."""
        if self._certificates is not None:
            self._certificates.stop()
        stopped = gatherResults([maybeDeferred(port.stopListening) for port in self._ports])
        for factory in self._proxied:
            factory.close()
        return stopped

    def _factory(self, listener: Listener, gateway: Gateway) -> IProtocolFactory:
        factory: IProtocolFactory = LinkFactory(gateway, listener.protocol)
        if listener.is_tls:
            assert self._certificates is not None
            factory = TlsFactory(self._certificates, factory, gateway.statistics, self._reactor)
        if listener.is_proxied:
            factory = ProxiedFactory(gateway, factory, self._trusted)
            self._proxied.append(factory)
        return factory if listener.is_plain else ShieldedFactory(factory)

    def _listening(self, port: IListeningPort, listener: Listener, gateway: Gateway) -> None:
        self._ports.append(port)
        address = port.getHost()
        if number := getattr(address, "port", 0):
            gateway.ports.setdefault(listener.protocol.name, []).append(number)
        where = {"host": getattr(address, "host", ""), "port": getattr(address, "port", 0)}
        log.info("listening", protocol=listener.protocol.name, **where, endpoint=listener.text)

    def _not_listening(self, failure: Failure, listener: Listener) -> None:
        cause = failure.value.socketError if isinstance(failure.value, CannotListenError) else failure.getErrorMessage()
        log.error("cannot listen, set another endpoint", setting=f"listen.{listener.protocol.name}", cause=str(cause))
        self.could_listen = False


class _SharedPorts:
    """A reactor whose TCP ports other processes of the same user may share."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def listenTCP(self, port: int, factory: IProtocolFactory, backlog: int = BACKLOG, interface: str = "") -> IListeningPort:
        binding = makeBinding(interface=interface, port=port, reuseAddress=True, reusePort=True)
        listening: IListeningPort = self._reactor.listenTCP(binding, factory, backlog, interface)
        return listening

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


def _listener(protocol: DeviceProtocol, text: str, reactor: Any) -> Listener:
    plain = text.removeprefix(PROXIED)
    kind, _, arguments = plain.partition(":")
    is_proxied, is_tls = plain != text, kind in TLS
    if is_tls:
        kind = TLS[kind]
        plain = f"{kind}:{arguments}"
    if kind in SHARED and ":backlog=" not in plain:
        plain += f":backlog={BACKLOG}"
    if is_proxied and kind not in PLAIN:
        raise SettingsError(f"listen.{protocol.name}: {text!r}: {PROXIED} goes before {', '.join((*PLAIN, *TLS))} only")
    try:
        endpoint = serverFromString(_SharedPorts(reactor), plain)
    except (ValueError, TypeError, KeyError, IndexError, OSError) as error:
        raise SettingsError(
            f"listen.{protocol.name}: {text!r} is no Twisted endpoint ({error}): write one such as tcp:{protocol.port}"
        ) from error
    return Listener(protocol, text, endpoint, is_proxied, is_tls, kind in PLAIN)


def _certificates(settings: Settings, listeners: Sequence[Listener], reactor: Any) -> Certificates | None:
    with_tls = next((listener for listener in listeners if listener.is_tls), None)
    if with_tls is None:
        return None
    if settings.tls_certificate is None:
        raise SettingsError(f"tls_certificate is not set, and listen.{with_tls.protocol.name} has TLS: give the path of a PEM file")
    try:
        return Certificates(settings, reactor)
    except CertificateError as error:
        raise SettingsError(str(error)) from error
