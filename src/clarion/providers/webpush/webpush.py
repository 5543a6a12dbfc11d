"""Web Push to any browser's push service: RFC 8030, encrypted by RFC 8291, signed by RFC 8292 (VAPID).

Responses of services beyond the RFCs: https://mozilla-services.github.io/autopush-rs/errors.html,
https://developer.apple.com/documentation/usernotifications/sending-web-push-notifications-in-web-apps-and-browsers,
https://learn.microsoft.com/windows/apps/develop/notifications/push-notifications/push-request-response-headers.
The address is the subscription as JSON, as `PushSubscription.toJSON()` writes it.
"""

import re
from functools import lru_cache
from hashlib import sha256
from typing import Final
from urllib.parse import urlsplit

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.limits_content import PUSH_PAYLOAD_BYTES_MAX
from clarion.domain.limits_delivery import VENDOR_KEYS_MAX
from clarion.domain.message import HttpRequest, HttpResponse, Message
from clarion.domain.outcome import Accepted, InvalidRecipient, Misconfigured, Outcome, Refused, Throttled
from clarion.ports.vendor import ContentLimit, Field, Traits
from clarion.providers import aes128gcm, es256
from clarion.providers.answers import by_status, error_detail, retry_after_ms

TTL_S_MAX: Final = 28 * 24 * 3600
PLAIN: Final = ContentLimit(
    ("body", "title"),
    "bytes",
    PUSH_PAYLOAD_BYTES_MAX - aes128gcm.OVERHEAD_BYTES,
    "shorten",
    "all parts, before sealing",
)
VAPID_PERIOD_S: Final = 6 * 3600
VAPID_TTL_S: Final = 18 * 3600
"""A new signature every 6 hours, valid for 12 to 18 more hours: well inside the 24 of RFC 8292 2, even if a clock is
wrong."""
THROTTLED_MS: Final = 3_600_000
"""Microsoft's throttling lasts at least an hour, and the response names no time."""

TRAITS: Final = Traits(
    vendor="webpush",
    channels=(Channel.WEBPUSH,),
    title="Web Push",
    transport="http",
    settings=(
        Field(
            "subject",
            required=True,
            about="the sender's contact for push services: a mailto: or https: address with a real domain",
            pattern=r"mailto:[^@\s]+@[^@\s]+\.[^@\s.]+|https://[^\s/]+\.[^\s]+",
        ),
        Field("urgency", about="how soon it is worth waking a device", pattern="very-low|low|normal|high", default="normal"),
        Field("ttl_s", kind="integer", about="seconds a service keeps it", default=TTL_S_MAX, least=0, most=TTL_S_MAX),
        Field("base_url", kind="url", about="origin that replaces every push service's: a proxy, or tests"),
    ),
    credentials=(Field("private_key", required=True, about="the VAPID private key, base64url or PEM"),),
    parts=("title", "body", "icon", "image", "url", "data", "actions"),
    docs="https://www.rfc-editor.org/rfc/rfc8030",
    limits=(PLAIN,),
)  # fmt: skip

RULES: Final[tuple[tuple[str, str, str], ...]] = (
    # statuses, pattern of the service's text, meaning
    ("200 201 202 204", r"x-wns-status: channelthrottled", "later"),
    ("200 201 202 204", r"x-wns-status: dropped", "dropped"),
    ("200 201 202 204", r"", "accepted"),
    (
        "400 401 403",
        r"VapidPkHashMismatch|public key mismatch|not correspond to the (credentials|sender ID) used",
        "dead",
    ),
    ("404 410", r"", "dead"),
    ("401 403", r"", "account"),
    ("406 429", r"", "later"),
    ("413", r"", "payload_too_large"),
    ("400", r"", "bad_request"),
    ("301 302 303 307 308", r"", "redirected"),
)
"""The first row that matches decides; a meaning that names no outcome refuses with that reason. The texts that are
`dead` mean that the browser subscribed with another VAPID key than the account's."""

_RULES: Final = tuple(
    (statuses.split(), re.compile(words, re.IGNORECASE), meaning) for statuses, words, meaning in RULES
)
_ENDPOINT: Final = re.compile(r"https://[^\x00-\x20\x7f-\U0010ffff/\\?#@%]+(?:[/?][!-~]*)?")


class _Keys(msgspec.Struct):
    p256dh: str
    auth: str


class _Subscription(msgspec.Struct):
    endpoint: str
    keys: _Keys


