"""The generated identities of a simulator: a CA with a server certificate, a service account, secrets of webhooks and
vendors.

They are generated at the first start and stored, so that clients still trust a restarted simulator.
"""

import base64
import secrets
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

PROJECT_ID = "simulator"
_LIFETIME = timedelta(days=365)


class Identity(msgspec.Struct, frozen=True):
    """The paths of a simulator's files."""

    ca_file: Path
    certificate_file: Path
    key_file: Path
    service_account_file: Path
    webhook_secret_file: Path
    vendors_secret_file: Path


def identity(folder: Path, host: str) -> Identity:
    """Return the identity stored in a folder, generating it first when it is missing or was made for another host."""
    files = Identity(
        ca_file=folder / "ca.pem",
        certificate_file=folder / f"server-{host.replace(':', '-')}.pem",
        key_file=folder / f"server-{host.replace(':', '-')}.key",
        service_account_file=folder / "service-account.json",
        webhook_secret_file=folder / "webhook-secret",
        vendors_secret_file=folder / "vendors-secret",
    )
    folder.mkdir(parents=True, exist_ok=True)
    if not all(path.exists() for path in (files.ca_file, files.certificate_file, files.key_file)):
        _make_certificates(files, host)
    if not files.service_account_file.exists():
        write_secret(files.service_account_file, msgspec.json.format(msgspec.json.encode(_service_account())))
    if not files.webhook_secret_file.exists():
        write_secret(files.webhook_secret_file, b"whsec_" + base64.b64encode(secrets.token_bytes(32)))
    if not files.vendors_secret_file.exists():
        write_secret(files.vendors_secret_file, secrets.token_bytes(32))
    return files


def _service_account() -> dict[str, str]:
    """Return a service account in the form of Google's key files."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    return {
        "type": "service_account",
        "project_id": PROJECT_ID,
        "private_key_id": secrets.token_hex(20),
        "private_key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        "client_email": f"clarion@{PROJECT_ID}.iam.example",
    }


def _make_certificates(files: Identity, host: str) -> None:
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Clarion simulator CA")])
    names: list[x509.GeneralName] = [x509.DNSName("localhost")]
    try:
        names.append(x509.IPAddress(ip_address(host)))
    except ValueError:
        names.append(x509.DNSName(host))
    ca = _certificate(ca_name, ca_name, ca_key, ca_key, x509.BasicConstraints(ca=True, path_length=0))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    leaf = _certificate(subject, ca_name, key, ca_key, x509.SubjectAlternativeName(names))
    files.ca_file.write_bytes(ca.public_bytes(Encoding.PEM))
    files.certificate_file.write_bytes(leaf.public_bytes(Encoding.PEM))
    write_secret(files.key_file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    start = datetime.now(UTC) - timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + _LIFETIME)
        .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, SHA256())
    )


def write_secret(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read."""
    path.touch(mode=0o600)
    path.write_bytes(content)
