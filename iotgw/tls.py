"""TLS for links: the certificate, devices' own certificates, and why a device could not come in.

Files are looked at every minute. When they have changed, new links get what they say and old ones keep what they have;
files that cannot be used, such as a certificate whose key has not been copied yet, leave everything as it is.
"""

# ruff: noqa: N802 (Twisted calls these, by these names)

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IAddress, IOpenSSLServerConnectionCreator, IProtocolFactory, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from iotgw.seldom import Seldom
from iotgw.statistics import Statistics
from settings import Settings

log = structlog.get_logger(__name__)

LOOK_EVERY_SECONDS = 60.0
WARN_BEFORE = timedelta(days=14)
WARN_EVERY_SECONDS = 86_400.0
CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES256:ECDHE+AES128:!SHA1:!aNULL"
"""For TLS 1.2: those with forward secrecy. TLS 1.3 has no others."""
MINIMUM = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}

_BY_CODE = {9: "not_yet_valid", 10: "expired", 2: "unknown", 18: "unknown", 19: "unknown", 20: "unknown", 21: "unknown"}
"""X509_V_ERR_... of OpenSSL: unknown is a certificate that does not come from tls_client_ca."""
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


class CertificateError(Exception):
    """The files of a certificate cannot be used; the text names the setting, the file and the fault."""


class _Loaded(NamedTuple):
    context: SSL.Context
    ends_at: datetime


@implementer(IOpenSSLServerConnectionCreator)
class Certificates:
    """What TLS links begin with, as the files have it now.

    Raises: CertificateError when the files cannot be used at the start.
    """

    def __init__(self, settings: Settings, clock: IReactorTime) -> None:
        self._settings = settings
        self._clock = clock
        self._seen = self._signature()
        self._loaded = _load(settings)
        self._warned_at: float | None = None
        self._looking = LoopingCall(self.look)
        self._looking.clock = clock

    @property
    def ends_at(self) -> datetime:
        return self._loaded.ends_at

    def start(self) -> None:
        self._looking.start(LOOK_EVERY_SECONDS)

    def stop(self) -> None:
        if self._looking.running:
            self._looking.stop()

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = SSL.Connection(self._loaded.context, None)
        # For whoever verifies a device's certificate, to say what is wrong with it.
        connection.set_app_data(protocol)
        return connection

    def look(self) -> None:
        """Take the files if they have changed, and warn of a certificate that ends soon."""
        signature = self._signature()
        if signature != self._seen:
            self._seen = signature
            self._take_new()
        self._warn()

    def _take_new(self) -> None:
        try:
            loaded = _load(self._settings)
            if loaded.ends_at <= datetime.now(UTC) < self._loaded.ends_at:
                raise CertificateError(f"tls_certificate: {self._settings.tls_certificate} has expired at {_when(loaded.ends_at)}")
        except CertificateError as error:
            log.error("new certificate cannot be used, the old one stays", cause=str(error), old_until=_when(self.ends_at))
            return
        self._loaded = loaded
        self._warned_at = None
        log.info("certificate changed", file=str(self._settings.tls_certificate), until=_when(self.ends_at))

    def _warn(self) -> None:
        left, now = self.ends_at - datetime.now(UTC), self._clock.seconds()
        if left > WARN_BEFORE or (self._warned_at is not None and now < self._warned_at + WARN_EVERY_SECONDS):
            return
        self._warned_at = now
        if left > timedelta(0):
            log.warning("certificate expires soon", file=str(self._settings.tls_certificate), until=_when(self.ends_at))
        else:
            log.error("certificate has expired", file=str(self._settings.tls_certificate), until=_when(self.ends_at))

    def _signature(self) -> list[tuple[int, int, int]]:
        """What differs when a file was written or replaced."""
        signature = []
        for path in (self._settings.tls_certificate, self._settings.tls_key, self._settings.tls_client_ca):
            try:
                status = path.stat() if path else None
            except OSError:
                status = None
            signature.append((status.st_mtime_ns, status.st_size, status.st_ino) if status else (0, 0, 0))
        return signature


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


def _load(settings: Settings) -> _Loaded:
    """
    Raises: CertificateError
    """
    certificate, key = settings.tls_certificate, settings.tls_key
    assert certificate is not None
    chain = _certificates("tls_certificate", certificate)
    context = _context(settings)
    context.use_certificate(chain[0])
    for further in chain[1:]:
        context.add_extra_chain_cert(further)
    _use_key(context, "tls_key" if key else "tls_certificate", key or certificate, certificate)
    if settings.tls_client_ca is not None:
        _ask_for_certificates(context, settings.tls_client_ca, settings.tls_require_client)
    context.set_cipher_list(CIPHERS)
    return _Loaded(context, chain[0].not_valid_after_utc)


def _context(settings: Settings) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(MINIMUM[settings.tls_minimum])
    # No tickets: a resumed session would have its device's certificate from before, and links are long.
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_TICKET)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(b"iotgw")
    # Buffers of links that are silent are some 30 kB each.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    return context


def _use_key(context: SSL.Context, setting: str, path: Path, certificate: Path) -> None:
    try:
        context.use_privatekey(load_pem_private_key(_read(setting, path), None))  # type: ignore[arg-type]
    except TypeError as error:
        raise CertificateError(f"{setting}: the key in {path} has a password: give one without") from error
    except ValueError as error:
        raise CertificateError(f"{setting}: {path} holds no private key in PEM form") from error
    except SSL.Error as error:
        raise CertificateError(f"{setting}: the key in {path} is not the one of {certificate}") from error
    try:
        context.check_privatekey()
    except SSL.Error as error:
        raise CertificateError(f"{setting}: the key in {path} is not the one of {certificate}") from error


def _ask_for_certificates(context: SSL.Context, path: Path, is_required: bool) -> None:
    authorities = _certificates("tls_client_ca", path)
    store = context.get_cert_store()
    assert store is not None
    for authority in authorities:
        store.add_cert(crypto.X509.from_cryptography(authority))
    # Devices that have several certificates choose by these names.
    context.load_client_ca(str(path).encode())
    flags = SSL.VERIFY_PEER | SSL.VERIFY_CLIENT_ONCE
    context.set_verify(flags | SSL.VERIFY_FAIL_IF_NO_PEER_CERT if is_required else flags, _verified)


def _verified(connection: SSL.Connection, certificate: crypto.X509, code: int, depth: int, is_good: int) -> bool:
    if not is_good:
        connection.get_app_data().refusal = _BY_CODE.get(code, "certificate")
    return bool(is_good)


def _certificates(setting: str, path: Path) -> Sequence[x509.Certificate]:
    try:
        found = x509.load_pem_x509_certificates(_read(setting, path))
    except ValueError as error:
        raise CertificateError(f"{setting}: {path} holds no certificate in PEM form") from error
    return found


def _read(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(f"{setting}: {path} cannot be read ({error.strerror})") from error


def _said(error: SSL.Error) -> str:
    """OpenSSL's own words."""
    parts = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return "; ".join(str(part[-1]) for part in parts) or str(error)


def _when(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
