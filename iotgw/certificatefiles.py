"""What the files of a certificate hold. Whoever reads them waits for their disk, which may be another host's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto

from settings import Settings

CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES256:ECDHE+AES128:!SHA1:!aNULL"
"""For TLS 1.2: those with forward secrecy. TLS 1.3 has no others."""
MINIMUM = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}

_BY_CODE = {9: "not_yet_valid", 10: "expired", 2: "unknown", 18: "unknown", 19: "unknown", 20: "unknown", 21: "unknown"}
"""X509_V_ERR_... of OpenSSL: unknown is a certificate that does not come from tls_client_ca."""

Signature = tuple[tuple[int, int, int], ...]
"""What differs when a file was written or replaced."""


class CertificateError(Exception):
    """The files of a certificate cannot be used; the text names the setting, the file and the fault."""


class Loaded(NamedTuple):
    """What TLS begins with by the files."""

    context: SSL.Context
    ends_at: datetime


def signature(settings: Settings) -> Signature:
    """What the files are like now."""
    return tuple(_status(path) for path in (settings.tls_certificate, settings.tls_key, settings.tls_client_ca))


def load(settings: Settings) -> Loaded:
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
    return Loaded(context, chain[0].not_valid_after_utc)


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


def _status(path: Path | None) -> tuple[int, int, int]:
    try:
        status = path.stat() if path else None
    except OSError:
        status = None
    return (status.st_mtime_ns, status.st_size, status.st_ino) if status else (0, 0, 0)


def _read(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(f"{setting}: {path} cannot be read ({error.strerror})") from error
