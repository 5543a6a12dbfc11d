"""DKIM signatures (RFC 6376) of messages that Clarion writes itself, the same bytes for the same message and key.

The canonicalization is `relaxed/relaxed`, the algorithm RSA (rsa-sha256) or Ed25519 (RFC 8463), by the kind of the key.
`From` is listed once more than it occurs, so that nobody can add another one that readers would show (RFC 6376 8.15).
There is no `l=`, which would let anybody append to a message, and no `x=`: a message may wait in queues for days.
"""

import base64
import hashlib
import re
from functools import lru_cache
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from clarion.domain.limits_delivery import DKIM_KEY_CHARS_MAX, DKIM_RSA_BITS_MAX, DKIM_RSA_BITS_MIN, VENDOR_KEYS_MAX
from clarion.providers import mime

SIGNED: Final = (
    "from", "to", "subject", "date", "message-id", "mime-version", "content-type", "content-transfer-encoding", "reply-to",
    "list-unsubscribe", "list-unsubscribe-post",
)  # fmt: skip
"""Fields that are signed when present: all that a reader or a mail program relies on."""

SELECTOR: Final = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62})){0,9}"
PEM: Final = r"\s*-----BEGIN (?:RSA )?PRIVATE KEY-----\s[A-Za-z0-9+/=\s]+-----END (?:RSA )?PRIVATE KEY-----\s*"
"""The form of a key that is not encrypted; whether it is valid is checked when it is used."""

_LINE_CHARS: Final = 72
_FIELD_START: Final = re.compile(rb"\r\n(?![ \t])")
_FOLD: Final = re.compile(rb"\r\n(?=[ \t])")
_BLANKS: Final = re.compile(rb"[ \t]+")
_SELECTOR: Final = re.compile(SELECTOR)

Key = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@lru_cache(maxsize=VENDOR_KEYS_MAX)
def key_of(pem: str) -> Key:
    """Return the private key of a PEM text. Raises `ValueError` when it cannot sign mail. Loading costs more than
    signing, so keys are cached."""
    try:
        # The time to check a key grows with its size, so a text that is certainly too large is not parsed.
        key = load_pem_private_key(pem.encode(), None) if len(pem) <= DKIM_KEY_CHARS_MAX else None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("dkim_private_key is not an unencrypted RSA or Ed25519 private key in PEM")
    if not DKIM_RSA_BITS_MIN <= key.key_size <= DKIM_RSA_BITS_MAX:
        wanted = f"an RSA key needs {DKIM_RSA_BITS_MIN} to {DKIM_RSA_BITS_MAX}"
        raise ValueError(f"dkim_private_key has {key.key_size} bits, {wanted}")
    return key


def relaxed_body(body: bytes) -> bytes:
    """Return a body whose lines end in CRLF in the relaxed form (RFC 6376 3.4.4): runs of blanks become one blank, and
    blanks at the ends of lines and empty lines at the end are removed."""
    # Base64 has no such blanks, and searching for them costs far less than replacing them.
    if b"  " in body or b"\t" in body:
        body = _BLANKS.sub(b" ", body)
    text = body.replace(b" \r\n", b"\r\n").removesuffix(b" ").rstrip(b"\r\n")
    return text + b"\r\n" if text else b""


def relaxed_field(field: bytes) -> bytes:
    """Return a header field, without its line end, in the relaxed form (RFC 6376 3.4.2)."""
    name, _, value = field.partition(b":")
    return name.rstrip(b" \t").lower() + b":" + _BLANKS.sub(b" ", _FOLD.sub(b"", value)).strip(b" \t")


def signed(payload: bytes, *, domain: str, selector: str, pem: str, at_ms: int) -> bytes:
    """Return the message with its signature in front. Raises `ValueError` when a setting is missing or cannot be used."""
    given = {"dkim_domain": domain, "dkim_selector": selector, "dkim_private_key": pem}
    if missing := [name for name, value in given.items() if not value]:
        raise ValueError(f"{', '.join(given)} go together, and {' and '.join(missing)} is missing")
    if not _SELECTOR.fullmatch(selector):
        raise ValueError("dkim_selector is not a valid name below ._domainkey")
    where, key = mime.domain(domain, "dkim_domain"), key_of(pem)
    head, _, body = payload.partition(b"\r\n\r\n")
    fields = [relaxed_field(field) for field in _FIELD_START.split(head)]
    # Of fields that occur twice, the lower one is signed first (RFC 6376 5.4.2).
    names = [(name, field) for name in SIGNED for field in reversed(fields) if field.startswith(name.encode() + b":")]
    algorithm = "rsa-sha256" if isinstance(key, rsa.RSAPrivateKey) else "ed25519-sha256"
    digest = base64.b64encode(hashlib.sha256(relaxed_body(body)).digest()).decode()
    own = (
        f"DKIM-Signature: v=1; a={algorithm}; c=relaxed/relaxed;\r\n d={where};\r\n s={selector}; t={at_ms // 1000};\r\n"
        f" h={_folded(':'.join([*(name for name, _ in names), 'from']), ':')};\r\n bh={digest};\r\n b="
    )
    covered = b"".join(field + b"\r\n" for _, field in names) + relaxed_field(own.encode())
    return f"{own}{_folded_base64(_signature(key, covered))}\r\n".encode() + payload


def _signature(key: Key, data: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), SHA256())
    # RFC 8463 3: plain Ed25519 signs the hash.
    return key.sign(hashlib.sha256(data).digest())


def _folded(text: str, mark: str) -> str:
    """Return a list folded after some of its separators, within the line length."""
    lines = [""]
    for piece in re.findall(f"[^{mark}]+{mark}?", text):
        if len(lines[-1]) + len(piece) > _LINE_CHARS:
            lines.append("")
        lines[-1] += piece
    return "\r\n  ".join(lines)


def _folded_base64(data: bytes) -> str:
    text = base64.b64encode(data).decode()
    return "\r\n  ".join(text[at : at + _LINE_CHARS] for at in range(0, len(text), _LINE_CHARS))
