"""TLS, from the start and begun later."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from tests.iotgw.reactor.playing import BIG, Peer, Recorder, Scenario, digest, until

_certificate: list[Any] = []


def certificate() -> Any:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from twisted.internet.ssl import PrivateCertificate

    if not _certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        now = datetime.now(UTC)
        signed = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(1))
            .not_valid_after(now + timedelta(1))
            .sign(key, hashes.SHA256())
        )
        form = serialization.Encoding.PEM
        private = key.private_bytes(form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        _certificate.append(PrivateCertificate.loadPEM(signed.public_bytes(form) + private))
    return _certificate[0]


def tls_over_an_ssl_port() -> Any:
    peer = Peer(context=certificate().options(), data=lambda protocol, data: protocol.write(data))
    return _tls_echo(peer)


def tls_begun_on_a_plain_connection() -> Any:
    options = certificate().options()

    def begin(protocol: Recorder, data: bytes) -> None:
        if data == b"begin\n":
            protocol.write(b"ready\n")
            protocol.transport.startTLS(options)
        else:
            protocol.write(data)

    peer = Peer(data=begin)
    peer.socket.send(b"begin\n")
    peer.read_until(lambda: peer.received == b"ready\n")
    return _tls_echo(peer)


def _tls_echo(peer: Peer) -> Any:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    come, go = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(come, go, server_hostname="localhost")
    pending = b""

    def attempt(call: Callable[[], Any]) -> Any:
        nonlocal pending
        pending += go.read()
        if pending:
            try:
                pending = pending[peer.socket.send(pending) :]
            except BlockingIOError:
                pass
            except BrokenPipeError:
                pending = b""
        before = len(peer.received)
        peer.read()
        come.write(peer.received[before:])
        try:
            return call() or True
        except ssl.SSLWantReadError:
            return None
        finally:
            pending += go.read()

    until(lambda: attempt(client.do_handshake))
    text = BIG[:300_000]
    client.write(text)
    plain = bytearray()
    until(lambda: (plain.extend(attempt(lambda: client.read(65536)) or b""), len(plain) >= len(text))[1])
    peer.transport.loseConnection()
    until(lambda: attempt(client.unwrap))
    attempt(lambda: None)
    peer.until_lost()
    events = [
        [name, sha256("".join(what).encode()).hexdigest()] if name == "data" else [name, *what] for name, *what in peer.events
    ]
    peer.socket.close()
    return [events, digest(bytes(plain))]


SCENARIOS: tuple[Scenario, ...] = (
    tls_over_an_ssl_port,
    tls_begun_on_a_plain_connection,
)
