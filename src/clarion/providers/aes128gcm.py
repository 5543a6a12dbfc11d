"""Message encryption for Web Push (RFC 8291) in the `aes128gcm` content coding (RFC 8188): one record, no padding."""

from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SALT_BYTES: Final = 16
AUTH_BYTES: Final = 16
POINT_BYTES: Final = 65
RECORD_BYTES: Final = 4_096
OVERHEAD_BYTES: Final = SALT_BYTES + 4 + 1 + POINT_BYTES + 1 + 16
"""Salt, record size, length of the key's id, the key, and the delimiter and the AES-GCM tag of the text."""
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def seal(plain: bytes, receiver: bytes, auth: bytes, *, sender: ec.EllipticCurvePrivateKey, salt: bytes) -> bytes:
    """Return the encrypted body. `receiver` and `auth` are the subscription's `p256dh` and `auth`; `sender` and `salt`
    have to be fresh for each text. Raises `ValueError` when `receiver` or `auth` is not valid."""
    if len(auth) != AUTH_BYTES or len(receiver) != POINT_BYTES:
        raise ValueError("the subscription's auth or p256dh has the wrong length")
    try:
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), receiver)
    except ValueError:
        raise ValueError("the subscription's p256dh is not a point on P-256") from None
    own = point_of(sender)
    shared = sender.exchange(ec.ECDH(), public)
    secret = HKDF(SHA256(), 32, auth, b"WebPush: info\0" + receiver + own).derive(shared)
    key = HKDF(SHA256(), 16, salt, b"Content-Encoding: aes128gcm\0").derive(secret)
    nonce = HKDF(SHA256(), 12, salt, b"Content-Encoding: nonce\0").derive(secret)
    header = salt + RECORD_BYTES.to_bytes(4, "big") + bytes((POINT_BYTES,)) + own
    return header + AESGCM(key).encrypt(nonce, plain + b"\2", None)


def point_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the public key as an uncompressed point, 65 bytes."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def fresh(secret: bytes, about: bytes) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    """Return the ephemeral key and the salt for one text: the same for the same secret and `about`, and without the
    secret indistinguishable from random. `about` has to name the text too: one key and salt for two texts would reveal
    both."""
    raw = HKDFExpand(SHA256(), 48 + SALT_BYTES, b"clarion web push\0" + about).derive(secret)
    # 128 bits more than the order has leave a negligible bias (FIPS 186-5 A.2.1).
    number = int.from_bytes(raw[:48], "big") % (_ORDER - 1) + 1
    return ec.derive_private_key(number, ec.SECP256R1()), raw[48:]
