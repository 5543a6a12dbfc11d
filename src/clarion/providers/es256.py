"""JSON Web Tokens signed with ES256 (RFC 7515, RFC 7518 3.4), the same bytes for the same claims.

The nonce of a signature is derived from key and text (RFC 6979), so every process makes the same signature.
"""

import base64
import binascii
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from clarion.domain.limits_delivery import VENDOR_KEYS_MAX

SCALAR_BYTES: Final = 32
_CURVE: Final = ec.SECP256R1()
_SIGNATURE: Final = ec.ECDSA(SHA256(), deterministic_signing=True)
_NOT_A_KEY: Final = "is not an unencrypted P-256 private key"


def base64url(data: bytes) -> str:
    """Return base64url without padding (RFC 7515 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unbase64url(text: str) -> bytes:
    """Return the bytes of base64url, with padding or without. Raises `ValueError` when it is not base64url."""
    raw = text.rstrip("=")
    try:
        return base64.b64decode(raw + "=" * (-len(raw) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise ValueError("is not base64url") from None


@lru_cache(maxsize=VENDOR_KEYS_MAX)
def key_of(text: str, field: str) -> ec.EllipticCurvePrivateKey:
    """Return a private key from PEM, or from the base64url of its number as VAPID tools write it. Raises `ValueError`,
    which names `field`, when it is neither. Loading costs more than signing, so keys are cached."""
    try:
        if text.lstrip().startswith("-----BEGIN"):
            key = load_pem_private_key(text.encode(), None)
        else:
            raw = unbase64url(text.strip())
            key = ec.derive_private_key(int.from_bytes(raw, "big") if len(raw) == SCALAR_BYTES else 0, _CURVE)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError(f"{field} {_NOT_A_KEY}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError(f"{field} {_NOT_A_KEY}")
    return key


def jwt(header: Mapping[str, Any], claims: Mapping[str, Any], key: ec.EllipticCurvePrivateKey) -> str:
    """Return the token in compact form; `header` needs no `alg`."""
    parts = (msgspec.json.encode({"alg": "ES256", **header}), msgspec.json.encode(claims))
    signed = ".".join(map(base64url, parts))
    r, s = decode_dss_signature(key.sign(signed.encode(), _SIGNATURE))
    return f"{signed}.{base64url(r.to_bytes(SCALAR_BYTES, 'big') + s.to_bytes(SCALAR_BYTES, 'big'))}"
