"""Certificates for tests: authorities, what they issue, and the files of a server."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from clarion.edge.tls.settings import Tls

DAY = timedelta(days=1)


def key_pem(key: Any, protection: Any = None) -> bytes:
    """Return a key in PEM, encrypted when a protection is given."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection or NoEncryption())


class Authority:
    """A certificate authority, at the root or below another one. `chain` are the certificates a server sends besides its
    own."""

    def __init__(self, name: str = "root", above: "Authority | None" = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        issuer = above or self
        constraint = x509.BasicConstraints(ca=True, path_length=None)
        self.certificate = _signed(issuer, self.name, self.key, constraint, timedelta(days=365), DAY)
        self.pem = self.certificate.public_bytes(Encoding.PEM)
        self.chain = b"" if above is None else self.pem + above.chain

    def issue(self, *, ends: timedelta = 90 * DAY, begins: timedelta = DAY, key: Any = None) -> tuple[bytes, bytes]:
        """Return certificate chain and key in PEM for `localhost`, valid from `begins` ago until `ends` from now."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        certificate = _signed(self, subject, key, names, ends, begins)
        return certificate.public_bytes(Encoding.PEM) + self.chain, key_pem(key)


def _signed(issuer: Authority, subject: x509.Name, key: Any, extension: Any, ends: timedelta, begins: timedelta) -> Any:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer.name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).add_extension(extension, critical=False)
    return builder.not_valid_before(now - begins).not_valid_after(now + ends).sign(issuer.key, SHA256())


def written(path: Path, content: bytes) -> Path:
    """Replace a file that only its owner can read, as tools for certificates do."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.chmod(0o600)
    return fresh.replace(path)


class ServerFiles:
    """Certificate and key of a server in a folder, and the settings that name them."""

    def __init__(self, folder: Path, authority: Authority | None = None, **options: Any) -> None:
        self.authority = authority or Authority()
        self.certificate, self.key = folder / "server.pem", folder / "server.key"
        self.ca = written(folder / "ca.pem", self.authority.pem)
        self.renew(**options)

    def renew(self, **options: Any) -> None:
        """Replace both files by a new certificate."""
        certificate, key = self.authority.issue(**options)
        written(self.certificate, certificate)
        written(self.key, key)

    def settings(self, **changed: Any) -> Tls:
        """Return settings of TLS with these files."""
        standard = {
            "certificate_file": str(self.certificate), "key_file": str(self.key), "min_version": "1.2",
            "handshake_timeout_ms": 10_000, "reload_interval_s": 3_600, "client_ca_file": "",
            "client_certificate": "required",
        }  # fmt: skip
        return Tls(**(standard | changed))
