"""APNs and a Web Push service with its browser: tokens are verified, and encrypted content is decrypted.

Reasons of APNs: https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns; the
push service responds as https://mozilla-services.github.io/autopush-rs/errors.html and, for a bad subject, as Apple's.
"""

import base64
import re
import time
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from clarion_lab.simulate.faults import Answer
from clarion_lab.simulate.http2 import Request
from clarion_lab.simulate.vendors.script import (
    TEXT,
    Account,
    Secrets,
    VendorAnswer,
    VendorCall,
    VendorScript,
    json_of,
    path_of,
    text_of,
)

TEAM_ID: Final = "SIMULATOR0"
KEY_ID: Final = "SIMULATED0"
TOPIC: Final = "com.example.app"
ENDPOINT_PATH: Final = "/push/"
_TOKEN_S_MAX: Final = 3_600
_VAPID_S_MAX: Final = 24 * 3_600
_VAPID: Final = re.compile(r"vapid t=([\w.-]+), ?k=([\w-]+)")


def _reason(status: int, reason: str, *, retry_after: bool = False) -> VendorAnswer:
    return VendorAnswer(status, f'{{"reason":"{reason}"}}', headers=(("apns-id", "$id"),), retry_after=retry_after)


def _autopush(status: int, errno: int, error: str, words: str) -> VendorAnswer:
    return VendorAnswer(status, f'{{"code":{status},"errno":{errno},"error":"{error}","message":"{words}"}}')


_APNS: Final = {
    Answer.ACCEPTED: VendorAnswer(200, headers=(("apns-id", "$id"),)),
    Answer.THROTTLE: _reason(429, "TooManyRequests", retry_after=True),
    Answer.ERROR_500: _reason(500, "InternalServerError"),
    Answer.INVALID_TOKEN: VendorAnswer(410, '{"reason":"Unregistered","timestamp":1767225600000}'),
    Answer.MALFORMED: _reason(400, "PayloadEmpty"),
}
_WEBPUSH: Final = {
    Answer.ACCEPTED: VendorAnswer(201, headers=(("location", "$id"), ("ttl", "0"))),
    # RFC 8030 8.4 asks for the header and for nothing else.
    Answer.THROTTLE: VendorAnswer(429, "Too Many Requests", TEXT, retry_after=True),
    Answer.ERROR_500: _autopush(500, 999, "Internal Server Error", "Unknown error"),
    Answer.INVALID_TOKEN: _autopush(410, 106, "Gone", "Subscription expired"),
    Answer.MALFORMED: _autopush(400, 110, "Bad Request", "Invalid crypto headers"),
}
_NO_TOKEN: Final = _autopush(401, 109, "Unauthorized", "Request did not validate Invalid Authorization Header")
_OTHER_KEY: Final = _autopush(401, 109, "Unauthorized", "VAPID public key mismatch")
_BAD_SUBJECT: Final = VendorAnswer(403, '{"reason":"BadJwtToken"}')


def _authenticate_apns(request: Request, secrets: Secrets) -> VendorAnswer | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return _reason(403, "MissingProviderToken")
    try:
        given = jwt.decode(token, _verifies(secrets.key("apns")), algorithms=["ES256"])
        own = given.header["kid"] == KEY_ID and given.claims["iss"] == TEAM_ID
        age_s = time.time() - given.claims["iat"]
    except (JoseError, LookupError, TypeError, ValueError):
        own, age_s = False, 0
    if not own:
        return _reason(403, "InvalidProviderToken")
    if not 0 <= age_s < _TOKEN_S_MAX:
        return _reason(403, "ExpiredProviderToken")
    return None if request.headers.get("apns-topic") == TOPIC else _reason(400, "TopicDisallowed")


def _parse_apns(request: Request, secrets: Secrets) -> VendorCall:
    body = json_of(request)
    if not isinstance(body["aps"], dict):
        raise ValueError("aps is no object")
    return VendorCall(
        text_of(body["delivery_id"]), path_of(request).rpartition("/")[2], request.headers.get("apns-id", "")
    )