def build(message: Message, account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return the encrypted POST: JSON of the parts and `delivery_id`, by which a service worker can recognize a
    duplicate. Raises `ValueError` when the address is no subscription or the content exceeds the size that each service
    has to accept."""
    settings, text = account.settings, account.credentials["private_key"]
    try:
        subscription = msgspec.json.decode(message.address, type=_Subscription)
        receiver, auth = (es256.unbase64url(part) for part in (subscription.keys.p256dh, subscription.keys.auth))
    except (msgspec.DecodeError, ValueError):
        raise ValueError("the address is not a web-push subscription in JSON") from None
    if not _ENDPOINT.fullmatch(subscription.endpoint):
        raise ValueError("the subscription's endpoint is not a plain https URL")
    plain = msgspec.json.encode({k: v for k, v in message.parts.items() if v} | {"delivery_id": message.delivery_id})
    PLAIN.check(len(plain), "push")
    about = sha256(msgspec.json.encode([message.address, message.delivery_id, message.attempt])).digest()
    sender, salt = aes128gcm.fresh(_secret(text), about + sha256(plain).digest())
    left_s = settings.get("ttl_s", TTL_S_MAX)
    if message.expires_ms is not None:
        left_s = min(left_s, max(0, message.expires_ms - now_ms) // 1000)
    expires_s = now_ms // 1000 // VAPID_PERIOD_S * VAPID_PERIOD_S + VAPID_TTL_S
    headers = {
        "authorization": _vapid(text, settings["subject"], _origin(subscription.endpoint), expires_s),
        "content-encoding": "aes128gcm",
        "content-type": "application/octet-stream",
        "ttl": str(left_s),
        "urgency": settings.get("urgency", "normal"),
    }
    body = aes128gcm.seal(plain, receiver, auth, sender=sender, salt=salt)
    return HttpRequest("POST", _at(subscription.endpoint, settings.get("base_url")), headers, body)


@lru_cache(maxsize=VENDOR_KEYS_MAX)
def _secret(private_key: str) -> bytes:
    number = es256.key_of(private_key, "private_key").private_numbers().private_value
    return number.to_bytes(es256.SCALAR_BYTES, "big")


@lru_cache(maxsize=VENDOR_KEYS_MAX)
def _vapid(private_key: str, subject: str, audience: str, expires_s: int) -> str:
    """Return the `vapid` authorization (RFC 8292 3), cached for each push service and period."""
    key = es256.key_of(private_key, "private_key")
    token = es256.jwt({"typ": "JWT"}, {"aud": audience, "exp": expires_s, "sub": subject}, key)
    return f"vapid t={token}, k={es256.base64url(aes128gcm.point_of(key))}"


def _origin(endpoint: str) -> str:
    """Return the origin of an endpoint (RFC 6454 6.2), without the scheme's default port."""
    return f"https://{urlsplit(endpoint).netloc.lower().removesuffix(':443')}"


def _at(endpoint: str, base_url: str | None) -> str:
    """Return the URL to call: the endpoint, or its path and query at `base_url`."""
    if not base_url:
        return endpoint
    url = urlsplit(endpoint)
    return base_url.rstrip("/") + url._replace(scheme="", netloc="", fragment="").geturl()


def read(response: HttpResponse, message: Message, account: Account, *, now_ms: int) -> Outcome:
    """Return the outcome of a push service's response. An acceptance does not mean that the subscription is still
    active."""
    headers = response.headers
    wns = headers.get("x-wns-status") or headers.get("x-wns-notificationstatus")
    amiss = wns is not None and wns.lower() != "received"
    words = f"x-wns-status: {wns} {headers.get('x-wns-error-description', '')}" if amiss else ""
    detail, after_ms = error_detail(response, words), retry_after_ms(headers, now_ms)
    match _meaning(response.status, detail):
        case "":
            return by_status(response, now_ms, words)
        case "accepted":
            return Accepted(headers.get("location") or headers.get("x-wns-msg-id", ""))
        case "dead":
            return InvalidRecipient(detail)
        case "account":
            return Misconfigured(detail)
        case "later":
            # The limit is one push service's; an account's subscriptions are at several services.
            pause_ms = after_ms if response.status == 429 or after_ms is not None else THROTTLED_MS
            return Throttled(pause_ms, detail, scope="recipient")
        case refusal:
            return Refused(refusal, detail)


def _meaning(status: int, words: str) -> str:
    """Return the meaning of the first rule that matches, "" when none does."""
    code = str(status)
    return next((meaning for codes, pattern, meaning in _RULES if code in codes and pattern.search(words)), "")
