"""TLS for links: the certificate, devices' own certificates, and why a device could not come in.

Files are looked at every minute, by a thread of its own: a disk that hangs keeps nobody else waiting. When they have
changed, new links get what they say and old ones keep what they have; files that cannot be used, such as a certificate
whose key has not been copied yet, leave everything as it is.
"""

# ruff: noqa: N802 (Twisted calls these, by these names)

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from queue import SimpleQueue
from typing import Any

import structlog
from OpenSSL import SSL
from twisted.internet.interfaces import IAddress, IOpenSSLServerConnectionCreator, IProtocolFactory, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from iotgw.certificatefiles import CertificateError, Loaded, Signature, load, signature
from iotgw.seldom import Seldom
from iotgw.statistics import Statistics
from settings import Settings

log = structlog.get_logger(__name__)

LOOK_EVERY_SECONDS = 60.0
WARN_BEFORE = timedelta(days=14)
WARN_EVERY_SECONDS = 86_400.0

_BY_REASON = (
    ("peer did not return a certificate", "no_certificate"),
    ("certificate verify failed", "certificate"),
    ("alert", "by_device"),
    ("unsupported protocol", "version"),
    ("no shared", "version"),
    ("no suitable", "version"),
    ("no protocols", "version"),
    ("version too low", "version"),
    ("http", "no_tls"),
    ("wrong version number", "no_tls"),
    ("unknown protocol", "no_tls"),
    ("bad record type", "no_tls"),
    ("packet length too long", "no_tls"),
    ("record layer failure", "no_tls"),
)
"""What OpenSSL's words for a failed handshake come to; the first that fits."""


@implementer(IOpenSSLServerConnectionCreator)
class Certificates:
    """What TLS links begin with, as the files had it when they were last looked at.

    Raises: CertificateError when the files cannot be used at the start.
    """

    def __init__(self, settings: Settings, reactor: Any) -> None:
        self._settings = settings
        self._reactor = reactor
        self._seen = signature(settings)
        self._loaded = load(settings)
        self._warned_at: float | None = None
        self._is_looking = self._is_kept_waiting = False
        self._looks: SimpleQueue[Signature | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="certificates", daemon=True)
        self._every_minute = LoopingCall(self.look)
        self._every_minute.clock = reactor

    @property
    def ends_at(self) -> datetime:
        return self._loaded.ends_at

    def start(self) -> None:
        self._thread.start()
        self._every_minute.start(LOOK_EVERY_SECONDS)

    def stop(self) -> None:
        """End the thread after the look it is at. It is not waited for: it may be stuck with a disk that hangs."""
        if self._every_minute.running:
            self._every_minute.stop()
        self._looks.put(None)

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = SSL.Connection(self._loaded.context, None)
        # For whoever verifies a device's certificate, to say what is wrong with it.
        connection.set_app_data(protocol)
        return connection

    def look(self) -> None:
        """Have the files taken if they have changed, and warn of a certificate that ends soon."""
        if not self._is_looking:
            self._is_looking = True
            self._looks.put(self._seen)
            return
        if not self._is_kept_waiting:
            self._is_kept_waiting = True
            log.warning("certificate files cannot be looked at, their disk hangs", file=str(self._settings.tls_certificate))
        self._warn()

    def _run(self) -> None:
        while (seen := self._looks.get()) is not None:
            found: Loaded | Exception | None = None
            now = seen
            try:
                now = signature(self._settings)
                if now != seen:
                    found = load(self._settings)
            except Exception as error:
                # Whatever it is: a look that has no end would be the last one.
                found = error
            self._reactor.callFromThread(self._looked, now, found)

    def _looked(self, seen: Signature, found: Loaded | Exception | None) -> None:
        self._is_looking = self._is_kept_waiting = False
        self._seen = seen
        if isinstance(found, Loaded) and found.ends_at <= datetime.now(UTC) < self.ends_at:
            found = CertificateError(f"tls_certificate: {self._settings.tls_certificate} has expired at {_when(found.ends_at)}")
        if isinstance(found, Loaded):
            self._loaded = found
            self._warned_at = None
            log.info("certificate changed", file=str(self._settings.tls_certificate), until=_when(self.ends_at))
        elif found is not None:
            log.error("new certificate cannot be used, the old one stays", cause=str(found), old_until=_when(self.ends_at))
        self._warn()

    def _warn(self) -> None:
        left, now = self.ends_at - datetime.now(UTC), self._reactor.seconds()
        if left > WARN_BEFORE or (self._warned_at is not None and now < self._warned_at + WARN_EVERY_SECONDS):
            return
        self._warned_at = now
        if left > timedelta(0):
            log.warning("certificate expires soon", file=str(self._settings.tls_certificate), until=_when(self.ends_at))
        else:
            log.error("certificate has expired", file=str(self._settings.tls_certificate), until=_when(self.ends_at))


class TlsProtocol(TLSMemoryBIOProtocol):
    """TLS on a link, which knows why it failed."""

    factory: TlsFactory
    refusal: str | None = None
    """What is wrong with the device's certificate."""

    def _tlsShutdownFinished(self, reason: Failure | None) -> None:
        error = reason.value if reason is not None and not self._lostTLSConnection else None
        if isinstance(error, SSL.Error) and (cause := self._cause(error)):
            link: Any = self.wrappedProtocol
            link.cause = "tls"
            self.factory.refused(link.peer, cause, error)
        super()._tlsShutdownFinished(reason)  # type: ignore[no-untyped-call]

    def _cause(self, error: SSL.Error) -> str | None:
        """None for a connection that just ended."""
        if isinstance(error, SSL.SysCallError):
            return None
        said = _said(error)
        return self.refusal or next((cause for words, cause in _BY_REASON if words in said), "other")


class TlsFactory(TLSMemoryBIOFactory):
    """Puts TLS around the links of a listener. An address that may not come in costs no handshake."""

    def __init__(self, certificates: Certificates, within: IProtocolFactory, statistics: Statistics, clock: IReactorTime) -> None:
        super().__init__(certificates, False, within, clock)
        self._statistics = statistics
        self._seldom = Seldom(clock.seconds)

    def buildProtocol(self, addr: IAddress | None) -> TLSMemoryBIOProtocol | None:  # type: ignore[override]
        within = self.wrappedFactory.buildProtocol(addr)
        # Not what Twisted would make, which keeps writes back for others to join: a link writes what belongs together at once.
        return None if within is None else TlsProtocol(self, within)  # type: ignore[no-untyped-call]

    def refused(self, peer: str, cause: str, error: SSL.Error) -> None:
        self._statistics.count(f"tls.refused.{cause}")
        self._seldom.say(log.warning, "TLS refused", cause, peer=peer, error=_said(error))


def _said(error: SSL.Error) -> str:
    """OpenSSL's own words."""
    parts = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return "; ".join(str(part[-1]) for part in parts) or str(error)


def _when(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