def _authenticate_webpush(request: Request, secrets: Secrets) -> VendorAnswer | None:
    found = _VAPID.fullmatch(request.headers.get("authorization", ""))
    if found is None:
        return _NO_TOKEN
    token, public = found.groups()
    try:
        claims = jwt.decode(token, _public(_bytes(public)), algorithms=["ES256"]).claims
        left_s = claims["exp"] - time.time()
        subject = str(claims["sub"])
        whole = claims["aud"] == f"https://{request.headers[':authority']}" and 0 < left_s <= _VAPID_S_MAX
    except (JoseError, LookupError, TypeError, ValueError):
        return _NO_TOKEN
    if subject.endswith((".invalid", "@localhost")):
        return _BAD_SUBJECT
    if public != _text(_point(secrets.key("vapid"))):
        return _OTHER_KEY
    return None if whole else _NO_TOKEN


def _parse_webpush(request: Request, secrets: Secrets) -> VendorCall:
    if request.headers.get("content-encoding") != "aes128gcm" or "ttl" not in request.headers:
        raise ValueError("headers are missing")
    body = msgspec.json.decode(_opened(request.body, secrets.key("browser"), _auth(secrets)))
    return VendorCall(text_of(body["delivery_id"]), path_of(request).removeprefix(ENDPOINT_PATH))


def _opened(sealed: bytes, key: ec.EllipticCurvePrivateKey, auth: bytes) -> bytes:
    """Return the decrypted text of a push (RFC 8291 4, RFC 8188 2). Raises `ValueError` when it is not for this
    browser."""
    if len(sealed) < 16 + 4 + 1 + 65 + 17 or sealed[20] != 65:
        raise ValueError("the body is too short")
    salt, point, record = sealed[:16], sealed[21:86], sealed[86:]
    shared = key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point))
    secret = HKDF(SHA256(), 32, auth, b"WebPush: info\0" + _point(key) + point).derive(shared)
    content_key = HKDF(SHA256(), 16, salt, b"Content-Encoding: aes128gcm\0").derive(secret)
    nonce = HKDF(SHA256(), 12, salt, b"Content-Encoding: nonce\0").derive(secret)
    try:
        return AESGCM(content_key).decrypt(nonce, record, None).rstrip(b"\0").removesuffix(b"\2")
    except InvalidTag:
        raise ValueError("the body is not sealed for this browser") from None


def _point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _public(point: bytes) -> ECKey:
    if len(point) != 65:
        raise ValueError("not a point")
    return ECKey.import_key({"kty": "EC", "crv": "P-256", "x": _text(point[1:33]), "y": _text(point[33:])})


def _verifies(key: ec.EllipticCurvePrivateKey) -> ECKey:
    return _public(_point(key))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _auth(secrets: Secrets) -> bytes:
    return bytes.fromhex(secrets.hex("browser auth"))


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _apns_account(secrets: Secrets, origin: str) -> Account:
    settings: dict[str, Any] = {"team_id": TEAM_ID, "key_id": KEY_ID, "topic": TOPIC, "base_url": origin}
    return {"settings": settings, "credentials": {"private_key": _pem(secrets.key("apns"))}}


def _webpush_account(secrets: Secrets, origin: str) -> Account:
    settings = {"subject": "mailto:push@example.com"}
    return {"settings": settings, "credentials": {"private_key": _pem(secrets.key("vapid"))}}


def _subscription(secrets: Secrets, origin: str) -> str:
    """Return a subscription like that of a browser's `PushSubscription.toJSON()`."""
    keys = {"p256dh": _text(_point(secrets.key("browser"))), "auth": _text(_auth(secrets))}
    return msgspec.json.encode({"endpoint": f"{origin}{ENDPOINT_PATH}ada", "keys": keys}).decode()


SCRIPTS: Final = (
    VendorScript(
        "apns", "push", "/3/device/[0-9A-Fa-f]{16,200}", _authenticate_apns, _parse_apns, _APNS, "", _apns_account,
        lambda secrets, origin: "ada0" * 16,
    ),
    VendorScript(
        "webpush", "webpush", ENDPOINT_PATH + "[A-Za-z0-9_-]+", _authenticate_webpush, _parse_webpush, _WEBPUSH, "$origin/m/$hex",
        _webpush_account, _subscription,
    ),
)  # fmt: skip
