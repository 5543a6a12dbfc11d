"""The PEM files of a server certificate, its key and the CAs of clients: read whole, and checked before they are used."""

import os
import stat
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from clarion.domain.errors import OperatorError
from clarion.domain.limits_processes import PEM_FILE_BYTES_MAX
from clarion.edge.tls.settings import Tls

_RSA_BITS_MIN: Final = 2048
_EC_BITS_MIN: Final = 256
_CERTIFICATE: Final = "api.tls.certificate_file"
_KEY: Final = "api.tls.key_file"
_CLIENT_CA: Final = "api.tls.client_ca_file"


class UnusableFile(OperatorError):
    """A file of `[api.tls]` cannot be used. `reason` is a stable code for the security log."""

    def __init__(self, setting: str, path: str, text: str, reason: str) -> None:
        super().__init__(f"Setting {setting}: {path} {text}.")
        self.reason = reason


class PemFiles(NamedTuple):
    """The checked contents of the files: the server's own certificate and the PEM of client CAs (empty: none); `digest`
    tells whether they changed."""

    certificate: x509.Certificate
    client_ca_pem: str
    digest: bytes

    @property
    def not_before_ms(self) -> int:
        """When the certificate begins to be valid."""
        return int(self.certificate.not_valid_before_utc.timestamp() * 1000)

    @property
    def not_after_ms(self) -> int:
        """When the certificate ends."""
        return int(self.certificate.not_valid_after_utc.timestamp() * 1000)


def read(settings: Tls) -> PemFiles:
    """Return the files of the settings. Raises `UnusableFile` for the first one that is wrong, whatever the time."""
    certificate_pem = _bytes_of(_CERTIFICATE, settings.certificate_file)
    key_pem = _bytes_of(_KEY, settings.key_file, secret=True)
    ca_pem = _bytes_of(_CLIENT_CA, settings.client_ca_file) if settings.client_ca_file else b""
    certificate = _certificates(_CERTIFICATE, settings.certificate_file, certificate_pem)[0]
    _check_key(settings, key_pem, certificate)
    cas = _certificates(_CLIENT_CA, settings.client_ca_file, ca_pem) if ca_pem else []
    parts = (sha256(part).digest() for part in (certificate_pem, key_pem, ca_pem))
    return PemFiles(
        certificate, "".join(ca.public_bytes(Encoding.PEM).decode() for ca in cas), sha256(b"".join(parts)).digest()
    )


def _bytes_of(setting: str, path: str, *, secret: bool = False) -> bytes:
    if not path:
        raise OperatorError(f"Setting {setting}: must name a file, because the other one of the certificate is set.")
    try:
        # Without O_NONBLOCK, a named pipe in place of the file would block the process.
        with os.fdopen(os.open(Path(path).expanduser(), os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise UnusableFile(setting, path, "is not a file", "unreadable")
            if secret and mode & stat.S_IRWXO:
                raise UnusableFile(setting, path, f"can be read by all users; run: chmod o= {path}", "key_exposed")
            content = file.read(PEM_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise UnusableFile(setting, path, f"cannot be read: {error.strerror}", "unreadable") from error
    if len(content) > PEM_FILE_BYTES_MAX:
        raise UnusableFile(setting, path, f"is larger than {PEM_FILE_BYTES_MAX} bytes", "unreadable")
    return content


def _certificates(setting: str, path: str, pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except (ValueError, x509.InvalidVersion) as error:
        raise UnusableFile(setting, path, "holds no certificate in PEM", "not_pem") from error


def _check_key(settings: Tls, pem: bytes, certificate: x509.Certificate) -> None:
    path = settings.key_file
    try:
        key = load_pem_private_key(pem, None)
    except TypeError as error:
        raise UnusableFile(_KEY, path, "is encrypted; store it without a password", "key_encrypted") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UnusableFile(_KEY, path, "holds no private key in PEM", "not_pem") from error
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        strong = public.key_size >= _RSA_BITS_MIN
    elif isinstance(public, ec.EllipticCurvePublicKey):
        strong = public.key_size >= _EC_BITS_MIN
    else:
        strong = isinstance(public, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey))
    if not strong:
        wanted = f"RSA with {_RSA_BITS_MIN} bits or an elliptic curve with {_EC_BITS_MIN}"
        raise UnusableFile(_KEY, path, f"holds a weak key; needs at least {wanted}", "weak_key")
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    try:
        matches = public.public_bytes(*form) == certificate.public_key().public_bytes(*form)
    except (ValueError, UnsupportedAlgorithm):
        matches = False
    if not matches:
        text = f"holds a key that does not match the first certificate in {settings.certificate_file}"
        raise UnusableFile(_KEY, path, text, "key_mismatch")
