"""TLS contexts of the server."""

import ssl
from pathlib import Path
from typing import Final, NamedTuple

from clarion.edge.tls.files import PemFiles, UnusableFile, read
from clarion.edge.tls.settings import Tls

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Ciphers of TLS 1.2: with forward secrecy and authenticated encryption alone (RFC 9325, section 4.2). Those of TLS 1.3 are
all of this kind."""
_READS_MAX: Final = 3


class Loaded(NamedTuple):
    """A context, and the files it was made of."""

    context: ssl.SSLContext
    files: PemFiles


def load(settings: Tls) -> Loaded:
    """Return a context of the files in the settings. Raises `UnusableFile`."""
    for _ in range(_READS_MAX):
        files = read(settings)
        loaded = Loaded(_context(settings, files), files)
        # OpenSSL reads the files again, and they may be replaced at any time.
        if read(settings).digest == files.digest:
            return loaded
    raise UnusableFile("api.tls.certificate_file", settings.certificate_file, "changes all the time", "unreadable")


def _context(settings: Tls, files: PemFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[settings.min_version]
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    certificate_file, key_file = (Path(path).expanduser() for path in (settings.certificate_file, settings.key_file))
    try:
        # Without a password function, OpenSSL would ask for one at the terminal.
        context.load_cert_chain(certificate_file, key_file, password=lambda: b"")
        if files.client_ca_pem:
            context.load_verify_locations(cadata=files.client_ca_pem)
    except (ssl.SSLError, OSError) as error:
        text = f"is refused by OpenSSL: {error.reason if isinstance(error, ssl.SSLError) else error.strerror}"
        raise UnusableFile("api.tls.certificate_file", settings.certificate_file, text, "unusable") from error
    if files.client_ca_pem:
        required = settings.client_certificate == "required"
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
        # A resumed session would not show the client's certificate again, which may have ended meanwhile.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    return context
