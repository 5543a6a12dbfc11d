"""Firebase Cloud Messaging, HTTP v1.

Protocol: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages and .../v1/ErrorCode; access tokens by
the JWT bearer grant of RFC 7523 with a service account's RS256 key.
"""

import base64
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.limits_content import PUSH_PAYLOAD_BYTES_MAX
from clarion.domain.limits_delivery import VENDOR_KEYS_MAX
from clarion.domain.message import HttpRequest, HttpResponse, Message
from clarion.domain.outcome import (
    Accepted,
    Ambiguous,
    InvalidRecipient,
    Misconfigured,
    Outcome,
    Refused,
    Throttled,
    Transient,
)
from clarion.ports.vendor import ContentLimit, Field, Token, Traits
from clarion.providers.answers import by_status, error_detail, object_of, retry_after_ms, unusable

BASE_URL: Final = "https://fcm.googleapis.com"
TOKEN_URL: Final = "https://oauth2.googleapis.com/token"  # noqa: S105 - a URL
SCOPE: Final = "https://www.googleapis.com/auth/firebase.messaging"
TTL_S_MAX: Final = 28 * 24 * 3600
THROTTLED_MS: Final = 60_000
ASSERTION_TTL_S: Final = 3600

TRAITS: Final = Traits(
    vendor="fcm",
    channels=(Channel.PUSH,),
    title="Firebase Cloud Messaging",
    transport="http",
    settings=(
        Field("project_id", required=True, about="Firebase project id", pattern=r"[a-z0-9][a-z0-9-]{2,62}"),
        Field("base_url", kind="url", about="origin of the FCM API", default=BASE_URL),
        Field("token_url", kind="url", about="OAuth 2 token endpoint", default=TOKEN_URL),
        Field("android_priority", about="HIGH wakes the device", pattern="NORMAL|HIGH", default="HIGH"),
    ),
    credentials=(
        Field("client_email", required=True, about="the service account's address"),
        Field("private_key", required=True, about="the service account's RSA key, PEM"),
        Field("private_key_id", about="id of that key"),
    ),
    parts=("title", "body", "image", "url", "actions", "data", "collapse_key"),
    docs="https://firebase.google.com/docs/cloud-messaging",
    limits=(
        ContentLimit(
            ("body", "title"), "bytes", PUSH_PAYLOAD_BYTES_MAX, "shorten", "the payload, with what FCM needs around it"
        ),
    ),
)

RESERVED_DATA: Final = ("from", "message_type", "google.", "gcm.")
"""Data keys, or prefixes of keys, that FCM reserves."""

OUTCOMES: Final[dict[str, str]] = {
    "UNREGISTERED": "dead",
    "SENDER_ID_MISMATCH": "dead",
    "THIRD_PARTY_AUTH_ERROR": "account",
    "PERMISSION_DENIED": "account",
    "UNAUTHENTICATED": "account",
    "QUOTA_EXCEEDED": "later",
    "RESOURCE_EXHAUSTED": "later",
    "INTERNAL": "again",
    "UNAVAILABLE": "again",
    "NOT_FOUND": "account",
    "INVALID_ARGUMENT": "argument",
}
"""Meanings of FCM's `errorCode`, or else its `status`. `NOT_FOUND` alone is a wrong project, not a dead token. An
expired access token is `UNAUTHENTICATED`: the worker tries once with a new token before it marks the account as
misconfigured."""


