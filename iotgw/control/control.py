"""The control API as a whole: its port, and what it knows of the gateway."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.python.failure import Failure

from iotgw.callers import Callers
from iotgw.control.commands import catalogues
from iotgw.control.reach import Reach
from iotgw.control.server import make_site
from iotgw.draining import Draining
from iotgw.gateway import Gateway
from iotgw.lag import Lag
from iotgw.mailbox import Mailbox
from iotgw.offload import Offload
from iotgw.queues import Queues
from iotgw.readiness import Readiness
from protocols import DeviceProtocol
from settings import Settings, SettingsError

log = structlog.get_logger(__name__)


class Control:
    """The control API, and what watches the gateway for it.

    Raises: SettingsError when ``control_listen`` is no endpoint.
    """

    def __init__(
        self,
        settings: Settings,
        gateway: Gateway,
        offload: Offload,
        draining: Draining,
        mailbox: Mailbox,
        callers: Callers,
        protocols: Mapping[str, DeviceProtocol],
        is_listening: Callable[[], bool],
        reactor: Any,
    ) -> None:
        self._endpoint = _endpoint(settings.control_listen, reactor)
        self._queues = Queues(settings.effective_broker_url)
        self._lag = Lag(reactor, gateway.statistics.lag)
        readiness = Readiness(gateway, draining, mailbox, self._queues, is_listening)
        watched = (self._queues, self._lag, draining, readiness)
        self._site = make_site(Reach(settings, gateway, offload, *watched, callers, catalogues(protocols)), reactor)
        self._has_token = bool(settings.control_token)
        self._port: IListeningPort | None = None
        self.could_listen = True

    def start(self) -> None:
        self._queues.start()
        self._lag.start()
        self._endpoint.listen(self._site).addCallbacks(self._listening, self._not_listening)

    def stop(self) -> Deferred[Any]:
        self._queues.stop()
        self._lag.stop()
        return succeed(None) if self._port is None else maybeDeferred(self._port.stopListening)

    def _listening(self, port: IListeningPort) -> None:
        self._port = port
        address = port.getHost()
        host = getattr(address, "host", "")
        log.info("control over HTTP", host=host, port=getattr(address, "port", 0))
        if not self._has_token:
            log.warning("no control_token is set, only /healthz is answered", setting="control_token")
        if host and not ipaddress.ip_address(host).is_loopback:
            log.warning("control is reached from other hosts, without TLS", setting="control_listen", host=host)

    def _not_listening(self, failure: Failure) -> None:
        cause = failure.value.socketError if isinstance(failure.value, CannotListenError) else failure.getErrorMessage()
        log.error("cannot listen, set another endpoint", setting="control_listen", cause=str(cause))
        self.could_listen = False


def _endpoint(text: str, reactor: Any) -> IStreamServerEndpoint:
    try:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, text)
    except (ValueError, TypeError, KeyError, IndexError, OSError) as error:
        raise SettingsError(
            f"control_listen: {text!r} is no Twisted endpoint ({error}): write one such as tcp:6880:interface=127.0.0.1, or off"
        ) from error
    return endpoint
