"""Certificates for tests: an authority, and what it signs."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """Signs certificates into a folder."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        self.path = folder / f"{name}.pem"
        extension = x509.BasicConstraints(ca=True, path_length=None)
        signed = self._builder(self._name, self._key, 30).add_extension(extension, critical=True).sign(self._key, hashes.SHA256())
        self.path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def sign(self, name: str, days: float = 30, since_days: float = -1, key_in: str = "") -> Path:
        """A file of a certificate and its key; ``key_in`` is another file for the key."""
        key = ec.generate_private_key(ec.SECP256R1())
        hosts = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
        builder = self._builder(_named(name), key, days, since_days).add_extension(hosts, critical=False)
        signed = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        form = serialization.PrivateFormat.PKCS8
        private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        path = self._folder / f"{name}.pem"
        path.write_bytes(signed if key_in else signed + private)
        if key_in:
            (self._folder / key_in).write_bytes(private)
        return path

    def client(self, certificate: Path | None = None) -> ssl.SSLContext:
        """What a device connects with that trusts this authority."""
        context = ssl.create_default_context(cafile=str(self.path))
        if certificate is not None:
            context.load_cert_chain(certificate)
        return context

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, days: float, since: float = -1) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(self._name, name, key.public_key(), x509.random_serial_number())
        start, end = now + timedelta(min(since, days - 1)), now + timedelta(days)
        return builder.not_valid_before(start if since < 0 else now + timedelta(since)).not_valid_after(end)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