def build(message: Message, account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return the `messages:send` call. The data map carries `delivery_id`, so that a device can recognize a duplicate,
    and the parts for which FCM has no field: `url`, and `actions` as JSON text. Raises `ValueError` when the data is
    not valid."""
    settings, parts = account.settings, message.parts
    android: dict[str, Any] = {"priority": settings.get("android_priority", "HIGH")}
    target: dict[str, Any] = {"token": message.address, "data": _data(parts, message), "android": android}
    if notification := {name: parts[name] for name in ("title", "body", "image") if parts.get(name)}:
        target["notification"] = notification
    apns: dict[str, str] = {}
    if message.expires_ms is not None:
        left_s = max(0, message.expires_ms - now_ms) // 1000
        android["ttl"] = f"{min(left_s, TTL_S_MAX)}s"
        apns["apns-expiration"] = str(message.expires_ms // 1000)
    if collapse := parts.get("collapse_key"):
        android["collapseKey"] = apns["apns-collapse-id"] = collapse
    if apns:
        target["apns"] = {"headers": apns}
    url = _send_url(settings.get("base_url", BASE_URL), settings["project_id"])
    headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
    return HttpRequest("POST", url, headers, msgspec.json.encode({"message": target}))


@lru_cache(maxsize=VENDOR_KEYS_MAX)
def _send_url(base_url: str, project_id: str) -> str:
    return f"{base_url.rstrip('/')}/v1/projects/{quote(project_id, safe='')}/messages:send"


def _data(parts: dict[str, Any], message: Message) -> dict[str, str]:
    """Return FCM's map of strings to strings; other values are sent as their JSON text."""
    out: dict[str, str] = {}
    data = {name: parts[name] for name in ("url", "actions") if parts.get(name)}
    given = parts.get("data")
    if given and not isinstance(given, dict):
        raise ValueError("push data is not an object")
    for key, value in (data | (given or {})).items():
        if key.startswith(RESERVED_DATA):
            raise ValueError(f"push data key {key!r} is reserved by FCM")
        out[key] = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    out["delivery_id"] = message.delivery_id
    return out


def read(response: HttpResponse, message: Message, account: Account, *, now_ms: int) -> Outcome:
    """Return the outcome of a response of `messages:send`, by FCM's error code before the HTTP status."""
    body = object_of(response.body)
    if response.status == 200:
        return Accepted(str(body["name"])) if body.get("name") else Ambiguous(error_detail(response))
    error = body.get("error")
    error = error if isinstance(error, dict) else {}
    listed = error.get("details")
    details = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    code = next((str(entry.get("errorCode")) for entry in details if _kind(entry) == "FcmError"), None)
    words = f"{code or error.get('status', '')} {error.get('message', '')}".strip()
    detail = error_detail(response, words)
    match OUTCOMES.get(code or str(error.get("status", ""))):
        case "dead":
            return InvalidRecipient(detail)
        case "account":
            return Misconfigured(detail)
        case "later":
            pause_ms = retry_after_ms(response.headers, now_ms) or THROTTLED_MS
            return Throttled(pause_ms, detail, scope="recipient" if _of_device(details) else "account")
        case "again":
            return Transient(detail, retry_after_ms(response.headers, now_ms))
        case "argument" if code and "token" in words.lower() and not any(_kind(e) == "BadRequest" for e in details):
            return InvalidRecipient(detail)
        case "argument":
            return Refused("invalid_argument", detail)
        case _:
            pass
    return Misconfigured(detail) if response.status == 404 else by_status(response, now_ms, words)


def _of_device(details: list[dict[str, Any]]) -> bool:
    """Return whether the exhausted quota is that of one device. A `google.rpc.QuotaFailure` names the quota
    (https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode)."""
    listed = [entry.get("violations") for entry in details if _kind(entry) == "QuotaFailure"]
    violations = [each for violation in listed if isinstance(violation, list) for each in violation]
    texts = [
        f"{each.get('subject', '')} {each.get('description', '')}" for each in violations if isinstance(each, dict)
    ]
    return any("device" in text.lower() for text in texts)


def _kind(detail: dict[str, Any]) -> str:
    """Return the last word of a detail's `@type`."""
    return str(detail.get("@type", "")).rpartition(".")[2]


@lru_cache(maxsize=VENDOR_KEYS_MAX)
def _key(pem: str) -> RSAPrivateKey:
    """Return the loaded key: loading takes 48 ms, signing less than one."""
    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError):
        raise ValueError("private_key is not an unencrypted private key in PEM") from None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("private_key is not an RSA key")
    return key


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token_request(account: Account, *, now_ms: int) -> HttpRequest:
    """Return the JWT bearer grant (RFC 7523). Raises `ValueError` when the private key cannot be read."""
    url, credentials = account.settings.get("token_url", TOKEN_URL), account.credentials
    header = {"alg": "RS256", "typ": "JWT"}
    if key_id := credentials.get("private_key_id"):
        header["kid"] = key_id
    at_s = now_ms // 1000
    claims = {
        "iss": credentials["client_email"],
        "scope": SCOPE,
        "aud": url,
        "iat": at_s,
        "exp": at_s + ASSERTION_TTL_S,
    }
    signed = f"{_base64url(msgspec.json.encode(header))}.{_base64url(msgspec.json.encode(claims))}"
    signature = _key(credentials["private_key"]).sign(signed.encode(), PKCS1v15(), SHA256())
    grant = {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": f"{signed}.{_base64url(signature)}",
    }
    return HttpRequest("POST", url, {"content-type": "application/x-www-form-urlencoded"}, urlencode(grant).encode())


def read_token(response: HttpResponse) -> Token | Outcome:
    """Return the access token, or an outcome: a refused grant (`invalid_grant`, `invalid_client`) is
    `Misconfigured`."""
    body = object_of(response.body)
    value, expires_in = body.get("access_token"), body.get("expires_in", ASSERTION_TTL_S)
    if response.status == 200 and isinstance(value, str) and value and isinstance(expires_in, int):
        return Token(value, expires_in)
    if response.status == 200:
        return Transient("HTTP 200: the token endpoint's answer holds no access token")
    words = f"{body.get('error', '')} {body.get('error_description', '')}".strip()
    if response.status == 429 or response.status >= 500:
        after_ms, detail = retry_after_ms(response.headers, None), error_detail(response, words)
        return Throttled(after_ms, detail) if response.status == 429 else Transient(detail, after_ms)
    return Misconfigured(error_detail(response, words))


def verify_request(account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return a `messages:send` that FCM only validates; no device gets it."""
    origin = account.settings.get("base_url", BASE_URL).rstrip("/")
    url = f"{origin}/v1/projects/{quote(account.settings['project_id'], safe='')}/messages:send"
    body = {"validate_only": True, "message": {"topic": "verify"}}
    headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
    return HttpRequest("POST", url, headers, msgspec.json.encode(body))


def read_verify(response: HttpResponse, account: Account) -> Misconfigured | None:
    """Return `Misconfigured` when the token is refused, or the project is unknown or closed to it, else None."""
    error = object_of(response.body).get("error")
    error = error if isinstance(error, dict) else {}
    return unusable(response, f"{error.get('status', '')} {error.get('message', '')}".strip())
